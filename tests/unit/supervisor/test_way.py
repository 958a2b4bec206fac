"""Who steps aside for a change: for an instant, seldom, and only where a loop says when changes have come to their end."""

from __future__ import annotations

from router.supervisor.way import Aside, Way


class _Time:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def _aside() -> tuple[Way, Aside, _Time]:
    way, time = Way(), _Time()
    return way, Aside(way, time.clock, time.sleep), time


def test_without_a_loop_nobody_steps_aside() -> None:
    """Nobody would say that the way is free again."""
    way, aside, time = _aside()
    way.take()
    aside.step()
    way.begin()
    way.take()
    way.end()
    aside.step()
    assert not time.slept


def test_a_change_goes_first_and_who_waited_goes_on() -> None:
    """However long the change takes: a reload takes seconds, and a request or a line of HAProxy's cannot wait for that."""
    way, aside, time = _aside()
    way.begin()
    aside.step()
    assert not time.slept
    way.take()
    aside.step()
    assert len(time.slept) == 1
    assert time.slept[0] <= 0.005
    way.leave()
    time.now_s += 1
    aside.step()
    assert len(time.slept) == 1


def test_where_changes_never_end_a_tenth_is_waited() -> None:
    """Lines that come by the thousand, as at a reload, are read nearly as fast as ever, or HAProxy would wait for who reads them."""
    way, aside, time = _aside()
    way.begin()
    way.take()
    for _ in range(10_000):
        aside.step()
        time.now_s += 0.000_1
    assert 0 < sum(time.slept) <= 0.1 * (time.now_s - 100.0)
