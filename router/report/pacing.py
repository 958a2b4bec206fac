"""When which of many things is done: a token bucket, and a queue whose members wait for their turn; pure."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Work = TypeVar("_Work")

_NEVER_S = float("inf")
_ROUNDING = 1e-6
"""Of a token: less than that is missing only because sums of fractions are not exact, and would be waited for in vain."""


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


class WorkQueue(Generic[_Key, _Work]):
    """Work by key: the latest for a key wins. What was put first comes first, unless it was told to wait."""

    def __init__(self) -> None:
        self._ready: dict[_Key, _Work] = {}
        self._waiting: dict[_Key, tuple[int, _Work]] = {}
        self._heap: list[tuple[float, int, _Key]] = []
        self._tickets = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._waiting)

    def __contains__(self, key: _Key) -> bool:
        return key in self._ready or key in self._waiting

    def put(self, key: _Key, work: _Work) -> None:
        """Put work that is due; in the place of former work for the same key, where there is some."""
        self._waiting.pop(key, None)
        self._ready[key] = work

    def put_later(self, key: _Key, work: _Work, due_s: float) -> None:
        """Put work that failed back, due at ``due_s``, unless there is newer work for the key."""
        if key in self:
            return
        self._tickets += 1
        self._waiting[key] = (self._tickets, work)
        heapq.heappush(self._heap, (due_s, self._tickets, key))

    def discard(self, key: _Key) -> None:
        """Take out the work for a key, if there is some."""
        self._ready.pop(key, None)
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """Take out everything."""
        self._ready.clear()
        self._waiting.clear()
        self._heap.clear()

    def pop(self, now_s: float) -> tuple[_Key, _Work] | None:
        """Take the next work that is due; None if there is none."""
        while self._due_s() <= now_s:
            _, _, key = heapq.heappop(self._heap)
            self._ready[key] = self._waiting.pop(key)[1]
        if not self._ready:
            return None
        key = next(iter(self._ready))
        return key, self._ready.pop(key)

    def due_s(self) -> float:
        """Give when the next work is due; minus infinity for now, infinity for never."""
        return -_NEVER_S if self._ready else self._due_s()

    def _due_s(self) -> float:
        while self._heap and self._waiting.get(self._heap[0][2], (0, None))[0] != self._heap[0][1]:
            # Newer work took its place.
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else _NEVER_S
