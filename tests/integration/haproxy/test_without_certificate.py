"""Pods that are told who their clients are, where these may come without a certificate: nobody is taken for verified who showed none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from msgspec import structs

from router.haproxy.talk import stats
from router.haproxy.talk.tables import BACKEND, SERVER
from router.model import ConnectionLimit, Model, Server, SharedFrontend, SniHost, Spot
from router.observe.metrics.haproxy.owners import Owners
from router.plan import Reload, RuntimeUpdate
from router.render import TemplateSet
from router.render.renderer import Renderer
from tests.support.certificates import Made, make, shown_by
from tests.support.client_certificates import authority, context_of, greeted, speaking, verified_by
from tests.support.clients import TIMEOUT_S, connect
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_CA = authority("clients")
_ALICE, _MALLORY = make("alice", signed_by=_CA), make("mallory", signed_by=authority("others"))
_HOST = "db.example.com"
_TLS = replace(shown_by(make(_HOST)), clients=replace(verified_by(_CA, required=False), tells_apart=True))
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL = 0x20
"""Version and command of a header that a health check sends."""
_SSL, _CN = 0x20, 0x22
_KINDS = pytest.mark.parametrize("kind", ["own", "shared"])
"""On a port of its own, and by a host on one that others may share."""


@dataclass(slots=True)
class _Pod:
    """A pod, and what it was told of each client: the common name of the certificate, None where it heard of no TLS."""

    told: Queue[str | None] = field(default_factory=Queue)
    port: int = 0

    def meet(self, connection: socket.socket) -> None:
        """Read the header, and greet."""
        header = connection.recv(400)
        if not header or header[12] == _LOCAL:
            return
        self.told.put(_name_told(header))
        connection.sendall(str(self.port).encode())
        with contextlib.suppress(OSError):
            connection.recv(100)


def _name_told(header: bytes) -> str | None:
    assert header.startswith(_SIGNATURE)
    (length,) = struct.unpack("!H", header[14:16])
    tls = _tlvs(header[28 : 16 + length]).get(_SSL)
    if tls is None:
        return None
    flags, verified = struct.unpack("!BI", tls[:5])
    # That it was shown, and that it is good.
    assert (flags & 4, verified) == (4, 0)
    return _tlvs(tls[5:])[_CN].decode()


def _tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        found[kind], data = data[3 : 3 + length], data[3 + length :]
    return found


@contextlib.contextmanager
def _pod() -> Iterator[_Pod]:
    pod = _Pod()
    with TcpServer(pod.meet) as listening:
        pod.port = listening.port
        yield pod


class _Served:
    """One such Route, in a HAProxy."""

    def __init__(self, changed: Applying, kind: str) -> None:
        self.changed = changed
        self.port = free_port()
        self._kind = kind

    def bring(self, *servers: Server, accept_proxy: bool = False, **options: Any) -> object:
        """Serve it by these."""
        is_own = self._kind == "own"
        made = section("a", self.port if is_own else None, *servers, tls=_TLS if is_own else None, **options)
        made = replace(made, backend=replace(made.backend, send_proxy="v2-ssl-shown"))
        if is_own:
            assert made.frontend is not None
            port = replace(made.frontend, options=port_options(accept_proxy=accept_proxy))
            return self.changed.bring(Model((replace(made, frontend=port),)))
        led = replace(made, stages=(Spot(self.port),), is_gated=True)
        host = SniHost(_HOST, led.backend.name, led.asker, _TLS)
        return self.changed.bring(Model((led,), (SharedFrontend(self.port, port_options(), (host,), spare_gates=1),)))

    def greeting(self, made: Made | None, version: str = "1.3") -> bytes:
        """Give what a client with this certificate is greeted with."""
        return greeted(context_of(made, version), self.port, _HOST)[0]


@pytest.fixture
def pods() -> Iterator[tuple[_Pod, _Pod]]:
    """Two of them."""
    with _pod() as one, _pod() as other:
        yield one, other


@contextlib.contextmanager
def _served(kind: str) -> Iterator[_Served]:
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1") as changed:
        yield _Served(changed, kind)


@_KINDS
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_who_shows_one_is_named_and_others_are_not(pods: tuple[_Pod, _Pod], kind: str, version: str) -> None:
    """Whoever shows none gets in, too, and the pod hears of no verification; one that is not good is refused."""
    with _served(kind) as served:
        served.bring(server(pods[0].port), check_interval_ms=0)
        assert served.greeting(_ALICE, version) == str(pods[0].port).encode()
        assert pods[0].told.get(timeout=TIMEOUT_S) == "alice"
        assert served.greeting(None, version) == str(pods[0].port).encode()
        assert pods[0].told.get(timeout=TIMEOUT_S) is None
        assert served.greeting(_MALLORY, version) == b""
        assert pods[0].told.empty()


@_KINDS
def test_pods_come_and_go_for_both(pods: tuple[_Pod, _Pod], kind: str) -> None:
    """Without a reload, as do weights; what left is deleted for both, and a pod that is down gets nobody."""
    one, other = (
        structs.replace(server(pod.port), name=f"pod:{pod.port}", id=number) for number, pod in enumerate(pods, 1)
    )

    def reached() -> set[int]:
        return {int(served.greeting(made) or b"0") for made in (_ALICE, None) for _ in range(4)}

    with _served(kind) as served:
        served.bring(one, check_interval_ms=100)
        assert reached() == {pods[0].port}
        assert isinstance(served.bring(one, other, check_interval_ms=100), RuntimeUpdate)
        wait_for(lambda: reached() == {pods[0].port, pods[1].port}, "both pods to be led to")
        assert isinstance(served.bring(structs.replace(one, weight=0), other, check_interval_ms=100), RuntimeUpdate)
        assert reached() == {pods[1].port}
        assert isinstance(served.bring(other, check_interval_ms=100), RuntimeUpdate)
        assert reached() == {pods[1].port}
        running = served.changed.running
        assert running is not None
        assert len(running.leaving) == 2

        def deleted() -> bool:
            assert served.changed.running is not None
            served.changed.running = served.changed.applier.delete_leaving(served.changed.running)
            return not served.changed.running.leaving

        wait_for(deleted, "what left to be deleted")
        assert f"pod:{pods[0].port}" not in served.changed.ask("show servers state")
        silent = structs.replace(other, name="pod:silent", port=free_port(), id=3)
        served.bring(other, silent, check_interval_ms=100)
        wait_for(lambda: _up(served.changed, "pod:silent") == {"DOWN"}, "the pod that is not there to be down for both")
        assert reached() == {pods[1].port}
        # And so it is after a reload, which is told of it.
        served.bring(other, silent, check_interval_ms=100, timeout_server_ms=12_345)
        assert _up(served.changed, "pod:silent") == {"DOWN"}
        assert reached() == {pods[1].port}


def _up(changed: Applying, server_name: str) -> set[str]:
    rows = [line.split(",") for line in changed.ask("show stat -1 4 -1").splitlines()]
    return {row[17].split(" ")[0] for row in rows if len(row) > 17 and row[1] == server_name}


@_KINDS
def test_only_a_reload_begins_it(pods: tuple[_Pod, _Pod], kind: str) -> None:
    """Also where there are places of the pool for hosts, and sockets for certificates of clients."""
    with _served(kind) as served:
        served.changed.bring(Model())
        assert isinstance(served.bring(server(pods[0].port)), Reload)


@_KINDS
def test_each_client_counts_once(pods: tuple[_Pod, _Pod], kind: str) -> None:
    """In what the page, the metrics and the limits have of the Route, whichever way it is led."""
    with _served(kind) as served, contextlib.ExitStack() as held:
        served.bring(server(pods[0].port), check_interval_ms=0, connection_limit=ConnectionLimit(2, None))
        for made in (_ALICE, None):
            connection = held.enter_context(speaking(context_of(made), served.port, _HOST))
            assert connection.recv(100) == str(pods[0].port).encode()
        assert [served.greeting(made) for made in (_ALICE, None)] == [b"", b""]
        running = served.changed.running
        assert running is not None
        (own,) = (each.backend.name for each in running.model.routes)
        counts = stats.backends(served.changed.settings.stats_socket, TIMEOUT_S)
        assert [name for name in counts if own in name and not name.startswith("tls:")] == [own]
        assert (counts[own].sessions, counts[own].servers_up) == (2, 1)
        owners = Owners.of(running.model, {})
        for kind_of_row, name in ((BACKEND, "BACKEND"), (SERVER, "pod:0")):
            labels = owners.labels(kind_of_row, own, name)
            assert labels is not None
            assert labels == owners.labels(kind_of_row, f"nocert:{own}", name)


def test_limits_behind_a_proxy_header(pods: tuple[_Pod, _Pod]) -> None:
    """They are looked at where clients are led, and both ways have one count and one allowlist."""
    with _served("own") as served, contextlib.ExitStack() as held:
        limit = ConnectionLimit(1, None)
        allowed = ("192.0.2.0/24",)
        served.bring(
            server(pods[0].port), accept_proxy=True, check_interval_ms=0, connection_limit=limit, allowlist=allowed
        )

        def greeting(made: Made | None, source: str) -> bytes:
            with contextlib.suppress(OSError):
                plain = held.enter_context(connect(served.port))
                plain.sendall(f"PROXY TCP4 {source} 192.0.2.200 1000 {served.port}\r\n".encode())
                connection: ssl.SSLSocket = held.enter_context(context_of(made).wrap_socket(plain))
                return connection.recv(100)
            return b""

        name = str(pods[0].port).encode()
        assert [greeting(made, "203.0.113.1") for made in (_ALICE, None)] == [b"", b""]
        assert greeting(None, "192.0.2.7") == name
        assert [greeting(made, "192.0.2.7") for made in (_ALICE, None)] == [b"", b""]
        assert greeting(_ALICE, "192.0.2.8") == name
        assert [greeting(made, "192.0.2.8") for made in (_ALICE, None)] == [b"", b""]


_TEMPLATES = {
    "no way for them": ("route.cfg.j2", "own", "use_backend {{ backend_apart }}", "#"),
    "no backend for them": ("route.cfg.j2", "own", "{% for name in names %}", "{% for name in names[:1] %}"),
    "no way for hosts of shared ports": ("shared.cfg.j2", "shared", "use_backend nocert:", "#"),
}


@pytest.mark.parametrize(("name", "kind", "part", "instead"), _TEMPLATES.values(), ids=_TEMPLATES)
def test_templates_that_would_have_them_verified(
    pods: tuple[_Pod, _Pod], tmp_path: Path, name: str, kind: str, part: str, instead: str
) -> None:
    """They cost such Routes alone."""
    text = (Path(__file__).parents[3] / "templates" / name).read_text()
    assert part in text
    (tmp_path / name).write_text(text.replace(part, instead))
    with _served(kind) as served:
        served.bring(server(pods[0].port))
        assert served.changed.running is not None
        model = served.changed.running.model
        failures = Renderer(TemplateSet.load(tmp_path), served.changed.settings).render(model).failures
    assert [failure.owner for failure in failures] == [model.routes[0].asker]
    assert "take it for verified" in str(failures[0].error)
