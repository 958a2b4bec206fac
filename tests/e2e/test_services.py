"""Services that ask for ports, on a cluster: to traffic, and back to their status. On a real one with ``--cluster``."""

from __future__ import annotations

from typing import Any

from tests.support.cluster import Cluster
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, service
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.waiting import wait_for

TYPE = "tcp-router.openshift.io/Admitted"


def asking(name: str, asks: str | None, *more_ports: dict[str, Any]) -> dict[str, Any]:
    """Make a Service that asks, with the port ``tcp`` and these."""
    made = service(name)
    made["spec"]["ports"] += more_ports
    made["metadata"]["annotations"] = {f"{ANNOTATIONS}router-name": "tcp-router"}
    if asks is not None:
        made["metadata"]["annotations"][f"{ANNOTATIONS}external-tcp-port"] = asks
    return made


def condition(cluster: Cluster, name: str) -> dict[str, Any] | None:
    """Give our condition of a Service."""
    found = cluster.client.get("Service", cluster.namespace, name)
    assert found is not None
    conditions = found.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == TYPE), None)


def wait_for_status(cluster: Cluster, name: str, status: str) -> str:
    """Wait until our condition is so; give its message."""

    def found() -> str:
        told = condition(cluster, name)
        return told["message"] if told is not None and told["status"] == status else ""

    return wait_for(found, f"{TYPE} {status}") or ""


def test_a_service_is_served_told_and_taken_back(cluster: Cluster) -> None:
    """A single port: traffic, condition, Event; without the annotation the port is closed and the condition goes."""
    port = free_port()
    cluster.create(asking("db", str(port)), *endpoint_slice("db", cluster.pod()))
    cluster.router().start()
    assert wait_for_status(cluster, "db", "True") == f"tcp-router: has {port}"
    assert exchange(port) == b"ping"
    events = wait_for(lambda: cluster.client.list("Event", cluster.namespace), "an Event, which follows the status")
    assert {each["regarding"]["kind"] for each in events} == {"Service"}
    nothing = {"metadata": {"annotations": {f"{ANNOTATIONS}router-name": None}}}
    cluster.client.patch("Service", cluster.namespace, "db", nothing)
    wait_for(lambda: is_refused(port), "the port to be closed")
    wait_for(lambda: condition(cluster, "db") is None, "the condition to be taken back")


def test_a_service_asks_while_the_router_runs_and_beside_routes(cluster: Cluster) -> None:
    """Two named ports, of which a Route holds one: each for itself; the Route's end gives it to the Service."""
    held, own = free_port(), free_port()
    cluster.create(*app("holder", held, cluster.pod(b"route ")))
    cluster.router().start()
    cluster.wait_for_conditions("holder", Admitted="True", PortClaimed="True")
    more = {"name": "more", "port": 9187}
    cluster.create(asking("db", None, more), *endpoint_slice("db", cluster.pod(b"service ")))
    asks = {"metadata": {"annotations": {f"{ANNOTATIONS}external-tcp-port": f"tcp={own} more={held}"}}}
    cluster.client.patch("Service", cluster.namespace, "db", asks)
    message = wait_for(
        lambda: (c := condition(cluster, "db")) and "has tcp" in c["message"] and c["message"], "a verdict of both"
    )
    assert message == f"tcp-router: has tcp={own}; more: port {held} is held by Route {cluster.namespace}/holder"
    assert exchange(own) == b"service ping"
    assert exchange(held) == b"route ping"
    cluster.client.delete("Route", cluster.namespace, "holder")
    assert f"more={held}" in wait_for_status(cluster, "db", "True")
