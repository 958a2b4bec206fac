"""What is to be done about PortClaims: put in by the reconcile thread, taken out by the thread that writes them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from router.admission.places import Place, place_of
from router.objects.meta import ObjectKey
from router.status.claim_work import Check, Create, Remake, Tell, Work
from router.status.pacing import WorkQueue
from router.supervisor.bell import Bell

_Whose = tuple[str, ObjectKey]
"""An object that has statuses: its kind and its key."""


class ClaimsBacklog:
    """Keeps what is to be done, also while another replica leads. All calls from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bell = Bell()
        self._by_place: dict[Place, dict[str, Work]] = {}
        self._tellings: dict[str, Work] = {}
        self._unwritten: dict[_Whose, set[Place]] = {}
        """By object, the places that it has and of which no claim says so yet."""
        self._queue: WorkQueue[str, Work] = WorkQueue()
        self._is_open = False
        self._has_begun = False

    def __len__(self) -> int:
        return len(self._queue)

    def note(self, works: Mapping[Place, Iterable[Work]], tellings: Mapping[str, Tell | None]) -> set[_Whose]:
        """Take what is to be done about some places and statuses, in the place of what was; the first call brings all that is there at the start.

        Returns:
            The objects whose status waits for no claim any more by that.
        """
        with self._lock:
            is_news, self._has_begun = self._has_begun, True
            settled: set[_Whose] = set()
            for place, decided in works.items():
                settled |= self._note(place, {_key(work): work for work in decided}, is_news=is_news)
            for name, telling in tellings.items():
                key = f"tell {name}"
                if telling is None:
                    self._tellings.pop(key, None)
                    self._queue.discard(key)
                elif self._tellings.get(key) != telling:
                    self._tellings[key] = telling
                    self._put(key, telling, is_urgent=False)
            self._bell.ring()
            # Not as a difference of sets: that would look at all that is unwritten.
            return {whose for whose in settled if whose not in self._unwritten}

    def open(self) -> None:
        """Queue everything: this replica leads now, and the former leader may have left any of it undone."""
        with self._lock:
            self._is_open = True
            for works in self._by_place.values():
                for key, work in works.items():
                    self._queue.put(key, work, is_urgent=_is_waited_for(work))
            for key, work in self._tellings.items():
                self._queue.put(key, work, is_urgent=False)

    def close(self) -> None:
        """Queue nothing any more."""
        with self._lock:
            self._is_open = False
            self._queue.clear()

    def pop(self, now_s: float) -> tuple[str, Work] | None:
        """Take the next that is due; None if nothing is."""
        with self._lock:
            return self._queue.pop(now_s)

    def put_back(self, key: str, work: Work, due_s: float) -> None:
        """Queue what is to be done again, unless there is newer work in its place, or none any more."""
        with self._lock:
            if self._is_open and self._is_wanted(key, work):
                self._queue.put_later(key, work, due_s)

    def settle(self, work: Create | Remake) -> _Whose | None:
        """Take note that a claim was written, or cannot be; give the object whose status waits for nothing any more by that."""
        with self._lock:
            return self._settle(work.place, work) if self._is_wanted(_key(work), work) else None

    def waits(self, kind: str, key: ObjectKey) -> bool:
        """Say whether an object has what no claim says yet."""
        with self._lock:
            return (kind, key) in self._unwritten

    def due_s(self) -> float:
        """Give when the next is due; minus infinity for now, infinity for never."""
        with self._lock:
            return self._queue.due_s()

    def wake(self) -> None:
        """End the current or the next ``wait`` early."""
        self._bell.ring()

    def wait(self, timeout_s: float) -> None:
        """Wait until something was noted since the last ``wait``, or ``wake`` was called, at most ``timeout_s`` seconds."""
        self._bell.wait(timeout_s)

    def _note(self, place: Place, current: dict[str, Work], *, is_news: bool) -> set[_Whose]:
        """Take what is to be done about a place; give the objects of which no claim to it is to be written any more."""
        settled = set()
        former = self._by_place.pop(place, {})
        for key, work in former.items():
            if current.get(key) != work and (whose := self._settle(place, work)) is not None:
                settled.add(whose)
            if key not in current:
                self._queue.discard(key)
        if current:
            self._by_place[place] = current
        for key, work in current.items():
            # What is known to wait is not to be hastened by what changed nothing about it.
            if former.get(key) != work:
                self._put(key, work, is_urgent=is_news or _is_waited_for(work))
                if isinstance(work, Create | Remake):
                    self._unwritten.setdefault(_object_of(work), set()).add(place)
        return settled

    def _settle(self, place: Place, work: Work) -> _Whose | None:
        if not isinstance(work, Create | Remake):
            return None
        whose = _object_of(work)
        places = self._unwritten.get(whose)
        if places is None:
            return None
        places.discard(place)
        if places:
            return None
        del self._unwritten[whose]
        return whose

    def _put(self, key: str, work: Work, *, is_urgent: bool) -> None:
        if self._is_open:
            self._queue.put(key, work, is_urgent=is_urgent)

    def _is_wanted(self, key: str, work: Work) -> bool:
        known = self._tellings if isinstance(work, Tell) else self._by_place.get(_place(work), {})
        return known.get(key) == work


def _key(work: Work) -> str:
    """Give what a piece of work is told from others by: what is to be done with one claim."""
    return f"check {work.name}" if isinstance(work, Check) else f"write {work.name}"


def _is_waited_for(work: Work) -> bool:
    """Say whether somebody is served only when this is done; all else only says what is so."""
    return isinstance(work, Create | Remake) and work.is_proposed


def _object_of(work: Create | Remake) -> _Whose:
    return work.asker.kind, ObjectKey(*work.asker.key)


def _place(work: Work) -> Place:
    return place_of(work.claim) if isinstance(work, Check | Remake | Tell) else work.place
