"""The port pool, and what the HAProxy that runs is known to have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.pool import EVERYBODY, PortPool, allowlist_id
from router.model import Model, RouteSection, SharedFrontend, Slot, SniHost, Spot, Step, frontend_name, spots
from router.plan.leaving import Leaving
from router.plan.running import close_idle_ports, loaded
from router.plan.section_text import ServerLine
from router.settings import PortRanges, RouteDefaults
from tests.support.certificates import make, shown_by
from tests.support.models import port_options, section, server, shared

_DB = section("db", 7002, server(1))


def _names(pool: PortPool, model: Model, unavailable: tuple[int, ...] = ()) -> list[str]:
    return [each.backend.name for each in pool.sections(model, [Spot(port) for port in unavailable])]


@pytest.mark.parametrize(
    ("model", "unavailable", "names"),
    [
        pytest.param(Model(), (), ["pool:7001", "pool:7002", "pool:7005", "pool:sni:1", "pool:sni:2"], id="all"),
        pytest.param(Model((_DB,)), (), ["pool:7001", "pool:7005", "pool:sni:1", "pool:sni:2"], id="port of a Route"),
        pytest.param(
            Model((), (shared(7005, {}),)), (), ["pool:7001", "pool:7002", "pool:sni:1", "pool:sni:2"], id="shared port"
        ),
        pytest.param(Model(), (7001, 9999), ["pool:7002", "pool:7005", "pool:sni:1", "pool:sni:2"], id="taken port"),
    ],
)
def test_sections(model: Model, unavailable: tuple[int, ...], names: list[str]) -> None:
    """The pool has what the model does not use itself and what can be had; ports that are named twice count once."""
    pool = PortPool(PortRanges.parse("7005,7001-7002,7002"), 2, RouteDefaults())
    assert _names(pool, model, unavailable) == names


def test_sections_are_those_of_a_route_that_asks_for_nothing() -> None:
    """Empty, nobody's, with the default options, and an allowlist of everybody that another can take the place of."""
    defaults = RouteDefaults(balance="random")
    first, last = PortPool(PortRanges.parse("7001"), 1, defaults).sections(Model())
    assert (first.namespace, first.route, first.backend.servers) == ("", "", ())
    assert first.backend.allowlist == EVERYBODY
    assert first.backend.balance == "random"
    assert first.frontend is not None
    assert first.frontend.port == 7001
    assert last.frontend is None


def test_sections_are_the_same_objects_each_time() -> None:
    """So that what was rendered of them is remembered."""
    pool = PortPool(PortRanges.parse("7001-7003"), 2, RouteDefaults())
    before, after = pool.sections(Model()), pool.sections(Model((_DB,)))
    assert {id(each) for each in after} < {id(each) for each in before}


def test_places_for_hosts_where_a_port_ends_tls() -> None:
    """They have room for what comes before TLS has ended, and others have not; they too are the same objects each time."""
    pool = PortPool(PortRanges.parse("7001"), 2, RouteDefaults())
    host = SniHost("a.example.com", "be_tcp:team:a", _DB.asker, shown_by(make("a.example.com")))
    ending = Model((), (SharedFrontend(8443, port_options(), (host,)),))
    assert [each.stages for each in pool.sections(Model())] == [None, None, None]
    assert [each.stages for each in pool.sections(ending)] == [None, (), ()]
    assert list(map(id, pool.sections(ending))) == list(map(id, pool.sections(ending)))
    asking = Model((), (SharedFrontend(8443, port_options(), (), spare_gates=1),))
    assert [each.stages for each in pool.sections(asking)] == [None, (), ()]
    saved = replace(ending, saved=frozenset({Step.POOL}))
    assert [each.stages for each in pool.sections(saved)] == [(), ()]


def test_where_routes_are_is_looked_at_when_a_port_comes_or_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that moves among thousands of Routes needs no look at all of their ports."""
    looked_at: list[RouteSection] = []

    def spots_of(model: Model) -> frozenset[Spot]:
        looked_at.extend(model.routes)
        return spots(model)

    monkeypatch.setattr("router.admission.pool.spots", spots_of)
    pool = PortPool(PortRanges.parse("7001-7003"), 2, RouteDefaults())
    others = tuple(section(f"r{number}", 8000 + number, server(1)) for number in range(20))
    before = pool.sections(Model((_DB, *others)))
    looked_at.clear()
    assert pool.sections(Model((section("db", 7002, server(2)), *others))) == before
    assert len(looked_at) <= 2
    assert pool.sections(Model((section("db", 7003, server(2)), *others))) != before


_MODELS = st.builds(
    lambda ports, at, hosts: Model(
        tuple(section(f"r{port}", port, server(at)) for port in sorted(ports)),
        tuple(shared(port, {"one": _DB} if hosts else {}) for port in (8001, 8002)[: len(ports) % 3]),
    ),
    st.sets(st.integers(7001, 7006), max_size=4),
    st.integers(1, 2),
    st.booleans(),
)


@given(st.lists(st.tuples(_MODELS, st.sets(st.integers(7001, 8002), max_size=2)), max_size=6))
def test_sections_are_those_of_a_pool_that_remembers_nothing(models: list[tuple[Model, set[int]]]) -> None:
    """Whatever models it was asked about before, in whatever order."""
    ranges = PortRanges.parse("7001-7008,8001-8002")
    pool = PortPool(ranges, 1, RouteDefaults())
    for model, unavailable in models:
        names = _names(PortPool(ranges, 1, RouteDefaults()), model, tuple(unavailable))
        assert _names(pool, model, tuple(unavailable)) == names


def test_places_in_which_tls_ends() -> None:
    """They come last, nobody's address is on a list of theirs, and ports of the pool can lead to them; where files are short there are none."""
    shown = shown_by(make("nobody.invalid"))
    pool = PortPool(PortRanges.parse("7001"), 1, RouteDefaults(), slots=2, shown=shown)
    port, host, *slots = pool.sections(Model())
    assert (port.stages, host.stages) == ((), None)
    assert [(each.backend.name, each.backend.allowlist, each.frontend) for each in slots] == [
        ("pool:tls:1", None, None),
        ("pool:tls:2", None, None),
    ]
    assert [each.slot for each in slots] == [Slot(1, shown), Slot(2, shown)]
    assert pool.sections(Model(saved=frozenset({Step.POOL}))) == (host,)
    assert PortPool(PortRanges.parse("7001"), 0, RouteDefaults()).sections(Model())[0].stages is None


def test_allowlists_have_numbers_of_their_own() -> None:
    """HAProxy refuses a number that stands twice."""
    pool = PortPool(PortRanges.parse("1,7001-7003,65535"), 3, RouteDefaults())
    numbers = [allowlist_id(each) for each in pool.sections(Model())]
    assert numbers == [1, 7001, 7002, 7003, 65535, 65536, 65537, 65538]


def test_no_pool() -> None:
    """Without one nothing is declared."""
    pool = PortPool(PortRanges(()), 0, RouteDefaults())
    assert pool.sections(Model((_DB,))) == ()
    assert PortPool(PortRanges(()), 1, RouteDefaults())
    assert PortPool(PortRanges.parse("1"), 0, RouteDefaults())


def test_loaded_closes_the_ports_of_the_pool() -> None:
    """HAProxy opens all that it is loaded with: what serves nobody is closed, and only that."""
    pool = PortPool(PortRanges.parse("7001-7003"), 1, RouteDefaults())
    model = Model((_DB,))
    running = loaded(replace(model, pool=pool.sections(model)), {}, "/owners")
    assert [each.text for each in close_idle_ports(running)] == [
        "disable frontend fe_tcp:7001",
        "disable frontend fe_tcp:7003",
    ]
    assert running.owners == {}
    assert running.place("be_tcp:team:db") is _DB
    assert running.place("be_tcp:team:nobody") is None


def test_claimed_pool_port_is_not_closed_and_a_left_section_is() -> None:
    """After a load that failed all listeners are open again, those of Routes that moved away or are gone, too."""
    pool = PortPool(PortRanges.parse("7001,7003"), 0, RouteDefaults())
    gone, tls = section("gone", 7004), section("tls", None)
    model = Model((_DB, gone, tls))
    running = loaded(replace(model, pool=pool.sections(model)), {}, "/owners")
    key = "be_tcp:team:db"
    running = replace(
        running,
        moved={key: running.pool[Spot(7003)]},
        owners={"pool:7003": key},
        closed=frozenset({key, "be_tcp:team:gone", "be_tcp:team:tls"}),
    )
    closed = {each.text.removeprefix("disable frontend ") for each in close_idle_ports(running)}
    assert closed == {frontend_name(7001), frontend_name(7002), frontend_name(7004)}
    assert running.place(key) is running.pool[Spot(7003)]
    assert running.place("be_tcp:team:gone") is None


def test_deleted_servers_are_forgotten() -> None:
    """The others stay on the list."""
    line = ServerLine("10.0.0.1:80", 1, 0, ())
    running = replace(loaded(Model(), {}, "/owners"), leaving=Leaving({("be", "a"): line, ("be", "b"): line}))
    assert running.without_leaving(frozenset({("be", "a"), ("be", "c")})).leaving == {("be", "b"): line}
