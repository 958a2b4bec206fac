"""When the next reload may run; pure, and all times are those of one clock."""

from __future__ import annotations

from router.plan import ReloadReason
from router.supervisor.backoff import Backoff


class ReloadPace:
    """Keeps reloads apart, and lets one wait for an instant while reasons for it still come.

    Of many Routes that come together the first would have a reload of its own otherwise, and all others wait for the one after.

    Args:
        interval_s: least seconds between two reloads.
        gather_s: seconds without a further reason that a reload waits for, and how long it waits at most.
        failure_retry_s: first and longest pause after one that failed.
    """

    def __init__(self, interval_s: float, gather_s: tuple[float, float], failure_retry_s: tuple[float, float]) -> None:
        self._interval_s = interval_s
        self._quiet_s, self._longest_s = gather_s
        self._backoff = Backoff(*failure_retry_s)
        self._not_before_s = 0.0
        self._reasons: tuple[ReloadReason, ...] = ()
        self._first_s = 0.0
        self._gathered_s = 0.0
        self._hurries = True

    @property
    def due_s(self) -> float:
        """When the reload that waits may run."""
        return self._not_before_s if self._hurries else max(self._not_before_s, self._gathered_s)

    def wants(self, reasons: tuple[ReloadReason, ...], now_s: float) -> None:
        """Take note of what a reload is needed for now."""
        if reasons == self._reasons:
            return
        if not self._reasons:
            self._first_s = now_s
        self._reasons = reasons
        self._gathered_s = min(now_s + self._quiet_s, self._first_s + self._longest_s)

    def wants_none(self) -> None:
        """Take note that none is needed."""
        self._reasons, self._hurries = (), False

    def hurry(self, now_s: float) -> None:
        """Let the next one run at once, whatever it is for. So does the first of all."""
        self._not_before_s = now_s
        self._hurries = True

    def succeeded(self, now_s: float) -> None:
        """Take note of one that was done."""
        self._reasons, self._hurries = (), False
        self._backoff.reset()
        self._not_before_s = now_s + self._interval_s

    def failed(self, now_s: float) -> float:
        """Take note of one that failed; give the pause until the next, seconds."""
        pause_s = self._backoff.pause_s()
        self._hurries = False
        self._not_before_s = now_s + pause_s
        return pause_s
