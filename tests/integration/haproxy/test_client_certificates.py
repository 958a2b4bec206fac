"""Ports that ask clients for certificates: who is let in, what changes without a reload, and that no session leads round it."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from router.haproxy.talk.runtime import run
from router.model import Model, RouteSection
from router.model.tls import ClientTls
from router.plan import Plan, Reload, RuntimeUpdate
from router.plan.commands import set_client_file
from router.reconcile.apply import Applied
from router.render import TemplateSet
from router.render.renderer import Renderer
from tests.support.certificates import Made, make, shown_by
from tests.support.client_certificates import authority, context_of, greeted, revoke, show, speaking, verified_by
from tests.support.clients import TIMEOUT_S
from tests.support.models import section, server
from tests.support.ports import free_ports
from tests.support.runtime import Applying, applying, differences
from tests.support.servers import TcpServer, greeting_server
from tests.support.waiting import wait_for

_CA, _OTHER_CA = authority("clients"), authority("others")
_ALICE, _BOB = make("alice", signed_by=_CA), make("bob", signed_by=_CA)
_MALLORY = make("mallory", signed_by=_OTHER_CA)
_PHASES = (Phase.explicit, Phase.generate)
"""Each step changes a HAProxy: to make a counterexample smaller would take minutes."""
_SHOWN, _RENEWED = make("db.example.com"), make("db.example.com")
_BOB_REVOKED = revoke(_CA, _BOB)


class _Ports:
    """One HAProxy with an open port, and one that asks for certificates."""

    def __init__(self, changed: Applying, pod: TcpServer) -> None:
        self.changed = changed
        self.pod = pod
        self.open, self.closed = free_ports(2)

    def section(self, name: str, port: int, clients: ClientTls | None, shown: Made = _SHOWN) -> RouteSection:
        tls = replace(shown_by(shown), clients=clients)
        return section(name, port, server(self.pod.port), tls=tls, check_interval_ms=0)

    def bring(self, clients: ClientTls | None, open_clients: ClientTls | None = None) -> Plan:
        """Serve both ports."""
        return self.changed.bring(self.model(clients, open_clients))

    def model(self, clients: ClientTls | None, open_clients: ClientTls | None = None, shown: Made = _SHOWN) -> Model:
        """Give both ports."""
        return Model((self.section("a", self.open, open_clients), self.section("b", self.closed, clients, shown)))

    def lets_in(self, made: Made | None, version: str = "1.3") -> bool:
        """Whether a client with this certificate reaches the pod behind the port that asks for one."""
        return greeted(context_of(made, version), self.closed)[0] == b"hello"

    def shows(self, made: Made) -> bytes | None:
        """Give the certificate of the port that asks for one, in DER, as a client with this one sees it."""
        with speaking(context_of(made), self.closed, None) as connection:
            return connection.getpeercert(binary_form=True)


@pytest.fixture
def ports() -> Iterator[_Ports]:
    """Nothing served yet."""
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"hello") as pod,
        applying(Path(folder), "127.0.0.1") as changed,
    ):
        yield _Ports(changed, pod)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_who_is_let_in(ports: _Ports, version: str) -> None:
    """Those with a certificate of the CA; where it is optional, those without one too, and never those with another's."""
    ports.bring(verified_by(_CA))
    assert [ports.lets_in(each, version) for each in (_ALICE, _MALLORY, None)] == [True, False, False]
    ports.bring(verified_by(_CA, required=False))
    assert [ports.lets_in(each, version) for each in (_ALICE, _MALLORY, None)] == [True, False, True]
    ports.bring(verified_by(_CA, subjects="CN=al.ce$"))
    assert [ports.lets_in(each, version) for each in (_ALICE, _BOB, None)] == [True, False, False]


def test_another_authority_or_list_needs_no_reload(ports: _Ports) -> None:
    """It holds for the next connection, also of who has a session; and so it is on disk, and after a restart."""
    ports.bring(verified_by(_CA, revoked=revoke(_CA)))
    contexts = [context_of(_BOB, version, tickets=tickets) for version in ("1.2", "1.3") for tickets in (True, False)]
    sessions = [greeted(context, ports.closed)[1] for context in contexts]
    assert ports.lets_in(_BOB)
    revoked = verified_by(_CA, revoked=revoke(_CA, _BOB))
    assert isinstance(ports.bring(revoked), RuntimeUpdate)
    assert [ports.lets_in(each) for each in (_ALICE, _BOB)] == [True, False]
    for context, session in zip(contexts, sessions, strict=True):
        assert greeted(context, ports.closed, session=session)[0] == b""
    turned = verified_by(_OTHER_CA, revoked=revoke(_OTHER_CA))
    assert isinstance(ports.bring(turned), RuntimeUpdate)
    assert [ports.lets_in(each) for each in (_ALICE, _MALLORY)] == [False, True]
    maps = ports.changed.settings.maps_dir
    wait_for(
        lambda: [turned.authorities in path.read_text() for path in maps.glob("clients-*")] == [True],
        "the file to follow",
    )
    ports.changed.haproxy.hurry()
    ports.changed.haproxy.stop()
    wait_for(lambda: ports.changed.haproxy.is_down, "HAProxy to end")
    ports.changed.haproxy.load()
    assert [ports.lets_in(each) for each in (_ALICE, _MALLORY)] == [False, True]


def test_certificates_and_authorities_change_by_turns(ports: _Ports) -> None:
    """Whatever changed before, the port shows the new certificate, asks for that of the new authority, and HAProxy lives; without a reload where it can (its issue 3165)."""
    ports.bring(verified_by(_CA, revoked=revoke(_CA)))
    first = ports.changed.ask("show info").split("Pid: ")[1].split()[0]
    steps = [
        (_OTHER_CA, _SHOWN, _MALLORY), (_OTHER_CA, _RENEWED, _MALLORY), (_CA, _RENEWED, _ALICE), (_OTHER_CA, _SHOWN, _MALLORY),
        (_CA, _RENEWED, _ALICE), (_CA, _SHOWN, _ALICE), (_OTHER_CA, _SHOWN, _MALLORY),
    ]  # fmt: skip
    for ca, shown, client in steps:
        ports.changed.bring_anyhow(ports.model(verified_by(ca, revoked=revoke(ca)), shown=shown))
        assert ports.shows(client) == shown.certificate.public_bytes(Encoding.DER)
        assert [ports.lets_in(each) for each in (_ALICE, _MALLORY, None)] == [
            client is _ALICE,
            client is _MALLORY,
            False,
        ]
    version = re.findall(r"Version: (\d+)\.(\d+)\.(\d+)", ports.changed.ask("show info"))[0]
    if tuple(map(int, version)) >= (3, 2, 8) or version[:2] == ("2", "8"):
        assert ports.changed.ask("show info").split("Pid: ")[1].split()[0] == first


def test_what_only_a_reload_changes(ports: _Ports) -> None:
    """Whether certificates are asked for at all, whether they are needed, and whether there is a list."""
    steps = [None, verified_by(_CA), verified_by(_CA, required=False), verified_by(_CA, revoked=revoke(_CA)), None]
    assert all(isinstance(ports.bring(each), Reload) for each in steps)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "session IDs"])
@pytest.mark.parametrize("begun", ["without", "optional", "other CA"])
@pytest.mark.parametrize("shows", [False, True], ids=["nothing", "another's"])
def test_no_session_leads_round_it(ports: _Ports, version: str, begun: str, *, tickets: bool, shows: bool) -> None:
    """A session of a port that asks for nothing, or for another CA's certificate, is none at one that asks for ours."""
    at_open = {"without": None, "optional": verified_by(_OTHER_CA, required=False), "other CA": verified_by(_OTHER_CA)}[
        begun
    ]
    ports.bring(verified_by(_CA), at_open)
    context = context_of(_MALLORY if begun == "other CA" else None, version, tickets=tickets)
    greeting, session = greeted(context, ports.open, "db.example.com")
    assert greeting == b"hello"
    if shows:
        show(context, _MALLORY)
    for host in ("db.example.com", "other.example.com", None):
        assert greeted(context, ports.closed, host, session)[0] == b""
    # That it is refused for what it is, and not because nobody is let in.
    assert ports.lets_in(_ALICE, version)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "session IDs"])
def test_a_session_without_a_certificate_is_none_once_it_is_needed(
    ports: _Ports, version: str, *, tickets: bool
) -> None:
    """At the very port: it was begun when certificates were optional there."""
    ports.bring(verified_by(_CA, required=False))
    context = context_of(None, version, tickets=tickets)
    greeting, session = greeted(context, ports.closed)
    assert greeting == b"hello"
    ports.bring(verified_by(_CA))
    assert greeted(context, ports.closed, session=session)[0] == b""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_ports_without_it_go_on_resuming(ports: _Ports, version: str) -> None:
    """By tickets, as nearly all clients do: what is off is the cache of the process alone."""
    ports.bring(verified_by(_CA))
    context = context_of(None, version)
    _, session = greeted(context, ports.open)
    with_session = _reused(context, ports.open, session)
    assert with_session
    alice = context_of(_ALICE, version)
    _, session = greeted(alice, ports.closed)
    assert not _reused(alice, ports.closed, session)


def _reused(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> bool | None:
    assert session is not None
    with speaking(context, port, None, session) as connection:
        assert connection.recv(100) == b"hello"
        return connection.session_reused


def test_a_change_that_was_left_behind_is_let_go_of(ports: _Ports) -> None:
    """HAProxy has one transaction for all authorities, and one for all lists."""
    ports.bring(verified_by(_CA, revoked=revoke(_CA)), verified_by(_CA, revoked=revoke(_CA)))
    for kind, pem in (("ca-file", _OTHER_CA.pem), ("crl-file", revoke(_CA))):
        names = [
            line.split(" ")[0] for line in ports.changed.ask(f"show ssl {kind}").splitlines() if line.startswith("/")
        ]
        begun, _ = set_client_file(kind, names[0], pem)
        run(ports.changed.settings.stats_socket, [begun], TIMEOUT_S)
        assert f"*{names[0]}" in ports.changed.ask(f"show ssl {kind}")
        run(ports.changed.settings.stats_socket, set_client_file(kind, names[1], pem), TIMEOUT_S)
        assert "*" not in ports.changed.ask(f"show ssl {kind}")


def test_an_expired_list_refuses_everybody(ports: _Ports) -> None:
    """Which is why it is told before."""
    ports.bring(verified_by(_CA, revoked=revoke(_CA, days=-1)))
    assert not ports.lets_in(_ALICE)


_CHOICES = st.sampled_from([
    None, verified_by(_CA), verified_by(_OTHER_CA), verified_by(_CA, required=False), verified_by(_CA, revoked=revoke(_CA)),
    verified_by(_CA, revoked=_BOB_REVOKED), verified_by(_OTHER_CA, revoked=revoke(_OTHER_CA)),
])  # fmt: skip


@hypothesis_settings(
    max_examples=8, deadline=None, derandomize=True, phases=_PHASES, suppress_health_check=list(HealthCheck)
)
@given(steps=st.lists(_CHOICES, min_size=2, max_size=7))
def test_lives_of_a_port(steps: list[ClientTls | None]) -> None:
    """Whatever came before, those are let in whom the port asks for now; and so it is after a reload, and with no more that HAProxy has."""
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"hello") as pod,
        applying(Path(folder), "127.0.0.1") as changed,
    ):
        ports = _Ports(changed, pod)
        everybody = (_ALICE, _BOB, _MALLORY, None)
        for clients in steps:
            ports.bring(clients)
            assert [ports.lets_in(each) for each in everybody] == [_is_let_in(clients, each) for each in everybody]
        there = changed.state()
        assert changed.running is not None
        result = changed.applier.apply(changed.renderer, changed.running.model, changed.running)
        assert isinstance(result, Applied)
        changed.running = result.running
        assert not differences(there, changed.state())
        assert not changed.without_use()


def _is_let_in(clients: ClientTls | None, made: Made | None) -> bool:
    if clients is None:
        return True
    if made is None:
        return not clients.required
    by = _OTHER_CA if made is _MALLORY else _CA
    return by.pem in clients.authorities and not (made is _BOB and clients.revoked == _BOB_REVOKED)


_TEMPLATES = {
    "no certificates asked for": ("route.cfg.j2", "{{ tls_options }}", "", "tls_options"),
    "no guard": ("route.cfg.j2", "reject if !{ ssl_c_used }", "accept", "ssl_c_used"),
    "a cache of sessions": ("global.cfg.j2", "tune.ssl.cachesize 0", "tune.ssl.cachesize 1000", "cachesize"),
    "any subject": ("route.cfg.j2", "ssl_c_s_dn -m reg", "src -m str", "ssl_c_s_dn"),
}


@pytest.mark.parametrize(("name", "part", "instead", "said"), _TEMPLATES.values(), ids=_TEMPLATES)
def test_templates_that_would_let_everybody_in(
    ports: _Ports, tmp_path: Path, name: str, part: str, instead: str, said: str
) -> None:
    """They cost such Routes, and nobody else."""
    text = (Path(__file__).parents[3] / "templates" / name).read_text()
    assert part in text
    (tmp_path / name).write_text(text.replace(part, instead))
    renderer = Renderer(TemplateSet.load(tmp_path), ports.changed.settings)
    asks = ports.section("b", ports.closed, verified_by(_CA, subjects="CN=alice"))
    rendered = renderer.render(Model((ports.section("a", ports.open, None), asks)))
    (failure,) = rendered.failures
    assert failure.owner == asks.asker
    assert said in str(failure.error)


_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_SSL, _CN = 0x20, 0x22
_BY_SSL, _SHOWN_NOW, _SHOWN_IN_SESSION = 1, 2, 4


def _tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        found[kind], data = data[3 : 3 + length], data[3 + length :]
    return found


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_pod_is_told_who_the_client_is(version: str) -> None:
    """By the PROXY header: that a certificate was shown and is good, and its common name; and where none is asked for, that there was none."""
    seen: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        seen.append(connection.recv(400))
        connection.sendall(b"hello")

    with (
        tempfile.TemporaryDirectory() as folder,
        TcpServer(remember) as pod,
        applying(Path(folder), "127.0.0.1") as changed,
    ):
        ports = _Ports(changed, pod)
        asks, open_to_all = ports.section("b", ports.closed, verified_by(_CA)), ports.section("a", ports.open, None)
        told = [replace(each, backend=replace(each.backend, send_proxy="v2-ssl")) for each in (open_to_all, asks)]
        changed.bring(Model(tuple(told)))
        assert ports.lets_in(_ALICE, version)
        assert _told(seen.pop()) == (_BY_SSL | _SHOWN_NOW | _SHOWN_IN_SESSION, 0, b"alice")
        assert greeted(context_of(None, version), ports.open)[0] == b"hello"
        flags, _, name = _told(seen.pop())
        assert (flags, name) == (_BY_SSL, None)


def _told(header: bytes) -> tuple[int, int, bytes | None]:
    """Give what a PROXY header says of TLS: flags, the result of verification, and the common name of the client."""
    assert header.startswith(_SIGNATURE)
    (length,) = struct.unpack("!H", header[14:16])
    tls = _tlvs(header[28 : 16 + length])[_SSL]
    flags, verify = struct.unpack("!BI", tls[:5])
    return flags, verify, _tlvs(tls[5:]).get(_CN)
