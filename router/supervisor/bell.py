"""A bell that is remembered: whoever waits is woken, and so is who comes to wait after it rang."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Rung from any thread, whatever locks it holds; one thread waits, and holds none.

    A bare lock, which is free once it has rung: who is woken by a condition has that to take again, for which others wait at the same moment.
    """

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """End the current or the next ``wait``."""
        # It has rung already.
        with suppress(RuntimeError):
            self._silent.release()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has rung since the last ``wait``, at most ``timeout_s`` seconds."""
        self._silent.acquire(timeout=max(timeout_s, 0.0))
