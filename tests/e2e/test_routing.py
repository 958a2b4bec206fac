"""The router's main job, from manifests in a folder to traffic."""

from __future__ import annotations

import contextlib
import json
import re
import socket

import pytest

from tests.e2e.conftest import Make
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.probing import Prober, exchange, is_open, is_refused, receive
from tests.support.router_process import RouterProcess, http_get
from tests.support.seed import SEED_ROUTE
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for

RELOADS = 20


@pytest.fixture
def seed_port_is_free() -> None:
    """Skip where something else has the port that the seed's Route is about."""
    if not is_refused(6620):
        pytest.skip("port 6620, which the seed's Route asks for, is in use on this machine")


@pytest.mark.usefixtures("seed_port_is_free")
def test_seed_route_unchanged(make_router: Make) -> None:
    """The Route that started the project leads port 6620 to its endpoint; Routes of another router are untouched."""
    router = make_router("--router-name", "wzh-router-1")
    foreign_port = free_port()
    with echo_server(address="127.0.0.2", port=6620) as pod:
        (router.manifests / "route.yaml").write_text(SEED_ROUTE)
        router.write(
            "rest.yaml",
            service("ottcache-002-service", 6620, namespace="default"),
            *endpoint_slice("ottcache-002-service", ("127.0.0.2", pod.port), namespace="default"),
        )
        router.write("foreign.yaml", *app("foreign", foreign_port, ("127.0.0.2", pod.port), router_name="other"))
        router.start()
        router.wait_admitted("default/ottcache-002")
        assert exchange(6620, b"hello ottcache") == b"hello ottcache"
        assert is_refused(foreign_port)
        assert set(router.ports()) == {"default/ottcache-002"}


def test_seed_route_from_the_environment(make_router: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed's own variable names the router; OpenShift's wins over it."""
    monkeypatch.setenv("WZH_ROUTER_NAME", "wzh-router-1")
    router = make_router()
    (router.manifests / "route.yaml").write_text(SEED_ROUTE)
    router.start()
    assert set(router.ports()) == {"default/ottcache-002"}
    router.stop()
    monkeypatch.setenv("ROUTER_SERVICE_NAME", "another")
    router.start()
    assert router.ports() == {}


def test_manifest_edits_are_followed(router: RouterProcess, echo: TcpServer) -> None:
    """An endpoint that moves, a port that changes and a Route that goes are followed by the traffic."""
    first, second = free_port(), free_port()
    with echo_server(prefix=b"") as other:
        router.write("db.yaml", *app("db", first, ("127.0.0.1", echo.port)))
        router.start()
        router.wait_admitted("team/db")
        assert exchange(first) == b"ping"
        router.write("db.yaml", *app("db", first, ("127.0.0.1", other.port)))
        router.wait_for_row("team/db", lambda row: row["servers"][0]["port"] == other.port, "the endpoint to move")
        before = other.accepted
        assert exchange(first) == b"ping"
        assert other.accepted > before
        router.write("db.yaml", *app("db", second, ("127.0.0.1", other.port)))
        router.wait_for_row("team/db", lambda row: row["port"] == second, "the port to change")
        assert exchange(second) == b"ping"
        assert is_refused(first)
        (router.manifests / "db.yaml").unlink()
        wait_for(lambda: router.ports() == {}, "the Route to go")
        assert is_refused(second)


def test_server_that_speaks_first(router: RouterProcess) -> None:
    """On a port of its own, a protocol in which the server speaks first works."""
    port = free_port()
    with greeting_server(b"220 ready\r\n") as pod:
        router.write("smtp.yaml", *app("smtp", port, ("127.0.0.1", pod.port)))
        router.start()
        router.wait_admitted("team/smtp")
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            assert receive(connection, 11) == b"220 ready\r\n"


def test_route_without_endpoints_keeps_its_port(router: RouterProcess) -> None:
    """A Service that is missing leaves the port open: connections are closed at once, and the row says why."""
    port = free_port()
    router.write("db.yaml", route("db", port))
    router.start()
    row = router.wait_for_row("team/db", lambda row: row["verdict"] == "admitted", "admitted")
    assert any("db" in warning for warning in row["warnings"])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held, contextlib.suppress(ConnectionResetError):
        assert held.recv(1) == b""


def test_conflict_is_told_and_resolved(router: RouterProcess, echo: TcpServer) -> None:
    """The later Route is told who holds the port, and gets it when the holder goes."""
    port = free_port()
    router.write("a.yaml", *app("holder", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/holder")
    # By its name it would come first; it is the newcomer all the same.
    router.write("b.yaml", *app("a-late", port, ("127.0.0.1", echo.port)))
    row = router.wait_for_row("team/a-late", lambda row: row["verdict"] == "rejected", "rejected")
    assert row["reason"] == "PortAlreadyClaimed"
    assert "team/holder" in row["message"]
    (router.manifests / "a.yaml").unlink()
    router.wait_admitted("team/a-late")
    assert exchange(port) == b"ping"


def test_reloads_cut_nothing_and_refuse_nobody(router: RouterProcess, echo: TcpServer) -> None:
    """A connection from before 20 reloads still echoes after them; of a constant stream of new ones none fails."""
    port = free_port()
    others = [free_port() for _ in range(RELOADS)]
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        assert is_open(held)
        with Prober(port) as prober:
            for number, other in enumerate(others):
                router.write(f"other-{number}.yaml", *app(f"other-{number}", other, ("127.0.0.1", echo.port)))
                router.wait_admitted(f"team/other-{number}")
        assert len(router.events("reloaded")) >= RELOADS
        assert prober.failures == []
        assert prober.succeeded > RELOADS
        assert is_open(held)
    assert all(exchange(other) == b"ping" for other in others)


def test_http_port(router: RouterProcess, echo: TcpServer) -> None:
    """Health, metrics and the table of ports are there, and agree."""
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)), route("typo", "66 20"))
    router.start()
    router.wait_admitted("team/db")
    assert wait_for(lambda: http_get(router.http_port, "/healthz") == (200, "ok\n"), "to be healthy")
    rows = router.ports()
    assert rows["team/db"]["port"] == port
    assert rows["team/typo"]["reason"] == "InvalidPort"
    status, metrics = http_get(router.http_port, "/metrics")
    assert status == 200
    assert 'tcp_router_routes{reason="",verdict="admitted"} 1.0' in metrics
    assert 'tcp_router_routes{reason="InvalidPort",verdict="rejected"} 1.0' in metrics
    assert 'tcp_router_reloads_total{result="success"} ' in metrics


def test_traffic_log_names_the_route(router: RouterProcess, echo: TcpServer) -> None:
    """Each connection is a line of JSON on standard output, with the Route's namespace and name."""
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    exchange(port)
    line = wait_for(
        lambda: re.search(r'^\{.*"namespace":"team","route":"db".*\}$', router.traffic(), re.MULTILINE), "a line"
    )
    assert line is not None
    assert json.loads(line[0])["port"] == port


def test_traffic_log_for_people_on_standard_error(make_router: Make, echo: TcpServer) -> None:
    """With the text format and ``--log-address stderr``, HAProxy's lines are among the router's own."""
    router = make_router("--log-address", "stderr")
    router.log_format = "text"
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    exchange(port)
    wait_for(
        lambda: re.search(r"be_tcp:team:db/\S+ .*namespace=team route=db", router.log()), "a line on standard error"
    )


def test_annotations_reach_haproxy(router: RouterProcess, echo: TcpServer) -> None:
    """What a Route says of itself holds for its connections: an allowlist without loopback refuses loopback."""
    port = free_port()
    spec = {f"{ANNOTATIONS}ip_allowlist": "192.0.2.0/24"}
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations=spec))
    router.start()
    router.wait_admitted("team/db")
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert exchange(port) == b""
    router.write(
        "db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations={f"{ANNOTATIONS}ip_allowlist": "127.0.0.0/8"})
    )

    def answered() -> bool:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            return exchange(port) == b"ping"
        return False

    wait_for(answered, "the new allowlist to hold")
