"""Ports that Routes share by TLS server name, shown with a real HAProxy and real TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.model import Model
from router.settings import RenderSettings
from tests.support.certificates import client_context, server_context
from tests.support.clients import connect, ended, reached
from tests.support.haproxy import RunningHaproxy, running
from tests.support.models import section, server, shared
from tests.support.ports import free_port
from tests.support.servers import TcpServer, tls_server


@pytest.fixture
def sni_port(settings: RenderSettings, tmp_path: Path) -> Iterator[tuple[int, RunningHaproxy, list[TcpServer]]]:
    """A shared port that leads a.example.com to "a", one.apps.example.com to "one", others of apps.example.com to "any"."""
    port = free_port()
    context = server_context(tmp_path, "a.example.com")
    with (
        tls_server(context, b"a") as a,
        tls_server(context, b"one") as one,
        tls_server(context, b"any") as anything,
    ):
        routes = [
            section(name, None, server(pod.port), check_interval_ms=0)
            for name, pod in (("a", a), ("any", anything), ("one", one))
        ]
        hosts = {"a.example.com": routes[0], ".apps.example.com": routes[1], "one.apps.example.com": routes[2]}
        with running(Model(tuple(routes), (shared(port, hosts),)), settings) as haproxy:
            yield port, haproxy, [a, one, anything]


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        pytest.param("a.example.com", b"a", id="exact"),
        pytest.param("A.Example.COM", b"a", id="case"),
        pytest.param("one.apps.example.com", b"one", id="exact-before-wildcard"),
        pytest.param("two.apps.example.com", b"any", id="wildcard"),
        pytest.param("TWO.apps.EXAMPLE.com", b"any", id="wildcard-case"),
        pytest.param("x.two.apps.example.com", None, id="two-labels-under-a-wildcard"),
        pytest.param("apps.example.com", None, id="the-wildcards-own-domain"),
        pytest.param("xapps.example.com", None, id="no-label-boundary"),
        pytest.param("b.example.com", None, id="unknown"),
        pytest.param("a.example.com.evil.org", None, id="prefix"),
        pytest.param("a-example.com", None, id="no-regex"),
        pytest.param(None, None, id="no-server-name"),
    ],
)
def test_server_name_leads_to_its_route(
    sni_port: tuple[int, RunningHaproxy, list[TcpServer]], host: str | None, answer: bytes | None
) -> None:
    """Exact hosts come first, then one label under a wildcard; whatever else reaches nobody."""
    port, _, pods = sni_port
    assert reached(port, host) == answer
    assert sum(pod.accepted for pod in pods) == (0 if answer is None else 1)


def test_client_hello_in_pieces(sni_port: tuple[int, RunningHaproxy, list[TcpServer]]) -> None:
    """A ClientHello that comes byte by byte is waited for."""
    port, _, pods = sni_port
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname="two.apps.example.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hello:
            connection.sendall(bytes([byte]))
        # A handshake record: ServerHello.
        assert connection.recv(1) == b"\x16"
    assert pods[2].accepted == 1


def test_what_is_no_tls_is_rejected(sni_port: tuple[int, RunningHaproxy, list[TcpServer]]) -> None:
    """Plain text is ended as soon as it shows, silence at the end of the delay; neither reaches a server."""
    port, haproxy, pods = sni_port
    with connect(port) as silent:
        began_s = time.monotonic()
        with connect(port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
            assert ended(plain)
        assert time.monotonic() - began_s < 2
        assert ended(silent)
        assert 4 < time.monotonic() - began_s < 8
    assert [pod.accepted for pod in pods] == [0, 0, 0]
    assert haproxy.log_line("PR").endswith("namespace=- route=-")


def test_a_route_with_own_port_is_also_reached_by_name(settings: RenderSettings, tmp_path: Path) -> None:
    """One backend serves a Route on its own port and on the SNI port."""
    own, common = free_port(), free_port()
    with tls_server(server_context(tmp_path, "a.example.com"), b"a") as pod:
        route = section("a", own, server(pod.port), check_interval_ms=0)
        with running(Model((route,), (shared(common, {"a.example.com": route}),)), settings):
            assert reached(own, "a.example.com") == b"a"
            assert reached(own, "other.example.com") == b"a"
            assert reached(common, "a.example.com") == b"a"
            assert reached(common, "other.example.com") is None
