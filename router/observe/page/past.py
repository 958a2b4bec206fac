"""What became of each asker since the router started, and whether HAProxy was loaded anew for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from router.model import Asker
from router.plan import ReloadReason

CHANGES = 8
"""So many changes are kept of an asker."""
MOST_CHANGED = 2000
"""Of so many askers, those that changed last."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A verdict that became another, or came; or a reload that an asker that stays admitted needed."""

    time_s: float
    """Seconds since the epoch."""
    verdict: str
    message: str
    reload: str = ""
    """Why HAProxy had to be loaded anew for it (``ReloadCause``); empty where it came without a reload."""


class Past:
    """Remembers changes, of a bounded number of askers. For one thread at a time."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[Change]] = {}
        """By the ids of rows; those that changed last stand last."""

    def of(self, name: str) -> tuple[Change, ...]:
        """Give what became of one asker, the newest first."""
        return tuple(reversed(self._changes.get(name, ())))

    def add(self, name: str, change: Change) -> None:
        """Remember a change, unless it says what the one before said, and needed no reload."""
        changes = self._changes.pop(name, None) or deque(maxlen=CHANGES)
        said = (change.verdict, change.message)
        if change.reload or not changes or (changes[-1].verdict, changes[-1].message) != said:
            changes.append(change)
        self._changes[name] = changes
        while len(self._changes) > MOST_CHANGED:
            del self._changes[next(iter(self._changes))]


class Loads:
    """For whom HAProxy was loaded anew, by the reasons of some reloads."""

    def __init__(self, reasons: Iterable[ReloadReason]) -> None:
        self._causes: Mapping[str, str] = {each.subject: str(each.cause) for each in reasons}

    def cause(self, asker: Asker, port: int | None, address: str) -> str:
        """Give why HAProxy was loaded anew for one asker: for itself, for its port, or for all; empty where it was not.

        Args:
            asker: who it is about.
            port: which it has, or shares; None without one.
            address: that the port is of; empty for all.
        """
        if not self._causes:
            return ""
        spot = f"{port} on address {address}" if address else str(port)
        subjects = (f"{asker.namespace}/{asker.log_name}", spot, "")
        return next((self._causes[each] for each in subjects if each in self._causes), "")
