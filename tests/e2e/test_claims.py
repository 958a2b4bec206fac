"""Who holds a port, by PortClaims: what a project admin cannot forge, and what a cluster admin can say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, http_cluster, write_kubeconfig
from tests.support.kube.client import KubeClient, Refused
from tests.support.objects import app, port_claim, route
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
REFUSED = {"Admitted": "False"}
# What the cluster role admin of OpenShift has of Routes (openshift/origin, bootstrappolicy: routes/status is among them).
PROJECT_ADMIN = [
    {
        "apiGroups": ["route.openshift.io", ""],
        "resources": ["routes", "routes/custom-host"],
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    },
    {
        "apiGroups": ["route.openshift.io", ""],
        "resources": ["routes/status"],
        "verbs": ["get", "list", "watch", "update", "patch"],
    },
]
Object = dict[str, Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP, with the CRD of PortClaims."""
    with http_cluster(tmp_path) as made:
        yield made


def claims(cluster: Cluster) -> dict[str, Object]:
    """Give the PortClaims by name."""
    return {each["metadata"]["name"]: each for each in cluster.client.list("PortClaim", cluster.namespace)}


def wait_for_claim(cluster: Cluster, name: str, holder: str) -> Object:
    """Wait until a claim says this holder, in words."""
    wait_for(lambda: claims(cluster).get(name, {}).get("status", {}).get("holder") == holder, f"{name} of {holder}")
    return claims(cluster)[name]


def start(cluster: Cluster, *options: str) -> RouterProcess:
    """Start a router that needs claims."""
    return cluster.router("--sni-port", "0", "--claims", "required", *options).start()


def message(cluster: Cluster, name: str) -> str:
    """Give what a Route's Admitted condition says."""
    said: str = cluster.conditions(name).get("Admitted", {}).get("message", "")
    return said


def another_second(cluster: Cluster, name: str) -> None:
    """Wait until a Route that is created now is younger than this one."""
    created = cluster.route(name)["metadata"]["creationTimestamp"]

    def is_later() -> bool:
        probe = f"probe-{free_port()}"
        made = cluster.client.create(route(probe, namespace=cluster.namespace, router_name="nobody"))
        cluster.client.delete("Route", cluster.namespace, probe)
        later: bool = made["metadata"]["creationTimestamp"] > created
        return later

    wait_for(is_later, "another second to begin")


def test_a_forged_status_does_nothing(cluster: Cluster) -> None:
    """The owner of an older Route writes into its status that it holds a port; the clients of the holder stay where they are, also after a restart."""
    port = free_port()
    cluster.create(route("old", free_port()))
    another_second(cluster, "old")
    cluster.create(*app("db", port, cluster.pod(b"db:")))
    router = start(cluster)
    cluster.wait_for_conditions("db", **ADMITTED)
    wait_for_claim(cluster, f"tcp-router-{port}", f"Route {cluster.namespace}/db")

    assert cluster.server is not None
    cluster.server.access.grant("project-admin", PROJECT_ADMIN, cluster.namespace)
    attacker = KubeClient(write_kubeconfig(cluster.directory / "attacker", cluster.client, "project-admin"))
    try:
        forged = {
            "routerName": "tcp-router",
            "conditions": [
                {"type": "Admitted", "status": "True"},
                {"type": "PortClaimed", "status": "True", "message": str(port)},
            ],
        }
        ask = {"metadata": {"annotations": {"haproxy.router.openshift.io/external-tcp-port": str(port)}}}
        attacker.patch("Route", cluster.namespace, "old", {"status": {"ingress": [forged]}}, "status")
        attacker.patch("Route", cluster.namespace, "old", ask)
        with pytest.raises(Refused, match="403"):
            attacker.create(
                {
                    **port_claim("forged", port, namespace=cluster.namespace),
                    "metadata": {"name": "forged", "namespace": cluster.namespace},
                }
            )
        wait_for(
            lambda: f"port {port} is held by Route {cluster.namespace}/db" in message(cluster, "old"), "the refusal"
        )
        assert exchange(port) == b"db:ping"
        router.stop()
        attacker.patch("Route", cluster.namespace, "old", {"status": {"ingress": [forged]}}, "status")
        start(cluster)
        wait_for(lambda: exchange(port) == b"db:ping", "the holder to be served again")
        cluster.wait_for_conditions("old", **REFUSED)
        assert exchange(port) == b"db:ping"
    finally:
        attacker.close()


def test_an_admin_reserves_moves_and_frees_a_port(cluster: Cluster) -> None:
    """With the words of docs/claims.md: for a namespace that is not this one, for another Route, for nobody, and for everybody again."""
    port = free_port()
    cluster.create(port_claim("keep", port, namespace=cluster.namespace, origin="Reserved", holder=("", "billing")))
    cluster.create(*app("db", port, cluster.pod(b"db:")))
    start(cluster)
    wait_for(
        lambda: f"port {port} is reserved for namespace billing by PortClaim keep" in message(cluster, "db"), "the word"
    )
    cluster.client.delete("PortClaim", cluster.namespace, "keep")
    cluster.wait_for_conditions("db", **ADMITTED)
    name = f"tcp-router-{port}"
    wait_for_claim(cluster, name, f"Route {cluster.namespace}/db")

    cluster.create(*app("web", port, cluster.pod(b"web:")))
    cluster.wait_for_conditions("web", **REFUSED)
    moved = {
        "spec": {
            "origin": "Reserved",
            "holder": {
                "kind": "Route",
                "namespace": cluster.namespace,
                "name": "web",
                **dict.fromkeys(("group", "section", "uid")),
            },
        }
    }
    cluster.client.patch("PortClaim", cluster.namespace, name, moved)
    wait_for(lambda: exchange(port) == b"web:ping", "the other Route to be served")
    wait_for(lambda: f"by PortClaim {name}" in message(cluster, "db"), "the former holder to be told by which claim")
    wait_for_claim(cluster, name, f"Route {cluster.namespace}/web")

    cluster.client.patch("PortClaim", cluster.namespace, name, {"spec": {"holder": None}})
    wait_for(
        lambda: f"reserved for nobody by PortClaim {name}" in message(cluster, "web"), "the port to be kept from all"
    )
    cluster.client.delete("PortClaim", cluster.namespace, name)
    wait_for_claim(cluster, name, f"Route {cluster.namespace}/db")
    wait_for(lambda: exchange(port) == b"db:ping", "the older Route to be served")


def test_a_port_is_free_when_its_holder_is_gone(cluster: Cluster) -> None:
    """The next in the queue has it as soon as the holder's claim is given up, and not before; one that was made again is a newcomer."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(b"db:")))
    start(cluster)
    cluster.wait_for_conditions("db", **ADMITTED)
    name = f"tcp-router-{port}"
    first = wait_for_claim(cluster, name, f"Route {cluster.namespace}/db")
    cluster.create(*app("web", port, cluster.pod(b"web:")))
    cluster.wait_for_conditions("web", **REFUSED)
    another_second(cluster, "web")
    again = cluster.route("db")
    cluster.client.delete("Route", cluster.namespace, "db")
    cluster.client.create(
        {**again, "metadata": {k: again["metadata"][k] for k in ("name", "namespace", "annotations")}}
    )
    wait_for(lambda: exchange(port) == b"web:ping", "the next to be served")
    second = wait_for_claim(cluster, name, f"Route {cluster.namespace}/web")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    cluster.wait_for_conditions("db", **REFUSED)


def test_nothing_is_served_without_claims_that_are_required(cluster: Cluster) -> None:
    """Until the kind is there; once they were read, a kind that goes takes nothing away."""
    assert cluster.server is not None
    cluster.server.has_port_claims = False
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(b"db:")))
    router = cluster.router("--sni-port", "0", "--claims", "required")
    router.launch()
    wait_for(lambda: "apply manifests/crds" in router.log(), "the log to say what is missing")
    assert cluster.conditions("db") == {}
    cluster.server.has_port_claims = True
    cluster.wait_for_conditions("db", **ADMITTED)
    name = f"tcp-router-{port}"
    wait_for_claim(cluster, name, f"Route {cluster.namespace}/db")
    cluster.server.has_port_claims = False
    wait_for(lambda: "watch failed" in router.log(), "the kind to be missed")
    assert exchange(port) == b"db:ping"


def test_no_status_comes_before_its_claim(cluster: Cluster) -> None:
    """However slowly claims are written at a first start; but one that the API server refuses keeps nobody from being told."""
    assert cluster.server is not None
    ports = free_ports(40)
    cluster.create(*app("db", ports[0], cluster.pod(b"db:")))
    for port in ports[1:]:
        cluster.create(route(f"db-{port}", port, service="db", namespace=cluster.namespace))
    start(cluster, "--claims-rate", "15")
    told: set[str] = set()
    while len(told) < len(ports):
        told = {claimed for each in cluster.client.list("Route", cluster.namespace) if (claimed := said_to_hold(each))}
        # Read later: what is there is there for good.
        written = {str(claim["spec"]["port"]) for claim in claims(cluster).values()}
        assert told <= written

    cluster.server.faults.forbid("create", "portclaims")
    late = free_port()
    cluster.create(route("late", late, service="db", namespace=cluster.namespace))
    cluster.wait_for_conditions("late", **ADMITTED)
    assert f"tcp-router-{late}" not in claims(cluster)


def said_to_hold(stored: Object) -> str:
    """Give the port that a Route's status says it has; empty is none."""
    conditions = [each for entry in stored.get("status", {}).get("ingress", ()) for each in entry["conditions"]]
    return next((str(each["message"]) for each in conditions if each["type"] == "PortClaimed"), "")
