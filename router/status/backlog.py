"""The Routes, or Services, whose status is to be looked at: put in by the reconcile thread, taken out by the writing thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from router.admission import Verdict
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.status.kinds import ROUTES, StatusKind
from router.status.pacing import WorkQueue
from router.supervisor.bell import Bell

_GONE_KEPT = 1000
"""So many Routes that went away are remembered by a replica that does not lead, in case that it will."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of one object; whether its status must be written is decided when its turn comes."""

    obj: AskingObject | None
    """None for a Route that is not among ours any more, and must be read: it is deleted, or belongs to another shard."""
    verdict: Verdict | None
    is_news: bool = True
    """Something happened to this very Route; else it is one of all that are there at a start, or at a change of the leader."""
    was_seen: bool = True
    """It is, or was, in the sight of this process."""
    conflicts: int = 0


_OUT_OF_SIGHT = Work(None, None, is_news=False)
_NEVER_SEEN = replace(_OUT_OF_SIGHT, was_seen=False)


class Backlog:
    """What a replica that leads has to look at, and what it would have to, were it to lead. All calls from any thread.

    Args:
        router_name: which Routes, and entries in a status, are ours.
        kind: of the objects; Routes where nothing else is said.
        follows_all: whether there are no Routes out of sight: what goes out of sight is deleted then, and no work.
    """

    def __init__(self, router_name: str, *, follows_all: bool, kind: StatusKind = ROUTES) -> None:
        self._kind = kind
        self._router_name = router_name
        self._follows_all = follows_all
        self._lock = threading.RLock()
        self._bell = Bell()
        self._known: dict[ObjectKey, Work] = {}
        """Every Route that is ours, or has an entry of ours."""
        self._gone: dict[ObjectKey, None] = {}
        """Routes that went out of sight while another replica led."""
        self._queue: WorkQueue[ObjectKey, Work] = WorkQueue(lambda key: key.namespace)
        self._is_open = False
        self.has_begun = False
        """Whether the Routes that were there at the start are noted."""

    def __len__(self) -> int:
        return len(self._queue)

    def note(
        self, keys: Iterable[ObjectKey], routes: Mapping[ObjectKey, AskingObject], verdicts: Mapping[ObjectKey, Verdict]
    ) -> None:
        """Take note of Routes that may be different now; the first call brings all that are there at the start."""
        with self._lock:
            is_start, self.has_begun = not self.has_begun, True
            for key in sorted(keys):
                self._note(key, routes.get(key), verdicts.get(key), is_start=is_start)
            self._bell.ring()

    def open(self) -> None:
        """Queue everything: this replica leads now, and the former leader may have left any of it undone."""
        with self._lock:
            self._is_open = True
            for key, work in self._known.items():
                self._queue.put(key, work, is_urgent=False)
            for key in self._gone:
                self._queue.put(key, _OUT_OF_SIGHT, is_urgent=False)
            self._gone.clear()

    def close(self) -> None:
        """Queue nothing any more."""
        with self._lock:
            self._is_open = False
            self._queue.clear()

    def pop(self, now_s: float) -> tuple[ObjectKey, Work] | None:
        """Take the next that is due; None if nothing is."""
        with self._lock:
            return self._queue.pop(now_s)

    def put_back(self, key: ObjectKey, work: Work, due_s: float) -> None:
        """Queue what failed again, unless there is newer work for its Route."""
        with self._lock:
            if self._is_open:
                self._queue.put_later(key, work, due_s)

    def release(self, key: ObjectKey) -> None:
        """Let what was put back for a Route be due now, where it is as it was before: what is news goes first."""
        with self._lock:
            work = self._queue.waiting(key)
            if work is not None:
                self._queue.put(key, work, is_urgent=work.is_news)
                self._bell.ring()

    def look_for(self, keys: Iterable[ObjectKey], due_s: float) -> None:
        """Queue Routes that are out of sight and yet have an entry of ours, to be read at ``due_s``."""
        with self._lock:
            for key in keys:
                if self._is_open and key not in self._known:
                    self._queue.put_later(key, _NEVER_SEEN, due_s)

    def look_again(self, concerns: Callable[[AskingObject], bool]) -> None:
        """Queue the Routes that this concerns, as they are known."""
        with self._lock:
            for key, work in self._known.items():
                if self._is_open and key not in self._queue and work.obj is not None and concerns(work.obj):
                    self._queue.put(key, work, is_urgent=False)

    def is_urgent(self, now_s: float) -> bool:
        """Say whether the next that is due overtook others, or failed before."""
        with self._lock:
            return self._queue.is_urgent(now_s)

    def hasten(self) -> None:
        """Let all that failed be due now."""
        with self._lock:
            self._queue.hasten()

    def due_s(self) -> float:
        """Give when the next is due; minus infinity for now, infinity for never."""
        with self._lock:
            return self._queue.due_s()

    def knows(self, key: ObjectKey) -> bool:
        """Say whether the Route is in sight: ours, or with an entry of ours."""
        with self._lock:
            return key in self._known

    def wake(self) -> None:
        """End the current or the next ``wait`` early."""
        self._bell.ring()

    def wait(self, timeout_s: float) -> None:
        """Wait until something was noted since the last ``wait``, or ``wake`` was called, at most ``timeout_s`` seconds."""
        self._bell.wait(timeout_s)

    def _note(self, key: ObjectKey, obj: AskingObject | None, verdict: Verdict | None, *, is_start: bool) -> None:
        former = self._known.get(key)
        if obj is not None and (verdict is not None or self._concerns(obj)):
            # What was opened at the start is no news any more when it is opened again.
            self._known[key] = Work(obj, verdict, is_news=False)
            self._gone.pop(key, None)
            work = Work(obj, verdict, is_news=not is_start and self._is_news(key, former, obj, verdict))
        elif former is None:
            return
        else:
            del self._known[key]
            if obj is not None or self._follows_all:
                # Not ours any more, and our entry is gone too; or deleted.
                self._queue.discard(key)
                return
            work = replace(_OUT_OF_SIGHT, is_news=True)
        if self._is_open:
            self._queue.put(key, work, is_urgent=work.is_news)
        elif work.obj is None:
            self._gone[key] = None
            if len(self._gone) > _GONE_KEPT:
                del self._gone[next(iter(self._gone))]

    def _is_news(self, key: ObjectKey, former: Work | None, obj: AskingObject, verdict: Verdict | None) -> bool:
        """Tell what users and verdicts do to a Route from what routers write on it: its status comes back to us, too."""
        if former is None or former.obj is None or former.verdict != verdict:
            return True
        queued = self._queue.get(key)
        return (queued is not None and queued.is_news) or not self._kind.same_request(former.obj, obj)

    def _concerns(self, obj: AskingObject) -> bool:
        return self._kind.is_ours(obj, self._router_name) or self._kind.has_entry(obj, self._router_name)
