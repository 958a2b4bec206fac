"""What HAProxy does without as its files get fewer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission.pool import PortPool
from router.haproxy.process import descriptors
from router.haproxy.process.descriptors import STEPS, Counts, Haproxy
from router.model import Model, Step
from router.settings import PortRanges, RouteDefaults
from tests.support.models import section, server, shared

_HAPROXY = Haproxy(version=(2, 8, 25), threads=2, binds_per_port=1, max_connections=None, limit=20_000, workers=0)
_CHECKS = frozenset({Step.CHECKS})
_CONNECTIONS = _CHECKS | {Step.CONNECTIONS}
_POOL = _CONNECTIONS | {Step.POOL}
_CLAIMS = _POOL | {Step.CLAIMS}


def test_what_is_counted() -> None:
    """Ports of Routes and shared ones, those of the pool apart, and servers that are checked."""
    web = section("web", None, server(1), server(2))
    model = Model(
        (
            section("db", 6620, server(1), server(2, check=False)),
            section("idle", 6621, server(1), check_interval_ms=0),
            web,
        ),
        (shared(8443, {"web.example.com": web}),),
    )
    pool = PortPool(PortRanges.parse("7000-7009"), 3, RouteDefaults()).sections(model)
    assert descriptors.counts(model, pool) == Counts(ports=3, pool_ports=10, checked_servers=3)
    # Two sockets of single hosts, and the one that leads there.
    asking = replace(model, shared=(replace(model.shared[0], spare_gates=2),))
    assert descriptors.counts(asking, pool) == Counts(ports=6, pool_ports=10, checked_servers=3, stages=3)


def test_ports_of_addresses_are_counted_by_what_these_are() -> None:
    """Each IP address of a name is a file for each of its ports, however many --bind-address has."""
    plain = section("db", 5432)
    assert plain.frontend is not None
    named = replace(plain, frontend=replace(plain.frontend, address="dual"))
    of_addresses = {"dual": PortRanges.parse("7000-7004")}
    pool = PortPool(PortRanges.of(7005), 0, RouteDefaults(), of_addresses).sections(Model())
    counts = descriptors.counts(Model((named, section("web", 80))), pool, {"dual": 2})
    assert counts == Counts(ports=1, named=2, pool_ports=1, named_pool=10, checked_servers=0)
    two_each = replace(_HAPROXY, binds_per_port=2)
    without = descriptors.wanted(two_each, Counts(0, 0, 0))
    assert descriptors.wanted(two_each, counts) - without == 2 + 2 + 2 + 10
    assert descriptors.wanted(two_each, counts, _POOL) - descriptors.wanted(two_each, Counts(0, 0, 0), _POOL) == 2 + 2


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 8), st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=6),
            st.sets(st.integers(7000, 7004)),
        ),
        max_size=5,
    )
)
def test_what_is_counted_one_model_after_the_other_is_what_each_comes_to(
    steps: list[tuple[dict[int, tuple[int, bool, bool]], set[int]]],
) -> None:
    """Routes that come, go and change, and another pool: nothing of the models before is left in the sums."""
    tally = descriptors.Tally({"dual": 2})
    for wanted, pool_ports in steps:
        routes = []
        for number, (servers, is_named, is_checked) in sorted(wanted.items()):
            made = section(f"r{number}", 6000 + number, *map(server, range(servers)), check_interval_ms=5 * is_checked)
            assert made.frontend is not None
            routes.append(replace(made, frontend=replace(made.frontend, address="dual" if is_named else "")))
        model = Model(tuple(routes))
        pool = PortPool(PortRanges.of(*pool_ports), 2, RouteDefaults()).sections(model)
        found = tally.counts(model, pool)
        assert found == Counts(
            ports=sum(not is_named for _, is_named, _ in wanted.values()),
            named=2 * sum(is_named for _, is_named, _ in wanted.values()),
            pool_ports=len(pool_ports),
            checked_servers=sum(servers for servers, _, is_checked in wanted.values() if is_checked),
        )


@pytest.mark.parametrize(
    ("counts", "changes", "saved"),
    [
        pytest.param(Counts(100, 0, 300), {}, frozenset(), id="plenty"),
        pytest.param(Counts(5_000, 0, 15_000), {}, _CHECKS, id="5000 Routes, 15000 checked servers, 20000 files"),
        pytest.param(Counts(5_000, 0, 15_000), {"limit": 25_300}, _CHECKS, id="connections would be too few"),
        pytest.param(Counts(5_000, 0, 15_000), {"limit": 26_800}, frozenset(), id="enough for all of it"),
        pytest.param(
            Counts(5_000, 0, 15_000), {"max_connections": 100, "limit": 20_250}, frozenset(), id="just enough"
        ),
        pytest.param(Counts(5_000, 0, 15_000), {"max_connections": 100, "limit": 20_249}, _CHECKS, id="one too few"),
        pytest.param(Counts(5_000, 0, 0), {"max_connections": 10_000}, _CONNECTIONS, id="more connections than fit"),
        pytest.param(Counts(5_000, 18_000, 0), {}, _POOL, id="a pool that does not fit"),
        pytest.param(Counts(19_750, 0, 0), {}, _CONNECTIONS, id="as many Routes as fit"),
        pytest.param(Counts(19_751, 0, 0), {}, _CLAIMS, id="one Route too many"),
        pytest.param(Counts(10_000, 0, 0), {"binds_per_port": 2}, _CLAIMS, id="two addresses for each"),
        pytest.param(
            Counts(19_772, 0, 0), {"version": (3, 2, 0)}, _CONNECTIONS, id="3.1 and newer need fewer themselves"
        ),
    ],
)
def test_what_is_done_without(counts: Counts, changes: dict[str, int], saved: frozenset[Step]) -> None:
    """Checks first, then connections, then the pool, and new claims last."""
    assert descriptors.saved(replace(_HAPROXY, **changes), counts, frozenset()) == saved  # type: ignore[arg-type]


def test_how_many_ports_fit() -> None:
    """What is left by HAProxy itself and the least connections, and never less than none."""
    assert descriptors.ports_that_fit(_HAPROXY) == 19_750
    assert descriptors.ports_that_fit(replace(_HAPROXY, binds_per_port=4)) == 4_937
    assert descriptors.ports_that_fit(replace(_HAPROXY, limit=64)) == 0


@pytest.mark.parametrize(("limit", "fit"), [(249, 0), (254, 2), (260, 5), (300, 8), (400, 87), (20_000, 19_687)])
def test_room_for_old_workers_leaves_some_ports(limit: int, fit: int) -> None:
    """With few files room for 64 old workers would leave no port, and nobody be served, though HAProxy would start."""
    assert descriptors.ports_that_fit(replace(_HAPROXY, threads=1, limit=limit, workers=64)) == fit


_ports = st.integers(0, 25_000)


@given(_ports, _ports, _ports, st.integers(0, len(STEPS)), st.sampled_from([None, 100, 5_000, 50_000]))
def test_steps_are_kept_and_taken_in_order(
    ports: int, pool: int, checked: int, formerly: int, connections: int | None
) -> None:
    """What is decided fits, has every step before the last, and is decided again alike; nothing is taken back at the limit itself."""
    haproxy, counts = replace(_HAPROXY, max_connections=connections), Counts(ports, pool, checked)
    before = frozenset(STEPS[:formerly])
    saved = descriptors.saved(haproxy, counts, before)
    assert saved == frozenset(STEPS[: len(saved)])
    assert Step.CLAIMS in saved or descriptors.wanted(haproxy, counts, saved) <= haproxy.limit
    assert descriptors.saved(haproxy, counts, saved) == saved
    if len(saved) < len(before):
        assert descriptors.wanted(haproxy, counts, saved) <= haproxy.limit * 0.9


@given(st.lists(st.integers(14_900, 15_100), max_size=30))
def test_what_comes_and_goes_at_the_limit_does_not_flap(checked: list[int]) -> None:
    """Servers that come and go around the limit end the checks once, and do not bring them back."""
    haproxy = replace(_HAPROXY, limit=20_050)
    saved: frozenset[Step] = frozenset()
    changes = 0
    for number in checked:
        now = descriptors.saved(replace(haproxy, max_connections=100), Counts(4_800, 0, number), saved)
        changes, saved = changes + (now != saved), now
    assert changes <= 1
