"""The second router of manifests/overlays/shard beside the first: with its settings, its rights and its Lease."""

from __future__ import annotations

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.kube.client import KubeClient, Refused, path_of
from tests.support.kube.rbac import placed
from tests.support.kustomize import SHARD, environment, one, render
from tests.support.level import metric
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

FIRST, SECOND = "tcp-router", "tcp-router-shard"
OPTIONS = {"ROUTER_SERVICE_NAME": "--router-name", "TCP_ROUTER_ROUTER_POD_SELECTOR": "--router-pod-selector"}
ADMITTED = {"Admitted": "True", "PortClaimed": "True"}


def shard(cluster: Cluster, address: str) -> RouterProcess:
    """Make the router that the overlay would run."""
    variables = environment(SHARD)
    options = [part for name, option in OPTIONS.items() for part in (option, variables[name])]
    rights = placed(render(SHARD), cluster.namespace, SECOND)
    account = one(rights, "ServiceAccount")["metadata"]["name"]
    return cluster.router("--bind-address", address, *options, name=SECOND, rights=rights, account=account)


def test_two_routers_in_one_namespace_do_not_meet(cluster: Cluster) -> None:
    """Each leads by its own Lease and serves its own Routes, on the same port; the end of one is nothing to the other."""
    port = free_port()
    addresses = {FIRST: "127.0.0.1", SECOND: "127.0.0.2"}
    for name in addresses:
        cluster.create(*app(f"of-{name}", port, cluster.pod(f"{name} ".encode()), router_name=name))
    routers = {FIRST: cluster.router("--bind-address", addresses[FIRST]), SECOND: shard(cluster, addresses[SECOND])}
    for router in routers.values():
        router.start()
    for name, router in routers.items():
        cluster.wait_for_conditions(f"of-{name}", name, **ADMITTED)
        assert exchange(port, address=addresses[name]) == f"{name} ping".encode()
        wait_for(lambda r=router: metric(r, "tcp_router_leader") == 1, f"{name} to lead")  # type: ignore[misc]
        lease = cluster.client.get("Lease", cluster.namespace, name)
        assert lease is not None
        assert set(router.ports()) == {f"{cluster.namespace}/of-{name}"}
    routers[FIRST].stop()
    assert exchange(port, address=addresses[SECOND]) == f"{SECOND} ping".encode()
    assert metric(routers[SECOND], "tcp_router_leader") == 1


def test_neither_may_touch_the_others_lease(cluster: Cluster) -> None:
    """The rights of the one are for its Lease alone."""
    routers = {FIRST: cluster.router(), SECOND: shard(cluster, "127.0.0.2")}
    for router in routers.values():
        router.start()
    for name, router in routers.items():
        wait_for(lambda n=name: cluster.client.get("Lease", cluster.namespace, n), f"the Lease {name}")  # type: ignore[misc]
        client = KubeClient(router.directory / "kubeconfig")
        try:
            for lease in (FIRST, SECOND):
                path = path_of("Lease", cluster.namespace, lease)
                if lease == name:
                    assert client.ask("GET", path)["metadata"]["name"] == name
                else:
                    with pytest.raises(Refused) as refused:
                        client.ask("GET", path)
                    assert refused.value.status == 403
        finally:
            client.close()
    tokens = {
        yaml.safe_load((r.directory / "kubeconfig").read_text())["users"][0]["user"]["token"] for r in routers.values()
    }
    assert len(tokens) == 2
