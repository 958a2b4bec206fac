"""Services of type ExternalName, as a user has them: real HAProxy, and a DNS server of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dns.rcode import REFUSED

from tests.e2e.conftest import Make
from tests.support.clients import connect, echoes, served
from tests.support.cluster import Cluster, http_cluster
from tests.support.dns_server import DnsServer
from tests.support.network import add_addresses, own_network
from tests.support.objects import endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for

NAME = "pg.db.example.com"
ALLOWED = "*.db.example.com"


class StrictRouter(RouterProcess):
    """One that leads to loopback no more than it would in a cluster."""

    def command(self) -> list[str]:
        """Give the command line without the option for demonstrations."""
        return [each for each in super().command() if each != "--allow-loopback-endpoints"]


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """A DNS server; its records expire at once."""
    with DnsServer() as server:
        server.ttl_s = 0
        yield server


def external(name: str, port: int, leads_to: str = NAME, namespace: str = "team") -> dict[str, Any]:
    """Make a Service of type ExternalName."""
    made = service(name, port, namespace=namespace)
    made["spec"] |= {"type": "ExternalName", "externalName": leads_to}
    return made


def addresses(row: dict[str, Any]) -> set[str]:
    """Give the addresses of the servers of a row of /ports."""
    return {each["address"] for each in row["servers"]}


def test_a_name_is_followed_without_a_reload_and_over_a_restart(make_router: Make, dns: DnsServer) -> None:
    """Another address is led to within its TTL, by commands; a router that is killed while no server answers begins with what it knew."""
    port = free_port()
    router = make_router("--external-names", ALLOWED, "--resolver", dns.shown)
    with echo_server(address="127.0.0.2") as first, greeting_server(b"moved", "127.0.0.3", first.port):
        dns.zone[NAME] = {"A": ["127.0.0.2"]}
        router.write("db.yaml", route("db", port), external("db", first.port))
        router.write("evil.yaml", route("evil", free_port()), external("evil", 1, "evil.example.net"))
        router.start()
        router.wait_for_row("team/db", lambda row: addresses(row) == {"127.0.0.2"}, "led to the name's address")
        assert router.ports()["team/evil"]["reason"] == "ExternalNameNotAllowed"
        assert not [asked for asked in dns.asked if asked[0] == "evil.example.net"]
        assert served(port)
        reloads = len(router.events("reloaded"))
        with connect(port) as held:
            assert echoes(held)
            dns.zone[NAME] = {"CNAME": ["elsewhere.example.net."]}
            dns.zone["elsewhere.example.net"] = {"A": ["127.0.0.3"]}
            router.wait_for_row("team/db", lambda row: addresses(row) == {"127.0.0.3"}, "led to the new address")
            with connect(port) as new:
                assert new.recv(5) == b"moved"
            # Who was connected stays so.
            assert echoes(held)
        assert len(router.events("reloaded")) == reloads
        kept = router.state / "names.json"
        wait_for(lambda: "127.0.0.3" in kept.read_text(), "the address to be kept")
        router.process.kill()  # type: ignore[union-attr]
        router.process.wait()  # type: ignore[union-attr]
        dns.is_silent = True
        router.start()
        router.wait_for_row("team/db", lambda row: addresses(row) == {"127.0.0.3"}, "led to the last known address")
        with connect(port) as new:
            assert new.recv(5) == b"moved"


def test_rebinding_gets_nowhere(make_router: Make) -> None:
    """A name whose server says a public address first, and loopback, metadata or a private one then: none of these is ever connected to."""
    public, private = "203.0.113.7", "10.0.0.7"
    with own_network():
        add_addresses(public, private)
        port, seen = free_port(), []

        def trap(connection: Any) -> None:
            seen.append(connection)
            connection.close()

        with DnsServer() as dns, echo_server(address=public) as pod:
            dns.ttl_s = 0
            # The same port on the addresses that must not be reached.
            traps = [TcpServer(trap, address, pod.port) for address in ("127.0.0.1", private)]
            router = make_router("--external-names", ALLOWED, "--resolver", dns.shown, kind=StrictRouter)
            for each in traps:
                each.__enter__()
            stop = threading.Event()
            client = threading.Thread(target=keep_connecting, args=(port, stop), daemon=True)
            try:
                dns.zone[NAME] = {"A": [public]}
                router.write("db.yaml", route("db", port), external("db", pod.port))
                router.start()
                router.wait_for_row("team/db", lambda row: addresses(row) == {public}, "led to the public address")
                assert served(port)
                client.start()
                forbidden = {
                    "A": [public, "127.0.0.1", "169.254.169.254", private],
                    "AAAA": ["::1", "::ffff:127.0.0.1", "::ffff:10.0.0.7", "64:ff9b::7f00:1"],
                }
                dns.zone[NAME] = forbidden
                told = router.wait_for_row("team/db", lambda row: row["warnings"], "told what was refused")
                assert addresses(told) == {public}
                assert served(port)
                dns.zone[NAME] = {"A": ["127.0.0.1"]}
                row = router.wait_for_row("team/db", lambda row: not row["servers"], "led nowhere")
                assert row["verdict"] == "admitted"
                assert "'127.0.0.1' (loopback)" in row["warnings"][0]
                assert not served(port)
                dns.zone[NAME] = {"A": [public]}
                router.wait_for_row(
                    "team/db", lambda row: addresses(row) == {public}, "led to the public address again"
                )
                assert served(port)
            finally:
                stop.set()
                if client.ident is not None:
                    client.join(10)
                for each in traps:
                    each.__exit__(None, None, None)
                router.stop()
            assert seen == []


def keep_connecting(port: int, stop: threading.Event) -> None:
    """Open connections one after the other, whatever becomes of them."""
    while not stop.wait(0.02):
        try:
            served(port)
        except OSError:
            continue


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


def test_beside_pods_of_a_cluster(cluster: Cluster, dns: DnsServer) -> None:
    """A Route shares its connections between pods and a name; a Service asks for itself; the status tells what is wrong."""
    dns.zone[NAME] = {"A": ["127.0.0.3"]}
    port, own = free_port(), free_port()
    pod = cluster.pod(b"pod ")
    with greeting_server(b"named ", "127.0.0.3") as named:
        cluster.create(
            route(
                "db",
                port,
                service="pods",
                spec={
                    "to": {"kind": "Service", "name": "pods", "weight": 1},
                    "alternateBackends": [{"kind": "Service", "name": "db", "weight": 3}],
                },
                annotations={"haproxy.router.openshift.io/balance": "roundrobin"},
            ),
            service("pods"),
            *endpoint_slice("pods", pod),
            external("db", named.port),
        )
        asking = external("own", named.port)
        asking["metadata"]["annotations"] = {
            "haproxy.router.openshift.io/router-name": "tcp-router",
            "haproxy.router.openshift.io/external-tcp-port": str(own),
        }
        cluster.create(asking)
        router = cluster.router("--external-names", ALLOWED, "--resolver", dns.shown, "--check-interval", "0").start()
        row = router.wait_for_row(f"{cluster.namespace}/db", lambda row: len(row["servers"]) == 2, "led to both")
        weights = {each["address"]: each["weight"] for each in row["servers"]}
        assert weights["127.0.0.3"] > 2 * weights[pod[0]]
        greetings = [greeting(port) for _ in range(8)]
        assert greetings.count(b"named ") == 6
        wait_for(lambda: greeting(own) == b"named ", "the Service's own port")
        dns.rcode = REFUSED
        cluster.create(route("new", free_port(), service="new"), external("new", 1, "new.db.example.com"))
        wait_for(
            lambda: (
                "new.db.example.com cannot be resolved (REFUSED)"
                in str(router.ports().get(f"{cluster.namespace}/new", {}).get("warnings"))
            ),
            "told that the name is not resolved",
        )


def greeting(port: int) -> bytes:
    """Give the first bytes of a connection; what a pod echoes where it does not greet."""
    with connect(port) as connection:
        connection.settimeout(5)
        connection.sendall(b"x")
        return connection.recv(6)
