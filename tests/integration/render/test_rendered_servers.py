"""What the configuration promises of addresses, servers and the PROXY protocol, shown with a real HAProxy and real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from router.model import Model
from router.settings import IpMode, RenderSettings
from tests.support.clients import TIMEOUT_S, connect, echoes, ended, served
from tests.support.haproxy import RunningHaproxy, one_route, running
from tests.support.models import section, server
from tests.support.ports import free_port
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    ("ip_mode", "bind_addresses", "reachable"),
    [
        pytest.param("v4", (), {"127.0.0.1"}, id="v4"),
        pytest.param("v6", (), {"::1"}, id="v6"),
        pytest.param("v4v6", (), {"127.0.0.1", "::1"}, id="both"),
        pytest.param("v4v6", ("127.0.0.1",), {"127.0.0.1"}, id="named-v4"),
        pytest.param("v4v6", ("::1",), {"::1"}, id="named-v6"),
        pytest.param("v4v6", ("::", "0.0.0.0"), {"127.0.0.1", "::1"}, id="named-both"),  # noqa: S104 - what it tests
    ],
)
def test_listens_where_asked(
    state_dir: Path, ip_mode: IpMode, bind_addresses: tuple[str, ...], reachable: set[str]
) -> None:
    """A port is open on the addresses that --ip-mode and --bind-address name, and on no other."""
    settings = RenderSettings(state_dir=state_dir, ip_mode=ip_mode, bind_addresses=bind_addresses)
    open_on = set()
    with echo_server() as pod, one_route(settings, pod) as (port, _):
        for address in ("127.0.0.1", "::1"):
            with contextlib.suppress(ConnectionRefusedError):
                if served(port, to=address):
                    open_on.add(address)
    assert open_on == reachable


def test_server_speaks_first_and_is_ipv6(settings: RenderSettings) -> None:
    """On a port of its own a Route's server may speak first, and may have an IPv6 address."""
    with (
        greeting_server(b"220 ready\r\n", address="::1") as pod,
        one_route(settings, pod) as (port, _),
        connect(port) as client,
    ):
        assert client.recv(100) == b"220 ready\r\n"
        assert echoes(client)


def test_without_servers_connections_end_at_once(settings: RenderSettings) -> None:
    """A Route without endpoints keeps its port, and lets nobody wait."""
    port = free_port()
    with running(Model((section("db", port),)), settings), connect(port) as client:
        began_s = time.monotonic()
        assert ended(client)
        assert time.monotonic() - began_s < 1


def test_servers_of_weight_0_get_nothing_new(settings: RenderSettings) -> None:
    """Weight 0 takes no connection while others can; where all have it, connections end at once."""
    some, none = free_port(), free_port()
    with echo_server() as draining, echo_server() as serving:
        both = section("some", some, server(draining.port, weight=0), server(serving.port), check_interval_ms=0)
        alone = section("none", none, server(draining.port, weight=0), check_interval_ms=0)
        with running(Model((alone, both)), settings):
            assert all(served(some) for _ in range(10))
            with connect(none) as client:
                began_s = time.monotonic()
                assert ended(client)
                assert time.monotonic() - began_s < 1
        assert (draining.accepted, serving.accepted) == (0, 10)


def test_a_pod_that_refuses_is_passed_over_at_once(settings: RenderSettings) -> None:
    """A connection for a pod that is gone goes to another one without a second's wait."""
    port = free_port()
    with echo_server() as gone, echo_server() as serving:
        gone.stop_listening()
        route = section("db", port, server(gone.port), server(serving.port), balance="roundrobin", check_interval_ms=0)
        with running(Model((route,)), settings):
            began_s = time.monotonic()
            assert all(served(port) for _ in range(4))
            assert time.monotonic() - began_s < 0.9


def server_state(haproxy: RunningHaproxy) -> str:
    """Give the state of the only server."""
    lines = haproxy.ask("show stat").splitlines()
    columns = lines[0].split(",")
    (row,) = [line.split(",") for line in lines if ",pod:" in line]
    return row[columns.index("status")]


def test_failed_check_cuts_sessions_where_asked(settings: RenderSettings) -> None:
    """With on-marked-down, clients of a server that failed its checks are cut off; a single server is checked, too."""
    with (
        echo_server() as pod,
        one_route(settings, pod, check_interval_ms=50, shutdown_sessions_on_marked_down=True) as (port, haproxy),
        connect(port) as client,
    ):
        assert echoes(client)
        pod.stop_listening()
        assert ended(client)
        assert server_state(haproxy).startswith("DOWN")


def test_failed_check_leaves_sessions_alone(settings: RenderSettings) -> None:
    """Without on-marked-down, who is connected stays; who comes is ended at once."""
    with (
        echo_server() as pod,
        one_route(settings, pod, check_interval_ms=50) as (port, haproxy),
        connect(port) as client,
    ):
        assert echoes(client)
        pod.stop_listening()
        wait_for(lambda: server_state(haproxy).startswith("DOWN"), "the server to be marked down")
        assert echoes(client)
        assert not served(port)


def test_no_check_where_it_would_do_harm(settings: RenderSettings) -> None:
    """The server of an idled Service is not checked, though others of the backend are."""
    port = free_port()
    with echo_server() as idled, echo_server() as checked:
        pods = (server(idled.port, check=False), server(checked.port))
        # A check that brings no PROXY header is over before the pod accepts it.
        route = section("db", port, *pods, check_interval_ms=50, send_proxy="v1")
        with running(Model((route,)), settings):
            wait_for(lambda: checked.accepted >= 3, "some checks")
        assert idled.accepted == 0


def test_connections_of_a_port_are_limited(settings: RenderSettings) -> None:
    """With max-connections 1 the second client waits until the first has left."""
    with echo_server() as pod, one_route(settings, pod, {"maxconn": 1}) as (port, _):
        with connect(port) as first:
            assert echoes(first)
            second = connect(port)
            second.settimeout(0.3)
            with pytest.raises(TimeoutError):
                echoes(second)
        with second:
            second.settimeout(TIMEOUT_S)
            assert second.recv(100) == b"ping"


def test_connections_of_a_pod_are_limited(settings: RenderSettings) -> None:
    """With pod-concurrent-connections 1 the second client waits in HAProxy until the pod is free."""
    with echo_server() as pod, one_route(settings, pod, server_maxconn=1) as (port, haproxy):
        with connect(port) as first:
            assert echoes(first)
            second = connect(port)
            second.sendall(b"ping")
            wait_for(lambda: "scur=2" in current_sessions(haproxy), "the second client to be accepted")
            assert pod.accepted == 1
        with second:
            assert second.recv(100) == b"ping"
        assert pod.accepted == 2


def current_sessions(haproxy: RunningHaproxy) -> str:
    """Give ``scur=<n>`` of the frontend."""
    lines = haproxy.ask("show stat").splitlines()
    column = lines[0].split(",").index("scur")
    return "".join(f"scur={line.split(',')[column]}" for line in lines if ",FRONTEND," in line)


_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_header_is_sent(state_dir: Path, version: str) -> None:
    """The pod gets the client's address in a PROXY header before the first byte, and a check brings one, too."""
    seen: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        seen.append(connection.recv(200))
        connection.sendall(b"ok")

    settings = RenderSettings(state_dir=state_dir, ip_mode="v4")
    with (
        TcpServer(remember) as pod,
        one_route(settings, pod, send_proxy=version, check_interval_ms=50) as (port, haproxy),
    ):
        with connect(port) as client:
            client_port = client.getsockname()[1]
            assert client.recv(10) == b"ok"
        wait_for(lambda: len(seen) >= 4, "some checks")
        assert server_state(haproxy) == "UP"
    if version == "v1":
        header = f"PROXY TCP4 127.0.0.1 127.0.0.1 {client_port} {port}\r\n".encode()
        assert all(data.startswith(b"PROXY ") for data in seen)
    else:
        addresses = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", client_port, port)
        header = _V2_SIGNATURE + b"\x21\x11" + struct.pack("!H", len(addresses)) + addresses
        assert all(data.startswith(_V2_SIGNATURE) for data in seen)
    assert header in seen


def _v1(client: str) -> bytes:
    return f"PROXY TCP4 {client} 192.0.2.200 4000 5432\r\n".encode()


def _v2(client: str) -> bytes:
    addresses = socket.inet_aton(client) + socket.inet_aton("192.0.2.200") + struct.pack("!HH", 4000, 5432)
    return _V2_SIGNATURE + b"\x21\x11" + struct.pack("!H", len(addresses)) + addresses


@pytest.mark.parametrize("header", [_v1, _v2], ids=["v1", "v2"])
def test_proxy_header_is_accepted(settings: RenderSettings, header: Callable[[str], bytes]) -> None:
    """With accept-proxy the client is whom the header names: for the allowlist, for the log."""
    with (
        echo_server() as pod,
        one_route(settings, pod, {"accept_proxy": True}, allowlist=("192.0.2.7",)) as (port, haproxy),
    ):
        with connect(port) as client:
            client.sendall(header("192.0.2.7"))
            assert echoes(client)
        with connect(port) as stranger:
            stranger.sendall(header("192.0.2.8"))
            assert not echoes(stranger)
        assert pod.accepted == 1
        assert haproxy.log_line("192.0.2.7:4000").endswith(" namespace=team route=db")


@pytest.mark.parametrize("log_json", [False, True], ids=["text", "json"])
def test_broken_proxy_header_is_logged_with_its_route(state_dir: Path, *, log_json: bool) -> None:
    """A client without the header that accept-proxy wants is ended, and the line about it names the Route."""
    settings = RenderSettings(state_dir=state_dir, log_json=log_json)
    with echo_server() as pod, one_route(settings, pod, {"accept_proxy": True}) as (port, haproxy):
        with connect(port) as client:
            client.sendall(b"SELECT 1; no header at all\r\n")
            assert ended(client)
        line = haproxy.log_line("PROXY")
        assert pod.accepted == 0
    if log_json:
        entry = json.loads(line)
        assert (entry["namespace"], entry["route"], entry["port"]) == ("team", "db", port)
        assert "PROXY" in entry["error"]
    else:
        assert line.endswith(" namespace=team route=db")
