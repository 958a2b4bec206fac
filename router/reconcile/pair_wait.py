"""Says when claims have waited long enough for two clusters to agree on their ports; each replica says the same, as far as clocks do.

What a claim waits is counted from when it was made, so that neither a restart nor another replica begins anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from router.admission import Reason, Verdict
from router.admission.verdicts import different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.pair_note import PairNote
from router.objects.porter import TransportServerClaim
from router.objects.store import Objects, Store
from router.reconcile.snapshot import Snapshot
from router.supervisor import SUPERVISOR, Supervisor

_STOPS_WITHIN_S = 2.0
_LONGEST_S = 3600.0


class PairWait:
    """Looks, from ``start`` to ``stop``; ``update`` comes from the reconcile thread.

    Args:
        store: is told.
        wait_s: how long a claim waits.
        wall_clock: seconds since the epoch.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        store: Store,
        wait_s: float,
        *,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._store = store
        self._wait_s = wait_s
        self._wall_clock = wall_clock
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._condition = threading.Condition()
        self._due: dict[Asker, float] = {}
        self._told: set[Asker] = set()
        self._is_stopping = False
        self._thread = supervisor.own("pair wait", self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:  # noqa: ARG002 - of all reporters
        """Take the outcome of a turn."""
        former, self._verdicts = self._verdicts, snapshot.verdicts
        concerned = different(former, snapshot.verdicts)
        if not concerned:
            return
        with self._condition:
            for asker in concerned:
                verdict = snapshot.verdicts.get(asker)
                if verdict is None:
                    self._forget(asker)
                elif verdict.reason is not Reason.PAIRING:
                    self._due.pop(asker, None)
                elif asker not in self._due:
                    self._due[asker] = self._due_s(objects.asking((TransportServerClaim, ObjectKey(*asker.key))))
            self._condition.notify_all()

    def _forget(self, asker: Asker) -> None:
        self._due.pop(asker, None)
        if asker in self._told:
            self._told.discard(asker)
            self._store.delete(PairNote, ObjectKey(*asker.key))

    def _due_s(self, claim: object) -> float:
        now_s = self._wall_clock()
        created = claim.metadata.creation_timestamp if isinstance(claim, TransportServerClaim) else None
        made_s = datetime.fromisoformat(created).timestamp() if created is not None else now_s
        # A clock that goes wrong lets nobody wait longer than it should.
        return min(made_s, now_s) + self._wait_s

    def _ask_to_end(self) -> None:
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def _run(self) -> None:
        with self._condition:
            while not self._is_stopping:
                now_s = self._wall_clock()
                over = [asker for asker, due_s in self._due.items() if due_s <= now_s]
                for asker in over:
                    del self._due[asker]
                    self._told.add(asker)
                    self._store.put(PairNote.about(ObjectKey(*asker.key), asker.uid))
                pause_s = min((due_s - now_s for due_s in self._due.values()), default=_LONGEST_S)
                self._condition.wait(max(0.0, min(pause_s, _LONGEST_S)))
