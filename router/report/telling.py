"""Which Events go with a Route's status: what its owner learns by it, and warnings, once for as long as they last."""

from __future__ import annotations

from router.report.backlog import Work
from router.report.events import EventSender, status_notice, warning_notice
from router.report.status import StatusChange
from router.resources import ObjectKey, Route


class Teller:
    """Puts notices into line; all calls come from one thread.

    Args:
        events: sends them.
    """

    def __init__(self, events: EventSender) -> None:
        self._events = events
        self._warned: dict[ObjectKey, tuple[str, ...]] = {}

    def tell(self, route: Route, work: Work, change: StatusChange | None) -> None:
        """Tell what is new about a Route whose status is level now; ``change`` is how it was written, if it had to be."""
        verdict = work.verdict
        if verdict is None:
            self.forget(route.key)
            return
        if change is not None and change.entry is not None:
            notice = status_notice(route, verdict, change.former, change.entry)
            if notice is not None:
                self._events.add(notice, is_news=work.is_news)
        told = self._warned.pop(route.key, ())
        for warning in verdict.warnings:
            if warning not in told:
                self._events.add(warning_notice(route, warning), is_news=work.is_news)
        if verdict.warnings:
            self._warned[route.key] = verdict.warnings

    def forget(self, key: ObjectKey) -> None:
        """Take note of a Route that is gone, or not ours any more."""
        self._warned.pop(key, None)

    def clear(self) -> None:
        """Forget all, and what waits to be sent: another replica leads, and tells."""
        self._events.clear()
        self._warned.clear()
