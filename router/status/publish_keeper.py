"""Keeps account of the ports that are served, for the Service in front of the router; on the reconcile thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from router.admission import Verdict
from router.admission.places import SNI
from router.admission.verdicts import different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.publisher import Publisher


class PublishKeeper:
    """Takes the outcomes of turns: a port is served as long as HAProxy has it open, and gone when it is closed.

    Args:
        publisher: is told which ports are served, when these are others.
        sni_port: the port of those who have a host alone.
    """

    def __init__(self, publisher: Publisher, sni_port: int) -> None:
        self._publisher = publisher
        self._sni_port = sni_port
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._ports: dict[Asker, frozenset[int]] = {}
        self._served: Counter[int] = Counter()
        """How many have a port."""
        self._has_begun = False

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:  # noqa: ARG002 - a port is told of by verdicts alone
        """Take the outcome of a turn. While changes cannot be applied, what was served before is."""
        if not snapshot.configured or snapshot.problem:
            return
        former, self._verdicts = self._verdicts, snapshot.verdicts
        is_other = not self._has_begun
        for asker in different(former, snapshot.verdicts):
            is_other |= self._take(asker, snapshot.verdicts.get(asker))
        if is_other:
            self._has_begun = True
            self._publisher.serve(frozenset(self._served))

    def _take(self, asker: Asker, verdict: Verdict | None) -> bool:
        """Take what an asker has; say whether a port is served by that that was not, or the other way round."""
        before, after = self._ports.pop(asker, frozenset()), self._ports_of(verdict)
        if after:
            self._ports[asker] = after
        if before == after:
            return False
        count = len(self._served)
        self._served.update(after)
        came = len(self._served) != count
        self._served.subtract(before)
        gone = [port for port in before if self._served[port] <= 0]
        for port in gone:
            del self._served[port]
        return came or bool(gone)

    def _ports_of(self, verdict: Verdict | None) -> frozenset[int]:
        held = verdict.held if verdict is not None else ()
        # A pod does not listen on its own address for what is bound to a named one.
        return frozenset(self._sni_port if place.port == SNI else place.port for place in held if not place.address)
