"""Claims before statuses: what a status says that somebody has won stands in a PortClaim by then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.reconcile.hooks import Reporter
from router.reconcile.snapshot import Snapshot


def _nobody(_kind: str, _key: ObjectKey) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Precedence:
    """Says which statuses wait.

    A claim that the API server refuses (403, 404, 422) holds up no status: that is told in the log, and statuses count for nothing.
    """

    waits: Callable[[str, ObjectKey], bool] = _nobody
    """Says whether a claim of an object (its kind, its key) waits to be written; any thread."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a turn's outcome is told, and while a status is taken up: so none is decided by what claims ceased to wait for."""

    def first(self, *reporters: Reporter) -> Reporter:
        """Give who tells all of these of a turn as one: that of claims, then that of statuses."""
        return _AsOne(self, reporters)


@dataclass(frozen=True, slots=True)
class _AsOne:
    precedence: Precedence
    reporters: tuple[Reporter, ...]

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take the outcome of a turn."""
        with self.precedence.lock:
            for reporter in self.reporters:
                reporter.update(snapshot, objects, changed)
