"""What admins let namespaces have of ports, on the API server of the tests: claimed, refused, kept, counted and told."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_runtime import reloads
from tests.support.cluster import Cluster, http_cluster
from tests.support.gateway_checks import Gateways
from tests.support.level import metric
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for

ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
Object = dict[str, Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP, with the CRD of PortClaims."""
    with http_cluster(tmp_path) as made:
        yield made


def say(cluster: Cluster, **said: str | None) -> None:
    """Say something on the test's Namespace; None takes it back."""
    changes = {f"{ANNOTATIONS}{key.replace('_', '-')}": value for key, value in said.items()}
    cluster.client.patch("Namespace", "", cluster.namespace, {"metadata": {"annotations": changes}})


def start(cluster: Cluster, *options: str) -> RouterProcess:
    """Start a router that watches the test's Namespace, and remembers claims."""
    selector = f"kubernetes.io/metadata.name={cluster.namespace}"
    return cluster.router("--claims", "required", "--namespace-selector", selector, *options).start()


def refusal(cluster: Cluster, name: str, reason: str) -> str:
    """Wait until a Route is rejected for this reason; give the message."""

    def found() -> Object | None:
        told = cluster.conditions(name).get("Admitted", {})
        return told if told.get("reason") == reason else None

    told = wait_for(found, f"{reason} of {name}") or {}
    message: str = told["message"]
    return message


def taken(stack: contextlib.ExitStack, port: int, tries: int) -> int:
    """Open connections and hold them; give how many are served."""
    count = 0
    for _ in range(tries):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        with contextlib.suppress(OSError):
            connection.sendall(b"ping")
            count += connection.recv(100) == b"ping"
    return count


def ports_claimed(cluster: Cluster) -> set[int]:
    """Give the ports of PortClaims."""
    return {each["spec"]["port"] for each in cluster.client.list("PortClaim", cluster.namespace)}


def events(cluster: Cluster) -> list[str]:
    """Give what is told on the test's Namespace."""
    found = cluster.client.list("Event", cluster.namespace)
    return [each["note"] for each in found if each["regarding"]["kind"] == "Namespace"]


def test_a_namespace_has_what_its_admin_says(cluster: Cluster) -> None:
    """Which ports, how many, how many connections; it changes live and without a reload, holders keep what they have, mistakes are told."""
    one, two, three, pooled = free_ports(4)
    say(cluster, tcp_ports=f"{one},{two},{three},{pooled}", tcp_ports_max="2")
    cluster.create(*app("one", one, cluster.pod()), *app("two", two, cluster.pod()))
    router = start(cluster, "--port-pool", f"{pooled}")
    for name in ("one", "two"):
        cluster.wait_for_conditions(name, **ADMITTED)
    outside = free_port()
    cluster.create(route("out", outside), *app("third", pooled, cluster.pod()))
    assert refusal(cluster, "out", "PortNotAllowed") == (
        f"port {outside} is not allowed to namespace {cluster.namespace}; allowed are {','.join(map(str, sorted((one, two, three, pooled))))}"
    )
    over = refusal(cluster, "third", "PortQuotaExceeded")
    assert over.startswith(f"namespace {cluster.namespace} may hold 2 ports and holds 2: ")
    assert f"(Route {cluster.namespace}/one)" in over
    assert is_refused(pooled)
    label = f'{{of_namespace="{cluster.namespace}"}}'
    assert metric(router, f"tcp_router_namespace_ports{label}") == 2
    assert metric(router, f"tcp_router_namespace_ports_max{label}") == 2

    # More, and few connections: no reload for either, also on a port of the pool.
    before = reloads(router)
    say(cluster, tcp_ports_max="3", tcp_connections_max="3")
    cluster.wait_for_conditions("third", **ADMITTED)
    with contextlib.ExitStack() as held:
        assert taken(held, one, 2) == 2
        assert taken(held, pooled, 3) == 1
    say(cluster, tcp_connections_max=None)

    def is_unlimited() -> bool:
        with contextlib.ExitStack() as stack:
            return taken(stack, pooled, 6) == 6

    wait_for(is_unlimited, "the limit to go")
    assert reloads(router) == before

    # Tighter: who holds keeps, and is warned.
    say(cluster, tcp_ports=f"{one}", tcp_ports_max="1")

    def warnings_of_two() -> list[str]:
        rows = json.loads(http_get(router.http_port, "/ports")[1])
        return [warning for row in rows if row["name"] == "two" for warning in row["warnings"]]

    wait_for(lambda: any("not allowed" in told and "keeps it" in told for told in warnings_of_two()), "the warning")
    assert exchange(two) == exchange(pooled) == b"ping"
    router.stop()
    router.start()
    cluster.wait_for_conditions("two", **ADMITTED)
    assert exchange(two) == b"ping"

    # What does not parse closes the namespace, and is told on it.
    say(cluster, tcp_ports="5000-")
    wait_for(lambda: any("tcp-ports is '5000-'" in note for note in events(cluster)), "the Event")
    assert exchange(one) == b"ping"
    assert metric(router, "tcp_router_invalid_namespace_policies") == 1
    say(cluster, tcp_ports=None, tcp_ports_max=None)
    wait_for(lambda: metric(router, "tcp_router_invalid_namespace_policies") == 0, "it to be mended")


def test_a_file_says_so_too(cluster: Cluster, tmp_path: Path) -> None:
    """It wins over annotations, is followed, and leaves what it said last where it is broken; enforced, holders lose what they may not have."""
    port, other = free_ports(2)
    file = tmp_path / "policy" / "policy.yaml"
    file.parent.mkdir()
    file.write_text(f"namespaces: [{{selector: '', tcp-ports: {port}}}]")
    say(cluster, tcp_ports=f"{other}")
    cluster.create(*app("db", port, cluster.pod()), *app("web", other, cluster.pod()))
    router = start(cluster, "--port-policy", str(file), "--enforce-policy-on-holders")
    cluster.wait_for_conditions("db", **ADMITTED)
    wait_for(lambda: ports_claimed(cluster) == {port}, "the claim")
    refusal(cluster, "web", "PortNotAllowed")
    file.write_text("namespaces: [")
    wait_for(lambda: metric(router, "tcp_router_port_policy_taken_up") == 0, "the file to be refused")
    assert exchange(port) == b"ping"
    file.write_text(f"namespaces: [{{selector: '', tcp-ports: {other}}}]")
    cluster.wait_for_conditions("web", **ADMITTED)
    refusal(cluster, "db", "PortNotAllowed")
    assert is_refused(port)
    assert metric(router, "tcp_router_port_policy_taken_up") == 1
    # What was held is given up: who gets the port by another policy later does not lose it to who had it once.
    wait_for(lambda: ports_claimed(cluster) == {other}, "the claim to go")


def test_listeners_of_gateways_are_ports_like_others(cluster: Cluster) -> None:
    """Ports that the namespace may not have, and more than it may, are refused on the listener alone; it is served when the policy lets it."""
    one, two, outside = free_ports(3)
    say(cluster, tcp_ports=f"{one},{two}", tcp_ports_max="1")
    gateways = Gateways.on(cluster)
    cluster.create(service("db"), *endpoint_slice("db", cluster.pod()))
    gateways.create_gateway("gw", *({"name": f"p{port}", "port": port, "protocol": "TCP"} for port in (one, outside)))
    gateways.create_gateway("later", {"name": "over", "port": two, "protocol": "TCP"})
    for name in ("gw", "later"):
        gateways.create_route(name, [{"name": name}], [{"name": "db", "port": 5432}])
    selector = f"kubernetes.io/metadata.name={cluster.namespace}"
    router = gateways.router("--claims", "required", "--namespace-selector", selector).start()

    def accepted(gateway: str, listener: str) -> tuple[str, str]:
        status = (cluster.client.get("Gateway", cluster.namespace, gateway) or {}).get("status", {})
        told = {each["name"]: each["conditions"] for each in status.get("listeners", ())}.get(listener, ())
        return next(((each["reason"], each["message"]) for each in told if each["type"] == "Accepted"), ("", ""))

    wait_for(lambda: accepted("gw", f"p{one}")[0] == "Accepted", "the one that is allowed")
    wait_for(lambda: accepted("gw", f"p{outside}")[0] == "PortUnavailable", "the one outside")
    assert f"PortNotAllowed: port {outside} is not allowed to namespace" in accepted("gw", f"p{outside}")[1]
    wait_for(lambda: accepted("later", "over")[0] == "PortUnavailable", "the one too many")
    assert (
        f"PortQuotaExceeded: namespace {cluster.namespace} may hold 1 port and holds 1" in accepted("later", "over")[1]
    )
    assert exchange(one) == b"ping"
    assert is_refused(outside)
    assert is_refused(two)
    label = f'{{of_namespace="{cluster.namespace}"}}'
    assert metric(router, f"tcp_router_namespace_ports{label}") == 1
    say(cluster, tcp_ports_max="2")
    wait_for(lambda: accepted("later", "over")[0] == "Accepted", "the policy to let it")
    assert exchange(two) == b"ping"
