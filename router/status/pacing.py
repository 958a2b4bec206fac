"""When which of many things is done: a token bucket, and a queue whose members wait for their turn; pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Work = TypeVar("_Work")

_NEVER_S = float("inf")
_ROUNDING = 1e-6
"""Of a token: less than that is missing only because sums of fractions are not exact, and would be waited for in vain."""

_IN_A_ROW = 4
"""So many pieces of urgent work come one after another while other work is ready."""


class TokenBucket:
    """Lets ``burst`` requests through at once and ``per_second`` on average; times are of one clock that never goes back."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_s = -_NEVER_S

    def delay_s(self, now_s: float) -> float:
        """Give how many seconds until the next request may be made; 0 is now."""
        self._fill(now_s)
        missing = 1.0 - self._tokens
        return missing / self._per_second if missing > _ROUNDING else 0.0

    def take(self, now_s: float) -> None:
        """Count a request. More than there are tokens for make the next ones wait."""
        self._fill(now_s)
        self._tokens -= 1.0

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._filled_s) * self._per_second)
        self._filled_s = now_s


class Turns(Generic[_Key, _Work]):
    """Work by key, in groups that take turns; what was put first in a group comes first there.

    Args:
        group: gives the group of a key.
    """

    def __init__(self, group: Callable[[_Key], Hashable]) -> None:
        self._group = group
        self._groups: dict[Hashable, dict[_Key, _Work]] = {}
        """Whose turn it is comes first."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: _Key) -> bool:
        return key in self._groups.get(self._group(key), ())

    def get(self, key: _Key) -> _Work | None:
        """Give the work for a key, None if there is none."""
        return self._groups.get(self._group(key), {}).get(key)

    def put(self, key: _Key, work: _Work) -> None:
        """Put work, in the place of former work for the same key."""
        members = self._groups.setdefault(self._group(key), {})
        self._count += key not in members
        members[key] = work

    def discard(self, key: _Key) -> None:
        """Take out the work for a key, if there is some."""
        group = self._group(key)
        members = self._groups.get(group, {})
        if key in members:
            del members[key]
            self._count -= 1
            if not members:
                del self._groups[group]

    def pop(self) -> tuple[_Key, _Work]:
        """Take the next work; there must be some."""
        group = next(iter(self._groups))
        members = self._groups.pop(group)
        key = next(iter(members))
        work = members.pop(key)
        self._count -= 1
        if members:
            # At the end again: the others' turn comes first.
            self._groups[group] = members
        return key, work

    def clear(self) -> None:
        """Take out everything."""
        self._groups.clear()
        self._count = 0


class WorkQueue(Generic[_Key, _Work]):
    """Work by key: the latest for a key wins. What was put first comes first, but for three things.

    Groups take turns, so that one with much work does not keep the others waiting. Urgent work overtakes what is not, though not
    for ever: of ``_IN_A_ROW`` and one, the one is not urgent. And work can be told to wait; when its time has come it is urgent,
    since it had its turn before.

    Args:
        group: gives the group of a key; without it all are one.
    """

    def __init__(self, group: Callable[[_Key], Hashable] = lambda _: None) -> None:
        self._urgent: Turns[_Key, _Work] = Turns(group)
        self._patient: Turns[_Key, _Work] = Turns(group)
        self._waiting: dict[_Key, tuple[int, _Work]] = {}
        self._heap: list[tuple[float, int, _Key]] = []
        self._tickets = 0
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._patient) + len(self._waiting)

    def __contains__(self, key: _Key) -> bool:
        return key in self._urgent or key in self._patient or key in self._waiting

    def get(self, key: _Key) -> _Work | None:
        """Give the work for a key, None if there is none."""
        waiting = self.waiting(key)
        if waiting is not None:
            return waiting
        return (self._urgent if key in self._urgent else self._patient).get(key)

    def put(self, key: _Key, work: _Work, *, is_urgent: bool = True) -> None:
        """Put work that is due; in the place of former work for the same key, where there is some."""
        self._waiting.pop(key, None)
        place, other = (self._urgent, self._patient) if is_urgent else (self._patient, self._urgent)
        other.discard(key)
        place.put(key, work)

    def put_later(self, key: _Key, work: _Work, due_s: float) -> None:
        """Put work that failed back, due at ``due_s``, unless there is newer work for the key."""
        if key in self:
            return
        self._tickets += 1
        self._waiting[key] = (self._tickets, work)
        heapq.heappush(self._heap, (due_s, self._tickets, key))

    def waiting(self, key: _Key) -> _Work | None:
        """Give the work for a key that was told to wait, None if there is none."""
        waiting = self._waiting.get(key)
        return waiting[1] if waiting is not None else None

    def hasten(self) -> None:
        """Let all that was told to wait be due now."""
        for key, (_, work) in self._waiting.items():
            self._urgent.put(key, work)
        self._waiting.clear()
        self._heap.clear()

    def discard(self, key: _Key) -> None:
        """Take out the work for a key, if there is some."""
        self._urgent.discard(key)
        self._patient.discard(key)
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """Take out everything."""
        self._urgent.clear()
        self._patient.clear()
        self._waiting.clear()
        self._heap.clear()

    def pop(self, now_s: float) -> tuple[_Key, _Work] | None:
        """Take the next work that is due; None if there is none."""
        while self._due_s() <= now_s:
            _, _, key = heapq.heappop(self._heap)
            self._urgent.put(key, self._waiting.pop(key)[1])
        is_turn_of_patient = not self._urgent or (bool(self._patient) and self._in_a_row >= _IN_A_ROW)
        self._in_a_row = 0 if is_turn_of_patient else self._in_a_row + 1
        ready = self._patient if is_turn_of_patient else self._urgent
        return ready.pop() if ready else None

    def is_urgent(self, now_s: float) -> bool:
        """Say whether there is urgent work that is due."""
        return bool(self._urgent) or self._due_s() <= now_s

    def due_s(self) -> float:
        """Give when the next work is due; minus infinity for now, infinity for never."""
        return -_NEVER_S if self._urgent or self._patient else self._due_s()

    def _due_s(self) -> float:
        while self._heap and self._waiting.get(self._heap[0][2], (0, None))[0] != self._heap[0][1]:
            # Newer work took its place.
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else _NEVER_S
