"""Keeps the rows level while the router runs, and tells those who look at them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from router.haproxy.talk.stats import BackendNow
from router.objects.store import Objects
from router.observe.http import JSON, Page
from router.observe.page.past import Change
from router.observe.page.rows import HISTORY, Row, Rows, Step
from router.plan import ReloadReason
from router.reconcile.snapshot import Snapshot
from router.supervisor import SUPERVISOR

_encode = msgspec.json.Encoder().encode
_LOOK_EVERY_S = 0.5
_COUNT_EVERY_S = 5.0
"""While somebody looks: of 5,000 Routes HAProxy's answer takes the router some 30 ms."""
_REMEMBER_EVERY_S = 600.0 / HISTORY
_STOPS_WITHIN_S = 5.0
_MOST_LOADS = 64
"""Reloads between two looks; there are never so many."""
_FRESH = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_STREAM = "text/event-stream; charset=utf-8"


class Live:
    """Makes ``/page/rows`` and the stream of what changes in them.

    Args:
        snapshot: gives the controller's last.
        counts: gives what each backend has now; None while HAProxy does not say.
        objects: what is read, of which PortClaims are looked up.
        viewers: how many the stream is sent to.
        tell: sends a piece of the stream to all of them.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        counts: Callable[[], Mapping[str, BackendNow] | None],
        objects: Objects,
        viewers: Callable[[], int],
        tell: Callable[[bytes], None],
    ) -> None:
        self._snapshot = snapshot
        self._counts = counts
        self._objects = objects
        self._viewers = viewers
        self._tell = tell
        self._rows = Rows()
        self._seen: Snapshot | None = None
        self._lock = threading.Lock()
        self._loads: deque[tuple[float, tuple[ReloadReason, ...]]] = deque(maxlen=_MOST_LOADS)
        """When HAProxy was loaded anew (seconds since the epoch), and why; those that no snapshot that was looked at is of yet."""
        self._counted_s = self._remembered_s = 0.0
        self._stopping = threading.Event()
        self._thread = SUPERVISOR.own("page", self._run, ask_to_end=self._stopping.set)

    def start(self) -> None:
        """Begin to keep the history of who is used how much."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._thread.stop(_STOPS_WITHIN_S)

    def loaded(self, reasons: tuple[ReloadReason, ...]) -> None:
        """Take note of a reload, before the snapshot of what it serves is there; on any thread."""
        self._loads.append((time.time(), reasons))

    def rows(self) -> Page:
        """Give all rows, with the version of the stream that they are at."""
        with self._lock:
            self._look(time.monotonic())
            return Page(_encode({"version": self._rows.version, "rows": self._rows.all}), JSON, headers=_FRESH)

    def current(self) -> tuple[Row, ...]:
        """Give all rows as they are now."""
        with self._lock:
            self._look(time.monotonic())
            return self._rows.all

    def changes_of(self, name: str) -> tuple[Change, ...]:
        """Give what became of one asker since this router started, the newest first."""
        with self._lock:
            self._look(time.monotonic())
            return self._rows.changes_of(name)

    def events(self) -> Page:
        """Give the beginning of a stream."""
        with self._lock:
            return Page(_event("hello", {"version": self._rows.version}), _STREAM, streams=True)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            now_s = time.monotonic()
            # Without viewers this thread costs a look at what changed, and a count in half a minute.
            if self._viewers() or self._snapshot() is not self._seen or now_s - self._remembered_s >= _REMEMBER_EVERY_S:
                with self._lock:
                    self._look(now_s)

    def _look(self, now_s: float) -> None:
        snapshot = self._snapshot()
        if snapshot is not self._seen:
            self._seen = snapshot
            self._pass_on(self._rows.decided(snapshot, time.time(), self._reasons(snapshot)))
        remembers = now_s - self._remembered_s >= _REMEMBER_EVERY_S
        if remembers or (self._viewers() and now_s - self._counted_s >= _COUNT_EVERY_S) or not self._counted_s:
            self._counted_s = now_s
            self._pass_on(self._rows.counted(snapshot, self._counts(), now_s))
            # Says that the router is there, where nothing changes.
            self._tell(b": here\n\n")
        if remembers:
            seconds = min(now_s - self._remembered_s, _REMEMBER_EVERY_S) if self._remembered_s else _REMEMBER_EVERY_S
            self._remembered_s = now_s
            self._pass_on(self._rows.remembered(list(self._objects.claims.values()), seconds))

    def _reasons(self, snapshot: Snapshot) -> list[ReloadReason]:
        """Give the reasons of reloads since the snapshot before; a later one is told of before its snapshot is here."""
        reasons: list[ReloadReason] = []
        while self._loads and self._loads[0][0] <= (snapshot.last_success_s or 0.0):
            reasons += self._loads.popleft()[1]
        return reasons

    def _pass_on(self, step: Step) -> None:
        if step.changed or step.gone:
            self._tell(_event("rows", {"version": step.version, "changed": step.changed, "gone": step.gone}))


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    """Write one (HTML standard, 9.2 "Server-sent events"); JSON has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))
