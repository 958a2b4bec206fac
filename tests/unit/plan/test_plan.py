"""The plan: which commands each kind of change gives, what only a reload can do, and what is done until then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from router.admission.pool import PortPool
from router.model import Asker, ConnectionLimit, Frontend, Model, RouteSection, Server, SharedFrontend, SniHost, Spot
from router.model.bases import Base
from router.model.stages import led_word
from router.model.tls import ClientTls, ServerTls
from router.plan import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate, plan
from router.plan.leaving import Leaving, ServerName
from router.plan.running import Running, close_idle_ports, loaded
from router.render import Renderer, TemplateSet
from router.settings import PortRanges, RenderSettings, RouteDefaults
from tests.support.certificates import make, pem_of, shown_by
from tests.support.models import port_options, section, server, shared
from tests.support.random_sections import RandomSections
from tests.support.simulated_haproxy import SimulatedHaproxy

# With a blank, which commands must escape.
_SETTINGS = RenderSettings(state_dir=Path("/a state"))
_MAPS = str(_SETTINGS.maps_dir).replace(" ", r"\ ")
_TEMPLATES = TemplateSet.load()
_POOL = PortPool(PortRanges.parse("7001,7002"), 2, RouteDefaults())
_SNI_PORT = 8443
_BASES = (
    Base("leastconn", None, 5_000, 30_000, 3_600_000, tcp_keepalive=True),
    Base("source", None, 5_000, 30_000, 3_600_000, tcp_keepalive=True),
)

_ONE, _TWO = server(5001), server(5002)
_CHECKED = "check inter 5000ms fastinter 1000ms"


def _renderer() -> Renderer:
    return Renderer(_TEMPLATES, _SETTINGS)


def _adding() -> Renderer:
    """Give one for a HAProxy that adds backends while it runs."""
    return Renderer(_TEMPLATES, replace(_SETTINGS, bases=_BASES))


def _with_pool(model: Model) -> Model:
    return replace(model, pool=_POOL.sections(model))


def _running(renderer: Renderer, model: Model) -> Running:
    model = _with_pool(model)
    return loaded(model, {each.spot: renderer.hosts_file(each) for each in model.shared}, renderer.owners_file)


def _file(renderer: Renderer, kind: str, model: Model) -> str:
    """Give the path of the one file of a kind, as commands write it."""
    (name,) = [name for name in renderer.render(model).files if name.startswith(kind)]
    return f"{_MAPS}/{name}"


def _texts(todo: Plan) -> list[str]:
    assert isinstance(todo, RuntimeUpdate), todo
    return [command.text for command in todo.commands]


_WEB = section("web", 6620, _ONE)
_SNI = section("tls", None, _ONE)
_BASE = Model((_SNI, _WEB), (shared(_SNI_PORT, {"tls.example.com": _SNI}),))
_WEB_BACKEND, _ONE_NAME, _TWO_NAME = "be_tcp:team:web", _ONE.name, _TWO.name


def _changed_web(**changes: object) -> Model:
    return replace(_BASE, routes=(_SNI, section("web", 6620, *_servers(changes), **changes)))  # type: ignore[arg-type]


def _servers(changes: dict[str, object]) -> tuple[Server, ...]:
    servers = changes.pop("servers", (_ONE,))
    assert isinstance(servers, tuple)
    return servers


@pytest.mark.parametrize(
    ("desired", "commands"),
    [
        pytest.param(
            _changed_web(servers=(_ONE, _TWO)),
            [
                f"add server {_WEB_BACKEND}/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_TWO.id} {_CHECKED}",
                f"enable health {_WEB_BACKEND}/{_TWO_NAME}",
                f"enable server {_WEB_BACKEND}/{_TWO_NAME}",
            ],
            id="endpoint added",
        ),
        pytest.param(
            _changed_web(servers=(_ONE, server(5002, check=False))),
            [
                f"add server {_WEB_BACKEND}/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_TWO.id} inter 5000ms fastinter 1000ms",
                f"enable server {_WEB_BACKEND}/{_TWO_NAME}",
            ],
            id="endpoint that is not checked added",
        ),
        pytest.param(
            _changed_web(servers=(_TWO,)),
            [
                f"add server {_WEB_BACKEND}/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_TWO.id} {_CHECKED}",
                f"enable health {_WEB_BACKEND}/{_TWO_NAME}",
                f"enable server {_WEB_BACKEND}/{_TWO_NAME}",
                f"set server {_WEB_BACKEND}/{_ONE_NAME} state maint",
            ],
            id="endpoint replaced: the new one first",
        ),
        pytest.param(
            _changed_web(servers=()), [f"set server {_WEB_BACKEND}/{_ONE_NAME} state maint"], id="endpoint removed"
        ),
        pytest.param(
            _changed_web(servers=(server(5001, weight=0),)),
            [f"set server {_WEB_BACKEND}/{_ONE_NAME} weight 0"],
            id="endpoint drained",
        ),
        pytest.param(
            _changed_web(servers=(Server(_ONE_NAME, "fd00::7", 5432, 1, id=_ONE.id),)),
            [f"set server {_WEB_BACKEND}/{_ONE_NAME} addr fd00::7 port 5432"],
            id="address of an endpoint changed",
        ),
        pytest.param(
            _changed_web(server_maxconn=7), [f"set maxconn server {_WEB_BACKEND}/{_ONE_NAME} 7"], id="limit set"
        ),
        pytest.param(
            replace(_BASE, routes=(_SNI,)),
            ["disable frontend fe_tcp:6620", f"set server {_WEB_BACKEND}/{_ONE_NAME} state maint"],
            id="route removed",
        ),
    ],
)
def test_commands(desired: Model, commands: list[str]) -> None:
    """Each kind of change gives just these commands, in this order."""
    renderer = _renderer()
    todo = plan(_running(renderer, _BASE), desired, renderer)
    assert _texts(todo) == commands
    assert isinstance(todo, RuntimeUpdate)
    assert todo.after.model == replace(desired, pool=_POOL.sections(_BASE))
    assert not todo.new_sections


def test_server_whose_sessions_are_cut_when_down_is_drained() -> None:
    """Maintenance would cut its connections, so it is drained."""
    renderer = _renderer()
    web = section("web", 6620, _ONE, shutdown_sessions_on_marked_down=True)
    todo = plan(_running(renderer, Model((web,))), Model((replace_servers(web),)), renderer)
    assert _texts(todo) == [f"set server {_WEB_BACKEND}/{_ONE_NAME} state drain"]


def test_connections_to_an_endpoint_that_left_end_where_the_route_wants_it() -> None:
    """The command comes after the server got no new ones any more, and for that server alone."""
    renderer = _renderer()
    web = section("web", 6620, _ONE, _TWO, shutdown_sessions_on_removed=True)
    todo = plan(_running(renderer, Model((web,))), Model((replace_servers(web, _TWO),)), renderer)
    server_name = f"{_WEB_BACKEND}/{_ONE_NAME}"
    assert _texts(todo) == [f"set server {server_name} state maint", f"shutdown sessions server {server_name}"]


def test_a_route_that_goes_or_says_it_anew_ends_no_connection() -> None:
    """The endpoints are there; and to say what shall be done is no reason to do it."""
    renderer = _renderer()
    web = section("web", 6620, _ONE, shutdown_sessions_on_removed=True)
    gone = plan(_running(renderer, Model((web,))), Model(()), renderer)
    assert not [text for text in _texts(gone) if "shutdown" in text]
    silent = section("web", 6620, _ONE)
    told = plan(_running(renderer, Model((silent,))), Model((web,)), renderer)
    assert isinstance(told, RuntimeUpdate)
    assert _texts(told) == []
    renamed = plan(
        _running(renderer, Model((web,))),
        Model((replace_servers(web, structs.replace(_ONE, name="x", id=_ONE.id + 1)),)),
        renderer,
    )
    assert not [text for text in _texts(renamed) if "shutdown" in text]


def replace_servers(of: RouteSection, *servers: Server) -> RouteSection:
    """Give a section with other servers."""
    return replace(of, backend=replace(of.backend, servers=servers))


def test_retired_server_that_is_wanted_again_is_revived() -> None:
    """It is still there: it cannot be added, and need not be."""
    renderer = _renderer()
    gone = plan(_running(renderer, _BASE), _changed_web(servers=()), renderer)
    assert isinstance(gone, RuntimeUpdate)
    assert set(gone.after.leaving) == {(_WEB_BACKEND, _ONE_NAME)}
    back = plan(gone.after, _changed_web(servers=(server(5001, weight=3),)), renderer)
    assert _texts(back) == [
        f"set server {_WEB_BACKEND}/{_ONE_NAME} weight 3",
        f"set server {_WEB_BACKEND}/{_ONE_NAME} state ready",
    ]
    assert isinstance(back, RuntimeUpdate)
    assert back.after.leaving == {}
    assert (gone.back, back.back) == ((), ((_WEB_BACKEND, _ONE_NAME),))


def test_servers_that_leave_elsewhere_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a change that adds, retires and revives servers: long connections may hold thousands of others."""
    renderer = _renderer()
    gone = plan(_running(renderer, _BASE), _changed_web(servers=()), renderer)
    assert isinstance(gone, RuntimeUpdate)
    line = gone.after.leaving[_WEB_BACKEND, _ONE_NAME]
    others = Leaving({(f"be_tcp:team:app-{number}", "x"): line for number in range(100)} | dict(gone.after.leaving))

    def fail(_: Leaving) -> Iterator[ServerName]:
        raise AssertionError("all of them were looked at")

    monkeypatch.setattr(Leaving, "__iter__", fail)
    wanted = _changed_web(servers=(server(5001), server(5009, "10.0.0.9")))
    back = plan(replace(gone.after, leaving=others), wanted, renderer)
    assert isinstance(back, RuntimeUpdate)
    assert (len(back.after.leaving), dict(back.after.leaving.of(_WEB_BACKEND))) == (100, {})


def test_retired_server_that_is_wanted_otherwise_needs_a_reload() -> None:
    """As long as it is there, nobody can be added under its name."""
    renderer = _renderer()
    gone = plan(_running(renderer, _BASE), _changed_web(servers=()), renderer)
    assert isinstance(gone, RuntimeUpdate)
    back = plan(gone.after, _changed_web(servers=(server(5001, check=False),)), renderer)
    assert back == Reload((ReloadReason(ReloadCause.SERVERS_CHANGED, "team/web"),))


def _numbered(at: Server, number: int) -> Server:
    return structs.replace(at, id=number)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((_ONE,), (_numbered(_ONE, 7),), id="of a server that stays"),
        pytest.param((_ONE, _TWO), (_numbered(_TWO, _ONE.id),), id="of a server that gets that of another which goes"),
        pytest.param((_ONE,), (_numbered(_TWO, _ONE.id),), id="of a new server which is that of one that goes"),
    ],
)
def test_ids_that_change_need_a_reload(before: tuple[Server, ...], after: tuple[Server, ...]) -> None:
    """A server keeps its id as long as it is there, and HAProxy adds none under one that is taken."""
    renderer = _renderer()
    running = _running(renderer, Model((section("web", 6620, *before, balance="source"),)))
    assert plan(running, Model((section("web", 6620, *after, balance="source"),)), renderer) == Reload(
        (ReloadReason(ReloadCause.SERVERS_CHANGED, "team/web"),)
    )


@pytest.mark.parametrize("balance", ["leastconn", "roundrobin"])
def test_an_address_under_another_name_needs_no_reload_where_ids_do_not_matter(balance: str) -> None:
    """On the host's network a pod's successor has its address: it gets an id of its own while the former one is there."""
    renderer = _renderer()
    running = _running(renderer, Model((section("web", 6620, _ONE, balance=balance),)))
    successor = _numbered(_TWO, _ONE.id)
    todo = plan(running, Model((section("web", 6620, successor, balance=balance),)), renderer)
    (added,) = [text for text in _texts(todo) if text.startswith("add server")]
    number = int(added.split(" id ")[1].split()[0])
    assert number not in {_ONE.id, 0}
    assert isinstance(todo, RuntimeUpdate)
    deleted = todo.after.without_leaving(frozenset(todo.after.leaving))
    assert plan(deleted, todo.after.model, renderer) == NoChange()


def test_an_id_is_free_when_its_server_is_deleted() -> None:
    """Until then a retired one has it, also where another Route uses the place; what is not its id is no hindrance."""
    renderer = _renderer()
    db, api = section("db", 7001, _ONE), section("api", 7001, _numbered(_TWO, _ONE.id))
    opened = plan(_running(renderer, Model()), Model((db,)), renderer)
    assert isinstance(opened, RuntimeUpdate)
    closed = plan(opened.after, Model(), renderer)
    assert isinstance(closed, RuntimeUpdate)
    own_id = f"add server pool:7001/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_ONE.id} {_CHECKED}"
    assert own_id not in _texts(plan(closed.after, Model((api,)), renderer))
    deleted = closed.after.without_leaving(frozenset(closed.after.leaving))
    assert own_id in _texts(plan(deleted, Model((api,)), renderer))


def test_route_on_a_pool_port() -> None:
    """Servers first, then the owner for the log, then the port; closing goes the other way."""
    renderer = _renderer()
    running = _running(renderer, _BASE)
    owners = _file(renderer, "owners", running.model)
    db = section("db", 7001, _ONE)
    with_db = replace(_BASE, routes=(db, *_BASE.routes))
    opened = plan(running, with_db, renderer)
    assert _texts(opened) == [
        f"add server pool:7001/{_ONE_NAME} 127.0.0.1:5001 weight 1 id {_ONE.id} {_CHECKED}",
        f"enable health pool:7001/{_ONE_NAME}",
        f"enable server pool:7001/{_ONE_NAME}",
        f"add map {owners} pool:7001 be_tcp:team:db",
        "enable frontend fe_tcp:7001",
    ]
    assert isinstance(opened, RuntimeUpdate)
    assert opened.new_sections
    assert opened.after.owners == {"pool:7001": "be_tcp:team:db"}
    closed = plan(opened.after, _BASE, renderer)
    assert _texts(closed) == [
        "disable frontend fe_tcp:7001",
        f"del map {owners} pool:7001",
        f"set server pool:7001/{_ONE_NAME} state maint",
    ]
    assert isinstance(closed, RuntimeUpdate)
    assert closed.after.owners == {}


def test_a_route_that_was_made_again_with_the_same_text_needs_no_command() -> None:
    """HAProxy knows names alone: another uid is another asker in the model, on its port and under its host, and nothing to HAProxy."""
    renderer = _renderer()
    db, tls = section("db", 7001, _ONE), section("tls", None, _TWO)
    base = replace(_BASE, routes=(db, tls, *_BASE.routes), shared=(shared(8443, {"tls.example.com": tls}),))
    running = _running(renderer, base)
    again = [replace(each, asker=each.asker._replace(uid="another")) for each in (db, tls)]
    model = replace(
        base,
        routes=(*again, *_BASE.routes),
        shared=(shared(8443, {"tls.example.com": again[1]}),),
        pool=running.model.pool,
    )
    made_again = plan(running, model, renderer)
    assert _texts(made_again) == []
    assert isinstance(made_again, RuntimeUpdate)
    assert made_again.after.model == model


def test_allowlist_on_a_pool_port() -> None:
    """The pool's list of everybody is replaced by the Route's: before the port opens, and never by way of an empty one."""
    renderer = _renderer()
    running = _running(renderer, _BASE)
    (place,) = [each for each in running.model.pool if each.backend.name == "pool:7001"]
    text = renderer.text(place)
    assert text is not None
    assert text.allowlist is not None
    acl = text.allowlist.names[0].replace(" ", r"\ ")

    def wanted(*networks: str) -> Model:
        return replace(_BASE, routes=(section("db", 7001, allowlist=networks or None), *_BASE.routes))

    opened = plan(running, wanted("10.0.0.0/8"), renderer)
    assert [text for text in _texts(opened) if "acl" in text or "frontend" in text] == [
        f"add acl {acl} 10.0.0.0/8",
        f"del acl {acl} 0.0.0.0/0",
        f"del acl {acl} ::/0",
        "enable frontend fe_tcp:7001",
    ]
    assert isinstance(opened, RuntimeUpdate)
    changed = plan(opened.after, wanted("192.0.2.1", "10.0.0.0/8"), renderer)
    assert _texts(changed) == [f"add acl {acl} 192.0.2.1"]
    lifted = plan(opened.after, wanted(), renderer)
    assert _texts(lifted) == [f"add acl {acl} 0.0.0.0/0", f"add acl {acl} ::/0", f"del acl {acl} 10.0.0.0/8"]
    closed = plan(opened.after, _BASE, renderer)
    assert isinstance(closed, RuntimeUpdate)
    reopened = plan(closed.after, wanted(), renderer)
    assert f"add acl {acl} 0.0.0.0/0" in _texts(reopened)


def test_allowlist_of_a_section_of_its_own_changes_at_runtime() -> None:
    """A Route that was loaded with a list gets another one by commands; one that had none needs a reload."""
    renderer = _renderer()
    listed = section("web", 6620, allowlist=("10.0.0.0/8",))
    running = _running(renderer, Model((listed,)))
    other = replace(listed, backend=replace(listed.backend, allowlist=("10.0.0.0/8", "fd00::/8")))
    texts = _texts(plan(running, Model((other,)), renderer))
    assert [text.split()[-1] for text in texts] == ["fd00::/8"]
    unlisted = replace(listed, backend=replace(listed.backend, allowlist=None))
    assert plan(running, Model((unlisted,)), renderer) == Reload(
        (ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web"),)
    )


_MADE, _RENEWED = make("web.example.com"), make("web.example.com")


def test_another_certificate_is_set_and_committed() -> None:
    """Under the name of the file that HAProxy was loaded with, however often it changes; the configuration on disk follows."""
    renderer = _renderer()
    first = section("web", 6620, _ONE, tls=shown_by(_MADE))
    running = _running(renderer, Model((first,)))
    file = _file(renderer, "cert", Model((first,)))
    for made in (_RENEWED, _MADE):
        todo = plan(
            running, Model((replace(first, frontend=Frontend(6620, port_options(), tls=shown_by(made))),)), renderer
        )
        assert _texts(todo) == [f"set ssl cert {file} <<", f"commit ssl cert {file}"]
        assert isinstance(todo, RuntimeUpdate)
        assert todo.commands[0].payload == pem_of(made)
        assert todo.new_sections
        assert made.key.splitlines()[1] not in repr(todo)
        running = todo.after
    assert plan(running, Model((first,)), renderer) == NoChange()


def test_a_port_that_is_opened_again_shows_what_is_wanted_then() -> None:
    """Whatever it showed before it was closed."""
    renderer = _renderer()
    first = section("web", 6620, _ONE, tls=shown_by(_MADE))
    running = _running(renderer, Model((first,)))
    file = _file(renderer, "cert", Model((first,)))
    closed = plan(running, Model(), renderer)
    assert isinstance(closed, RuntimeUpdate)
    again = section("web", 6620, _ONE, tls=shown_by(_RENEWED))
    texts = _texts(plan(closed.after, Model((again,)), renderer))
    assert texts.index(f"commit ssl cert {file}") < texts.index("enable frontend fe_tcp:6620")


@pytest.mark.parametrize("port", [6620, 7001])
def test_to_end_tls_or_to_cease_needs_a_reload(port: int) -> None:
    """A port listens as it was loaded; one of the pool never serves without TLS whoever asked for it."""
    renderer = _renderer()
    plain, edge = section("web", port, _ONE), section("web", port, _ONE, tls=shown_by(_MADE))
    for before, after in ((plain, edge), (edge, plain)):
        todo = plan(_running(renderer, Model((before,))), Model((after,)), renderer)
        assert isinstance(todo, Reload)
    todo = plan(_running(renderer, Model()), Model((edge,)), renderer)
    assert todo == Reload((ReloadReason(ReloadCause.ROUTE_ADDED, "team/web"),))


def test_tls_comes_to_end_at_a_port_of_the_pool() -> None:
    """The port is told of its place, and leads there, when the place has its servers and shows the certificate; and back when it goes."""
    renderer = _renderer()
    pool = PortPool(PortRanges.parse("7001"), 0, RouteDefaults(), slots=1, shown=shown_by(_MADE))
    declared = replace(Model(), pool=pool.sections(Model()))
    rendered = renderer.render(declared)
    running = renderer.loaded(declared)
    (certificate,) = [f"{_MAPS}/{name}" for name in rendered.files if name.startswith("cert-")]
    owners = running.owners_file.replace(" ", r"\ ")
    edge = section("web", 7001, _ONE, tls=shown_by(_MADE), check_interval_ms=0)
    todo = plan(running, Model((edge,)), renderer)
    socket = str(_SETTINGS.slot_socket(1)).replace(" ", r"\ ")
    word = led_word("be_tcp:team:web", Spot(7001))
    to_place = f"add server pool:7001/tls unix@{socket} weight 1 send-proxy-v2 proxy-v2-options unique-id"
    assert _texts(todo) == [
        f"set ssl cert {certificate} <<",
        f"commit ssl cert {certificate}",
        f"add server pool:tls:1/{_ONE_NAME} 127.0.0.1:5001 weight 1 id {_ONE.id}",
        f"enable server pool:tls:1/{_ONE_NAME}",
        to_place,
        "enable server pool:7001/tls",
        f"add map {owners} pool:tls:1 be_tcp:team:web",
        f"add map {owners} pool:7001 be_tls:team:web",
        f"add map {owners} front:pool:7001 {word}",
        f"add map {owners} front:pool:tls:1 {word}",
        "enable frontend fe_tcp:7001",
    ]
    assert isinstance(todo, RuntimeUpdate)
    assert todo.after.owners == {"pool:tls:1": "be_tcp:team:web"}
    assert todo.after.fronts == {"pool:7001"}
    assert not list(close_idle_ports(todo.after))
    plain = section("web", 7001, _ONE, check_interval_ms=0)
    switched = plan(todo.after, Model((plain,)), renderer)
    texts = _texts(switched)
    assert texts.index("disable frontend fe_tcp:7001") < texts.index(f"enable server pool:7001/{_ONE_NAME}")
    assert texts.index("set server pool:7001/tls state maint") < texts.index(f"enable server pool:7001/{_ONE_NAME}")
    assert texts[-1] == "enable frontend fe_tcp:7001"
    assert isinstance(switched, RuntimeUpdate)
    assert (switched.after.owners, switched.after.fronts) == ({"pool:7001": "be_tcp:team:web"}, frozenset())
    again = plan(switched.after, Model((edge,)), renderer)
    # The way to the place, which still has connections, is taken back.
    assert "set server pool:7001/tls state ready" in _texts(again)
    assert to_place not in _texts(again)


def test_who_finds_no_place_for_tls_keeps_what_he_has() -> None:
    """He waits for the reload as he is, and so do others; what begins TLS anew finds none either."""
    renderer = _renderer()
    pool = PortPool(PortRanges.parse("7001-7002"), 0, RouteDefaults(), slots=1, shown=shown_by(_MADE))
    declared = replace(Model(), pool=pool.sections(Model()))
    renderer.render(declared)
    two = section("b", 7002, _ONE, check_interval_ms=0)
    ended = section("a", 7001, _ONE, tls=shown_by(_MADE), check_interval_ms=0)
    todo = plan(renderer.loaded(declared), Model((ended, two)), renderer)
    assert isinstance(todo, RuntimeUpdate)
    other = section("b", 7002, _ONE, tls=shown_by(_MADE), check_interval_ms=0)
    waiting = plan(todo.after, Model((ended, other)), renderer)
    assert waiting == Reload((ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/b"),))
    verified = replace(shown_by(_MADE), clients=ClientTls("PEM"))
    asking = replace(ended, frontend=Frontend(7001, port_options(), tls=verified))
    # No place asks for certificates: to be led there would let everybody in.
    assert isinstance(plan(renderer.loaded(declared), Model((asking, two)), renderer), Reload)
    served = plan(todo.after, Model((asking, two)), renderer)
    assert served == Reload((ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/a"),))
    anew = replace(ended, backend=replace(ended.backend, tls=ServerTls("PEM")))
    assert isinstance(plan(renderer.loaded(declared), Model((anew, two)), renderer), Reload)


def test_new_host_on_a_shared_port() -> None:
    """A passthrough Route gets a backend of the SNI pool; its host is led there when its servers are in."""
    renderer = _renderer()
    running = _running(renderer, _BASE)
    hosts, owners = _file(renderer, "sni", running.model), _file(renderer, "owners", running.model)
    new = section("app", None, _TWO)
    desired = Model((new, *_BASE.routes), (shared(_SNI_PORT, {"app.example.com": new, "tls.example.com": _SNI}),))
    todo = plan(running, desired, renderer)
    assert _texts(todo) == [
        f"add server pool:sni:1/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_TWO.id} {_CHECKED}",
        f"enable health pool:sni:1/{_TWO_NAME}",
        f"enable server pool:sni:1/{_TWO_NAME}",
        f"add map {owners} pool:sni:1 be_tcp:team:app",
        f"add map {hosts} app.example.com pool:sni:1",
    ]
    assert isinstance(todo, RuntimeUpdate)
    assert _texts(plan(todo.after, _BASE, renderer)) == [
        f"del map {hosts} app.example.com",
        f"del map {owners} pool:sni:1",
        f"set server pool:sni:1/{_TWO_NAME} state maint",
    ]


def test_new_host_whose_tls_ends_at_the_port() -> None:
    """Who may connect is changed in both backends of its place, and the one before leads to the port's socket; all of it goes again with the Route."""
    renderer = _renderer()
    first = section("first", None, _ONE, stages=(Spot(_SNI_PORT),))
    lead = SniHost("first.example.com", first.backend.name, first.asker, shown_by(_MADE))
    loaded_model = _with_pool(Model((first,), (SharedFrontend(_SNI_PORT, port_options(), (lead,)),)))
    renderer.render(loaded_model)
    running = renderer.loaded(loaded_model)
    late = section("late", None, _TWO, stages=(Spot(_SNI_PORT),), allowlist=("10.0.0.0/8",))
    host = SniHost("late.example.com", late.backend.name, late.asker, shown_by(_MADE))
    shared_port = SharedFrontend(_SNI_PORT, port_options(), (lead, host))
    todo = plan(running, Model((first, late), (shared_port,)), renderer)
    texts = _texts(todo)
    socket = str(_SETTINGS.stage_socket(Spot(_SNI_PORT))).replace(" ", r"\ ")
    stage = f"tls:pool:sni:1/fe_tcp:{_SNI_PORT}"
    assert f"add server {stage} unix@{socket} weight 0 send-proxy-v2 proxy-v2-options unique-id" in texts
    assert f"enable server {stage}" in texts
    assert [text for text in texts if " acl #" in text] == [
        f"{verb} acl #{number} {network}"
        for number in (65536, (1 << 30) + 65536)
        for verb, network in (("add", "10.0.0.0/8"), ("del", "0.0.0.0/0"), ("del", "::/0"))
    ]
    assert isinstance(todo, RuntimeUpdate)
    gone = _texts(plan(todo.after, Model((first,), loaded_model.shared), renderer))
    assert f"set server {stage} state maint" in gone
    # To a port that HAProxy was loaded with as one that ends no TLS nothing leads.
    elsewhere = replace(late, stages=(Spot(9443),))
    other = SharedFrontend(9443, port_options(), (host,))
    assert isinstance(plan(running, Model((elsewhere, first), (loaded_model.shared[0], other)), renderer), Reload)


def test_host_that_goes_to_another_route_is_led_there_at_once() -> None:
    """The entry is changed, not deleted and added: the host is at no moment without a Route."""
    renderer = _renderer()
    running = _running(renderer, _BASE)
    hosts = _file(renderer, "sni", running.model)
    desired = replace(_BASE, shared=(shared(_SNI_PORT, {"tls.example.com": _WEB}),))
    assert _texts(plan(running, desired, renderer)) == [f"set map {hosts} tls.example.com be_tcp:team:web"]


def test_route_that_moves_to_a_pool_port_takes_its_hosts_along() -> None:
    """It is served there before its former port closes; host and owner lead to the new place."""
    renderer = _renderer()
    both = replace(_BASE, shared=(shared(_SNI_PORT, {"web.example.com": _WEB}),))
    running = _running(renderer, both)
    hosts, owners = _file(renderer, "sni", running.model), _file(renderer, "owners", running.model)
    moved = section("web", 7002, _ONE)
    desired = Model((_SNI, moved), (shared(_SNI_PORT, {"web.example.com": moved}),))
    todo = plan(running, desired, renderer)
    assert _texts(todo) == [
        f"add server pool:7002/{_ONE_NAME} 127.0.0.1:5001 weight 1 id {_ONE.id} {_CHECKED}",
        f"enable health pool:7002/{_ONE_NAME}",
        f"enable server pool:7002/{_ONE_NAME}",
        f"add map {owners} pool:7002 be_tcp:team:web",
        "enable frontend fe_tcp:7002",
        f"set map {hosts} web.example.com pool:7002",
        "disable frontend fe_tcp:6620",
        f"set server {_WEB_BACKEND}/{_ONE_NAME} state maint",
    ]
    assert isinstance(todo, RuntimeUpdate)
    back = plan(todo.after, both, renderer)
    assert "enable frontend fe_tcp:6620" in _texts(back)
    assert f"set map {hosts} web.example.com {_WEB_BACKEND}" in _texts(back)


def test_port_that_passes_from_one_route_to_another_is_closed_between_them() -> None:
    """The former Route's servers are out before those of the next come in, so that nobody meets the wrong ones."""
    renderer = _renderer()
    db, api = section("db", 7001, _ONE), section("api", 7001, _TWO)
    first = plan(_running(renderer, Model()), Model((db,)), renderer)
    assert isinstance(first, RuntimeUpdate)
    texts = _texts(plan(first.after, Model((api,)), renderer))
    order = [
        texts.index(text)
        for text in (
            "disable frontend fe_tcp:7001",
            f"set server pool:7001/{_ONE_NAME} state maint",
            f"enable server pool:7001/{_TWO_NAME}",
            "enable frontend fe_tcp:7001",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("desired", "reasons"),
    [
        pytest.param(
            replace(_BASE, routes=(section("api", 6621), *_BASE.routes)),
            [ReloadReason(ReloadCause.ROUTE_ADDED, "team/api")],
            id="port outside the pool",
        ),
        pytest.param(
            replace(_BASE, routes=(section("api", 7001, balance="source"), *_BASE.routes)),
            [ReloadReason(ReloadCause.ROUTE_ADDED, "team/api")],
            id="balance on a pool port",
        ),
        pytest.param(
            replace(_BASE, routes=(section("api", 7001, timeout_tunnel_ms=1), *_BASE.routes)),
            [ReloadReason(ReloadCause.ROUTE_ADDED, "team/api")],
            id="timeout on a pool port",
        ),
        pytest.param(
            replace(_BASE, routes=(section("api", 7001, options=port_options(maxconn=5)), *_BASE.routes)),
            [ReloadReason(ReloadCause.ROUTE_ADDED, "team/api")],
            id="connection limit of a pool port",
        ),
        pytest.param(
            replace(_BASE, routes=(section("api", 7001, options=port_options(accept_proxy=True)), *_BASE.routes)),
            [ReloadReason(ReloadCause.ROUTE_ADDED, "team/api")],
            id="PROXY protocol on a pool port",
        ),
        pytest.param(
            replace(_BASE, routes=(_SNI, section("web", 6621, _ONE))),
            [ReloadReason(ReloadCause.PORT_CHANGED, "team/web")],
            id="port of a route changed",
        ),
        pytest.param(
            replace(_BASE, routes=(_SNI, section("web", 6620, _ONE, options=port_options(maxconn=5)))),
            [ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web")],
            id="options of a port changed",
        ),
        pytest.param(
            _changed_web(balance="source"),
            [ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web")],
            id="options of a backend changed",
        ),
        pytest.param(
            _changed_web(check_interval_ms=1000),
            [ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/web")],
            id="options of servers changed",
        ),
        pytest.param(
            _changed_web(servers=(server(5001, check=False),)),
            [ReloadReason(ReloadCause.SERVERS_CHANGED, "team/web")],
            id="check of a server that stays",
        ),
        pytest.param(
            replace(_BASE, shared=(replace(_BASE.shared[0], options=port_options(accept_proxy=True)),)),
            [ReloadReason(ReloadCause.OPTIONS_CHANGED, "8443")],
            id="options of a shared port changed",
        ),
        pytest.param(
            replace(_BASE, shared=(replace(_BASE.shared[0], port=9443),)),
            [ReloadReason(ReloadCause.PORT_CHANGED, "8443"), ReloadReason(ReloadCause.PORT_CHANGED, "9443")],
            id="shared port moved",
        ),
    ],
)
def test_causes_of_a_reload(desired: Model, reasons: list[ReloadReason]) -> None:
    """What commands cannot do is a reload, with just this reason, and nothing is done meanwhile."""
    renderer = _renderer()
    assert plan(_running(renderer, _BASE), desired, renderer) == Reload(tuple(reasons))


def test_full_sni_pool_is_a_reload() -> None:
    """With two backends the third new Route waits for the reload; the first two do not."""
    renderer = _renderer()
    new = [section(f"app{number}", None, _ONE) for number in range(3)]
    hosts = {"tls.example.com": _SNI, **{f"{each.route}.example.com": each for each in new}}
    desired = Model((*new, *_BASE.routes), (shared(_SNI_PORT, hosts),))
    todo = plan(_running(renderer, _BASE), desired, renderer)
    assert isinstance(todo, Reload)
    assert todo.reasons == (ReloadReason(ReloadCause.ROUTE_ADDED, "team/app2"),)
    assert todo.meanwhile is not None
    assert [host.host for host in todo.meanwhile.after.model.shared[0].hosts] == [
        "app0.example.com",
        "app1.example.com",
        "tls.example.com",
    ]


def test_meanwhile_the_others_are_served() -> None:
    """Beside a Route that needs a reload, endpoints, pool ports and removals are done at once; it stays as it was."""
    renderer = _renderer()
    db = section("db", 7001, _ONE)
    slow = section("web", 6620, _TWO, balance="source")
    running = _running(renderer, _BASE)
    todo = plan(running, Model((db, slow)), renderer)
    assert isinstance(todo, Reload)
    assert todo.reasons == (
        ReloadReason(ReloadCause.PORT_CHANGED, "8443"),
        ReloadReason(ReloadCause.SERVERS_CHANGED, "team/web"),
    )
    assert todo.meanwhile is not None
    unmapped = (replace(_BASE.shared[0], hosts=()),)
    assert todo.meanwhile.after.model == Model((db, _WEB), unmapped, running.model.pool)
    again = plan(todo.meanwhile.after, Model((db, slow)), renderer)
    assert again == Reload(todo.reasons)


def test_unknown_state_needs_a_reload() -> None:
    """Where nothing is known of HAProxy, the whole configuration is needed, even an empty one."""
    assert plan(None, Model(), _renderer()) == Reload((ReloadReason(ReloadCause.START),))
    refused = ReloadReason(ReloadCause.RUNTIME_REFUSED)
    assert plan(None, Model(), _renderer(), refused) == Reload((refused,))


def test_reason_as_text() -> None:
    """A reason reads as cause and subject, or as the cause alone."""
    reasons = ReloadReason(ReloadCause.ROUTE_ADDED, "team/web"), ReloadReason(ReloadCause.START)
    assert [str(reason) for reason in reasons] == ["route-added team/web", "start"]


# A HAProxy that adds backends while it runs


def _base(renderer: Renderer, model: Model, number: int) -> str:
    """Give the name of the section that a backend takes up which has this base."""
    return renderer.loaded(model).bases[_BASES[number]]


def test_a_backend_is_added_for_a_host_and_deleted_when_it_is_left() -> None:
    """Under the Route's own name, published when it has its servers, and before the host leads there; when the Route is there again it may be as it was."""
    renderer = _adding()
    running = renderer.loaded(_BASE)
    hosts = _file(renderer, "sni", running.model)
    new = section("app", None, _TWO, balance="source")
    desired = Model((new, *_BASE.routes), (shared(_SNI_PORT, {"app.example.com": new, "tls.example.com": _SNI}),))
    todo = plan(running, desired, renderer)
    assert _texts(todo) == [
        f"add backend be_tcp:team:app from {_base(renderer, _BASE, 1)}",
        f"add server be_tcp:team:app/{_TWO_NAME} 127.0.0.1:5002 weight 1 id {_TWO.id} {_CHECKED}",
        f"enable health be_tcp:team:app/{_TWO_NAME}",
        f"enable server be_tcp:team:app/{_TWO_NAME}",
        "publish backend be_tcp:team:app",
        f"add map {hosts} app.example.com be_tcp:team:app",
    ]
    assert isinstance(todo, RuntimeUpdate)
    assert (todo.after.added, todo.after.left, todo.after.owners) == ({"be_tcp:team:app": new}, frozenset(), {})
    gone = plan(todo.after, _BASE, renderer)
    assert isinstance(gone, RuntimeUpdate)
    assert gone.after.left == {"be_tcp:team:app"}
    assert gone.after.sections().routes == (*_BASE.routes, new)
    again = plan(gone.after, desired, renderer)
    assert isinstance(again, RuntimeUpdate)
    assert "publish backend be_tcp:team:app" in _texts(again)
    assert not again.after.left
    # As something else it has to wait until HAProxy has none of its name.
    other = replace(new, backend=replace(new.backend, balance="leastconn"))
    otherwise = Model((other, *_BASE.routes), (shared(_SNI_PORT, {"app.example.com": other, "tls.example.com": _SNI}),))
    assert isinstance(plan(gone.after, otherwise, renderer), Reload)
    deleted = gone.after.without_leaving(frozenset(gone.after.leaving)).without_backends(gone.after.left)
    assert (deleted.added, deleted.left, deleted.closed) == ({}, frozenset(), frozenset())
    assert f"add backend be_tcp:team:app from {_base(renderer, _BASE, 0)}" in _texts(plan(deleted, otherwise, renderer))


def test_what_was_loaded_is_deleted_too_where_no_port_leads_to_it() -> None:
    """So that it can be added as something else."""
    renderer = _adding()
    running = renderer.loaded(_BASE)
    todo = plan(running, Model((), (shared(_SNI_PORT, {}),)), renderer)
    assert isinstance(todo, RuntimeUpdate)
    assert todo.after.left == {"be_tcp:team:tls"}
    assert todo.after.closed == {"be_tcp:team:tls", _WEB_BACKEND}
    deleted = todo.after.without_backends(todo.after.left)
    assert deleted.own("be_tcp:team:tls") is None
    assert deleted.place("be_tcp:team:tls") is None
    assert [command.text for command in close_idle_ports(deleted)] == ["disable frontend fe_tcp:6620"]
    other = section("tls", None, _ONE, balance="source")
    back = plan(deleted, Model((other,), (shared(_SNI_PORT, {"tls.example.com": other}),)), renderer)
    assert f"add backend be_tcp:team:tls from {_base(renderer, _BASE, 1)}" in _texts(back)


def test_a_port_of_the_pool_leads_to_a_backend_that_is_added() -> None:
    """For what the pool cannot do; the port is nobody else's until it is left, and leads to the pool's own then."""
    renderer = _adding()
    running = renderer.loaded(_with_pool(_BASE))
    leads = _file(renderer, "leads", running.model)
    api = section("api", 7001, _TWO, balance="source")
    todo = plan(running, replace(_BASE, routes=(api, *_BASE.routes)), renderer)
    texts = _texts(todo)
    assert texts[0] == f"add backend be_tcp:team:api from {_base(renderer, _BASE, 1)}"
    assert texts[-3:] == [
        "publish backend be_tcp:team:api",
        f"add map {leads} fe_tcp:7001 be_tcp:team:api",
        "enable frontend fe_tcp:7001",
    ]
    assert isinstance(todo, RuntimeUpdate)
    assert "disable frontend fe_tcp:7001" not in [command.text for command in close_idle_ports(todo.after)]
    late = section("late", 7001, _ONE)
    passed = plan(todo.after, replace(_BASE, routes=(late, *_BASE.routes)), renderer)
    texts = _texts(passed)
    order = [
        "disable frontend fe_tcp:7001",
        f"del map {leads} fe_tcp:7001",
        f"enable server pool:7001/{_ONE_NAME}",
        "enable frontend fe_tcp:7001",
    ]
    assert [text for text in texts if text in order] == order


def test_a_port_of_the_pool_comes_to_lead_to_a_backend_that_is_added() -> None:
    """It is not closed for that, and its hosts go along."""
    renderer = _adding()
    running = renderer.loaded(_with_pool(_BASE))
    leads, hosts = _file(renderer, "leads", running.model), _file(renderer, "sni", running.model)
    plain = section("api", 7001, _TWO)
    first = plan(running, Model((plain, *_BASE.routes), (shared(_SNI_PORT, {"x": plain}),)), renderer)
    assert isinstance(first, RuntimeUpdate)
    other = section("api", 7001, _TWO, balance="source")
    todo = plan(first.after, Model((other, *_BASE.routes), (shared(_SNI_PORT, {"x": other}),)), renderer)
    texts = _texts(todo)
    assert f"add map {leads} fe_tcp:7001 be_tcp:team:api" in texts
    assert f"set map {hosts} x be_tcp:team:api" in texts
    assert f"set server pool:7001/{_TWO_NAME} state maint" in texts
    assert not [text for text in texts if "frontend" in text]
    assert isinstance(todo, RuntimeUpdate)
    assert (todo.after.owners, todo.after.moved) == ({}, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"allowlist": ("10.0.0.0/8",)},
        {"connection_limit": ConnectionLimit(5, None)},
        {"timeout_tunnel_ms": 1},
        {"tls": ServerTls("PEM")},
        {"options": port_options(tcp_keepalive=False)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_no_section_in_advance_has_is_a_reload(changes: dict[str, Any]) -> None:
    """What belongs to one backend alone, what nobody had when HAProxy was loaded, and what is of the port."""
    renderer = _adding()
    api = section("api", 7001, _TWO, **{"balance": "source", **changes})
    todo = plan(renderer.loaded(_with_pool(_BASE)), replace(_BASE, routes=(api, *_BASE.routes)), renderer)
    assert isinstance(todo, Reload)


# Random sequences

_ROUTES = ("a", "b", "c", "d")
_PORTS = (7001, 7002, 6620, 6621)

_SECTIONS = RandomSections(
    addresses=("10.0.0.1", "fd00::1"),
    ports=(5000,),
    weights=(0, 1),
    checks=(True, True, True, False),
    other_ids=(1, 2, 4),
)


@st.composite
def _some_model(draw: st.DrawFn) -> Model:
    free = list(_PORTS)
    sections: list[RouteSection] = []
    hosts: dict[int, list[SniHost]] = {8443: [], 9443: []}
    for name in sorted(draw(st.sets(st.sampled_from(_ROUTES)))):
        port = draw(st.sampled_from((None, *free)))
        if port is not None:
            free.remove(port)
        sections.append(draw(_SECTIONS.one(name, port)))
        for wanted in draw(st.sets(st.sampled_from((8443, 9443)))):
            host = draw(st.sampled_from(("x", "y", f".{name}")))
            if host not in {each.host for each in hosts[wanted]}:
                hosts[wanted].append(SniHost(host, f"be_tcp:team:{name}", Asker.route("team", name)))
    has_second = draw(st.sampled_from((True, True, False)))
    frontends = [
        SharedFrontend(
            port, port_options(maxconn=draw(st.sampled_from((None, None, None, 5)))), tuple(sorted(hosts[port]))
        )
        for port in (8443, 9443)
        if port == 8443 or has_second
    ]
    return Model(tuple(sections), tuple(frontends))


_steps = st.lists(st.tuples(_some_model(), st.booleans(), st.booleans()), min_size=1, max_size=6)


class _Simulated:
    """A HAProxy that is brought from model to model, as the controller does it."""

    def __init__(self, *, adds_backends: bool = False) -> None:
        self.renderer = _adding() if adds_backends else _renderer()
        self.haproxy, self.running = self.fresh(Model())

    def fresh(self, model: Model) -> tuple[SimulatedHaproxy, Running]:
        """Start one on a model."""
        running = self.renderer.loaded(_with_pool(model))
        haproxy = SimulatedHaproxy(self.renderer.render(running.model), _SETTINGS.maps_dir)
        haproxy.run(close_idle_ports(running))
        return haproxy, running

    def carry_out(self, todo: Plan, model: Model, *, waits: bool) -> None:
        """Do what a plan says; ``waits``: its reload has to wait."""
        match todo:
            case RuntimeUpdate():
                self.haproxy.run(todo.commands)
                self.running = todo.after
                assert replace(todo.after.model, pool=()) == model
            case Reload():
                assert todo.reasons
                assert list(todo.reasons) == sorted(set(todo.reasons))
                if not waits:
                    self.haproxy, self.running = self.fresh(model)
                elif todo.meanwhile is not None:
                    self.haproxy.run(todo.meanwhile.commands)
                    self.running = todo.meanwhile.after

    def delete(self) -> None:
        """Delete servers that leave, as if none had connections, and sections that are left."""
        gone, left = frozenset(self.running.leaving), self.running.left
        self.haproxy.delete(gone)
        self.haproxy.delete_backends(left)
        self.running = self.running.without_leaving(gone).without_backends(left)

    def compare(self) -> None:
        """Compare with one that was started on the model that is served."""
        other, _ = self.fresh(replace(self.running.model, pool=()))
        assert self.haproxy.open_ports() == other.open_ports()
        assert self.haproxy.hosts() == other.hosts()
        assert self.haproxy.idle_with_servers() == []
        assert self.haproxy.unchecked() == []
        assert self.running.owners == {place.backend.name: key for key, place in self.running.moved.items()}
        assert self.haproxy.owners() == self.running.owners


_ROUNDS = 5
"""A place that one Route leaves can be another's in the next round only; with so few Routes that comes to an end."""


@given(_steps, st.booleans())
def test_what_is_served_follows_the_model(steps: list[tuple[Model, bool, bool]], adds_backends: bool) -> None:  # noqa: FBT001 - drawn
    """After any sequence, with reloads that wait or not, clients get what a fresh start would give them; no command fails."""
    simulated = _Simulated(adds_backends=adds_backends)
    for model, waits, deletes in steps:
        for _ in range(_ROUNDS):
            todo = plan(simulated.running, model, simulated.renderer)
            assert plan(simulated.running, model, simulated.renderer) == todo, "the same input gives the same plan"
            assert isinstance(todo, NoChange) == (replace(simulated.running.model, pool=()) == model)
            simulated.carry_out(todo, model, waits=waits)
            simulated.compare()
            if isinstance(todo, NoChange) or (isinstance(todo, Reload) and waits and todo.meanwhile is None):
                break
        else:
            raise AssertionError(f"there is always more to do: {todo}")
        if deletes:
            simulated.delete()


@given(
    st.lists(st.tuples(_SECTIONS.servers(), st.booleans()), min_size=2, max_size=8),
    st.sampled_from((6620, 7001)),
    st.sampled_from(("source", "leastconn")),
)
def test_servers_follow_whatever_ids_they_get(steps: list[tuple[list[Server], bool]], port: int, balance: str) -> None:
    """Where nothing else changes: HAProxy has the ids of a fresh one where they matter, and is never asked for one that is another's."""
    simulated = _Simulated()
    for servers, deletes in steps:
        model = Model((section("web", port, *servers, balance=balance),))
        simulated.carry_out(plan(simulated.running, model, simulated.renderer), model, waits=False)
        simulated.compare()
        if deletes:
            simulated.delete()
