"""Where a watch goes on, and what makes that be given up so that all must be listed again; pure.

To list a large cluster costs its API server far more than a watch does, and it costs most when the server is in trouble already. So
a resourceVersion is kept through every failure that says nothing about it: a refused connection, 429, 5xx, a permission that
is missing, a resource that is away. It is given up when

- the server says that it is too old (410), or refuses it (400 or 422 to the watch);
- the watch cannot get past it: what comes next on the stream is an ``ERROR`` or unreadable, again and again;
- streams that open from it stay silent though the server is one that sends bookmarks. So does a server whose database was
  restored from a backup: it waits for a resourceVersion that is yet to come.
"""

from __future__ import annotations

from router.errors import ApiError, ApiGone, ApiInvalid, ApiUnreachable, ApiUnreadable

_STUCK_AT_MOST = 2
"""So often in a row a watch may fail to get past one place; then it is given up."""
_BAD_REQUEST = 400


class ErrorEvent(ApiError):
    """The stream said ERROR, other than gone."""


class Mute(ApiUnreachable):
    """A stream was open for as long as it takes to send a bookmark, and nothing came at all."""


class Place:
    """The resourceVersion up to which everything is known; ``version`` is None where a list is needed."""

    def __init__(self) -> None:
        self.version: str | None = None
        self._stuck = 0

    def forget(self) -> None:
        """Need a list."""
        self.version = None
        self._stuck = 0

    def listed(self, version: str) -> None:
        """Take note of a list that came to its end."""
        self.version = version
        self._stuck = 0

    def reached(self, version: str) -> bool:
        """Take note that the watch brought everything up to this; say whether that is another place."""
        is_further = version != self.version
        self.version = version
        # A bookmark says that the stream is alive, wherever it stands.
        self._stuck = 0
        return is_further

    def failed(self, error: ApiError, *, is_watching: bool) -> None:
        """Take note of what ended a turn, and need a list if this place is no good.

        Args:
            error: what ended it.
            is_watching: whether that was the watch; what happens to a list says nothing of a place.
        """
        if isinstance(error, ApiGone):
            self.forget()
        elif not is_watching:
            return
        elif isinstance(error, ApiInvalid) or error.status == _BAD_REQUEST:
            self.forget()
        elif isinstance(error, ErrorEvent | ApiUnreadable | Mute):
            self._stuck += 1
            if self._stuck >= _STUCK_AT_MOST:
                self.forget()
