"""Tells others what the outcome of a turn is: the log, the observer, and who reports to Routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from router.admission.places import Place
from router.model import Asker
from router.objects.store import Objects
from router.reconcile.deciding import Deciding
from router.reconcile.hooks import Observer, Propose, Reporter, unheard
from router.reconcile.snapshot import Snapshot, differs
from router.reconcile.state_log import log_states
from router.reconcile.verdict_log import log_verdicts


class Publisher:
    """Publishes snapshots that follow each other. All calls from one thread; ``snapshot`` may be read by any.

    Args:
        observer: is told of snapshots that differ from those before.
        reporters: tell those who ask, and PortClaims, what became of them, where that is possible.
        propose: is told what is to be claimed for those who ask for any port.
    """

    def __init__(self, observer: Observer, reporters: Sequence[Reporter], propose: Propose = unheard) -> None:
        self._observer = observer
        self._reporters = reporters
        self._propose = propose
        self._proposed: Mapping[Place, Asker] = {}
        self._reported: Snapshot | None = None
        self.snapshot = Snapshot()
        """The last one."""

    def propose(self, deciding: Deciding) -> None:
        """Tell what is to be claimed, before HAProxy is brought to anything: nobody has it before that is written."""
        former, self._proposed = self._proposed, deciding.proposed
        if self._proposed is not former and self._proposed != former:
            self._propose(self._proposed)

    def publish(self, snapshot: Snapshot) -> None:
        """Publish the outcome of a turn."""
        if differs(snapshot, self.snapshot):
            log_verdicts(self.snapshot.verdicts, snapshot.verdicts)
            log_states(self.snapshot.gateway_api, snapshot.gateway_api)
            self.snapshot = snapshot
            self._observer.published(snapshot)

    def report(self, deciding: Deciding, objects: Objects) -> None:
        """Tell those who ask, if there is anything new. Not while changes wait: then the verdicts are of other objects than those in the store."""
        is_news = self.snapshot is not self._reported or bool(deciding.unreported)
        if is_news and deciding.outcome is not None:
            for reporter in self._reporters:
                reporter.update(self.snapshot, objects, deciding.unreported)
            self._reported, deciding.unreported = self.snapshot, frozenset()

    def failed(self, problem: str) -> None:
        """Tell that a turn failed; what was published is so all the same."""
        self._observer.turn_failed()
        self.publish(replace(self.snapshot, problem=problem))

    def stopping(self) -> None:
        """Take note that the router ends."""
        self.snapshot = replace(self.snapshot, stopping=True)
