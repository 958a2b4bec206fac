"""Bring a HAProxy back that ended, or that is not there yet: at once, and after growing pauses if it ends again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from router.errors import HaproxyError
from router.haproxy.control import Control
from router.plan.running import Running
from router.reconcile.apply import Applier
from router.reconcile.hooks import Observer
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_STABLE_S = 60.0
"""A HAProxy that ran this long counts as well again: its next restart is immediate."""


@dataclass(frozen=True, slots=True)
class Revived:
    """HAProxy can be told things again."""

    running: Running | None
    """What it has; None where only a new configuration can tell, by which it is then started or loaded."""


class Revival:
    """Looks whether HAProxy runs. All calls from one thread.

    Args:
        haproxy: the process.
        applier: knows what is on disk.
        observer: is told when it ended.
        pauses_s: first and longest pause before a restart, when it ended soon after the one before.
    """

    def __init__(self, haproxy: Control, applier: Applier, observer: Observer, pauses_s: tuple[float, float]) -> None:
        self._haproxy = haproxy
        self._applier = applier
        self._observer = observer
        self._backoff = Backoff(*pauses_s)
        self._started_s = float("-inf")
        self.due_s: float | None = None
        """When it is restarted (``time.monotonic``); None while that is not needed."""

    def look(self) -> Revived | None:
        """Restart HAProxy if it ended and its time has come; None while there is nothing new."""
        now_s = time.monotonic()
        code = self._haproxy.ended()
        is_awaited = self._haproxy.is_awaited
        if code is not None:
            self._observer.haproxy_ended()
            self._applier.haproxy_ended()
            if is_awaited or now_s - self._started_s > _STABLE_S:
                self._backoff.reset()
                self.due_s = now_s
            else:
                self.due_s = now_s + self._backoff.pause_s()
            log.error("haproxy ended", exit_code=code, restart_in_seconds=round(self.due_s - now_s, 3))
        elif is_awaited and self.due_s is None:
            self.due_s = now_s
        if self.due_s is None or now_s < self.due_s:
            return None
        self.due_s = None
        return self._restart(now_s)

    def _restart(self, now_s: float) -> Revived | None:
        self._started_s = now_s
        if not self._applier.can_restart and not self._haproxy.is_awaited:
            # It had no configuration that is known to be good; the one that is applied now starts it.
            return Revived(None)
        try:
            if not self._haproxy.is_awaited:
                self._applier.look_before_restart()
            self._haproxy.restart()
            # One that was there before us has a configuration that is not ours.
            running = self._applier.haproxy_restarted() if self._applier.can_restart else None
        except HaproxyError as error:
            if self._haproxy.is_awaited:
                # Whoever starts it has not yet. The call has waited a while; others get their turn, then it is called again.
                self.due_s = now_s
                return None
            # Perhaps a port was taken meanwhile. The way of a first start finds out, and leaves out what must be.
            log.error("haproxy not restarted", problem=str(error), consequence="starting it on a new configuration")
            return Revived(None)
        log.info("haproxy restarted", seconds=round(time.monotonic() - now_s, 3))
        return Revived(running)
