"""Writes into PortClaims when a connection was last seen: at most once an hour each, by whichever replica saw one.

It tells an admin which ports nobody uses. What is looked at is which backends have connections now, once a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog

from router.admission.places import Place
from router.errors import ApiError, ApiNotFound
from router.model import backend_name
from router.objects.portclaim import PortClaim
from router.reconcile.snapshot import Snapshot
from router.status.claim_api import ClaimApi
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

LOOK_S = 60.0
HOUR_S = 3600.0
_STOP_S = 0.9

Busy = Callable[[], Iterable[str]]
"""Gives the backends that have connections now."""


class ClaimUsage:
    """Looks, and writes, on a thread of its own.

    Args:
        claims: writes.
        at: gives the claims of a place; any thread.
        look_s: seconds from one look to the next.
        wall_clock: seconds since the epoch.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        claims: ClaimApi,
        at: Callable[[Place], Iterable[PortClaim]],
        *,
        look_s: float = LOOK_S,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._claims = claims
        self._at = at
        self._look_s = look_s
        self._wall_clock = wall_clock
        self.busy: Busy = tuple
        """Set before ``start``."""
        self._snapshot = Snapshot()
        self._stopping = threading.Event()
        self._has_complained = False
        self._thread = supervisor.own("claims usage", self._run, ask_to_end=self._stopping.set)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns within a second, even if the API server does not answer a request under way."""
        self._thread.stop(_STOP_S)

    def take(self, snapshot: Snapshot) -> None:
        """Take what is served now."""
        self._snapshot = snapshot

    def look(self) -> int:
        """Look once, and write what is due; give how many were written."""
        now_s = self._wall_clock()
        now, hour_ago = _written(now_s), _written(now_s - HOUR_S)
        written = 0
        for name in self._due(self._used(), hour_ago):
            if self._stopping.is_set():
                break
            try:
                self._claims.touch(name, now)
            except ApiNotFound:
                continue
            except ApiError as error:
                if not self._has_complained:
                    log.warning("last use of claims not written", claim=name, problem=str(error))
                self._has_complained = True
                break
            self._has_complained = False
            written += 1
        return written

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            self.look()

    def _used(self) -> set[Place]:
        """Give the places at which somebody is connected."""
        busy = set(self.busy())
        if not busy:
            return set()
        snapshot = self._snapshot
        # A place of the pool stands for whom it serves.
        used = {snapshot.owners.get(backend, backend) for backend in busy}
        served = (verdict for asker, verdict in snapshot.verdicts.items() if backend_name(asker) in used)
        return {place for verdict in served for place in verdict.places}

    def _due(self, places: Iterable[Place], hour_ago: str) -> list[str]:
        claims = (claim for place in places for claim in self._at(place))
        return sorted(claim.metadata.name for claim in claims if (claim.status.last_used or "") <= hour_ago)


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
