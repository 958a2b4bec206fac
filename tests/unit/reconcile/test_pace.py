"""When the next reload may run: at once, apart, after a failure, and with company."""

from __future__ import annotations

from router.plan import ReloadCause, ReloadReason
from router.reconcile.pace import ReloadPace


def _reasons(*routes: str) -> tuple[ReloadReason, ...]:
    return tuple(ReloadReason(ReloadCause.ROUTE_ADDED, route) for route in routes)


def _started() -> ReloadPace:
    """A pace after its first reload, at 100 s, whose interval is over at 101 s."""
    pace = ReloadPace(1.0, (0.02, 0.5), (2.0, 30.0))
    pace.wants(_reasons("team/first"), 100.0)
    pace.succeeded(100.0)
    return pace


def test_the_first_runs_at_once() -> None:
    """Nothing is served yet, so nothing is waited for."""
    pace = ReloadPace(1.0, (0.02, 0.5), (2.0, 30.0))
    pace.wants(_reasons("team/first"), 100.0)
    assert pace.due_s <= 100.0


def test_reloads_keep_apart() -> None:
    """What came within the interval has its reload at the interval's end, and waits for nothing more."""
    pace = _started()
    pace.wants(_reasons("team/a"), 100.1)
    assert pace.due_s == 101.0


def test_further_reasons_put_it_off_up_to_a_bound() -> None:
    """Routes that come one after the other have one reload; one that never ends to come cannot hold up the others."""
    pace = _started()
    names = ["team/a"]
    pace.wants(_reasons(*names), 200.0)
    assert pace.due_s == 200.02
    for number in range(1, 100):
        names.append(f"team/{number}")
        pace.wants(_reasons(*names), 200.0 + number / 100)
    assert pace.due_s == 200.5


def test_the_same_reasons_put_it_off_no_longer() -> None:
    """Endpoints that move meanwhile, or a Route that changes again and again, do not."""
    pace = _started()
    for number in range(10):
        pace.wants(_reasons("team/a"), 200.0 + number / 100)
    assert pace.due_s == 200.02


def test_reasons_that_went_away_are_forgotten() -> None:
    """A Route that comes after another one that was taken back begins to wait anew."""
    pace = _started()
    pace.wants(_reasons("team/a"), 200.0)
    pace.wants_none()
    pace.wants(_reasons("team/a"), 300.0)
    assert pace.due_s == 300.02


def test_pauses_after_failures_grow_until_one_works() -> None:
    """However often it is asked for meanwhile."""
    pace = _started()
    assert [pace.failed(200.0), pace.failed(300.0)] == [2.0, 4.0]
    pace.wants(_reasons("team/a"), 300.1)
    assert pace.due_s == 304.0
    pace.succeeded(304.0)
    assert pace.failed(400.0) == 2.0


def test_hurry_ends_with_the_need() -> None:
    """Where nothing had to be reloaded after all, the next reload waits for company as any other."""
    pace = _started()
    pace.hurry(200.0)
    pace.wants_none()
    pace.wants(_reasons("team/a"), 300.0)
    assert pace.due_s == 300.02


def test_what_hurries_waits_for_nothing() -> None:
    """After a restart, or when some are left out, the next reload runs at once, whatever it is for; those after it do not."""
    pace = _started()
    pace.hurry(100.2)
    pace.wants(_reasons("team/a"), 100.3)
    assert pace.due_s == 100.2
    pace.succeeded(100.4)
    assert pace.due_s == 101.4
