"""Where the time of changes goes: the stages are put together right, whatever is served together, and whatever came another way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.observe.tracing.trace import (
    ADMISSION,
    DECODE,
    PLAN,
    RELOAD,
    REPLY,
    SEND,
    STAGES,
    WAKE,
    ServedChange,
    Trace,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now_s

    def after(self, seconds: float, then: Callable[[], object]) -> None:
        """Let time pass, then do something."""
        self.now_s += seconds
        then()


def slot(name: str) -> tuple[type, ObjectKey]:
    """Give the slot of a Route."""
    return Route, ObjectKey("team", name)


@pytest.fixture
def clock() -> Clock:
    """Some time."""
    return Clock()


@pytest.fixture
def trace(clock: Clock) -> Trace:
    """A trace on this clock."""
    return Trace(clock)


def arrives(trace: Trace, clock: Clock, *names: str) -> None:
    """Have Routes read, decoded in 1 s and stored."""
    trace.received(clock.now_s)
    clock.after(1, lambda: trace.stored(slot(name) for name in names))
    trace.taken_in()


def is_carried_out(trace: Trace, clock: Clock) -> ServedChange | None:
    """Have what was taken decided in 4 s, planned in 8, sent in 16 and answered in 32."""
    clock.after(4, lambda: trace.mark(ADMISSION))
    clock.after(8, lambda: trace.mark(PLAN))
    clock.after(16, lambda: trace.mark(SEND))
    clock.after(32, lambda: trace.mark(REPLY))
    return trace.served()


def test_stages_of_one_change(trace: Trace, clock: Clock) -> None:
    """Each stage has its own time, together they are the whole."""
    arrives(trace, clock, "a")
    clock.after(2, lambda: trace.taken(is_news=True))
    assert is_carried_out(trace, clock) == ServedChange(
        slot("a"), 1, 100.0, {DECODE: 1, WAKE: 2, ADMISSION: 4, PLAN: 8, SEND: 16, REPLY: 32}
    )
    assert trace.served() is None


def test_several_changes_count_as_the_one_that_waited_longest(trace: Trace, clock: Clock) -> None:
    """What comes before it is taken, and while it waits to be served, goes with the first."""
    arrives(trace, clock, "a", "b")
    arrives(trace, clock, "c")
    clock.after(2, lambda: trace.taken(is_news=True))
    arrives(trace, clock, "d")
    trace.taken(is_news=True)
    served = is_carried_out(trace, clock)
    assert served is not None
    assert (served.slot, served.changes, served.stages[DECODE]) == (slot("a"), 4, 1)
    assert served.total_s == 1 + 1 + 2 + 1 + 4 + 8 + 16 + 32


def test_what_is_not_taken_yet_is_the_next_one_s(trace: Trace, clock: Clock) -> None:
    """What arrives after the loop took the rest begins a trace of its own."""
    arrives(trace, clock, "a")
    trace.taken(is_news=True)
    arrives(trace, clock, "b")
    assert (first := is_carried_out(trace, clock)) is not None
    assert first.changes == 1
    trace.taken(is_news=True)
    assert (second := is_carried_out(trace, clock)) is not None
    assert (second.slot, second.stages[WAKE]) == (slot("b"), 60)


def test_change_of_nothing_is_no_change(trace: Trace, clock: Clock) -> None:
    """An event that leaves the objects as they were does not count, and does not make the next one look long."""
    arrives(trace, clock, "a")
    trace.taken(is_news=False)
    assert is_carried_out(trace, clock) is None
    arrives(trace, clock, "b")
    trace.taken(is_news=True)
    assert (served := is_carried_out(trace, clock)) is not None
    assert served.slot == slot("b")


def test_change_that_haproxy_need_not_know_is_not_told(trace: Trace, clock: Clock) -> None:
    """Without commands or a reload there is nothing to take apart."""
    arrives(trace, clock, "a")
    trace.taken(is_news=True)
    trace.mark(ADMISSION)
    assert trace.served() is None


def test_reload_takes_the_place_of_the_commands(trace: Trace, clock: Clock) -> None:
    """Commands that a reload comes with are part of it, and so is the wait for it."""
    arrives(trace, clock, "a")
    trace.taken(is_news=True)
    clock.after(4, lambda: trace.mark(ADMISSION))
    clock.after(8, lambda: trace.mark(PLAN))
    clock.after(1, lambda: trace.mark(REPLY))
    clock.after(1, lambda: trace.mark(RELOAD))
    assert (served := trace.served()) is not None
    assert served.stages == {DECODE: 1, WAKE: 0, ADMISSION: 4, RELOAD: 10}


def test_what_another_thread_fetched_has_no_first_stage(trace: Trace, clock: Clock) -> None:
    """Only the thread that read an event knows when; for others the way begins in the store."""
    trace.received(clock.now_s)
    fetching = threading.Thread(target=lambda: trace.stored([slot("a")]))
    fetching.start()
    fetching.join()
    clock.after(2, lambda: trace.taken(is_news=True))
    assert (served := is_carried_out(trace, clock)) is not None
    assert list(served.stages) == [WAKE, ADMISSION, PLAN, SEND, REPLY]
    assert served.total_s == 2 + 60


def test_event_that_is_through_is_not_the_next_one_s(trace: Trace, clock: Clock) -> None:
    """What the same thread stores later without an event, such as a list, does not begin with an old event."""
    trace.received(clock.now_s)
    trace.taken_in()
    clock.after(50, lambda: trace.stored([slot("a")]))
    trace.taken(is_news=True)
    assert (served := is_carried_out(trace, clock)) is not None
    assert DECODE not in served.stages


def test_stages_are_documented() -> None:
    """Each stage that there is has its words."""
    assert set(STAGES) == {DECODE, WAKE, ADMISSION, PLAN, SEND, REPLY, RELOAD}
