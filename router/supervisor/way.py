"""Who lets a change go first: one thread of Python's runs at a time, and what is not urgent can wait for an instant.

No lock, so nobody can be held up: whoever steps aside sleeps for about as long as a change takes, and then goes on whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE_S = 0.002
_SELDOM_S = 0.02
"""Where changes come one after the other, others go on all the same, a tenth slower."""


class Way:
    """Whether a change is on its way from its input to HAProxy. Any thread."""

    def __init__(self) -> None:
        self._is_walked = False
        self.is_taken = False
        """Whether one is on its way now."""

    def begin(self) -> None:
        """Say that there is a loop, which says when a change has come to its end."""
        self._is_walked = True

    def end(self) -> None:
        """Say that there is none any more."""
        self._is_walked = self.is_taken = False

    def take(self) -> None:
        """Say that a change is on its way."""
        self.is_taken = self._is_walked

    def leave(self) -> None:
        """Say that there is none."""
        self.is_taken = False


WAY = Way()
"""That of the process, which has one loop."""


class Aside:
    """Has one thread step aside for changes.

    Args:
        way: on which they are.
        clock: seconds of a clock that never goes back.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        way: Way = WAY,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._way = way
        self._clock = clock
        self._sleep = sleep
        self._stepped_s = float("-inf")

    def step(self) -> None:
        """Wait for an instant if a change is on its way, unless that was done just before."""
        if self._way.is_taken and self._clock() - self._stepped_s >= _SELDOM_S:
            self._sleep(_PAUSE_S)
            self._stepped_s = self._clock()
