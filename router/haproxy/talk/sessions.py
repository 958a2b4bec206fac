"""The sessions and servers of each backend, asked of HAProxy no oftener than once a second whoever wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from router.errors import HaproxyError
from router.haproxy.talk.stats import BackendNow, backends

_MAX_AGE_S = 1.0
_TIMEOUT_S = 1.0


class SessionCounts:
    """Asks one worker's stats socket, and keeps the answer for a second; from any thread.

    Args:
        stats_socket: the worker's.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, stats_socket: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._stats_socket = stats_socket
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_s: float | None = None
        self._counts: Mapping[str, BackendNow] | None = None

    def current(self) -> Mapping[str, BackendNow] | None:
        """Give what there is by backend, at most a second old; None while HAProxy does not say."""
        with self._lock:
            if self._asked_s is None or self._clock() - self._asked_s >= _MAX_AGE_S:
                try:
                    self._counts = backends(self._stats_socket, _TIMEOUT_S)
                except HaproxyError:
                    # That HAProxy is down is told by metrics and health.
                    self._counts = None
                self._asked_s = self._clock()
            return self._counts
