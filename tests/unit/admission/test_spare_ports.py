"""The pool that sizes itself: how many ports it wants, which it chooses, and who gets them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.pool import PortPool
from router.admission.spare_ports import FEWEST, MOST, SparePorts
from router.model import Model, Spot, frontend_name
from router.plan.commands import close_frontend, open_frontend
from router.reconcile.filling import Filling, spare_ports
from router.settings import NamedAddress, PortRanges, RouteDefaults
from tests.support.models import section, server
from tests.unit.admission.builders import route
from tests.unit.admission.test_autos import AT_ONCE, FIRST, PORTS, Router

HOUR_S = 3600
DAY_S = 24 * HOUR_S
RANGES = PortRanges.parse("7000-7999")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 20_000.0 * DAY_S

    def __call__(self) -> float:
        """Give what it shows."""
        return self.now_s


def spots(*ports: int) -> list[Spot]:
    """Give where these ports are."""
    return [Spot(port) for port in ports]


@pytest.fixture
def clock() -> Clock:
    """One that begins some day."""
    return Clock()


def test_as_many_are_wanted_as_the_busiest_hour_took(clock: Clock) -> None:
    """Within any sixty minutes, wherever they begin; ports that are none of these, and one that is taken again, do not count anew."""
    spare = SparePorts(RANGES, clock)
    assert (spare.busiest, spare.wanted) == (0, FEWEST)
    spare.take([*spots(*range(7000, 7020)), Spot(80), Spot(7500, "pg")])
    assert (spare.busiest, spare.wanted) == (20, 20)
    clock.now_s += HOUR_S - 60
    spare.take(spots(*range(7020, 7025)))
    assert spare.busiest == 25
    for _ in range(50):
        spare.take(spots(7024))
    assert spare.busiest == 25
    clock.now_s += 120
    spare.take(spots(7030))
    assert spare.busiest == 25
    clock.now_s += HOUR_S + 1
    spare.take(spots(*range(7100, 7103)))
    assert spare.busiest == 25


def test_a_busy_hour_is_forgotten_after_a_week(clock: Clock) -> None:
    """Not before."""
    spare = SparePorts(RANGES, clock)
    spare.take(spots(*range(7000, 7030)))
    clock.now_s += 6 * DAY_S
    spare.take(spots(7000))
    assert spare.wanted == 30
    clock.now_s += DAY_S
    spare.take(spots(7001))
    assert (spare.busiest, spare.wanted) == (1, FEWEST)


def test_there_is_a_most(clock: Clock) -> None:
    """Whatever somebody did in an hour: each costs at each reload."""
    spare = SparePorts(PortRanges.parse("7000-9999"), clock)
    spare.take(spots(*range(7000, 9000)))
    assert (spare.busiest, spare.wanted) == (2000, MOST)


def test_the_lowest_that_are_free_are_chosen(clock: Clock) -> None:
    """Neither those that are taken nor those that nobody can get."""
    spare = SparePorts(RANGES, clock, {int(clock() // DAY_S): 12})
    assert spare.choose(()) == tuple(range(7000, 7012))
    spare.free = lambda: ~(1 << 7002)
    assert spare.choose({7000, 80}) == (7001, *range(7003, 7014))
    assert SparePorts(PortRanges.parse("7000-7001"), clock).choose({7001}) == (7000,)


_PORTS_OF_A_STORY = st.sets(st.integers(7000, 7012))


@given(st.lists(st.tuples(st.integers(0, 2 * HOUR_S), _PORTS_OF_A_STORY, _PORTS_OF_A_STORY), max_size=12))
def test_the_busiest_hour_is_that_of_a_look_at_all_of_them(story: list[tuple[int, set[int], set[int]]]) -> None:
    """Ports by the hour that ends with each, of which somebody has those that were not given up since."""
    clock = Clock()
    spare = SparePorts(RANGES, clock)
    taken_s: dict[int, float] = {}
    most = 0
    for pause_s, given_up, taken in story:
        clock.now_s += pause_s
        spare.take(spots(*sorted(taken)), spots(*sorted(given_up)))
        taken_s = {port: at_s for port, at_s in taken_s.items() if port not in given_up} | dict.fromkeys(
            taken, clock.now_s
        )
        most = max(most, sum(at_s > clock.now_s - HOUR_S for at_s in taken_s.values()))
        assert spare.busiest == most


def test_who_has_one_port_after_the_other_makes_the_pool_no_larger(clock: Clock) -> None:
    """Whether a team asks for any port again and again, or names each of them in turn: it has one at a time, and gives it back."""
    spare = SparePorts(RANGES, clock)
    before: tuple[Spot, ...] = ()
    for port in range(7000, 7900):
        clock.now_s += 1
        spare.take(spots(port), before)
        before = (Spot(port),)
    assert (spare.busiest, spare.wanted) == (1, FEWEST)


def test_who_had_a_port_before_a_change_is_told_by_its_commands_and_by_a_load(tmp_path: Path) -> None:
    """A port that is closed, and one that a load has no more, are given up; one that is closed and opened again in one change is not."""
    filling = Filling(spare_ports(RANGES, tmp_path / "pool.json"), tmp_path / "pool.json")
    for port in range(7000, 7100):
        name = frontend_name(port, "")
        filling.updated((close_frontend(frontend_name(port - 1, "")), open_frontend(name)))
    assert filling.busiest() == 1
    both = frontend_name(7099, "")
    filling.updated((close_frontend(both), open_frontend(both), open_frontend(frontend_name(7200, ""))))
    assert filling.busiest() == 2
    models = [Model((section("db", port, server(1)),)) for port in range(7300, 7320)]
    for one, other in itertools.pairwise(models):
        filling.reloads(one, other)
    assert filling.busiest() == 3


def test_the_pool_is_filled_when_haproxy_is_loaded_and_not_before(clock: Clock) -> None:
    """What is on disk between loads has what HAProxy has; sections are the same objects as long as they are chosen."""
    spare = SparePorts(RANGES, clock, {int(clock() // DAY_S): 11})
    pool = PortPool(PortRanges.of(6000), 1, RouteDefaults(), spare=spare)
    first = pool.sections(Model())
    assert [each.backend.name for each in first] == [
        "pool:6000",
        *(f"pool:{port}" for port in range(7000, 7011)),
        "pool:sni:1",
    ]
    assert all(one is other for one, other in zip(first, pool.sections(Model()), strict=True))
    spare.declare(each.frontend.spot for each in first if each.frontend is not None)
    assert spare.ready == sum(1 << port for port in range(7000, 7011))
    model = Model((section("db", 7003, server(1)),))
    declared = [each.frontend.spot for each in first if each.frontend is not None]
    level = [each.backend.name for each in pool.sections(model, declared=declared)]
    assert level == [each.backend.name for each in first if each.backend.name != "pool:7003"]
    again = [each.backend.name for each in pool.sections(model, spots(7001))]
    assert again == ["pool:6000", *(f"pool:{port}" for port in (7000, 7002, *range(7004, 7013))), "pool:sni:1"]


def test_who_asks_for_any_port_gets_one_that_opens_without_a_reload() -> None:
    """If one is free; else what it would have got. A router that decides everything anew goes on so."""
    chosen = next(port for port in PORTS if port != FIRST)
    router = Router(settings=AT_ONCE)
    assert router.admission.autos is not None
    router.admission.autos.pools.ready = lambda: 1 << chosen
    router.put(route("db", "auto"))
    assert router.port() == chosen
    router.put(route("other", "auto"))
    assert router.port("other") not in {None, chosen}
    fresh = router.admission.anew()
    assert fresh.autos is not None
    assert fresh.autos.pools.ready() == 1 << chosen


def test_ports_of_an_address_are_not_those_of_the_pool() -> None:
    """What is ready is ready on ``--bind-address`` alone."""
    router = Router(settings=replace(AT_ONCE, addresses={"pg": NamedAddress(ips=("10.9.0.1",))}))
    assert router.admission.autos is not None
    pools = router.admission.autos.pools
    pools.ready = lambda: 1 << 7001
    assert [pools.terms("team", address, "auto").ready for address in ("", "pg")] == [1 << 7001, 0]


def test_it_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """What the file says that is no such file is nobody's business."""
    path = tmp_path / "pool.json"
    spare = spare_ports(RANGES, path)
    filling = Filling(spare, path)
    filling.updated(tuple(open_frontend(frontend_name(port, "")) for port in range(7000, 7042)))
    filling.loaded(Model(pool=PortPool(PortRanges(()), 0, RouteDefaults(), spare=spare).sections(Model())))
    assert spare.ready.bit_count() == 42
    assert spare_ports(RANGES, path).wanted == 42
    path.write_bytes(b"{")
    assert spare_ports(RANGES, path).wanted == FEWEST
