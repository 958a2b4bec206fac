"""The Service in front of the router, as an overlay makes it, kept level with what is served; on the cluster made of HTTP and on real ones."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.kube.rbac import placed
from tests.support.kustomize import render
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

Object = dict[str, Any]


def front(cluster: Cluster, *entries: Object, **spec: Any) -> None:
    """Create the Service, with an entry of its own."""
    sni = {"name": "sni", "port": 8443, "targetPort": 8443, "protocol": "TCP"}
    made: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "tcp-router"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app.kubernetes.io/name": "tcp-router"},
            "ports": [sni, *entries],
        },
    }
    made["spec"].update(spec)
    cluster.create(made)


def publishing(cluster: Cluster, *options: str) -> RouterProcess:
    """Start a router with the rights that overlays/load-balancer gives it."""
    rights = placed(render("overlays/load-balancer"), cluster.namespace, "tcp-router")
    # No port of a test is to be asked for as its own node port.
    ours = ("--publish-service", f"{cluster.namespace}/tcp-router", "--node-port-range", "1")
    return cluster.router(*ours, *options, rights=rights).start()


def published(cluster: Cluster) -> dict[int, Object]:
    """Give the entries of the Service by their ports."""
    found = cluster.client.get("Service", cluster.namespace, "tcp-router")
    assert found is not None
    return {port["port"]: port for port in found["spec"]["ports"]}


def events(cluster: Cluster, name: str) -> dict[str, str]:
    """Give the notes of Events about a Route, by reason."""
    listed = cluster.client.list("Event", cluster.namespace)
    return {each["reason"]: each["note"] for each in listed if each["regarding"]["name"] == name}


def rows(router: RouterProcess) -> dict[str, Object]:
    """Give the rows of /ports by the Route's name."""
    return {row["name"]: row for row in router.ports().values()}


def test_ports_are_in_the_service_while_they_are_open(cluster: Cluster) -> None:
    """A second after the port was opened it is in, a client's address is told, and it leaves only when the port is closed."""
    port, kept = free_port(), free_port()
    front(cluster)
    cluster.create(*app("kept", kept, cluster.pod()))
    router = publishing(cluster)
    wait_for(lambda: kept in published(cluster), "the port to be published")
    cluster.create(*app("db", port, cluster.pod(b"db ")))
    wait_for(lambda: not is_refused(port), "the port to be open")
    opened_s = time.monotonic()
    wait_for(lambda: port in published(cluster), "the port to be published")
    assert time.monotonic() - opened_s < 1
    assert published(cluster)[port]["name"] == f"tcp-{port}"
    assert published(cluster)[port]["targetPort"] == port
    address = {"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}
    cluster.client.patch("Service", cluster.namespace, "tcp-router", address, subresource="status")
    wait_for(
        lambda: cluster.route("db")["status"]["ingress"][0].get("routerCanonicalHostname") == "lb.example.com",
        "the address to be told",
    )
    wait_for(lambda: f"lb.example.com:{port}" == rows(router)["db"]["address"], "the address in /ports")
    cluster.client.delete("Route", cluster.namespace, "db")
    while port in published(cluster):
        pass
    assert is_refused(port), "it left the Service before it was closed"
    assert published(cluster).keys() == {8443, kept}
    assert exchange(kept) == b"ping"


def test_who_cannot_be_published_is_served_and_told(cluster: Cluster) -> None:
    """An entry of another's in its place, too many ports, a node port that is another's: an Event each, and /ports says it."""
    taken, first, over = sorted(free_port() for _ in range(3))
    front(cluster, {"name": "mine", "port": taken, "targetPort": 80, "protocol": "TCP"}, type="NodePort")
    cluster.create(*app("first", first, cluster.pod()), *app("taken", taken, cluster.pod()))
    router = publishing(cluster, "--publish-service-max-ports", "3")
    wait_for(lambda: first in published(cluster), "the first port to be published")
    cluster.create(*app("over", over, cluster.pod()))
    wait_for(lambda: "NotPublished" in events(cluster, "over"), "an Event")
    assert "as many ports as --publish-service-max-ports allows (3)" in events(cluster, "over")["NotPublished"]
    wait_for(lambda: "NotPublished" in events(cluster, "taken"), "an Event")
    assert "its entry mine" in events(cluster, "taken")["NotPublished"]
    chosen = published(cluster)[first]["nodePort"]
    wait_for(lambda: f"by port {chosen} of each node" in events(cluster, "first").get("NodePort", ""), "an Event")
    told = rows(router)
    assert {name: row["verdict"] for name, row in told.items()} == dict.fromkeys(told, "admitted")
    assert told["over"]["warnings"][-1].startswith("NotPublished: ")
    assert {exchange(port) for port in (taken, first, over)} == {b"ping"}
    # Room for it: the first goes.
    cluster.client.delete("Route", cluster.namespace, "first")
    wait_for(lambda: over in published(cluster), "the other to have its place")
    wait_for(lambda: "NotPublished" not in str(rows(router)["over"]["warnings"]), "no warning any more")


def test_two_replicas_and_the_right_to_nothing_else(cluster: Cluster) -> None:
    """The one that leads writes; when it is killed the other goes on, and takes nothing away meanwhile."""
    if cluster.server is None:
        pytest.skip("what is asked is seen on the server made of HTTP alone")
    one, other = free_port(), free_port()
    front(cluster)
    cluster.create(*app("one", one, cluster.pod()))
    first = publishing(cluster)
    wait_for(lambda: one in published(cluster), "the port to be published")
    second = publishing(cluster, "--bind-address", "127.0.0.2")
    first.stop(signal.SIGKILL)
    cluster.create(*app("other", other, cluster.pod()))
    wait_for(lambda: other in published(cluster), "the second to write", 40)
    assert published(cluster).keys() == {8443, one, other}
    applies = [each for each in cluster.server.requests if each.method == "PATCH" and each.path.endswith("/tcp-router")]
    assert {each.query["fieldManager"] for each in applies} == {"tcp-router-publish/tcp-router"}
    assert {each.query.get("force") for each in applies} == {"false"}
    assert not [each for each in cluster.server.requests if each.status == 403]
    second.stop()


def test_a_service_of_our_own_class_is_refused_at_the_start(cluster: Cluster) -> None:
    """It would be in front of itself."""
    front(cluster, loadBalancerClass="tcp-router.openshift.io/tcp-router")
    rights = placed(render("overlays/load-balancer"), cluster.namespace, "tcp-router")
    router = cluster.router("--publish-service", f"{cluster.namespace}/tcp-router", rights=rights)
    with pytest.raises(AssertionError, match=r"loadBalancerClass is tcp-router.openshift.io/tcp-router"):
        router.start()
