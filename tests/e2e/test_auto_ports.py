"""Ports without asking anybody, on the API server of the tests: given, told, kept, given up, and a thousand at once."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Make
from tests.support.cluster import Cluster, http_cluster
from tests.support.level import metric
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_refused, serves
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
REFUSED = {"Admitted": "False"}
PORT = f"{ANNOTATIONS}external-tcp-port"
# Those of clients, which the kernel chooses, are below.
MANY = "61000-62199"
OTHER = "127.0.0.7"
Object = dict[str, Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP, with the CRD of PortClaims."""
    with http_cluster(tmp_path) as made:
        yield made


def claims(cluster: Cluster) -> dict[str, Object]:
    """Give the PortClaims by name."""
    return {each["metadata"]["name"]: each for each in cluster.client.list("PortClaim", cluster.namespace)}


def start(cluster: Cluster, ports: str, *options: str) -> RouterProcess:
    """Start a router that gives ports of a pool, and remembers claims."""
    return cluster.router("--claims", "required", "--auto-ports", ports, "--port-pool", ports, *options).start()


def given(cluster: Cluster, name: str) -> int:
    """Wait until a Route is served, and give the port that its status says."""
    return int(cluster.wait_for_conditions(name, **ADMITTED)["PortClaimed"]["message"])


def refusal(cluster: Cluster, name: str, reason: str) -> str:
    """Wait until a Route is rejected for this reason; give the message."""
    told = wait_for(
        lambda: (c := cluster.conditions(name).get("Admitted", {})).get("reason") == reason and c, f"{reason} of {name}"
    )
    return str((told or {})["message"])


def reloads(router: RouterProcess) -> float:
    """Give how many reloads there were."""
    return metric(router, 'tcp_router_reloads_total{result="success"}') or 0.0


def delete_and_create(cluster: Cluster, name: str) -> None:
    """Make a Route again, as another object of its name."""
    former = cluster.route(name)["metadata"]
    cluster.client.delete("Route", cluster.namespace, name)
    cluster.create(route(name, former["annotations"][PORT]))


def test_a_port_without_asking_anybody(cluster: Cluster) -> None:
    """Given without a reload and told everywhere; full, and given up; made again; asked for by number, and kept over a restart."""
    ports = free_ports(3)
    router = start(cluster, ",".join(map(str, ports)), "--auto-ports-cooldown", "2s")
    before = reloads(router)
    cluster.create(*app("db", None, cluster.pod(b"db:")))
    cluster.client.patch("Route", cluster.namespace, "db", {"metadata": {"annotations": {PORT: "auto"}}})
    port = given(cluster, "db")
    assert port in ports
    assert exchange(port) == b"db:ping"
    claim = claims(cluster)[f"tcp-router-{port}"]
    assert claim["spec"]["holder"]["name"] == "db"
    row = router.ports()[f"{cluster.namespace}/db"]
    assert (row["port"], row["auto"], row["verdict"]) == (port, True, "admitted")
    events = wait_for(
        lambda: [each for each in cluster.client.list("Event", cluster.namespace) if each["reason"] == "Admitted"],
        "the Event",
    )
    assert f"served on port {port}" in (events or [{}])[0]["note"]
    assert metric(router, "tcp_router_auto_ports_free") == 2

    # A Service, for a port of its own by name; and one more, which fills the range.
    named = service("queue")
    named["metadata"]["annotations"] = {f"{ANNOTATIONS}router-name": "tcp-router", PORT: "tcp=auto"}
    cluster.create(named, *endpoint_slice("queue", cluster.pod(b"queue:")))
    row = router.wait_for_row(f"{cluster.namespace}/queue", lambda found: found["verdict"] == "admitted", "served")
    assert row["port"] in ports
    assert exchange(row["port"]) == b"queue:ping"
    cluster.create(route("third", "auto", service="db"))
    third = given(cluster, "third")
    assert {port, row["port"], third} == set(ports)
    assert reloads(router) == before

    # Nobody gets what is not there, nor what somebody else holds.
    cluster.create(route("late", "auto", service="db"), route("number", port, service="db"))
    assert "is free; it is served when one is" in refusal(cluster, "late", "NoPortFree")
    assert f"port {port} is held by Route {cluster.namespace}/db" in refusal(cluster, "number", "PortAlreadyClaimed")
    cluster.client.delete("Route", cluster.namespace, "number")

    # One that is made again has its port at once; what is given up goes to another when it was free for a while.
    delete_and_create(cluster, "third")
    assert given(cluster, "third") == third
    cluster.client.delete("Route", cluster.namespace, "third")
    released = wait_for(lambda: claims(cluster)[f"tcp-router-{third}"]["status"].get("releasedAt"), "the moment")
    assert released
    assert refusal(cluster, "late", "NoPortFree")
    assert is_refused(third)
    assert given(cluster, "late") == third

    # A number of one's own, and auto again: nothing changes hands. What somebody asks for by number does not wait.
    cluster.client.patch("Route", cluster.namespace, "late", {"metadata": {"annotations": {PORT: str(third)}}})
    router.wait_for_row(f"{cluster.namespace}/late", lambda found: not found["auto"], "asked for by number")
    assert exchange(third) == b"db:ping"
    cluster.client.delete("PortClaim", cluster.namespace, f"tcp-router-{port}")
    wait_for(lambda: f"tcp-router-{port}" in claims(cluster), "the claim to be written again")
    router.stop()
    again = start(cluster, ",".join(map(str, ports)), "--auto-ports-cooldown", "1h")
    wait_for(lambda: serves_as(port, b"db:ping"), "the same port")
    assert again.ports()[f"{cluster.namespace}/queue"]["port"] == row["port"]
    cluster.client.delete("Route", cluster.namespace, "db")
    cluster.create(route("number", port, service="queue"))
    wait_for(lambda: serves_as(port, b"queue:ping"), "who asks for it by number")


def serves_as(port: int, answer: bytes) -> bool:
    """Whether a port gives this answer to a ping."""
    try:
        return exchange(port) == answer
    except OSError:
        return False


def test_without_portclaims_what_is_served_stays_and_nothing_new_is_given(cluster: Cluster) -> None:
    """Their kind goes and comes back; a router that never had it says so; and one that may not write them tells who waits."""
    assert cluster.server is not None
    ports = ",".join(map(str, free_ports(10)))
    cluster.create(*app("db", None, cluster.pod(b"db:")), route("first", "auto", service="db"))
    router = start(cluster, ports)
    port = given(cluster, "first")
    cluster.server.faults.forbid("create", "portclaims")
    cluster.create(route("second", "auto", service="db"))
    assert "is being claimed" in refusal(cluster, "second", "Allocating")
    cluster.server.faults.clear()
    cluster.server.has_port_claims = False
    wait_for(lambda: "watch failed" in router.log(), "the kind to be missed")
    assert exchange(port) == b"db:ping"
    cluster.server.has_port_claims = True
    # With the kind its objects went.
    assert given(cluster, "second") != port
    assert given(cluster, "first") == port
    wait_for(lambda: f"tcp-router-{port}" in claims(cluster), "the claim to be written again")
    router.stop()

    cluster.server.has_port_claims = False
    number = free_port()
    cluster.create(route("number", number, service="db"))
    without = cluster.router("--auto-ports", ports).start()
    assert "(--claims)" in refusal(cluster, "first", "ClaimsUnavailable")
    assert exchange(number) == b"db:ping"
    cluster.server.has_port_claims = True
    given(cluster, "first")
    without.stop()
    off = cluster.router("--auto-ports", ports, "--claims", "off").start()
    off.wait_for_row(
        f"{cluster.namespace}/first", lambda row: row["reason"] == "ClaimsUnavailable", "rejected without claims"
    )


def test_a_killed_leader_leaves_its_work_to_the_next(cluster: Cluster) -> None:
    """Who asks in that moment waits for another to lead, is told so, and has the same port on all replicas."""
    ports = ",".join(map(str, free_ports(10)))
    cluster.create(*app("db", None, cluster.pod(b"db:")), route("first", "auto", service="db"))
    leader = start(cluster, ports)
    port = given(cluster, "first")
    other = start(cluster, ports, "--bind-address", OTHER)
    assert exchange(port, address=OTHER) == b"db:ping"
    leader.stop(signal.SIGKILL)
    cluster.create(route("second", "auto", service="db"))
    key = f"{cluster.namespace}/second"
    row = other.wait_for_row(key, lambda found: found["reason"], "told")
    assert (row["reason"], row["port"]) == ("Allocating", None)
    row = (
        wait_for(lambda: (found := other.ports()[key])["verdict"] == "admitted" and found, "another to lead", 60) or {}
    )
    assert exchange(row["port"], address=OTHER) == b"db:ping"
    assert given(cluster, "second") == row["port"]
    assert exchange(port, address=OTHER) == b"db:ping"
    again = start(cluster, ports)
    assert again.ports()[key]["port"] == row["port"]


def test_a_thousand_at_once(cluster: Cluster) -> None:
    """No two on one port, and all are served within a second of their claims, without a reload."""
    cluster.create(*app("db", None, cluster.pod(b"db:")))
    router = start(cluster, MANY, "--bind-address", OTHER, "--claims-rate", "1000")
    before = reloads(router)
    for number in range(1000):
        cluster.create(route(f"r{number}", "auto", service="db"))
    written: dict[str, Object] = {}

    def are_written() -> bool:
        written.update(claims(cluster))
        return len(written) >= 1000

    wait_for(are_written, "a thousand claims", 60)
    began_s = time.monotonic()
    ports = {each["spec"]["port"] for each in written.values()}
    assert len(ports) == 1000
    wait_for(
        lambda: sum(row["verdict"] == "admitted" for row in router.ports().values()) == 1000, "all to be served", 20
    )
    took_s = time.monotonic() - began_s
    rows = router.ports()
    assert {row["port"] for row in rows.values() if row["auto"]} == ports
    for port in sorted(ports)[::50]:
        with socket.create_connection((OTHER, port), timeout=5) as connection:
            connection.sendall(b"ping")
            assert connection.recv(100) == b"db:ping"
    assert reloads(router) == before
    # On a machine that has other things to do.
    assert took_s < 5.0


def test_in_a_folder_it_is_given_at_once_and_kept_over_a_restart(make_router: Make, echo: TcpServer) -> None:
    """Also where an older one comes to have the same first choice; what it is stands in claims.json."""
    ports = free_ports(2)
    options = ("--auto-ports", ",".join(map(str, ports)))
    router = make_router(*options)
    router.write("young.yaml", *app("young", None, (echo.address, echo.port)))
    objects = app("young", None, (echo.address, echo.port))
    objects[0]["metadata"]["annotations"][PORT] = "auto"
    router.write("young.yaml", *objects)
    router.start()
    port = router.wait_for_row("team/young", lambda row: row["verdict"] == "admitted", "admitted")["port"]
    assert serves(port)
    older = {**route("older", "auto", service="young")}
    older["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    router.write("older.yaml", older)
    other = router.wait_for_row("team/older", lambda row: row["verdict"] == "admitted", "admitted")["port"]
    assert {port, other} == set(ports)
    router.stop()
    won = json.loads((router.state / "claims.json").read_text())
    assert {each["port"]: each["holder"][3] for each in won} == {port: "young", other: "older"}
    router.start()
    router.wait_for_row("team/young", lambda row: row["port"] == port, "the same port")
    router.wait_for_row("team/older", lambda row: row["port"] == other, "the same port")
