"""Clients of PostgreSQL that ask in plain text to begin TLS: who is answered what, and what changes without a reload."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.model import Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.tls import PortTls, ServerTls
from router.plan import Plan, Reload, RuntimeUpdate
from tests.support.certificates import Made, client_context, make, pem_of, shown_by
from tests.support.clients import connect, echoes, tls
from tests.support.hellos import client_hello, records
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server, greeting_server, tls_server
from tests.support.waiting import wait_for

_A, _B = make("a.example.com"), make("b.example.com")
_CA = make("ca", is_authority=True)
_SSL_REQUEST, _GSSENC_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30"
_CANCEL_REQUEST = b"\0\0\0\x10\x04\xd2\x16\x2e" + b"12345678"
_STARTUP = b"\0\0\0\x14\0\3\0\0user\0tester\0\0"


def _asks(made: Made) -> PortTls:
    return replace(shown_by(made), alpn=("postgresql",), starttls="postgres")


class _Stage:
    """One HAProxy with a shared port."""

    def __init__(self, changed: Applying) -> None:
        self.changed = changed
        self.port = free_port()

    def bring(self, *hosts: tuple[str, RouteSection, PortTls | None]) -> Plan:
        """Serve these hosts: by which Route, and how TLS ends."""
        leads = sorted(SniHost(host, to.backend.name, to.asker, how) for host, to, how in hosts)
        routes = {
            to.backend.name: replace(to, stages=(Spot(self.port),) if how is not None else None) for _, to, how in hosts
        }
        shared = SharedFrontend(self.port, port_options(), tuple(leads))
        return self.changed.bring(Model(tuple(routes[name] for name in sorted(routes)), (shared,)))


@pytest.fixture
def changed() -> Iterator[Applying]:
    """A HAProxy in a folder whose name needs no quotes."""
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1", sni_pool=4) as started:
        yield started


@pytest.fixture
def stage(changed: Applying) -> _Stage:
    """Nothing served yet."""
    return _Stage(changed)


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """A pod that greets and echoes."""
    with greeting_server(b"pod") as started:
        yield started


def _route(name: str, pod: TcpServer, **options: object) -> RouteSection:
    return section(name, None, server(pod.port), check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on


@pytest.fixture(params=["shared port", "port of its own"])
def port(request: pytest.FixtureRequest, changed: Applying, pod: TcpServer) -> int:
    """A port whose clients may ask, with a certificate for a.example.com."""
    number = free_port()
    if request.param == "shared port":
        stage = _Stage(changed)
        stage.port = number
        stage.bring(("a.example.com", _route("a", pod), _asks(_A)))
    else:
        own = section("a", number, server(pod.port), tls=_asks(_A), stages=(Spot(number),), check_interval_ms=0)
        changed.bring(Model((own,)))
    return number


def _rest(connection: socket.socket) -> bytes:
    """Give all that comes until the other side ends."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(1000), b""))
    return b""


def _answers(port: int, *pieces: bytes) -> bytes:
    """Give all that comes back; each piece but the first is sent after an answer of one byte."""
    got = b""
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number:
                got += connection.recv(1)
            connection.sendall(piece)
        return got + _rest(connection)


@contextlib.contextmanager
def _asking(
    port: int, host: str | None, *, before: Iterable[tuple[bytes, bytes]] = (), alpn: bool = True
) -> Iterator[ssl.SSLSocket]:
    """Begin TLS as clients before PostgreSQL 17 do; ``before`` is what is asked first, and the answers to it."""
    context = client_context()
    if alpn:
        context.set_alpn_protocols(["postgresql"])
    with connect(port) as plain:
        for question, answer in (*before, (_SSL_REQUEST, b"S")):
            plain.sendall(question)
            got = plain.recv(1)
            if got != answer:
                raise ConnectionError(f"{question!r} was answered by {got!r}")
        with context.wrap_socket(plain, server_hostname=host) as connection:
            yield connection


def _is_led(port: int, host: str | None) -> bool:
    try:
        with _asking(port, host) as connection:
            return connection.recv(10) == b"pod" and echoes(connection)
    except OSError:
        return False


def _sessions(changed: Applying) -> list[str]:
    """Give the sessions that HAProxy has, but for those of whoever asks."""
    return [line for line in changed.ask("show sess").splitlines() if "fe=fe_" in line]


def test_both_ways_to_begin(port: int) -> None:
    """Who asks first and who begins with TLS see the same certificate and reach the same pod, and the protocol that both name."""
    for before in ((), ((_GSSENC_REQUEST, b"N"),)):
        with _asking(port, "a.example.com", before=before) as connection:
            assert connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(_A.pem)
            assert connection.selected_alpn_protocol() == "postgresql"
            assert connection.recv(10) == b"pod"
            assert echoes(connection)
    with _asking(port, "a.example.com", alpn=False) as older:
        assert older.selected_alpn_protocol() is None
        assert older.recv(10) == b"pod"
    with tls(port, "a.example.com") as direct:
        assert direct.recv(10) == b"pod"


NOT_ANSWERED = {
    "bytes behind the question": (_SSL_REQUEST + b"x",),
    "a hello behind the question": (_SSL_REQUEST + records(client_hello("a.example.com")),),
    "asked twice at once": (_SSL_REQUEST * 2,),
    "Kerberos and TLS at once": (_GSSENC_REQUEST + _SSL_REQUEST,),
    "zeros": (bytes(100),),
    "almost the question": (_SSL_REQUEST[:7] + b"\x2d",),
    "no protocol of ours": (b"GET / HTTP/1.0\r\n\r\n",),
    "protocol 2": (b"\0\0\0\x14\0\2\0\0user\0tester\0\0",),
}


@pytest.mark.parametrize("pieces", NOT_ANSWERED.values(), ids=NOT_ANSWERED)
def test_nothing_is_said_to(port: int, pod: TcpServer, pieces: tuple[bytes, ...]) -> None:
    """What may not come first, or not with anything behind it: not a byte that came before the answer is taken for a part of what follows."""
    assert _answers(port, *pieces) == b""
    assert pod.accepted == 0
    assert _is_led(port, "a.example.com")


ANSWERED_ONCE = {
    "asked twice": ((_SSL_REQUEST, _SSL_REQUEST), b"S"),
    "Kerberos twice": ((_GSSENC_REQUEST, _GSSENC_REQUEST), b"N"),
    "Kerberos behind TLS": ((_SSL_REQUEST, _GSSENC_REQUEST), b"S"),
    "Kerberos, TLS and Kerberos": ((_GSSENC_REQUEST, _SSL_REQUEST, _GSSENC_REQUEST), b"NS"),
    "plain behind TLS": ((_SSL_REQUEST, _STARTUP), b"S"),
}


@pytest.mark.parametrize(("pieces", "answers"), ANSWERED_ONCE.values(), ids=ANSWERED_ONCE)
def test_a_question_is_answered_once(port: int, pod: TcpServer, pieces: tuple[bytes, ...], answers: bytes) -> None:
    """After the answer nothing but TLS is taken, and nothing more is said in plain text."""
    assert _answers(port, *pieces) == answers
    assert pod.accepted == 0


@pytest.mark.parametrize("before", [(), (_GSSENC_REQUEST,)])
def test_who_begins_without_tls_is_told(port: int, pod: TcpServer, before: tuple[bytes, ...]) -> None:
    """By an ErrorResponse of PostgreSQL's; no session in plain text is begun."""
    said = _answers(port, *before, _STARTUP)
    assert b"SFATAL\0VFATAL\0C28000\0Mthis port takes connections with TLS alone" in said
    assert said.startswith(b"NE" if before else b"E")
    (length,) = [int.from_bytes(said[len(before) + 1 : len(before) + 5], "big")]
    assert length == len(said) - len(before) - 1
    assert pod.accepted == 0


def test_a_byte_at_a_time(port: int) -> None:
    """The question, and a ClientHello of many records behind it, in segments of one byte each."""
    hello = records(client_hello("a.example.com"), [3] * 20)
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _SSL_REQUEST:
            connection.sendall(bytes([byte]))
        assert connection.recv(1) == b"S"
        for byte in hello:
            connection.sendall(bytes([byte]))
        # A ServerHello or an alert: this hello by hand offers nothing to agree on.
        assert connection.recv(1) in {b"\x15", b"\x16"}


@pytest.mark.parametrize("length", [1800, 16384, 40000])
def test_a_long_hello(stage: _Stage, length: int) -> None:
    """Its name is read behind the question as it is without."""
    with echo_server() as pod:
        stage.bring(("a.example.com", _route("a", pod), _asks(_A)))
        for host, is_known in (("a.example.com", True), ("b.example.com", False)):
            with connect(stage.port) as connection:
                connection.sendall(_SSL_REQUEST)
                assert connection.recv(1) == b"S"
                connection.sendall(records(client_hello(host, length)))
                assert bool(_first(connection)) is is_known


def _first(connection: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1)
    return b""


@pytest.mark.parametrize("sent", [b"", b"\0\0\0", _SSL_REQUEST, _GSSENC_REQUEST])
def test_who_falls_silent_is_ended(port: int, changed: Applying, sent: bytes) -> None:
    """By the time that a client has for its ClientHello; nothing of it stays."""
    with connect(port) as connection:
        connection.sendall(sent)
        connection.settimeout(20)
        assert len(_rest(connection)) == (1 if len(sent) == 8 else 0)
    wait_for(lambda: not _sessions(changed), "HAProxy to have no session left")


def test_nothing_of_them_is_left(port: int, changed: Applying) -> None:
    """Hundreds that ask and leave, at each moment, are no sessions afterwards."""
    for _ in range(50):
        for sent in (b"", b"\0", _SSL_REQUEST, _SSL_REQUEST * 2, _GSSENC_REQUEST, _STARTUP, bytes(100)):
            with connect(port) as connection:
                connection.sendall(sent)
    wait_for(lambda: not _sessions(changed), "HAProxy to have no session left")
    assert _is_led(port, "a.example.com")


def test_on_a_shared_port_those_alone_who_say_so(stage: _Stage, pod: TcpServer) -> None:
    """Beside hosts whose clients begin with TLS, whether it ends here or in pods, and without a reload but for the first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem_of(_B))
        file.flush()
        context.load_cert_chain(file.name)
    with tls_server(context, b"pod") as through:
        a, b, c = _route("a", pod), _route("b", pod), _route("c", through)
        edge = ("b.example.com", b, shown_by(_B)), ("c.example.com", c, None)
        stage.bring(*edge)
        with pytest.raises(ConnectionError), _asking(stage.port, "b.example.com"):
            pass
        first = stage.bring(("a.example.com", a, _asks(_A)), *edge)
        assert isinstance(first, Reload)
        assert _is_led(stage.port, "a.example.com")
        for host in ("b.example.com", "c.example.com", "nobody.example.com", None):
            assert not _is_led(stage.port, host)
        with tls(stage.port, "b.example.com") as direct:
            assert direct.recv(10) == b"pod"
        # The second, one that stops, one that begins, and the end of the first.
        with _asking(stage.port, "a.example.com") as held:
            assert held.recv(10) == b"pod"
            more = ("b.example.com", b, _asks(_B)), edge[1]
            for hosts, led in (
                ((("a.example.com", a, _asks(_A)), *more), ("a.example.com", "b.example.com")),
                ((("a.example.com", a, shown_by(_A)), *more), ("b.example.com",)),
                ((("a.example.com", a, replace(_asks(_A), alpn=())), *more), ("a.example.com", "b.example.com")),
                ((("a.example.com", a, shown_by(_A)), *more), ("b.example.com",)),
                (edge, ()),
                ((("a.example.com", a, _asks(_A)), *edge), ("a.example.com",)),
            ):
                assert isinstance(stage.bring(*hosts), RuntimeUpdate)
                asked = {host for host in ("a.example.com", "b.example.com") if _is_led(stage.port, host)}
                assert asked == set(led)
                assert stage.changed.state().endings == _fresh(stage, hosts)
            assert echoes(held)


def _fresh(stage: _Stage, hosts: Iterable[tuple[str, RouteSection, PortTls | None]]) -> object:
    """Give what a HAProxy has that was started on the same."""
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.2", sni_pool=4) as changed:
        fresh = _Stage(changed)
        fresh.port = stage.port
        fresh.bring(*hosts)
        return changed.state().endings


def test_a_port_without_such_a_route_pays_nothing(stage: _Stage, pod: TcpServer) -> None:
    """Its frontend has no word of it, and nobody is answered."""
    stage.bring(("b.example.com", _route("b", pod), shown_by(_B)))
    assert b"postgres" not in (stage.changed.settings.state_dir / "haproxy.cfg").read_bytes()
    assert _answers(stage.port, _SSL_REQUEST) == b""


def test_no_name_no_cancelling(stage: _Stage, pod: TcpServer) -> None:
    """On a shared port nobody knows whom a client means that asks in plain text to cancel."""
    stage.bring(("a.example.com", _route("a", pod), _asks(_A)))
    assert _answers(stage.port, _CANCEL_REQUEST) == b""
    assert pod.accepted == 0


def test_an_allowlist_holds(stage: _Stage, pod: TcpServer) -> None:
    """Who asks in plain text is no other client than who begins with TLS."""
    for networks, is_led in ((("192.0.2.1",), False), (("127.0.0.0/8",), True)):
        stage.bring(("a.example.com", _route("a", pod, allowlist=networks), _asks(_A)))
        assert _is_led(stage.port, "a.example.com") is is_led


def test_on_a_port_of_its_own_no_name_is_needed(changed: Applying, pod: TcpServer) -> None:
    """Clients of old tell none; certificates, pods and allowlists change without a reload, and the pod learns who the client is."""
    number = free_port()
    own = section(
        "a",
        number,
        server(pod.port),
        tls=_asks(_A),
        stages=(Spot(number),),
        check_interval_ms=0,
        allowlist=("127.0.0.0/8",),
    )
    assert isinstance(changed.bring(Model((own,))), Reload)
    assert _is_led(number, None)
    assert _is_led(number, "whatever.example.com")
    assert own.frontend is not None
    other = replace(own, frontend=replace(own.frontend, tls=_asks(_B)))
    assert isinstance(changed.bring(Model((other,))), RuntimeUpdate)
    with _asking(number, None) as connection:
        assert connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(_B.pem)
    closed = replace(other, backend=replace(other.backend, allowlist=("192.0.2.1",)))
    assert isinstance(changed.bring(Model((closed,))), RuntimeUpdate)
    assert not _is_led(number, None)
    with echo_server() as second:
        told = replace(other.backend, servers=(server(second.port),), send_proxy="v1")
        changed.bring(Model((replace(other, backend=told),)))
        with _asking(number, None) as connection:
            connection.sendall(b"x")
            line = connection.recv(100)
            assert line.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
            assert line.split()[5] == str(number).encode()
    with echo_server() as third:
        changed.bring(Model((replace(other, backend=replace(other.backend, servers=(server(third.port),))),)))
        with connect(number) as connection:
            connection.sendall(_CANCEL_REQUEST)
            assert connection.recv(100) == _CANCEL_REQUEST
    assert _answers(number, _CANCEL_REQUEST + b"x") == b""
    # Gone, and back.
    assert isinstance(changed.bring(Model()), RuntimeUpdate)
    assert isinstance(changed.bring(Model((other,))), RuntimeUpdate)
    assert _is_led(number, None)
    edge = replace(own, frontend=replace(own.frontend, tls=shown_by(_A)), stages=None)
    assert isinstance(changed.bring(Model((edge,))), Reload)
    with tls(number, None) as direct:
        assert direct.recv(10) == b"pod"


def test_towards_pods_the_protocol_is_named(changed: Applying) -> None:
    """As PostgreSQL wants of who begins with TLS: of connections and of checks, of pods that are there at the start and of later ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["postgresql"])
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem_of(make("any", signed_by=_CA)))
        file.flush()
        context.load_cert_chain(file.name)
    named: list[str | None] = []

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            named.append(secured.selected_alpn_protocol())
            secured.sendall(b"pod")
            secured.recv(1)

    with TcpServer(handle) as one, TcpServer(handle) as two:
        number = free_port()
        of_pods = ServerTls(_CA.pem, alpn=("postgresql",))
        first = section("a", number, server(one.port), tls=_asks(_A), stages=(Spot(number),), check_interval_ms=100)
        first = replace(first, backend=replace(first.backend, tls=of_pods))
        changed.bring(Model((first,)))
        second = replace(first, backend=replace(first.backend, servers=(server(two.port),)))
        assert isinstance(changed.bring(Model((second,))), RuntimeUpdate)
        wait_for(lambda: two.accepted > 1, "checks")
        with _asking(number, None) as connection:
            assert connection.recv(10) == b"pod"
    assert set(named) == {"postgresql"}
