"""What keeps everything from being written: the API server, or the way to it. When to try again, told once."""

from __future__ import annotations

import structlog

from router.errors import ApiBusy, ApiError, ApiUnauthorized, ApiUnreachable
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_PAUSES_S = (1.0, 30.0)


class Outage:
    """Remembers whether there is one; times are of one clock that never goes back.

    Args:
        what: is not written then, for the log.
    """

    def __init__(self, what: str = "status") -> None:
        self._not_written, self._written_again = f"{what} not written", f"{what} written again"
        self._backoff = Backoff(*_PAUSES_S)
        self._problem = ""
        self.resume_s = float("-inf")
        """When to try again."""

    def failed(self, error: ApiError, now_s: float, waiting: int) -> str:
        """Take note of a failure that is of no single Route.

        Args:
            error: what failed.
            now_s: when.
            waiting: how many Routes wait.

        Returns:
            The result to count it by (docs/status.md).
        """
        pause_s = self._backoff.pause_s()
        result = "failed"
        if isinstance(error, ApiBusy):
            result = "busy"
            pause_s = error.retry_after_s if error.retry_after_s is not None else pause_s
        elif isinstance(error, ApiUnreachable):
            result = "unreachable"
        elif isinstance(error, ApiUnauthorized):
            result = "unauthorized"
        self.resume_s = now_s + pause_s
        if not self._problem:
            log.warning(self._not_written, problem=str(error), retry_in_seconds=pause_s, waiting=waiting)
        self._problem = str(error)
        return result

    def over(self) -> None:
        """Take note that the API server does what is asked. A mere read is no sign of it: writes may fail on."""
        self._backoff.reset()
        if self._problem:
            log.info(self._written_again)
            self._problem = ""
