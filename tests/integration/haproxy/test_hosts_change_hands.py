"""A host of a shared port that comes to another Route while HAProxy runs: between any two commands, nobody gets round what either asks for."""

from __future__ import annotations

import contextlib
import itertools
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from router.haproxy.talk import runtime
from router.model import Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.tls import ClientTls, PortTls
from router.plan import RuntimeUpdate, plan
from tests.support.certificates import Made, make, shown_by
from tests.support.client_certificates import authority, context_of, greeted, verified_by
from tests.support.clients import TIMEOUT_S, connect
from tests.support.hellos import tls13_hello
from tests.support.late import all_but_the_last_flight
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import applying
from tests.support.servers import TcpServer, greeting_server

_CA, _OTHER_CA = authority("clients"), authority("others")
_ALICE, _MALLORY = make("alice", signed_by=_CA), make("mallory", signed_by=_OTHER_CA)
_HOST, _OTHER = "a.example.com", "b.example.com"
_SHOWN = {name: make(name) for name in (_HOST, _OTHER)}
_KINDS: dict[str, ClientTls | str | None] = {
    "asks": verified_by(_CA),
    "asks others": verified_by(_OTHER_CA),
    "edge": None,
    "passthrough": "through",
}


def _led(
    port: int, name: str, pod: TcpServer, host: str, clients: ClientTls | str | None
) -> tuple[RouteSection, SniHost]:
    to = section(name, None, server(pod.port), check_interval_ms=0)
    tls: PortTls | None = None
    if not isinstance(clients, str):
        to = replace(to, stages=(Spot(port),), is_gated=clients is not None)
        tls = replace(shown_by(_SHOWN[host]), clients=clients)
    return to, SniHost(host, to.backend.name, to.asker, tls)


def _model(port: int, *led: tuple[RouteSection, SniHost]) -> Model:
    hosts = tuple(sorted((host for _, host in led), key=lambda each: each.host))
    routes = sorted((to for to, _ in led), key=lambda each: each.backend.name)
    return Model(tuple(routes), (SharedFrontend(port, port_options(), hosts, spare_gates=2),))


def _told(port: int) -> bytes:
    """Give what comes of what the port leads on as it comes."""
    with contextlib.suppress(OSError), connect(port) as connection:
        connection.sendall(tls13_hello(_HOST.encode()))
        return connection.recv(6)
    return b""


def _shown(clients: ClientTls | str | None) -> Made | None:
    """Give what a client shows who is let in."""
    return {_KINDS["asks"]: _ALICE, _KINDS["asks others"]: _MALLORY}.get(clients)


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(_KINDS, 2)))
def test_between_two_commands(before: str, after: str) -> None:
    """Whoever began at the one Route does not come to the other's pods, and neither has clients that it would not let in."""
    former, next_one = _KINDS[before], _KINDS[after]
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"former") as pod,
        greeting_server(b"second") as other_pod,
        applying(Path(folder), "127.0.0.1", sni_pool=8) as changed,
        contextlib.ExitStack() as stack,
    ):
        port = free_port()
        beside = _led(port, "b", pod, _OTHER, None)
        changed.bring(_model(port, beside))
        assert isinstance(changed.bring(_model(port, beside, _led(port, "a", pod, _HOST, former))), RuntimeUpdate)
        desired = _model(port, beside, _led(port, "e", other_pod, _HOST, next_one))
        todo = plan(changed.running, desired, changed.renderer)
        assert isinstance(todo, RuntimeUpdate)
        slow = []
        if not isinstance(former, str):
            for _ in range(len(todo.commands)):
                connection: socket.socket = stack.enter_context(connect(port))
                slow.append((all_but_the_last_flight(connection, context_of(_shown(former)), _HOST), connection))
        for command in todo.commands:
            runtime.run(changed.settings.stats_socket, [command], TIMEOUT_S)
            if slow:
                late, connection = slow.pop()
                assert late.answered(connection) != b"second", command.text[:80]
            assert _told(port) not in {
                b"former" if former != "through" else b"",
                b"second" if next_one != "through" else b"",
            } - {b""}, command.text[:80]
            for made in (_ALICE, _MALLORY, None):
                reached = greeted(context_of(made), port, _HOST)[0]
                for word, clients in ((b"former", former), (b"second", next_one)):
                    if isinstance(clients, ClientTls) and made is not _shown(clients):
                        assert reached != word, command.text[:80]
        changed.running = todo.after
        if isinstance(next_one, str):
            assert _told(port) == b"second"
        else:
            assert greeted(context_of(_shown(next_one)), port, _HOST)[0] == b"second"


def test_between_two_that_ask_alike() -> None:
    """A client who was slow with his handshake is led to the pods of the next one only if he may connect there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"former") as pod,
        greeting_server(b"second") as other_pod,
        applying(Path(folder), "127.0.0.1", sni_pool=8) as changed,
    ):
        port = free_port()
        beside, former = (_led(port, name, pod, host, None) for name, host in (("b", _OTHER), ("a", _HOST)))
        changed.bring(_model(port, beside))
        assert isinstance(changed.bring(_model(port, beside, former)), RuntimeUpdate)
        with connect(port) as slow, connect(port) as prompt:
            late = all_but_the_last_flight(slow, context_of(None), _HOST)
            assert all_but_the_last_flight(prompt, context_of(None), _HOST).answered(prompt) == b"former"
            to, host = _led(port, "e", other_pod, _HOST, None)
            to = replace(to, backend=replace(to.backend, allowlist=("127.0.0.2",)))
            assert isinstance(changed.bring(_model(port, beside, (to, host))), RuntimeUpdate)
            assert late.answered(slow) == b""
        with connect(port, source="127.0.0.2") as listed:
            assert all_but_the_last_flight(listed, context_of(None), _HOST).answered(listed) == b"second"
