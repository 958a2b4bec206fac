"""The stages of changes: when each began and ended, put together from what the parts say; no I/O, no thread of its own.

Changes that are served together count as one, the one that arrived first: it has waited longest. What came in by a list, or was fetched
on another thread than the watch's, has no first stage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from router.objects.kinds import Slot

DECODE, WAKE, ADMISSION, PLAN, SEND, REPLY, RELOAD = "decode", "wake", "admission", "plan", "send", "reply", "reload"
STAGES: Mapping[str, str] = {
    DECODE: "from the bytes of its event, read from the socket, to the decoded object in the store",
    WAKE: "until the reconcile thread has woken and taken it",
    ADMISSION: "until it is decided who is served, and how",
    PLAN: "until the commands are made, and the ports that they open have been looked at",
    SEND: "until HAProxy's socket has the commands",
    REPLY: "until HAProxy has answered all of them",
    RELOAD: "in the place of plan, send and reply: until HAProxy was loaded anew, the wait for that included",
}


@dataclass(frozen=True, slots=True)
class ServedChange:
    """A change that HAProxy serves now. Seconds; times are those of ``time.monotonic``."""

    slot: Slot
    changes: int
    """So many objects were changed together."""
    began_s: float
    stages: Mapping[str, float]
    """How long each took, in order; those that there were."""

    @property
    def total_s(self) -> float:
        """From the first stage to the end of the last."""
        return sum(self.stages.values())


@dataclass(slots=True)
class _Change:
    slot: Slot
    received_s: float | None
    stored_s: float
    changes: int = 0
    marks: dict[str, float] = field(default_factory=dict)


class Trace:
    """Takes note of what happens to changes. ``received``, ``taken_in`` and ``stored`` from any thread, the rest from the reconcile thread.

    Args:
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._waiting: _Change | None = None
        """What is in the store and not taken yet."""
        self._under_way: _Change | None = None

    def received(self, received_s: float) -> None:
        """Say when the event was read from the socket of which this thread now makes an object."""
        self._of_thread.received_s = received_s

    def taken_in(self) -> None:
        """Say that this thread is through with that event."""
        self._of_thread.received_s = None

    def stored(self, slots: Iterable[Slot]) -> None:
        """Say that these objects are put into the store."""
        with self._lock:
            for slot in slots:
                if self._waiting is None:
                    received_s = getattr(self._of_thread, "received_s", None)
                    self._waiting = _Change(slot, received_s, self._clock())
                self._waiting.changes += 1

    def taken(self, *, is_news: bool) -> None:
        """Say that the reconcile thread has what is in the store, and whether any of it is other than before."""
        with self._lock:
            change, self._waiting = self._waiting, None
        if change is None or not is_news:
            return
        if self._under_way is None:
            self._under_way = change
        else:
            self._under_way.changes += change.changes
        self.mark(WAKE)

    def mark(self, stage: str) -> None:
        """Say that a stage has come to its end; of several times the last counts."""
        if self._under_way is not None:
            # At the end, so that they are in the order of time.
            self._under_way.marks.pop(stage, None)
            self._under_way.marks[stage] = self._clock()

    def served(self) -> ServedChange | None:
        """Say that HAProxy serves all that was taken; give what became of it, None if it made no difference to HAProxy."""
        change, self._under_way = self._under_way, None
        if change is None or not change.marks.keys() & {REPLY, RELOAD}:
            return None
        marks = change.marks
        if RELOAD in marks:
            # Commands come with it too, and perhaps came before it for what could not wait.
            marks = {stage: at_s for stage, at_s in marks.items() if stage not in {PLAN, SEND, REPLY}}
        began_s = change.stored_s if change.received_s is None else change.received_s
        ends_s = {} if change.received_s is None else {DECODE: change.stored_s}
        ends_s.update(marks)
        stages, last_s = {}, began_s
        for stage, at_s in ends_s.items():
            stages[stage], last_s = at_s - last_s, at_s
        return ServedChange(change.slot, change.changes, began_s, stages)
