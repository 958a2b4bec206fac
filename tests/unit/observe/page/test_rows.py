"""The rows of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given

from router.admission import Admission, Outcome
from router.haproxy.talk.stats import BackendNow
from router.model import Asker
from router.objects.kinds import KubernetesObject
from router.objects.portclaim import ClaimHolder, PortClaimStatus
from router.observe.page.past import CHANGES, Change
from router.observe.page.rows import HISTORY, Row, Rows, Step
from router.plan import ReloadCause, ReloadReason
from router.reconcile.snapshot import Snapshot
from tests.unit.admission.builders import SETTINGS, endpoint, endpoint_slice, objects_of, port_claim, route, service


def snapshot_of(*objects: KubernetesObject) -> Snapshot:
    """Decide, and take it for applied."""
    held = objects_of(*objects)
    outcome: Outcome = Admission(SETTINGS).update(held, held.everything())
    return Snapshot(synced=True, verdicts=outcome.verdicts, applied=outcome.model)


def by_id(rows: Rows) -> Mapping[str, Row]:
    """Give all rows."""
    return {row.id: row for row in rows.all}


def ids(step: Step) -> tuple[set[str], set[str]]:
    """Give whose rows changed and went."""
    return {row.id for row in step.changed}, set(step.gone)


PODS = (service(), endpoint_slice(endpoint("10.1.0.1"), endpoint("10.1.0.2", "draining")))
DB = "Route/shop/db"


def test_what_a_row_says() -> None:
    """Who it is, where it is reached, what became of it, and its servers."""
    rows = Rows()
    step = rows.decided(snapshot_of(route(host="db.example.com"), route("late", created="2025-01-01T00:00:00Z"), *PODS))
    assert ids(step) == ({DB, "Route/shop/late"}, set())
    row = by_id(rows)[DB]
    assert (row.port, row.reason, row.servers, row.draining, row.up, row.sessions) == (6620, "", 2, 1, -1, -1)
    assert by_id(rows)["Route/shop/late"].reason == "PortAlreadyClaimed"


def test_only_what_changed_is_given() -> None:
    """A second look at the same snapshot gives nothing; a Route that goes is told by its name."""
    one = snapshot_of(route(), route("web", 6621), *PODS)
    rows = Rows()
    first = rows.decided(one)
    assert rows.decided(one) == Step(first.version, (), ())
    two = replace(one, verdicts={key: value for key, value in one.verdicts.items() if key.name != "web"})
    assert ids(rows.decided(two)) == (set(), {"Route/shop/web"})
    assert rows.version == first.version + 1


def test_what_is_used_by_what_haproxy_counts() -> None:
    """Rates between two counts; who is silent again is told once, and then no more."""
    snapshot = snapshot_of(route(), route("web", 6621), *PODS)
    rows = Rows()
    rows.decided(snapshot)
    quiet = BackendNow(0, 1)
    assert ids(
        rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 5, 100, 100), "be_tcp:shop:web": quiet}, 10.0)
    )[0] == {DB, "Route/shop/web"}
    after = {"be_tcp:shop:db": BackendNow(3, 1, 15, 600, 1100), "be_tcp:shop:web": quiet}
    assert ids(rows.counted(snapshot, after, 15.0))[0] == {DB}
    row = by_id(rows)[DB]
    assert (row.sessions, row.connections, row.bytes, row.up) == (3, 2.0, 300, 1)
    assert ids(rows.counted(snapshot, after, 20.0))[0] == {DB}
    assert by_id(rows)[DB].bytes == 0
    assert ids(rows.counted(snapshot, after, 25.0)) == (set(), set())


def test_after_a_reload_the_counts_begin_anew() -> None:
    """They are of another worker, and nothing is negative."""
    snapshot = snapshot_of(route(), *PODS)
    rows = Rows()
    rows.decided(snapshot)
    rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 500, 9000, 9000)}, 10.0)
    rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 10, 500, 500)}, 15.0)
    assert (by_id(rows)[DB].connections, by_id(rows)[DB].bytes) == (2.0, 200)


def test_without_haproxys_word_nothing_is_known() -> None:
    """It is down, or being started."""
    snapshot = snapshot_of(route(), *PODS)
    rows = Rows()
    rows.decided(snapshot)
    rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 5, 5, 5)}, 10.0)
    rows.counted(snapshot, None, 15.0)
    assert by_id(rows)[DB].sessions == -1


def test_the_last_ten_minutes() -> None:
    """Of who was used in them; of nobody else anything is kept."""
    snapshot = snapshot_of(route(), route("web", 6621), *PODS)
    rows = Rows()
    rows.decided(snapshot)
    rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 1, 0, 0)}, 5.0)
    rows.counted(snapshot, {"be_tcp:shop:db": BackendNow(1, 1, 1, 3000, 0)}, 10.0)
    rows.remembered([], 30.0)
    assert by_id(rows)[DB].history == (*[0] * (HISTORY - 1), 100)
    assert by_id(rows)["Route/shop/web"].history == ()
    for _ in range(HISTORY):
        rows.remembered([], 30.0)
    assert by_id(rows)[DB].history == ()


def test_since_when_and_when_last_used() -> None:
    """As its PortClaim has it."""
    claim = port_claim(
        "p-6620", 6620, ClaimHolder("route.openshift.io", "Route", "shop", "db"), created="2024-05-01T00:00:00Z"
    )
    used = PortClaimStatus(last_used="2024-06-01T00:00:00Z")
    rows = Rows()
    rows.decided(snapshot_of(route(), *PODS))
    rows.remembered([type(claim)(claim.metadata, claim.spec, used)], 30.0)
    assert (by_id(rows)[DB].since, by_id(rows)[DB].last_used) == ("2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")


def test_what_became_of_it() -> None:
    """Verdicts that became others, the newest first; what was there at first is no change, nor is another server."""
    rows, first = Rows(), route("first", created="2023-01-01T00:00:00Z")
    rows.decided(snapshot_of(route(), *PODS), 1.0)
    assert rows.changes_of(DB) == ()
    rows.decided(snapshot_of(route(), service(), endpoint_slice(endpoint("10.1.0.9"))), 2.0)
    assert rows.changes_of(DB) == ()
    rows.decided(snapshot_of(route(), first, *PODS), 3.0)
    rows.decided(snapshot_of(route(), *PODS), 4.0)
    assert [(each.time_s, each.verdict) for each in rows.changes_of(DB)] == [
        (4.0, "admitted"),
        (3.0, "PortAlreadyClaimed"),
    ]
    assert [each.verdict for each in rows.changes_of("Route/shop/first")] == ["admitted"]


def test_whether_it_came_by_a_reload() -> None:
    """Its own, its port's or everybody's, with the cause; nobody else's; also where the verdict stays and only an option changed."""
    rows = Rows()
    rows.decided(snapshot_of(), 1.0)
    both = (route(), route("web", 6621))
    rows.decided(snapshot_of(*both, *PODS), 2.0, [ReloadReason(ReloadCause.ROUTE_ADDED, "shop/web")])
    assert [(each.verdict, each.reload) for each in rows.changes_of(DB)] == [("admitted", "")]
    assert [(each.verdict, each.reload) for each in rows.changes_of("Route/shop/web")] == [("admitted", "route-added")]
    changed = (route(balance="source"), route("web", 6621))
    rows.decided(snapshot_of(*changed, *PODS), 3.0, [ReloadReason(ReloadCause.OPTIONS_CHANGED, "shop/db")])
    assert rows.changes_of(DB)[0] == Change(3.0, "admitted", "", "options-changed")
    assert len(rows.changes_of("Route/shop/web")) == 1
    rows.decided(snapshot_of(*both, *PODS), 4.0, [ReloadReason(ReloadCause.PORT_CHANGED, "6620")])
    rows.decided(snapshot_of(*changed, *PODS), 5.0, [ReloadReason(ReloadCause.RUNTIME_REFUSED)])
    assert [each.reload for each in rows.changes_of(DB)] == ["runtime-refused", "port-changed", "options-changed", ""]


def test_what_became_of_many_is_bounded() -> None:
    """So many of each, and so many askers."""
    rows = Rows()
    rows.decided(snapshot_of(), 1.0)
    for number in range(CHANGES + 3):
        rows.decided(snapshot_of(route(balance="source" if number % 2 else "nonsense"), *PODS), float(number))
    assert len(rows.changes_of(DB)) == CHANGES


LIVES = st.lists(
    st.tuples(st.sets(st.sampled_from("abcdef")), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))),
    max_size=8,
)


@given(LIVES)
def test_whoever_applies_the_steps_has_the_rows(lives: list[tuple[set[str], dict[str, int]]]) -> None:
    """As the script of the page does: however Routes come, go and are used."""
    rows, version = Rows(), 0
    seen: dict[str, Row] = {}
    for number, (names, used) in enumerate(lives):
        snapshot = snapshot_of(*(route(name, 6000 + ord(name)) for name in sorted(names)), *PODS)
        counts = {f"be_tcp:shop:{name}": BackendNow(value, 1, value, value, value) for name, value in used.items()}
        for step in (rows.decided(snapshot), rows.counted(snapshot, counts, 5.0 * number), rows.remembered([], 30.0)):
            if step.changed or step.gone:
                version += 1
            assert step.version == version
            seen |= {row.id: row for row in step.changed}
            for gone in step.gone:
                del seen[gone]
        assert seen == by_id(rows)
        assert set(seen) == {f"Route/shop/{name}" for name in names}
    assert all(isinstance(asker, Asker) for asker in rows._rows)  # noqa: SLF001 - that they are kept by whom they are of
