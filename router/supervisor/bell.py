"""A bell that is remembered: whoever waits is woken, and so is who comes to wait after it rang."""

from __future__ import annotations

import threading


class Bell:
    """Rung from any thread; one thread waits.

    Args:
        condition: what guards that for which it is rung.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self._has_rung = False

    def ring(self) -> None:
        """End the current or the next ``wait``; also where the condition is held already."""
        with self._condition:
            self._has_rung = True
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has rung since the last ``wait``, at most ``timeout_s`` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._has_rung, timeout_s)
            self._has_rung = False
