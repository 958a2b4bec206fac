"""Keeps account of what is served beside what PortClaims say of it, and tells the writer where the two differ; on the reconcile thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.admission import Verdict
from router.admission.journal import Touched
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place
from router.admission.verdicts import different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.claim_usage import ClaimUsage
from router.status.claim_work import telling, work_on
from router.status.claims import ClaimsWriter


class ClaimKeeper:
    """Takes the outcomes of turns.

    Args:
        ledger: the claims, as admission keeps them; read here alone.
        writer: is told what is to be done.
        usage: is told what is served.
    """

    def __init__(self, ledger: Ledger, writer: ClaimsWriter, usage: ClaimUsage) -> None:
        self._ledger = ledger
        self._journal = ledger.follow()
        self._writer = writer
        self._usage = usage
        self._served: dict[Place, Asker] = {}
        self._shared: dict[int, set[Place]] = {}
        """Of external ports, what somebody has but for the whole port of ``--bind-address``: hosts, and ports of other addresses."""
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._has_begun = False

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:  # noqa: ARG002 - the ledger says what changed
        """Take the outcome of a turn; what is not served, or is something old, is no reason to write."""
        if not snapshot.configured or snapshot.problem:
            return
        self._usage.take(snapshot)
        changes = self._journal.take()
        former, self._verdicts = self._verdicts, snapshot.verdicts
        touched = set(changes.places)
        for asker in different(former, snapshot.verdicts):
            touched |= self._serve(asker, former.get(asker), snapshot.verdicts.get(asker))
        touched |= self._beside(touched, changes.ranges)
        if touched or changes.names or not self._has_begun:
            self._has_begun = True
            self._tell(touched, changes)

    def _serve(self, asker: Asker, before: Verdict | None, verdict: Verdict | None) -> set[Place]:
        """Take whom this replica serves; give the places that may be another's now."""
        former, current = _had(before), _had(verdict)
        for place in former:
            if self._served.get(place) == asker:
                del self._served[place]
                self._share(place, is_served=False)
        for place in current:
            self._served[place] = asker
            self._share(place, is_served=True)
        return {*former, *current}

    def _share(self, place: Place, *, is_served: bool) -> None:
        if place.port == SNI or not (place.host or place.address):
            return
        places = self._shared.setdefault(place.port, set())
        if is_served:
            places.add(place)
        else:
            places.discard(place)
        if not places:
            del self._shared[place.port]

    def _beside(self, touched: Iterable[Place], ranges: Iterable[tuple[int, int]]) -> set[Place]:
        """Give the places for which something may be otherwise because of what others of their port, or ranges over them, say.

        What is said of one host is nothing to the others of its port, unless somebody claims the port as a whole.
        """
        ports = {
            place.port
            for place in touched
            if place.port != SNI and (not place.host or self._ledger.has_whole(place.port))
        }
        for first, last in ranges:
            ports.update(port for port in self._ledger.ports if first <= port <= last)
            ports.update(place.port for place in self._served if first <= place.port <= last)
        return {place for port in ports for place in self._on(port)}

    def _on(self, port: int) -> Iterable[Place]:
        yield from self._ledger.places(port)
        yield from self._shared.get(port, ())
        if Place(port) in self._served:
            yield Place(port)

    def _tell(self, places: Iterable[Place], changes: Touched) -> None:
        works = {place: work_on(place, self._served.get(place), self._ledger) for place in places}
        tellings = {name: telling(name, None, self._ledger) for name in changes.names}
        if changes.ranges:
            # Another range may count in the place of each; who is served is nothing to them.
            tellings |= {name: telling(name, None, self._ledger) for name in self._ledger.ranges}
        for place in places:
            for claim in self._ledger.at(place):
                name = claim.metadata.name
                tellings[name] = telling(name, self._served.get(place), self._ledger)
        self._writer.note(works, tellings)


def _had(verdict: Verdict | None) -> tuple[Place, ...]:
    return verdict.held if verdict is not None else ()
