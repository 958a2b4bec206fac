"""Turns of the reconcile loop, again and again, whatever one of them raises."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import structlog

from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_LOOK_EVERY_S = 0.2
_AT_LEAST_S = 0.1
_WELL_AFTER_S = 60.0
"""Turns that go well for so long make the pause after the next failure the first one again."""


class Loop(Protocol):
    """Whose turns they are. All calls from one thread."""

    def turn(self) -> None:
        """Bring everything level once."""

    def rest(self) -> None:
        """Wait until there is something to do."""

    @property
    def is_needed(self) -> bool:
        """Whether HAProxy is down: if that begins in a pause, the pause is over."""

    def note_failure(self, problem: str) -> None:
        """Take note that a turn raised what nobody foresaw."""

    def rebuild(self, failures: int) -> None:
        """Make the next turn begin from the objects and from what HAProxy is known to have, not from what it remembers.

        Args:
            failures: how many turns in a row have failed.
        """


class Turns:
    """Has a loop turn until it is told to end.

    A turn that raises what nobody foresaw costs a pause, which grows while that goes on, and a rebuild: HAProxy serves on meanwhile, and this
    thread lives on, to which HAProxy is tied.

    Args:
        pauses_s: first and longest pause.
    """

    def __init__(self, pauses_s: tuple[float, float]) -> None:
        self._backoff = Backoff(*pauses_s)
        self._failure: Exception | None = None
        self._failed_s = float("-inf")
        self.failures = 0
        """How many turns in a row have failed; any thread."""

    def run(self, loop: Loop, end: threading.Event) -> None:
        """Turn until ``end`` is set."""
        while not end.is_set():
            try:
                if self._failure is not None:
                    self._recover(loop, self._failure, end)
                else:
                    loop.turn()
                    self._succeeded()
                    loop.rest()
            # Here, in isolation.py and in the supervisor of threads, and nowhere else: what was foreseen is dealt with where it happens. All
            # tenants are served by this thread, so none of its faults may be its end.
            except Exception as error:  # noqa: BLE001
                self._failed(error)
                end.wait(_AT_LEAST_S)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._failure = error
        now_s = time.monotonic()
        if now_s - self._failed_s > _WELL_AFTER_S:
            self._backoff.reset()
        self._failed_s = now_s

    def _recover(self, loop: Loop, error: Exception, end: threading.Event) -> None:
        pause_s = self._backoff.pause_s()
        log.critical(
            "turn failed",
            problem=repr(error),
            in_a_row=self.failures,
            consequence="HAProxy serves on as it is; everything is decided anew",
            retry_in_seconds=pause_s,
            exc_info=error,
        )
        loop.note_failure(f"{type(error).__name__} in the reconcile loop: {error}")
        ends_s = time.monotonic() + pause_s
        was_needed = loop.is_needed
        while not end.is_set() and time.monotonic() < ends_s and (was_needed or not loop.is_needed):
            end.wait(min(_LOOK_EVERY_S, max(0.0, ends_s - time.monotonic())))
        loop.rebuild(self.failures)
        self._failure = None

    def _succeeded(self) -> None:
        if self.failures:
            log.info("turns go well again", failed=self.failures)
        self.failures = 0
