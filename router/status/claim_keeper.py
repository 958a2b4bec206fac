"""Keeps account of what is served and of what PortClaims say of it, and tells the writer where the two differ; on the reconcile thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from router.admission import Verdict
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place, place_of
from router.admission.verdicts import Reason, different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.claim_usage import ClaimUsage
from router.status.claim_work import telling, work_on
from router.status.claims import ClaimsWriter

_OF_A_NODE = frozenset({Reason.PORT_UNAVAILABLE, Reason.OUT_OF_FILES})
"""Why something is set aside that would be served elsewhere: it has what it won all the same."""


class ClaimKeeper:
    """Takes the outcomes of turns.

    Args:
        ledger: the name of the claims that count.
        writer: is told what is to be done.
        usage: is told of claims, and of what is served.
        overlapping: the names of addresses that overlap with ``--bind-address``.
    """

    def __init__(self, ledger: str, writer: ClaimsWriter, usage: ClaimUsage, overlapping: Collection[str] = ()) -> None:
        self._ledger = Ledger(ledger, overlapping)
        self._writer = writer
        self._usage = usage
        self._served: dict[Place, Asker] = {}
        self._places: dict[Asker, tuple[Place, ...]] = {}
        self._by_port: dict[int, set[Place]] = {}
        """Every place of which a claim is known, or which somebody has."""
        self._names: dict[Place, set[str]] = {}
        """The claims of a place; of a range its first port."""
        self._known: dict[str, Place] = {}
        self._unlooked: set[ObjectKey] = set()
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._has_begun = False

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take the outcome of a turn; what is not served, or is something old, is no reason to write."""
        self._unlooked |= {key for kind, key in changed if kind is PortClaim}
        if not snapshot.configured or snapshot.problem:
            return
        self._usage.take(snapshot)
        keys, self._unlooked = self._unlooked, set()
        former, self._verdicts = self._verdicts, snapshot.verdicts
        touched = set()
        for key in keys:
            touched |= self._take(key.name, objects.claims.get(key))
        for asker in different(former, snapshot.verdicts):
            touched |= self._serve(asker, snapshot.verdicts.get(asker))
        touched |= self._beside(touched)
        if touched or not self._has_begun:
            self._has_begun = True
            self._tell(touched)

    def _take(self, name: str, claim: PortClaim | None) -> set[Place]:
        """Take a claim as it is now; give the places that it is about, or was."""
        self._ledger.put(name, claim)
        claim = self._ledger.claim(name)
        former = self._known.pop(name, None)
        current = place_of(claim) if claim is not None else None
        if former is not None:
            self._names[former].discard(name)
            if not self._names[former]:
                del self._names[former]
            self._forget(former)
        if current is not None:
            self._known[name] = current
            self._names.setdefault(current, set()).add(name)
            self._by_port.setdefault(current.port, set()).add(current)
        self._usage.note(name, former, current, (claim.status.last_used if claim is not None else "") or "")
        return {place for place in (former, current) if place is not None}

    def _serve(self, asker: Asker, verdict: Verdict | None) -> set[Place]:
        """Take whom this replica serves; give the places that may be another's now."""
        has_it = verdict is not None and (verdict.admitted or verdict.reason in _OF_A_NODE)
        current = verdict.places if verdict is not None and has_it else ()
        former = self._places.pop(asker, ())
        for place in former:
            if self._served.get(place) == asker:
                del self._served[place]
                self._forget(place)
        for place in current:
            self._served[place] = asker
            self._by_port.setdefault(place.port, set()).add(place)
        if current:
            self._places[asker] = current
        return {*former, *current}

    def _forget(self, place: Place) -> None:
        if place not in self._served and place not in self._names:
            places = self._by_port.get(place.port, set())
            places.discard(place)
            if not places:
                self._by_port.pop(place.port, None)

    def _beside(self, touched: Iterable[Place]) -> set[Place]:
        """Give the places for which something may be otherwise because of what others of their port, or ranges over them, say."""
        changes = self._ledger.take_touched()
        ports = set(changes.ports)
        for first, last in changes.ranges:
            ports.update(port for port in self._by_port if first <= port <= last)
        ports.update(place.port for place in touched if not place.host and place.port != SNI)
        places = {place for port in ports for place in self._by_port.get(port, ())}
        return places | {Place(SNI, host) for host in changes.hosts}

    def _tell(self, places: Iterable[Place]) -> None:
        tellings = {}
        works = {}
        for place in places:
            served = self._served.get(place)
            works[place] = work_on(place, served, self._ledger)
            for name in self._names.get(place, ()):
                tellings[name] = telling(name, served, self._ledger)
        self._writer.note(works, tellings)
