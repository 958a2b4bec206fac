"""TLS that comes to end, and ends no more, at ports of the pool, without a reload."""

from __future__ import annotations

import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from router.model import Model, RouteSection, Spot
from router.model.stages import led_word
from router.plan import Plan, Reload, RuntimeUpdate
from router.reconcile.apply import Applied
from tests.support.certificates import Made, client_context, make, shown_by
from tests.support.client_certificates import authority, verified_by
from tests.support.clients import connect, echoes, served, tls
from tests.support.late import all_but_the_last_flight
from tests.support.models import section, server
from tests.support.ports import free_ports
from tests.support.probing import is_refused
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for

_A, _B = make("a.example.com"), make("b.example.com")
_PORTS = free_ports(3)
_RELOADS = 5


@pytest.fixture
def changed() -> Iterator[Applying]:
    """A HAProxy with three ports of the pool, two of which can come to end TLS; nothing is served yet."""
    pool = ",".join(map(str, _PORTS))
    with (
        tempfile.TemporaryDirectory(prefix="a b") as folder,
        applying(Path(folder), "127.0.0.1", pool, tls_pool=2) as started,
    ):
        assert isinstance(started.bring(Model()), Reload)
        yield started


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """A pod that echoes."""
    with echo_server() as started:
        yield started


def _route(name: str, port: int, pod: TcpServer, made: Made | None, **options: object) -> RouteSection:
    shown = shown_by(made) if made is not None else None
    return section(name, port, server(pod.port), tls=shown, check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on


def _shown(port: int, host: str | None = None) -> Made | None:
    try:
        with tls(port, host) as connection:
            der = connection.getpeercert(binary_form=True)
            if not echoes(connection):
                return None
    except OSError:
        return None
    return _made(der)


def _made(der: bytes | None) -> Made:
    return next(made for made in (_A, _B) if ssl.PEM_cert_to_DER_cert(made.pem) == der)


def _hot(changed: Applying, *routes: RouteSection) -> Plan:
    todo = changed.bring(Model(routes))
    assert isinstance(todo, RuntimeUpdate), todo
    return todo


def test_come_change_and_go(changed: Applying, pod: TcpServer) -> None:
    """Its certificate answers clients with and without a server name, of any name; open connections go on through all of it."""
    one, two, _ = _PORTS
    _hot(changed, _route("a", one, pod, _A))
    assert _shown(one) is _A
    assert _shown(one, "x.example.com") is _A
    with tls(one, None) as held:
        assert echoes(held)
        _hot(changed, _route("a", one, pod, _A), _route("b", two, pod, _B))
        assert (_shown(one), _shown(two, "a.example.com")) == (_A, _B)
        _hot(changed, _route("a", one, pod, _B), _route("b", two, pod, _B))
        assert _shown(one) is _B
        _hot(changed, _route("b", two, pod, _B))
        assert is_refused(one)
        assert _shown(two) is _B
        assert echoes(held)
        _hot(changed, _route("b", one, pod, _A))
        assert _shown(one) is _A
        assert is_refused(two)
        _hot(changed)
        assert is_refused(one)
        assert echoes(held)


def test_with_tls_and_without(changed: Applying, pod: TcpServer) -> None:
    """One Route, on one port, either way, again and again."""
    port = _PORTS[0]
    _hot(changed, _route("a", port, pod, None))
    with connect(port) as held:
        assert echoes(held)
        for made in (_A, None, _B, None, _A):
            _hot(changed, _route("a", port, pod, made))
            if made is None:
                assert served(port)
            else:
                assert _shown(port) is made
                with connect(port) as plain:
                    assert not echoes(plain, b"hello, in the open\n")
        assert echoes(held)


def test_more_than_there_is_room_for(changed: Applying, pod: TcpServer) -> None:
    """Is a reload, which gives each Route a port that ends TLS itself, and has all places free again."""
    routes = [_route(name, port, pod, _A) for name, port in zip("abc", _PORTS, strict=True)]
    _hot(changed, *routes[:2])
    assert isinstance(changed.bring(Model(tuple(routes))), Reload)
    assert [_shown(port) for port in _PORTS] == [_A] * 3
    assert changed.running is not None
    assert not changed.running.owners
    assert not changed.running.fronts


def test_another_way_of_tls_is_a_reload(changed: Applying, pod: TcpServer) -> None:
    """Versions are those of the router in all places, and so are timeouts."""
    assert isinstance(changed.bring(Model((_route("a", _PORTS[0], pod, _A, timeout_connect_ms=77),))), Reload)


def test_clients_are_asked_for_certificates_in_none(changed: Applying, pod: TcpServer) -> None:
    """That is a reload, before which nobody is let in; and so it is where a Route in one comes to ask."""
    port, authority_ = _PORTS[0], authority("clients")
    asks = _route("a", port, pod, _A)
    assert asks.frontend is not None
    assert asks.frontend.tls is not None
    tls_of = replace(asks.frontend.tls, clients=verified_by(authority_))
    asks = replace(asks, frontend=replace(asks.frontend, tls=tls_of))
    assert isinstance(changed.bring(Model((asks,))), Reload)
    assert _shown(port) is None
    assert isinstance(changed.bring(Model()), RuntimeUpdate | Reload)
    assert isinstance(changed.bring(Model((_route("a", port, pod, _A),))), RuntimeUpdate | Reload)
    assert _shown(port) is _A
    assert isinstance(changed.bring(Model((asks,))), Reload)
    assert _shown(port) is None


def test_the_server_may_speak_first(changed: Applying) -> None:
    """TLS comes before anything else."""
    with greeting_server(b"220 hello\r\n") as pod:
        _hot(changed, _route("a", _PORTS[0], pod, _A))
        with tls(_PORTS[0], None) as connection:
            assert connection.recv(100) == b"220 hello\r\n"


def test_the_client_is_known_behind_it(changed: Applying, pod: TcpServer) -> None:
    """The allowlist goes by its address before the handshake, changes like any other, and so does the PROXY header to the pod."""
    port = _PORTS[0]
    _hot(changed, _route("a", port, pod, _A, allowlist=("127.0.0.2",), send_proxy="v1"))
    assert _shown(port) is None
    _hot(changed, _route("a", port, pod, _A, allowlist=("127.0.0.1",), send_proxy="v1"))
    with tls(port, None) as connection:
        connection.sendall(b"x")
        words = connection.recv(100).split()
        assert words[:4] == [b"PROXY", b"TCP4", b"127.0.0.1", b"127.0.0.1"]
        assert words[5] == str(port).encode()
    _hot(changed, _route("a", port, pod, _A, send_proxy="v1"))
    with tls(port, None) as connection:
        connection.sendall(b"x")
        assert connection.recv(100).startswith(b"PROXY")


def test_nobodys_key_stays(changed: Applying, pod: TcpServer) -> None:
    """A place that is free again shows what it was loaded with, and the socket to it is HAProxy's alone."""
    before = _certificates(changed)
    _hot(changed, _route("a", _PORTS[0], pod, _A))
    assert _certificates(changed) != before
    _hot(changed)
    assert _certificates(changed) == before
    sockets = list((changed.settings.state_dir / "run").glob("s[0-9]*.sock"))
    assert {each.stat().st_mode & 0o777 for each in sockets} == {0o600}
    assert len(sockets) == 2


def _certificates(changed: Applying) -> list[str]:
    names = [line for line in changed.ask("show ssl cert").splitlines() if line.startswith("/")]
    said = [changed.ask("show ssl cert " + name.replace(" ", r"\ ")) for name in names]
    return sorted(line for text in said for line in text.splitlines() if line.startswith("SHA1"))


def test_who_comes_by_another_port_is_led_nowhere(changed: Applying, pod: TcpServer) -> None:
    """A worker that was replaced leads to a place that may be another Route's by now: the place knows its port."""
    one, two, _ = _PORTS
    _hot(changed, _route("a", one, pod, _A), _route("b", two, pod, _B))
    assert changed.running is not None
    owners = changed.running.owners_file.replace(" ", r"\ ")
    place = changed.running.moved["be_tcp:team:a"].backend.name
    meant, other = (led_word(f"be_tcp:team:{name}", Spot(port)) for name, port in (("a", one), ("b", two)))
    changed.ask(f"set map {owners} front:{place} {other}")
    assert _shown(one) is None
    changed.ask(f"set map {owners} front:{place} {meant}")
    assert _shown(one) is _A


def test_who_is_slow_with_a_handshake_meets_no_other_route(changed: Applying, pod: TcpServer) -> None:
    """He began it when port and place were of a Route that let him connect; both are of one by now that does not."""
    port = _PORTS[0]
    _hot(changed, _route("a", port, pod, _A))
    with connect(port) as slow, connect(port) as prompt:
        late = all_but_the_last_flight(slow, client_context())
        assert all_but_the_last_flight(prompt, client_context()).answered(prompt, b"hello") == b"hello"
        _hot(changed)
        _hot(changed, _route("b", port, pod, _B, allowlist=("127.0.0.2",)))
        assert late.answered(slow, b"hello") == b""


def test_who_is_on_the_way_meets_the_same_route_behind_a_reload(changed: Applying, pod: TcpServer) -> None:
    """A worker that is replaced leads to the places that it knows: the new one has them for the same Routes, under the certificate that these show now, and others are free."""
    one, two, three = _PORTS
    routes = [_route("a", one, pod, _A), _route("b", two, pod, _B)]
    for _ in range(3):
        _hot(changed, *routes)
        assert changed.running is not None
        places = {name: place.slot.number for name, place in changed.running.moved.items() if place.slot is not None}
        assert len(places) == 2
        _load(changed, *routes)
        for name, made, port in (("a", _A, one), ("b", _B, two)):
            number = places[f"be_tcp:team:{name}"]
            assert _led(changed, number, led_word(f"be_tcp:team:{name}", Spot(port)), port) is made
            assert _led(changed, number, led_word("be_tcp:team:c", Spot(port)), port) is None
            assert _shown(port) is made
        _hot(changed, _route("a", one, pod, _B), _route("c", three, pod, _A), routes[1])
        # Its key is nowhere any more, not where it is still led to either.
        assert _led(changed, places["be_tcp:team:a"], led_word("be_tcp:team:a", Spot(one)), one) is _B
        assert _shown(three) is _A
        _hot(changed, routes[1], _route("d", three, pod, _B))
        assert _shown(three) is _B
        _load(changed)


def test_a_haproxy_that_is_started_anew_has_no_places_of_before(changed: Applying, pod: TcpServer) -> None:
    """No worker leads to any: the file on disk is without them soon after the reload, as a router that starts anew would write it."""
    route = _route("a", _PORTS[0], pod, _A)
    _hot(changed, route)
    _load(changed, route)
    config = changed.settings.state_dir / "haproxy.cfg"
    wait_for(lambda: b"whom a worker that is being replaced leads" not in config.read_bytes(), "the file to follow")
    soon = config.read_bytes()
    assert isinstance(changed.applier.apply(changed.renderer, Model((route,)), None), Applied)
    assert config.read_bytes() == soon


def test_reloads_under_a_stream_of_clients_refuse_nobody(changed: Applying, pod: TcpServer) -> None:
    """Whoever connects while a worker is replaced is served, by whichever of the two."""
    port = _PORTS[0]
    route, stopping = _route("a", port, pod, _A), threading.Event()
    with ThreadPoolExecutor(8) as clients:
        for _ in range(_RELOADS):
            _hot(changed, route)
            stopping.clear()
            streams = [clients.submit(_stream, port, stopping) for _ in range(8)]
            _load(changed, route)
            stopping.wait(0.05)
            stopping.set()
            assert [problem for stream in streams for problem in stream.result()] == []
            _load(changed)


def _stream(port: int, stopping: threading.Event) -> list[str]:
    problems = []
    while not stopping.is_set():
        try:
            with tls(port, None) as connection:
                if not echoes(connection):
                    problems.append("closed")
        except OSError as error:
            problems.append(repr(error))
    return problems


def _load(changed: Applying, *routes: RouteSection) -> None:
    result = changed.applier.apply(changed.renderer, Model(routes), changed.running)
    assert isinstance(result, Applied)
    changed.running = result.running


def _led(changed: Applying, number: int, word: str, port: int) -> Made | None:
    """Give what a client is shown, and served behind, whom a worker leads to a place that says this word."""
    with socket.socket(socket.AF_UNIX) as led:
        led.settimeout(10)
        led.connect(str(changed.settings.slot_socket(number)))
        addresses = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", 40000, port)
        unique = b"\x05" + struct.pack("!H", len(word)) + word.encode()
        header = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses + unique))
        led.sendall(header + addresses + unique)
        try:
            with client_context().wrap_socket(led) as connection:
                der = connection.getpeercert(binary_form=True)
                return _made(der) if echoes(connection) else None
        except OSError:
            return None
