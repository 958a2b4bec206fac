"""TLS that ends at a shared port, beside hosts whose TLS ends in their pods: who is led where, and what changes without a reload."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.model import Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.tls import Certificate, PortTls, PrivateBytes, ServerTls
from router.plan import Plan, Reload, RuntimeUpdate
from router.reconcile.apply import Applied
from router.reconcile.judge import Refused
from router.settings import RenderSettings
from tests.support.certificates import Made, client_context, make, pem_of, shown_by
from tests.support.client_certificates import authority, verified_by
from tests.support.clients import connect, echoes, reached, tls
from tests.support.haproxy import running
from tests.support.hellos import tls13_hello
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server, greeting_server, tls_server

_A, _B, _WILD, _C = make("a.example.com"), make("b.example.com"), make("*.apps.example.com"), make("c.example.com")


class _Stage:
    """One HAProxy with a shared port."""

    def __init__(self, changed: Applying) -> None:
        self.changed = changed
        self.port = free_port()
        self.options = port_options()

    def bring(self, *hosts: tuple[str, RouteSection, Made | None]) -> Plan:
        """Serve these hosts: by which Route, and with which certificate; None leaves TLS to the pods."""
        leads = [
            SniHost(host, to.backend.name, to.asker, shown_by(made) if made is not None else None)
            for host, to, made in hosts
        ]
        routes = {
            to.backend.name: replace(to, stages=(Spot(self.port),) if made is not None else None)
            for _, to, made in hosts
        }
        shared = SharedFrontend(self.port, self.options, tuple(sorted(leads, key=lambda each: each.host)))
        return self.changed.bring(Model(tuple(routes[name] for name in sorted(routes)), (shared,)))

    def shown(self, host: str) -> Made | None:
        """Give the certificate that clients of a host see; None where there is none."""
        try:
            with tls(self.port, host) as connection:
                der = connection.getpeercert(binary_form=True)
        except OSError:
            return None
        return next(made for made in (_A, _B, _WILD, _C) if ssl.PEM_cert_to_DER_cert(made.pem) == der)


@pytest.fixture
def stage() -> Iterator[_Stage]:
    """Nothing served yet."""
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.1", sni_pool=4) as changed:
        yield _Stage(changed)


@pytest.fixture
def pods() -> Iterator[tuple[TcpServer, TcpServer]]:
    """Two pods that tell which they are."""
    with greeting_server(b"first") as one, greeting_server(b"second") as two:
        yield one, two


def _route(name: str, pod: TcpServer, **options: object) -> RouteSection:
    return section(name, None, server(pod.port), check_interval_ms=0, **options)  # type: ignore[arg-type]  # passed on


def _greeted(port: int, host: str) -> bytes | None:
    try:
        with tls(port, host) as connection:
            return connection.recv(10)
    except OSError:
        return None


def test_one_that_begins_tls_anew_comes_without_a_reload(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """Beside another whose TLS ends at the port: its pods are verified as they are after a reload, and one that is not its CA's is led to by nobody."""
    good, bad = authority("pods"), authority("others")
    for signer, is_served in ((good, True), (bad, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem_of(make("any", signed_by=signer)))
            file.flush()
            context.load_cert_chain(file.name)
        with tls_server(context, b"anew") as pod:
            first = ("a.example.com", _route("a", pods[0]), _A)
            route = _route("b", pod)
            anew = replace(route, backend=replace(route.backend, tls=ServerTls(good.pem)))
            stage.bring(first)
            assert isinstance(stage.bring(first, ("b.example.com", anew, _B)), RuntimeUpdate)
            for _ in range(2):
                assert (reached(stage.port, "b.example.com") == b"anew") is is_served
                assert stage.changed.running is not None
                result = stage.changed.applier.apply(
                    stage.changed.renderer, stage.changed.running.model, stage.changed.running
                )
                assert isinstance(result, Applied)
                stage.changed.running = result.running
            stage.bring(first)


def test_beside_hosts_whose_tls_ends_in_their_pods(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """Each host has its own certificate, and a name that nobody has is led nowhere; the exact name goes before the wildcard."""
    one, two = pods
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem_of(_C))
        file.flush()
        context.load_cert_chain(file.name)
    with tls_server(context, b"through") as own:
        stage.bring(
            ("a.example.com", _route("a", one), _A),
            (".apps.example.com", _route("wild", two), _WILD),
            ("c.apps.example.com", _route("c", own), None),
        )
        assert stage.shown("a.example.com") is _A
        assert stage.shown("A.example.com.") is _A
        assert _greeted(stage.port, "a.example.com") == b"first"
        assert _greeted(stage.port, "x.apps.example.com") == b"second"
        assert stage.shown("c.apps.example.com") is _C
        assert reached(stage.port, "c.apps.example.com") == b"through"
        for nobody in ("b.example.com", "x.y.apps.example.com", "apps.example.com"):
            assert stage.shown(nobody) is None
        with connect(stage.port) as plain:
            assert not echoes(plain, b"no TLS at all\n")


def test_only_the_first_host_needs_a_reload(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """Others come, change and go by commands; a held connection outlives all of it."""
    one, two = pods
    a, b = _route("a", one), _route("b", two)
    stage.bring()
    assert isinstance(stage.bring(("a.example.com", a, _A)), Reload)
    with tls(stage.port, "a.example.com") as held:
        assert held.recv(10) == b"first"
        assert isinstance(stage.bring(("a.example.com", a, _A), ("b.example.com", b, _B)), RuntimeUpdate)
        assert (stage.shown("a.example.com"), stage.shown("b.example.com")) == (_A, _B)
        assert _greeted(stage.port, "b.example.com") == b"second"
        # Another certificate, on one host alone.
        assert isinstance(stage.bring(("a.example.com", a, _C), ("b.example.com", b, _B)), RuntimeUpdate)
        assert (stage.shown("a.example.com"), stage.shown("b.example.com")) == (_C, _B)
        # To its pods as it comes, and back.
        assert isinstance(stage.bring(("a.example.com", a, None), ("b.example.com", b, _B)), RuntimeUpdate)
        assert stage.shown("a.example.com") is None
        assert isinstance(stage.bring(("a.example.com", a, _A), ("b.example.com", b, _B)), RuntimeUpdate)
        assert stage.shown("a.example.com") is _A
        assert isinstance(stage.bring(("b.example.com", b, _B)), RuntimeUpdate)
        assert stage.shown("a.example.com") is None
        assert isinstance(stage.bring(), RuntimeUpdate)
        assert stage.shown("b.example.com") is None
        assert re.findall("cert-", stage.changed.ask("show ssl cert")) == []
        assert isinstance(stage.bring(("a.example.com", a, _B)), RuntimeUpdate)
        assert stage.shown("a.example.com") is _B
        assert echoes(held)


def test_it_is_read_back_as_a_fresh_one_has_it(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """Certificates, their list and the hosts are those of a HAProxy that was started on the same."""
    one, two = pods
    a, b = _route("a", one), _route("b", two)
    stage.bring(("a.example.com", a, _A))
    stage.bring(("a.example.com", a, _C), (".apps.example.com", b, _WILD))
    listed = _listed(stage.changed)
    last = ("a.example.com", a, _C), (".apps.example.com", b, _WILD)
    with tempfile.TemporaryDirectory() as folder, applying(Path(folder), "127.0.0.2", sni_pool=4) as changed:
        fresh = _Stage(changed)
        fresh.port = stage.port
        fresh.bring(*last)
        assert _listed(changed) == listed
    assert len(listed) == 2


def _listed(changed: Applying) -> set[tuple[str, ...]]:
    """Give the lines of the list, and the hosts, without the folder that they are in and the order that they came in."""
    assert changed.running is not None
    (files,) = changed.running.ending_files.values()
    folder = str(changed.settings.maps_dir)
    lines = [
        line.replace(folder, "").split()
        for line in changed.ask(f"show ssl crt-list {files.certificates}").splitlines()[1:]
        if line
    ]
    hosts = sorted(line.split()[1] for line in changed.ask(f"show acl {files.hosts}").splitlines() if line)
    certificates = {line.replace(folder, "") for line in changed.ask("show ssl cert").splitlines()[1:] if line}
    assert certificates == {words[0] for words in lines}
    assert len(hosts) == len(lines)
    return {tuple(words) for words in lines}


@pytest.mark.parametrize("has_tickets", [True, False], ids=["tickets", "session IDs"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_host_does_not_lead_to_it_under_another(
    stage: _Stage, pods: tuple[TcpServer, TcpServer], version: ssl.TLSVersion, *, has_tickets: bool
) -> None:
    """With TLS 1.2 a resumed session has the name of its first host: who is led where goes by the name that this client told."""
    one, two = pods
    context = client_context()
    context.minimum_version = context.maximum_version = version
    if not has_tickets:
        context.options |= ssl.OP_NO_TICKET
    closed = ("192.0.2.1",)
    stage.bring(("a.example.com", _route("a", one), _A), ("b.example.com", _route("b", two, allowlist=closed), _B))
    greeting, session = _resumed(context, stage.port, "a.example.com", None)
    assert greeting == b"first"
    assert session is not None
    assert _resumed(context, stage.port, "a.example.com", session)[0] == b"first"
    # Into one that is closed to this client, and by one that is open into one that is not any more.
    assert not _resumed(context, stage.port, "b.example.com", session)[0]
    stage.bring(("a.example.com", _route("a", one, allowlist=closed), _A), ("b.example.com", _route("b", two), _B))
    assert _resumed(context, stage.port, "b.example.com", session)[0] == b"second"
    assert not _resumed(context, stage.port, "a.example.com", session)[0]


def _resumed(
    context: ssl.SSLContext, port: int, host: str, session: ssl.SSLSession | None
) -> tuple[bytes, ssl.SSLSession | None]:
    """Give what a client is greeted with that brings a session, and the session that it has then."""
    with (
        contextlib.suppress(OSError),
        connect(port) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as connection,
    ):
        greeting = connection.recv(10)
        return greeting, connection.session
    return b"", None


def test_the_client_is_known_behind_it(stage: _Stage) -> None:
    """Allowlists and PROXY headers go by the client's own address; nobody but HAProxy's user can connect to the socket between."""
    with echo_server() as pod:
        stage.bring(("a.example.com", _route("a", pod, send_proxy="v1"), _A))
        with tls(stage.port, "a.example.com") as connection:
            connection.sendall(b"x")
            line = connection.recv(100)
            assert line.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
            assert line.split()[5] == str(stage.port).encode()
        stage.bring(("a.example.com", _route("a", pod, allowlist=("192.0.2.1",)), _A))
        assert stage.shown("a.example.com") is None
    (socket,) = (stage.changed.settings.state_dir / "run").glob("t[0-9]*.sock")
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


def test_a_state_directory_with_blanks(pods: tuple[TcpServer, TcpServer]) -> None:
    """It is like any other: the first host is there after a load, the next one without, and changes too."""
    one, two = pods
    with (
        tempfile.TemporaryDirectory(prefix="a  b ") as folder,
        applying(Path(folder), "127.0.0.1", sni_pool=2) as changed,
    ):
        stage = _Stage(changed)
        a, b = _route("a", one), _route("b", two)
        assert isinstance(stage.bring(("a.example.com", a, _A)), Reload)
        assert isinstance(stage.bring(("a.example.com", a, _C), ("b.example.com", b, _B)), RuntimeUpdate)
        assert (stage.shown("a.example.com"), stage.shown("b.example.com")) == (_C, _B)
        assert _greeted(stage.port, "b.example.com") == b"second"
        assert isinstance(stage.bring(("b.example.com", b, _B)), RuntimeUpdate)
        assert stage.shown("a.example.com") is None


def test_versions_of_one_host(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """What one Route asks for holds for its host alone, and comes without a reload."""
    one, two = pods
    a, b = _route("a", one), _route("b", two)
    stage.bring(("a.example.com", a, _A), ("b.example.com", b, _B))
    assert stage.changed.running is not None
    model = stage.changed.running.model
    (shared,) = model.shared
    strict = [
        replace(host, tls=replace(host.tls, min_version="TLSv1.3", alpn=("x",)))
        if host.tls is not None and host.host == "a.example.com"
        else host
        for host in shared.hosts
    ]
    todo = stage.changed.bring(Model(model.routes, (replace(shared, hosts=tuple(strict)),)))
    assert isinstance(todo, RuntimeUpdate)
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert _resumed(context, stage.port, "b.example.com", None)[0] == b"second"
    assert not _resumed(context, stage.port, "a.example.com", None)[0]
    assert stage.shown("a.example.com") is _A
    assert len(_listed(stage.changed)) == 2


def test_a_reload_takes_the_socket_over(stage: _Stage) -> None:
    """Connections that are open go on, and new ones are ended by the new worker."""
    with echo_server() as pod:
        stage.bring(("a.example.com", _route("a", pod), _A))
        with tls(stage.port, "a.example.com") as held:
            assert echoes(held)
            for _ in range(3):
                assert stage.changed.running is not None
                changed = stage.changed
                result = changed.applier.apply(changed.renderer, stage.changed.running.model, changed.running)
                assert isinstance(result, Applied)
                changed.running = result.running
                assert echoes(held)
                assert stage.shown("a.example.com") is _A


def test_a_certificate_that_haproxy_refuses_costs_its_host_alone(
    stage: _Stage, pods: tuple[TcpServer, TcpServer]
) -> None:
    """Though it stands in a list that a port has for all of its hosts: whose it is, its file tells."""
    one, two = pods
    a, b = _route("a", one), _route("b", two)
    stage.bring(("a.example.com", a, _A))
    assert stage.changed.running is not None
    model = stage.changed.running.model
    broken = PortTls(Certificate(PrivateBytes(_B.pem.encode()), 0, 0))
    hosts = (*model.shared[0].hosts, SniHost("b.example.com", b.backend.name, b.asker, broken))
    desired = Model(
        tuple(replace(each, stages=(Spot(stage.port),)) for each in (a, b)), (replace(model.shared[0], hosts=hosts),)
    )
    result = stage.changed.applier.apply(stage.changed.renderer, desired, stage.changed.running)
    assert isinstance(result, Refused)
    assert set(result.refusals.routes) == {b.asker}
    assert not result.refusals.ports
    assert stage.shown("a.example.com") is _A


def test_a_client_of_a_replaced_worker_meets_nobody_else(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """It connected before a reload and tells its host after it, when a place of the pool that its Route had is another one's."""
    one, two = pods
    a, b, c = _route("a", one), _route("b", two), _route("c", two)
    stage.bring(("c.example.com", c, _C))
    assert isinstance(stage.bring(("a.example.com", a, _A), ("c.example.com", c, _C)), RuntimeUpdate)
    changed = stage.changed
    assert changed.running is not None
    assert changed.running.owners == {"pool:sni:1": a.backend.name}
    with connect(stage.port) as early:
        assert stage.shown("a.example.com") is _A
        result = changed.applier.apply(changed.renderer, changed.running.model, changed.running)
        assert isinstance(result, Applied)
        changed.running = result.running
        todo = stage.bring(("a.example.com", a, _A), ("b.example.com", b, _B), ("c.example.com", c, _C))
        assert isinstance(todo, RuntimeUpdate)
        assert changed.running.owners == {"pool:sni:1": b.backend.name}
        with client_context().wrap_socket(early, server_hostname="a.example.com") as secured:
            assert secured.recv(10) == b"first"
    assert _greeted(stage.port, "b.example.com") == b"second"


@pytest.mark.parametrize("log_json", [False, True])
def test_haproxy_takes_it_without_a_word(*, log_json: bool) -> None:
    """It warns of nothing; a handshake that fails is a line with the client's own address and the host, and one that is refused before leaves none."""
    with echo_server() as pod, tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(state_dir=Path(folder), ip_mode="v4", log_json=log_json)
        port = free_port()
        to = replace(_route("a", pod), stages=(Spot(port),))
        lead = SniHost("a.example.com", to.backend.name, to.asker, shown_by(_A))
        with running(Model((to,), (SharedFrontend(port, port_options(), (lead,)),)), settings) as haproxy:
            with tls(port, "a.example.com") as connection:
                assert echoes(connection)
            haproxy.log_line('"route":"a"' if log_json else "route=a")
            context = client_context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("AES128-SHA")
            assert not _resumed(context, port, "a.example.com", None)[0]
            line = haproxy.log_line("tls_error")
            assert "127.0.0.1" in line
            assert "a.example.com" in line
            assert str(port) in line
            assert len([each for each in haproxy.log_lines() if str(port) in each and "127.0.0.1" in each]) == 2


def test_the_longest_host(stage: _Stage, pods: tuple[TcpServer, TcpServer]) -> None:
    """HAProxy carries 127 bytes of a name to where TLS ends; longer hosts are refused by admission."""
    host = f"{'a' * 60}.{'b' * 55}.{'c' * 6}.com"
    assert len(host) == 127
    stage.bring((host, _route("a", pods[0]), _A))
    assert _greeted(stage.port, host) == b"first"


@pytest.mark.parametrize("is_gated", [False, True], ids=["in common", "asked for certificates"])
def test_a_name_that_comes_later_forges_no_line_of_the_log(*, is_gated: bool) -> None:
    """A client may tell another name, of any bytes, when it is asked for its hello anew: it is led on by the first, and the log writes the other as one word."""
    with echo_server() as pod, tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(state_dir=Path(folder), ip_mode="v4", log_json=True)
        port = free_port()
        shown = replace(shown_by(_A), clients=verified_by(authority("clients")) if is_gated else None)
        to = replace(_route("a", pod), stages=(Spot(port),), is_gated=is_gated)
        lead = SniHost("a.example.com", to.backend.name, to.asker, shown)
        with running(Model((to,), (SharedFrontend(port, port_options(), (lead,)),)), settings) as haproxy:
            with connect(port) as plain:
                plain.sendall(tls13_hello(b"a.example.com"))
                assert plain.recv(4096).startswith(b"\x16")
                plain.sendall(tls13_hello(b'x","namespace":"others","y":"\n{"z":1}', bytes(range(1, 33))))
                assert plain.recv(4096)
            line = json.loads(haproxy.log_line("tls_error").partition("{")[2].join(("{", "")))
    assert (line["namespace"], line["route"]) == ("-", "-")
    assert line["host"] == "x%22%2C%22namespace%22%3A%22others%22%2C%22y%22%3A%22%0A%7B%22z%22%3A1%7D"
