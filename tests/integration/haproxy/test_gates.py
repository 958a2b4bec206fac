"""Hosts of a shared port whose clients are asked for certificates: sockets of their own, that come and go without a reload, and no way round."""

from __future__ import annotations

import contextlib
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from router.cli.stand_in import stand_in
from router.haproxy.closing import close_ports_first
from router.haproxy.talk import runtime, stats
from router.model import Asker, Model, RouteSection, SharedFrontend, SniHost, Spot, frontend_name
from router.model.stages import gate_number
from router.model.tls import ClientTls, PortTls
from router.plan import NoChange, Plan, Reload, RuntimeUpdate, plan
from router.plan.commands import open_frontend
from router.reconcile.apply import Applied
from router.render import TemplateSet
from router.render.renderer import Renderer
from router.settings import RenderSettings
from tests.support.certificates import Made, make, shown_by
from tests.support.client_certificates import authority, context_of, greeted, revoke, show, speaking, verified_by
from tests.support.clients import TIMEOUT_S, connect, echoes
from tests.support.haproxy import running
from tests.support.hellos import tls13_hello
from tests.support.late import all_but_the_last_flight
from tests.support.models import port_options, section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for

_CA, _OTHER_CA = authority("clients"), authority("others")
_ALICE, _BOB = make("alice", signed_by=_CA), make("bob", signed_by=_CA)
_MALLORY = make("mallory", signed_by=_OTHER_CA)
_PHASES = (Phase.explicit, Phase.generate)
"""Each step changes a HAProxy: to make a counterexample smaller would take minutes."""
_SHOWN = {name: make(f"{name}.example.com") for name in "abcd"}
_SPARE = 2

Hosts = dict[str, ClientTls | str | None]
"""By the first label of a host, how its clients are verified; None is not at all, and ``through`` leaves TLS to the pods."""


class _Port:
    """One HAProxy with a shared port that has some sockets in advance."""

    def __init__(self, changed: Applying, pod: TcpServer) -> None:
        self.changed = changed
        self.port = free_port()
        self.pod = pod

    def model(self, hosts: Hosts) -> Model:
        """Give the model in which these are served."""
        routes = {name: self._route(name, tls) for name, tls in hosts.items()}
        leads = [
            SniHost(f"{name}.example.com", to.backend.name, to.asker, self._tls(name, hosts[name]))
            for name, to in sorted(routes.items())
        ]
        shared = SharedFrontend(self.port, port_options(), tuple(leads), spare_gates=_SPARE)
        return Model(tuple(routes[name] for name in sorted(routes)), (shared,))

    def _route(self, name: str, tls: ClientTls | str | None) -> RouteSection:
        made = section(name, None, server(self.pod.port), check_interval_ms=0)
        return made if isinstance(tls, str) else replace(made, stages=(Spot(self.port),), is_gated=tls is not None)

    @staticmethod
    def _tls(name: str, clients: ClientTls | str | None) -> PortTls | None:
        if isinstance(clients, str):
            return None
        return replace(shown_by(_SHOWN[name]), clients=clients)

    def model_of(self, route: str, hosts: Hosts) -> Model:
        """Give the model in which these are served, the host ``a`` by a Route that is named otherwise."""
        model = self.model(hosts)
        (shared,), backend, asker = model.shared, f"be_tcp:team:{route}", Asker.route("team", route)
        routes = {each.backend.name: each for each in model.routes}
        there = routes.pop("be_tcp:team:a")
        routes[backend] = replace(there, backend=replace(there.backend, name=backend), asker=asker)
        leads = tuple(
            replace(host, backend=backend, asker=asker) if host.host == "a.example.com" else host
            for host in shared.hosts
        )
        return Model(tuple(routes[name] for name in sorted(routes)), (replace(shared, hosts=leads),))

    def bring(self, **hosts: ClientTls | str | None) -> Plan:
        """Serve these."""
        return self.changed.bring(self.model(hosts))

    def lets_in(self, name: str, *clients: Made | None, version: str = "1.3") -> list[bool]:
        """Say of each client, by its certificate, whether it reaches the pod of a host."""
        return [greeted(context_of(each, version), self.port, f"{name}.example.com")[0] == b"hello" for each in clients]


@pytest.fixture
def port() -> Iterator[_Port]:
    """Nothing served yet."""
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"hello") as pod,
        applying(Path(folder), "127.0.0.1", sni_pool=8) as changed,
    ):
        yield _Port(changed, pod)


_EVERYBODY = (_ALICE, _MALLORY, None)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_beside_others(port: _Port, version: str) -> None:
    """Each host asks for what it wants, and others for nothing; a name that nobody has is closed."""
    port.bring(a=verified_by(_CA), b=None, c=verified_by(_OTHER_CA, required=False))
    assert port.lets_in("a", *_EVERYBODY, version=version) == [True, False, False]
    assert port.lets_in("b", *_EVERYBODY, version=version) == [True, True, True]
    assert port.lets_in("c", *_EVERYBODY, version=version) == [False, True, True]
    assert port.lets_in("d", *_EVERYBODY, version=version) == [False, False, False]
    sockets = list((port.changed.settings.state_dir / "run").glob("t[0-9]*.sock"))
    assert len(sockets) == 4 + _SPARE
    assert {stat.S_IMODE(each.stat().st_mode) for each in sockets} == {0o600}


def test_the_pool_makes_them_come_and_go_without_a_reload(port: _Port) -> None:
    """The first of all too, up to as many as there are; what changes of one that is there needs no socket of the pool."""
    port.bring()
    assert isinstance(port.bring(a=verified_by(_CA)), RuntimeUpdate)
    assert port.lets_in("a", *_EVERYBODY) == [True, False, False]
    assert isinstance(port.bring(a=verified_by(_CA), b=verified_by(_OTHER_CA)), RuntimeUpdate)
    assert port.lets_in("b", *_EVERYBODY) == [False, True, False]
    assert isinstance(port.bring(b=verified_by(_OTHER_CA), c=verified_by(_CA, required=False)), RuntimeUpdate)
    assert port.lets_in("a", *_EVERYBODY) == [False, False, False]
    assert port.lets_in("c", *_EVERYBODY) == [True, False, True]
    assert isinstance(port.bring(b=verified_by(_CA), c=verified_by(_CA)), RuntimeUpdate)
    assert port.lets_in("b", *_EVERYBODY) == port.lets_in("c", *_EVERYBODY) == [True, False, False]
    todo = port.bring(a=verified_by(_CA), b=verified_by(_CA), c=verified_by(_CA))
    assert isinstance(todo, Reload)
    assert port.lets_in("a", *_EVERYBODY) == [True, False, False]
    assert isinstance(
        port.bring(a=verified_by(_CA), b=verified_by(_CA), c=verified_by(_CA), d=verified_by(_CA)), RuntimeUpdate
    )
    assert port.lets_in("d", *_EVERYBODY) == [True, False, False]


def test_who_is_on_the_way_meets_the_same_host_behind_a_reload(port: _Port) -> None:
    """The worker that is replaced leads to the sockets that it knows, and at each other reload those of the pool would be somebody else's; the pool is full again."""
    port.bring(b=None)
    spot, host = Spot(port.port), "a.example.com"
    for turn in range(3):
        assert isinstance(port.bring(a=verified_by(_CA), b=None), RuntimeUpdate if turn == 0 else NoChange)
        changed = port.changed
        assert changed.running is not None
        number = gate_number(changed.running.gates[spot].taken[host])
        assert number
        result = changed.applier.apply(changed.renderer, changed.running.model, changed.running)
        assert isinstance(result, Applied)
        changed.running = result.running
        assert _led(changed.settings.gate_socket(spot, number), host, port.port) == b"hello"
        assert port.lets_in("a", *_EVERYBODY) == [True, False, False]
    asking = verified_by(_CA)
    assert isinstance(port.bring(a=asking, b=None, c=asking, d=asking), RuntimeUpdate)
    assert port.lets_in("c", *_EVERYBODY) == port.lets_in("d", *_EVERYBODY) == [True, False, False]
    result = changed.applier.apply(changed.renderer, port.model({"a": asking, "c": asking}), changed.running)
    assert isinstance(result, Applied)
    changed.running = result.running
    assert port.lets_in("a", _ALICE) == port.lets_in("c", _ALICE) == [True]
    assert isinstance(port.bring(a=asking, b=asking, c=asking, d=asking), RuntimeUpdate)
    assert [port.lets_in(name, *_EVERYBODY) for name in "abcd"] == [[True, False, False]] * 4


def _led(path: Path, host: str, port: int) -> bytes:
    """Give what a client is greeted with that another worker leads to a socket."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(TIMEOUT_S)
        plain.connect(str(path))
        tlv = struct.pack("!BH", 5, len(host)) + host.encode()
        ends = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", 1000, port)
        plain.sendall(b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(ends) + len(tlv)) + ends + tlv)
        with contextlib.suppress(OSError), context_of(_ALICE).wrap_socket(plain, server_hostname=host) as connection:
            return connection.recv(100)
    return b""


def test_another_authority_or_list_holds_at_once(port: _Port) -> None:
    """For the next connection, also of who has a session; and so it is after a restart."""
    port.bring(a=verified_by(_CA, revoked=revoke(_CA)))
    contexts = [context_of(_BOB, version, tickets=tickets) for version in ("1.2", "1.3") for tickets in (True, False)]
    sessions = [greeted(context, port.port, "a.example.com")[1] for context in contexts]
    assert isinstance(port.bring(a=verified_by(_CA, revoked=revoke(_CA, _BOB))), RuntimeUpdate)
    assert port.lets_in("a", _ALICE, _BOB) == [True, False]
    for context, session in zip(contexts, sessions, strict=True):
        assert greeted(context, port.port, "a.example.com", session)[0] == b""
    assert isinstance(port.bring(a=verified_by(_OTHER_CA)), RuntimeUpdate)
    assert port.lets_in("a", *_EVERYBODY) == [False, True, False]
    files = port.changed.settings.maps_dir
    wait_for(
        lambda: [_OTHER_CA.pem in each.read_text() for each in files.glob("clients-*")] == [True], "the file to follow"
    )
    port.changed.haproxy.hurry()
    port.changed.haproxy.stop()
    wait_for(lambda: port.changed.haproxy.is_down, "HAProxy to end")
    port.changed.haproxy.load()
    assert port.lets_in("a", *_EVERYBODY) == [False, True, False]


@pytest.mark.parametrize("before", [None, "through"], ids=["edge", "passthrough"])
def test_a_host_comes_to_ask_and_ceases_to(port: _Port, before: str | None) -> None:
    """Beside a host of the kind that it was, without a reload; nobody is led round it meanwhile or after."""
    port.bring(a=before, b=None)
    assert isinstance(port.bring(a=verified_by(_CA), b=None), RuntimeUpdate | Reload)
    assert port.lets_in("a", *_EVERYBODY) == [True, False, False]
    port.bring(a=before, b=None)
    assert port.lets_in("b", None) == [True]
    assert port.lets_in("a", None) == [before is None]


def test_who_waits_for_a_reload_is_served_meanwhile(port: _Port) -> None:
    """There is no socket left for a host that comes to ask: until the reload its clients are led as they were."""
    changed = port.changed
    port.bring(a=None)
    assert isinstance(port.bring(a=None, c=verified_by(_CA), d=verified_by(_CA)), RuntimeUpdate)
    hosts: Hosts = {"a": verified_by(_CA), "b": None, "c": verified_by(_CA), "d": verified_by(_CA)}
    todo = plan(changed.running, port.model(hosts), changed.renderer)
    assert isinstance(todo, Reload)
    assert todo.meanwhile is not None
    assert changed.running is not None
    changed.applier.update(changed.renderer, changed.running, todo.meanwhile)
    changed.running = todo.meanwhile.after
    assert port.lets_in("a", *_EVERYBODY) == port.lets_in("b", *_EVERYBODY) == [True, True, True]
    assert isinstance(port.bring(**hosts), Reload)
    assert port.lets_in("a", *_EVERYBODY) == [True, False, False]


@pytest.mark.parametrize("before", [None, "through"], ids=["edge", "passthrough"])
def test_a_host_that_waits_for_a_reload_to_ask_is_not_led_to_who_asks_already(port: _Port, before: str | None) -> None:
    """It was of a Route that is gone, in whose place the next one is already, and there is no socket left: until the reload nobody is led there."""
    changed, asking = port.changed, verified_by(_CA)
    port.bring(b=None)
    others: Hosts = {"b": None, "c": asking, "d": asking}
    assert isinstance(port.bring(**others, a=before), RuntimeUpdate)
    assert changed.running is not None
    # None where HAProxy adds backends: the next one has none of before.
    place = changed.running.moved.get("be_tcp:team:a")
    model = port.model_of("e", {**others, "a": asking})
    todo = plan(changed.running, model, changed.renderer)
    assert isinstance(todo, Reload)
    assert todo.meanwhile is not None
    assert place is None or todo.meanwhile.after.moved["be_tcp:team:e"].backend == place.backend
    changed.applier.update(changed.renderer, changed.running, todo.meanwhile)
    changed.running = todo.meanwhile.after
    with connect(port.port) as connection:
        connection.sendall(tls13_hello(b"a.example.com"))
        assert connection.recv(100) == b""
    assert port.lets_in("a", *_EVERYBODY) == [False] * 3
    assert port.lets_in("b", None) == port.lets_in("c", _ALICE) == [True]
    assert isinstance(changed.bring(model), Reload)
    assert port.lets_in("a", *_EVERYBODY) == [True, False, False]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "session IDs"])
@pytest.mark.parametrize("begun", ["b", "c", "d"], ids=["without", "optional", "other CA"])
@pytest.mark.parametrize("in_advance", [False, True], ids=["loaded", "of the pool"])
def test_no_session_leads_round_it(port: _Port, version: str, begun: str, *, tickets: bool, in_advance: bool) -> None:
    """A session of another host of the port is none at one that asks for our certificates, whatever name it is brought under."""
    others: Hosts = {"b": None, "c": verified_by(_OTHER_CA, required=False)}
    if not in_advance:
        others["d"] = verified_by(_OTHER_CA)
        port.bring(a=verified_by(_CA), **others)
    else:
        port.bring(**others)
        assert isinstance(port.bring(a=verified_by(_CA), d=verified_by(_OTHER_CA), **others), RuntimeUpdate)
    context = context_of(_MALLORY if begun == "d" else None, version, tickets=tickets)
    greeting, session = greeted(context, port.port, f"{begun}.example.com")
    assert greeting == b"hello"
    for _ in range(2):
        assert greeted(context, port.port, "a.example.com", session)[0] == b""
        show(context, _MALLORY)
    assert port.lets_in("a", _ALICE, version=version) == [True]


def test_a_socket_that_was_another_hosts(port: _Port) -> None:
    """Whoever has a session of the former host begins anew."""
    port.bring()
    port.bring(a=verified_by(_CA, required=False))
    for version in ("1.2", "1.3"):
        context = context_of(None, version)
        assert greeted(context, port.port, "a.example.com")[0] == b"hello"
    sessions = [
        (context, greeted(context, port.port, "a.example.com")[1])
        for context in (context_of(None, version) for version in ("1.2", "1.3"))
    ]
    port.bring()
    assert isinstance(port.bring(b=verified_by(_CA), c=verified_by(_CA)), RuntimeUpdate)
    for context, session in sessions:
        for name in "bc":
            assert greeted(context, port.port, f"{name}.example.com", session)[0] == b""


_HANDS = [
    (verified_by(_CA), _ALICE),
    (verified_by(_CA, required=False), _ALICE),
    (verified_by(_CA, required=False), None),
]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("clients", "shown"), _HANDS, ids=["required", "optional", "optional, without"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after the other"])
@pytest.mark.parametrize("in_advance", [False, True], ids=["loaded", "of the pool"])
def test_who_is_slow_with_a_handshake_meets_no_other_route(
    port: _Port, version: str, clients: ClientTls, shown: Made | None, *, at_once: bool, in_advance: bool
) -> None:
    """He began it when the host was of a Route that verifies him; the host, and its socket, are of one by now that does not."""
    if in_advance:
        port.bring()
    port.bring(a=clients)
    context, name = context_of(shown, version), "a.example.com"
    with connect(port.port) as slow, connect(port.port) as prompt:
        late = all_but_the_last_flight(slow, context, name)
        assert all_but_the_last_flight(prompt, context, name).answered(prompt) == b"hello"
        if not at_once:
            assert isinstance(port.bring(), RuntimeUpdate)
        model = port.model_of("b", {"a": verified_by(_OTHER_CA, required=clients.required)})
        assert isinstance(port.changed.bring(model), RuntimeUpdate)
        assert late.answered(slow) == b""
    assert port.lets_in("a", *_EVERYBODY) == [False, True, not clients.required]


class _Waiting(threading.Event):
    """What a wait for clients that are on the way is; it is cut short."""

    has_begun = False

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.has_begun = True
        return True


def _waits_to_close(stats_socket: Path) -> bool:
    """Close the ports, and say whether somebody was waited for."""
    waiting = _Waiting()
    close_ports_first(stats_socket, TIMEOUT_S, waiting, 30)
    return waiting.has_begun


def test_who_has_arrived_is_not_waited_for_at_the_end(port: _Port) -> None:
    """However many frontends he came through; who has not named his host yet is."""
    port.bring(a=verified_by(_CA), b=None)
    stats_socket, name_of_port = port.changed.settings.stats_socket, frontend_name(port.port)
    sessions = partial(stats.frontend_sessions, stats_socket, TIMEOUT_S)
    for silent in (False, True):
        with contextlib.ExitStack() as stack:
            for name in "ab":
                connection = stack.enter_context(speaking(context_of(_ALICE), port.port, f"{name}.example.com"))
                assert connection.recv(100) == b"hello"
            if silent:
                stack.enter_context(connect(port.port))
                wait_for(lambda: sessions()[name_of_port] == 3, "HAProxy to have all three")
            if silent:
                assert _waits_to_close(stats_socket)
            else:
                # HAProxy counts the sessions of its frontends and of its backends one after the other.
                wait_for(lambda: not _waits_to_close(stats_socket), "nobody to be waited for")
            runtime.run(stats_socket, [open_frontend(name_of_port)], TIMEOUT_S)


_CLIENTS = st.sampled_from(
    [
        verified_by(_CA),
        verified_by(_OTHER_CA),
        verified_by(_CA, required=False),
        verified_by(_CA, revoked=revoke(_CA, _BOB)),
        None,
    ]
)
_STEPS = st.lists(st.dictionaries(st.sampled_from("abcd"), _CLIENTS), min_size=1, max_size=5)


@hypothesis_settings(max_examples=12, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(steps=_STEPS)
def test_lives_of_hosts_equal_a_fresh_start(steps: list[dict[str, ClientTls | None]]) -> None:
    """Whatever came before, clients are let in as by a HAProxy that was just loaded, and it has no certificate, authority or list more than that."""
    with (
        tempfile.TemporaryDirectory() as folder,
        greeting_server(b"hello") as pod,
        applying(Path(folder), "127.0.0.1", sni_pool=8) as changed,
    ):
        port = _Port(changed, pod)
        port.bring()
        for hosts in steps:
            port.bring(**hosts)
            there = _loaded(changed)
            for name in "abcd":
                clients = hosts.get(name)
                wanted = (
                    [False] * 4
                    if name not in hosts
                    else [_is_let_in(clients, each) for each in (_ALICE, _BOB, _MALLORY, None)]
                )
                assert port.lets_in(name, _ALICE, _BOB, _MALLORY, None) == wanted
        model = changed.running.model if changed.running is not None else Model()
        result = changed.applier.apply(changed.renderer, model, changed.running)
        changed.running = result.running  # type: ignore[union-attr]  # it is applied
        assert _loaded(changed) == there
        assert isinstance(changed.bring(model), NoChange)


def _is_let_in(clients: ClientTls | None, made: Made | None) -> bool:
    if clients is None:
        return True
    if made is None:
        return not clients.required
    by = _OTHER_CA if made is _MALLORY else _CA
    return by.pem in clients.authorities and not (made is _BOB and bool(clients.revoked))


def _loaded(changed: Applying) -> dict[str, list[str]]:
    """Give what HAProxy has of each kind, by names, which are digests of what is in them."""
    found = {}
    for kind in ("cert", "ca-file", "crl-file"):
        names = (line.split(" - ")[0] for line in changed.ask(f"show ssl {kind}").splitlines())
        found[kind] = sorted(name for name in names if name.startswith("/"))
    return found


@pytest.mark.parametrize("log_json", [False, True])
def test_haproxy_takes_it_without_a_word(*, log_json: bool) -> None:
    """It warns of nothing, not of sockets that are nobody's either; a client without a certificate is a line with its own address and the host."""
    with echo_server() as pod, tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(
            state_dir=Path(folder), ip_mode="v4", log_json=log_json, stand_in=stand_in().certificate.pem
        )
        at = free_port()
        to = section("a", None, server(pod.port), check_interval_ms=0, stages=(Spot(at),), is_gated=True)
        tls = replace(shown_by(_SHOWN["a"]), clients=verified_by(_CA, revoked=revoke(_CA)))
        lead = SniHost("a.example.com", to.backend.name, to.asker, tls)
        shared = SharedFrontend(at, port_options(), (lead,), spare_gates=3)
        with running(Model((to,), (shared,)), settings) as haproxy:
            with speaking(context_of(_ALICE), at, "a.example.com") as connection:
                assert echoes(connection)
            haproxy.log_line('"route":"a"' if log_json else "route=a")
            assert not greeted(context_of(None, "1.2"), at, "a.example.com")[0]
            line = haproxy.log_line("tls_error")
            assert "127.0.0.1" in line
            assert "a.example.com" in line
            with contextlib.suppress(OSError), speaking(context_of(_ALICE), at, "nobody.invalid") as connection:
                assert not echoes(connection)


_TEMPLATES = {
    "no way there": ("route.cfg.j2", "gates:%[fe_name]", "%[fe_name]", "use-server"),
    "no sockets": ("shared.cfg.j2", "gate.socket", "stage_socket", "gates"),
    "sessions are resumed": ("shared.cfg.j2", " no-tls-tickets", "", "no-tls-tickets"),
    "any name": ("shared.cfg.j2", "strict-sni", "", "no-tls-tickets"),
    "a cache": ("global.cfg.j2", "tune.ssl.cachesize 0", "", "cachesize"),
    "no guard": ("shared.cfg.j2", "ssl_c_used", "ssl_fc", "ssl_c_used"),
}


@pytest.mark.parametrize(("name", "part", "instead", "said"), _TEMPLATES.values(), ids=_TEMPLATES)
def test_templates_that_would_let_everybody_in(
    port: _Port, tmp_path: Path, name: str, part: str, instead: str, said: str
) -> None:
    """They cost such hosts, and no other of the port."""
    text = (Path(__file__).parents[3] / "templates" / name).read_text()
    assert part in text
    (tmp_path / name).write_text(text.replace(part, instead))
    renderer = Renderer(TemplateSet.load(tmp_path), port.changed.settings)
    rendered = renderer.render(port.model({"a": verified_by(_CA), "b": "through"}))
    (failure,) = rendered.failures
    assert failure.owner is not None
    assert "team/a" in str(failure.owner)
    assert said in str(failure.error)
    assert b"b.example.com" in b"".join(rendered.files.values())
    assert b"a.example.com" not in b"".join(rendered.files.values())
