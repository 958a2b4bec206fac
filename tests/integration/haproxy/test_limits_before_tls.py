"""Who may not connect where TLS ends at the router is told so before the handshake, and counted once."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from router.haproxy.process.binary import find_binary
from router.model import ConnectionLimit, Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.tls import PortTls
from router.plan import RuntimeUpdate
from router.settings import RenderSettings
from tests.support.certificates import client_context, make, shown_by
from tests.support.client_certificates import authority, context_of, verified_by
from tests.support.clients import connect
from tests.support.haproxy import RunningHaproxy, running
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import applying
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for

T = TypeVar("T")
_SHOWN = shown_by(make("*.example.com"))
_CA = authority("clients")
_ASKING = replace(_SHOWN, clients=verified_by(_CA))
_ALICE = context_of(make("alice", signed_by=_CA))


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """What all Routes lead to."""
    with echo_server() as started:
        yield started


@dataclass(frozen=True, slots=True)
class _Client:
    """Connects to one Route."""

    port: int
    host: str
    before: bytes = b""
    """What comes before TLS."""
    context: ssl.SSLContext = field(default_factory=client_context)

    def comes(self, held: ExitStack | None = None, source: str = "127.0.0.1") -> str:
        """Say what becomes of a connection, which is held if told so: served, or ended before or after the handshake."""
        with ExitStack() as stack:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            # Not by a socket of its own, which does not come to be where the connection was reset already.
            client = self.context.wrap_bio(incoming, outgoing, server_hostname=self.host)
            became = "before"
            with contextlib.suppress(OSError):
                plain = (held or stack).enter_context(connect(self.port, source=source))
                plain.sendall(self.before)
                _spoken(plain, incoming, outgoing, client.do_handshake)
                became = "after"
                client.write(b"ping")
                if _spoken(plain, incoming, outgoing, client.read) == b"ping":
                    became = "served"
            return became


def _spoken(plain: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, step: Callable[[], T]) -> T:
    """Carry bytes to and fro until a step of TLS is done; OSError where the other side ends the connection before."""
    while True:
        try:
            done = step()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            received = plain.recv(65536)
            if not received:
                raise ConnectionResetError from None
            incoming.write(received)
        else:
            plain.sendall(outgoing.read())
            return done


def _own(pod: TcpServer, name: str = "a", **options: object) -> tuple[RouteSection, _Client]:
    port = free_port()
    made = section(name, port, server(pod.port), tls=_SHOWN, check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on
    return made, _Client(port, f"{name}.example.com")


def _shared(ports: tuple[int, ...], *routes: RouteSection, tls: PortTls = _SHOWN) -> Model:
    """Lead to these Routes by name, where their TLS ends at each of the ports."""
    spots = tuple(map(Spot, sorted(ports)))
    hosts = tuple(SniHost(f"{each.route}.example.com", each.backend.name, each.asker, tls) for each in routes)
    return Model(
        tuple(replace(each, stages=spots, is_gated=tls.clients is not None) for each in routes),
        tuple(SharedFrontend(spot.port, port_options(), hosts) for spot in spots),
    )


@contextmanager
def _serving(
    kind: str, settings: RenderSettings, pod: TcpServer, **options: object
) -> Iterator[tuple[_Client, RunningHaproxy]]:
    """Serve one Route on a port of its own, or by name on one that others may share, there also with clients asked for certificates."""
    if kind == "own":
        made, client = _own(pod, **options)  # type: ignore[arg-type]  # passed on
        model = Model((made,))
    else:
        port = free_port()
        client = _Client(port, "a.example.com", context=_ALICE if kind == "asked" else client_context())
        of_all = section("a", None, server(pod.port), check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on
        model = _shared((port,), of_all, tls=_ASKING if kind == "asked" else _SHOWN)
    with running(model, settings) as haproxy:
        yield client, haproxy


_KINDS = pytest.mark.parametrize("kind", ["own", "shared", "asked"])
"""A port of its own, a shared one, and a shared one at which clients are asked for certificates."""


@_KINDS
def test_allowlist(settings: RenderSettings, pod: TcpServer, kind: str) -> None:
    """Who is not on it gets no byte of a handshake."""
    with _serving(kind, settings, pod, allowlist=("127.0.0.2",)) as (client, _):
        assert client.comes() == "before"
        assert client.comes(source="127.0.0.2") == "served"
        assert pod.accepted == 1


def test_the_log_of_both_stages(settings: RenderSettings, pod: TcpServer) -> None:
    """Who is refused by the allowlist is one line of the first, who is served one of the second, both under the Route's name."""
    with _serving("shared", settings, pod, allowlist=("127.0.0.2",)) as (client, haproxy):
        assert client.comes() == "before"
        refused = haproxy.log_line("tls:be_tcp:team:a")
        assert "127.0.0.1:" in refused.split()[0]
        assert f"fe_tcp:{client.port} " in refused
        assert client.comes(source="127.0.0.2") == "served"
        taken = haproxy.log_line(f"fe_tls:{client.port}~ be_tcp:team:a/")
        assert "127.0.0.2:" in taken.split()[0]
        lines = [line for line in haproxy.log_lines() if "127.0.0." in line]
        assert len(lines) == 2
        assert all("namespace=team route=a" in line for line in lines)


@pytest.mark.parametrize("log_json", [False, True])
def test_who_is_refused_at_a_port_of_its_own_is_told(
    settings: RenderSettings, pod: TcpServer, *, log_json: bool
) -> None:
    """As a line under the Route's name, one for each, where HAProxy can (3.1); others that fail there have the line that they have else."""
    with _serving("own", replace(settings, log_json=log_json), pod, allowlist=("127.0.0.2",)) as (client, haproxy):
        assert client.comes() == "before"
        with connect(client.port, source="127.0.0.2") as plain:
            plain.sendall(b"no TLS at all")
        said = haproxy.log_line("SSL handshake failure")
        refused = [line for line in haproxy.log_lines() if "not on the allowlist" in line]
        if find_binary().version < (3, 1):
            assert not refused
            return
        (line,) = refused
        if not log_json:
            assert line.startswith("127.0.0.1:")
            assert f"fe_tcp:{client.port}~ " in line
            assert line.endswith("namespace=team route=a")
            assert "127.0.0.2" in said
            return
        told = json.loads(line)
        assert (told["client"], told["port"]) == ("127.0.0.1", client.port)
        assert (told["namespace"], told["route"]) == ("team", "a")


@_KINDS
def test_concurrent_connections_per_source(settings: RenderSettings, pod: TcpServer, kind: str) -> None:
    """Each client is counted once, by its own address, and one that ends makes room."""
    with _serving(kind, settings, pod, connection_limit=ConnectionLimit(2, None)) as (client, haproxy):
        with ExitStack() as held:
            assert [client.comes(held) for _ in range(4)] == ["served", "served", "before", "before"]
            assert _counted(haproxy) == [2]
            assert client.comes(source="127.0.0.2") == "served"
        wait_for(lambda: client.comes() == "served", "room again")
        assert not [line for line in haproxy.log_lines() if "<NOSRV>" in line]


@_KINDS
def test_connection_rate_per_source(settings: RenderSettings, pod: TcpServer, kind: str) -> None:
    """Beyond N in 3 s an address is ended before the handshake; another one is not."""
    with _serving(kind, settings, pod, connection_limit=ConnectionLimit(None, 3)) as (client, _):
        assert [client.comes() for _ in range(6)] == ["served"] * 3 + ["before"] * 3
        assert client.comes(source="127.0.0.2") == "served"
        wait_for(lambda: client.comes() == "served", "a connection to be served again")


@_KINDS
def test_one_route(settings: RenderSettings, pod: TcpServer, kind: str) -> None:
    """It has as many clients as one Route may have, not half as many."""
    limited = replace(settings, max_connections_per_route=3)
    with _serving(kind, limited, pod) as (client, _), ExitStack() as held:
        assert [client.comes(held) for _ in range(5)] == ["served"] * 3 + ["before"] * 2


@_KINDS
def test_one_namespace(settings: RenderSettings, pod: TcpServer, kind: str) -> None:
    """All its Routes together have as many clients as one may have."""
    limited = replace(settings, max_connections_per_namespace=4)
    if kind == "own":
        (a, of_a), (b, of_b) = _own(pod), _own(pod, "b")
        model = Model((a, b))
    else:
        port = free_port()
        tls, context = (_ASKING, _ALICE) if kind == "asked" else (_SHOWN, client_context())
        of_a, of_b = (_Client(port, f"{name}.example.com", context=context) for name in "ab")
        routes = (section(name, None, server(pod.port), check_interval_ms=0) for name in "ab")
        model = _shared((port,), *routes, tls=tls)
    with running(model, limited), ExitStack() as held:
        assert [of_a.comes(held) for _ in range(3)] == ["served"] * 3
        assert [of_b.comes(held) for _ in range(3)] == ["served", "before", "before"]


@pytest.mark.parametrize(("kind", "refused"), [("own", "after"), ("shared", "before")])
def test_what_an_admin_lets_a_namespace_have(settings: RenderSettings, pod: TcpServer, kind: str, refused: str) -> None:
    """A number of its own holds too; on a port of a Route's own it is looked up when the handshake is over."""
    limited = replace(settings, namespace_limits=True)
    if kind == "own":
        made, client = _own(pod)
        model = Model((made,), namespace_limits=(("team", 2),))
    else:
        client = _Client(free_port(), "a.example.com")
        of_port = _shared((client.port,), section("a", None, server(pod.port), check_interval_ms=0))
        model = replace(of_port, namespace_limits=(("team", 2),))
    with running(model, limited), ExitStack() as held:
        assert [client.comes(held) for _ in range(4)] == ["served"] * 2 + [refused] * 2


@pytest.mark.parametrize(("tls", "context"), [(_SHOWN, client_context()), (_ASKING, _ALICE)], ids=["shared", "asked"])
def test_one_route_on_two_ports(
    settings: RenderSettings, pod: TcpServer, tls: PortTls, context: ssl.SSLContext
) -> None:
    """Its limits hold for both together, and each leads to where TLS ends for that port."""
    ports = free_port(), free_port()
    model = _shared(
        ports,
        section("a", None, server(pod.port), check_interval_ms=0, connection_limit=ConnectionLimit(3, None)),
        tls=tls,
    )
    with running(model, settings) as haproxy, ExitStack() as held:
        clients = [_Client(port, "a.example.com", context=context) for port in ports]
        assert [clients[at].comes(held) for at in (0, 1, 0, 1, 0)] == ["served"] * 3 + ["before"] * 2
        for port in ports:
            wait_for(lambda port=port: f"fe_tls:{port}" in haproxy.ask("show stat -1 1 -1"), "its frontend")  # type: ignore[misc]
        assert _counted(haproxy) == [3]


def _counted(haproxy: RunningHaproxy) -> list[int]:
    """Give how many connections the Route's table has of each source."""
    return [int(count) for count in re.findall(r"conn_cur=(\d+)", haproxy.ask("show table be_tcp:team:a"))]


def test_silent_clients_leave_room_to_others(settings: RenderSettings, pod: TcpServer) -> None:
    """Those that never say a word of TLS are counted, before they have a backend."""
    made, client = _own(pod)
    other, of_other = _own(pod, "b")
    with running(Model((made, other)), replace(settings, maxconn=20)), ExitStack() as held:
        for _ in range(30):
            with contextlib.suppress(ConnectionError):
                held.enter_context(connect(client.port))
        assert of_other.comes() == "served"


def test_behind_a_proxy_header(settings: RenderSettings, pod: TcpServer) -> None:
    """The address in it counts, which HAProxy looks at when TLS has ended."""
    made, client = _own(pod, options=port_options(accept_proxy=True), allowlist=("192.0.2.7",))
    with running(Model((made,)), settings):
        headers = {f"192.0.2.{last}": f"PROXY TCP4 192.0.2.{last} 127.0.0.1 5 6\r\n".encode() for last in (7, 8)}
        assert replace(client, before=headers["192.0.2.7"]).comes() == "served"
        assert replace(client, before=headers["192.0.2.8"]).comes() == "after"


@_KINDS
def test_entries_change_without_a_reload(pod: TcpServer, kind: str) -> None:
    """Of one that was loaded, and of one that came to a place of the pool since; there also where there was none."""
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1", sni_pool=2) as changed:
        port = free_port()
        client = _Client(port, "a.example.com", context=_ALICE if kind == "asked" else client_context())

        def model(*names: str, allowlist: tuple[str, ...] | None) -> Model:
            if kind == "own":
                return Model(
                    (section("a", port, server(pod.port), tls=_SHOWN, check_interval_ms=0, allowlist=allowlist),)
                )
            routes = (section(name, None, server(pod.port), check_interval_ms=0, allowlist=allowlist) for name in names)
            if kind != "asked":
                return _shared((port,), *routes)
            made = _shared((port,), *routes, tls=_ASKING)
            return replace(made, shared=tuple(replace(each, spare_gates=2) for each in made.shared))

        changed.bring(model("a", allowlist=("127.0.0.2",)))
        assert client.comes() == "before"
        assert isinstance(changed.bring(model("a", allowlist=("127.0.0.1",))), RuntimeUpdate)
        assert client.comes() == "served"
        assert client.comes(source="127.0.0.2") == "before"
        if kind == "own":
            return
        late = replace(client, host="b.example.com")
        for allowlist, expected in ((None, "served"), (("127.0.0.2",), "before"), (("127.0.0.1",), "served")):
            # Of the first one it is there only if there always was one.
            both = model("a", "b", allowlist=allowlist)
            first = model("a", allowlist=("127.0.0.1",)).routes[0]
            assert isinstance(changed.bring(replace(both, routes=(first, both.routes[1]))), RuntimeUpdate)
            assert late.comes() == expected
        assert client.comes() == "served"
