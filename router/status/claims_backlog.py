"""What is to be done about PortClaims: put in by the reconcile thread, taken out by the thread that writes them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from router.admission.places import Place, place_of
from router.status.claim_work import Check, Remake, Tell, Work
from router.status.pacing import WorkQueue
from router.supervisor.bell import Bell


class ClaimsBacklog:
    """Keeps what is to be done, also while another replica leads. All calls from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._bell = Bell(self._condition)
        self._by_place: dict[Place, dict[str, Work]] = {}
        self._tellings: dict[str, Work] = {}
        self._queue: WorkQueue[str, Work] = WorkQueue()
        self._is_open = False
        self._has_begun = False

    def __len__(self) -> int:
        return len(self._queue)

    def note(self, works: Mapping[Place, Iterable[Work]], tellings: Mapping[str, Tell | None]) -> None:
        """Take what is to be done about some places and statuses, in the place of what was; the first call brings all that is there at the start."""
        with self._condition:
            is_news, self._has_begun = self._has_begun, True
            for place, decided in works.items():
                current = {_key(work): work for work in decided}
                former = self._by_place.pop(place, {})
                for key in former.keys() - current.keys():
                    self._queue.discard(key)
                if current:
                    self._by_place[place] = current
                for key, work in current.items():
                    # What is known to wait is not to be hastened by what changed nothing about it.
                    if former.get(key) != work:
                        self._put(key, work, is_urgent=is_news)
            for name, telling in tellings.items():
                key = f"tell {name}"
                if telling is None:
                    self._tellings.pop(key, None)
                    self._queue.discard(key)
                elif self._tellings.get(key) != telling:
                    self._tellings[key] = telling
                    self._put(key, telling, is_urgent=False)
            self._bell.ring()

    def open(self) -> None:
        """Queue everything: this replica leads now, and the former leader may have left any of it undone."""
        with self._condition:
            self._is_open = True
            for works in self._by_place.values():
                for key, work in works.items():
                    self._queue.put(key, work, is_urgent=False)
            for key, work in self._tellings.items():
                self._queue.put(key, work, is_urgent=False)

    def close(self) -> None:
        """Queue nothing any more."""
        with self._condition:
            self._is_open = False
            self._queue.clear()

    def pop(self, now_s: float) -> tuple[str, Work] | None:
        """Take the next that is due; None if nothing is."""
        with self._condition:
            return self._queue.pop(now_s)

    def put_back(self, key: str, work: Work, due_s: float) -> None:
        """Queue what is to be done again, unless there is newer work in its place, or none any more."""
        with self._condition:
            if self._is_open and self._is_wanted(key, work):
                self._queue.put_later(key, work, due_s)

    def due_s(self) -> float:
        """Give when the next is due; minus infinity for now, infinity for never."""
        with self._condition:
            return self._queue.due_s()

    def wake(self) -> None:
        """End the current or the next ``wait`` early."""
        self._bell.ring()

    def wait(self, timeout_s: float) -> None:
        """Wait until something was noted since the last ``wait``, or ``wake`` was called, at most ``timeout_s`` seconds."""
        self._bell.wait(timeout_s)

    def _put(self, key: str, work: Work, *, is_urgent: bool) -> None:
        if self._is_open:
            self._queue.put(key, work, is_urgent=is_urgent)

    def _is_wanted(self, key: str, work: Work) -> bool:
        known = self._tellings if isinstance(work, Tell) else self._by_place.get(_place(work), {})
        return known.get(key) == work


def _key(work: Work) -> str:
    """Give what a piece of work is told from others by: what is to be done with one claim."""
    return f"check {work.name}" if isinstance(work, Check) else f"write {work.name}"


def _place(work: Work) -> Place:
    return place_of(work.claim) if isinstance(work, Check | Remake | Tell) else work.place
