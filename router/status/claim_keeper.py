"""Keeps account of what is served beside what PortClaims say of it, and tells the writer where the two differ; on the reconcile thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from router.admission import Verdict
from router.admission.journal import Touched
from router.admission.ledger import Ledger
from router.admission.left_out import is_left_out
from router.admission.places import SNI, Place, asker_of, place_of
from router.admission.verdicts import different
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.portclaim import ClaimHolder, PortClaim
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.settings import PortRanges
from router.status.claim_usage import ClaimUsage
from router.status.claim_work import Check, Tell, Work, stranger, telling, work_on
from router.status.claims import ClaimsWriter
from router.status.given import Given

_NONE = PortRanges(())


class ClaimKeeper:
    """Takes the outcomes of turns.

    Args:
        ledger: the claims, as admission keeps them; read here alone.
        writer: is told what is to be done.
        usage: is told what is served.
        auto_ports: what is given to those who ask for any port.
    """

    def __init__(self, ledger: Ledger, writer: ClaimsWriter, usage: ClaimUsage, auto_ports: PortRanges = _NONE) -> None:
        self._ledger = ledger
        self._journal = ledger.follow()
        self._writer = writer
        self._usage = usage
        self._served: dict[Place, Asker] = {}
        self._shared: dict[int, set[Place]] = {}
        """Of external ports, what somebody has but for the whole port of ``--bind-address``: hosts, and ports of other addresses."""
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._has_begun = False
        self._unlooked: set[ObjectKey] = set()
        """Claims that are others, of whichever ledger."""
        self._strange: set[str] = set()
        """Those of other ledgers of which something is told."""
        self._given = Given(auto_ports, ledger)
        self._proposed: Mapping[Place, Asker] = {}
        """What those shall have who ask for any port, and have none yet."""

    def propose(self, proposed: Mapping[Place, Asker]) -> None:
        """Take what is to be claimed for those who ask for any port, as soon as it is decided: that waits for no reload of HAProxy."""
        former, self._proposed = self._proposed, proposed
        if not self._has_begun:
            return
        # What was won is told with what is served.
        gone = (each for each in former.keys() - proposed.keys() if not self._is_held(each, former[each]))
        news = (each for each, asker in proposed.items() if former.get(each) != asker)
        works = {place: self._work_on(place) for place in (*gone, *news)}
        if works:
            self._writer.note(works, {})

    def _is_held(self, place: Place, asker: Asker) -> bool:
        hold = self._ledger.hold(place)
        return hold is not None and hold.asker == asker

    def _work_on(self, place: Place) -> tuple[Work, ...]:
        served = self._served.get(place)
        works = work_on(
            place,
            served or self._proposed.get(place),
            self._ledger,
            is_proposed=served is None,
            cools=self._given.cools(place),
            is_elsewhere=partial(self._given.is_elsewhere, place),
            forfeits=partial(self._forfeits, place),
        )
        return tuple(work for work in works if not (isinstance(work, Check) and self._is_left_out(work.claim)))

    def _forfeits(self, place: Place, holder: Asker) -> bool:
        """Say whether a holder was rejected by a policy that is enforced on those who hold something."""
        verdict = self._verdicts.get(holder)
        return (
            verdict is not None and verdict.forfeits and (verdict.port, verdict.address) == (place.port, place.address)
        )

    def _is_left_out(self, claim: PortClaim) -> bool:
        """Say whether the holder of a claim is one of which nothing can be decided, and so not whether it asks."""
        holder = asker_of(claim.spec.holder or ClaimHolder())
        return any(is_left_out(self._verdicts.get(each)) for each in (holder, holder._replace(section="")))

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take the outcome of a turn; what is not served, or is something old, is no reason to write."""
        self._unlooked.update(key for kind, key in changed if kind is PortClaim)
        if not snapshot.configured or snapshot.problem:
            return
        self._usage.take(snapshot)
        changes = self._journal.take()
        former, self._verdicts = self._verdicts, snapshot.verdicts
        self._given.take(changes.names)
        touched = set(changes.places)
        for asker in different(former, snapshot.verdicts):
            touched |= self._serve(asker, former.get(asker), snapshot.verdicts.get(asker))
        touched |= self._beside(touched, changes.ranges)
        if touched or changes.names or not self._has_begun:
            touched |= self._proposed.keys() if not self._has_begun else set()
            self._has_begun = True
            self._tell(touched, changes)
        self._look_at_strangers(objects)

    def _look_at_strangers(self, objects: Objects) -> None:
        """Tell of reservations of other ledgers, which the ledger does not have."""
        keys, self._unlooked = self._unlooked, set()
        tellings: dict[str, Tell | None] = {}
        for key in keys:
            claim = objects.claims.get(key)
            is_other = claim is not None and claim.spec.ledger != self._ledger.name
            tell = stranger(claim, self._ledger.name) if claim is not None and is_other else None
            if tell is not None:
                self._strange.add(key.name)
                tellings[key.name] = tell
            elif key.name in self._strange:
                self._strange.discard(key.name)
                if claim is None or is_other:
                    tellings[key.name] = None
        if tellings:
            self._writer.note({}, tellings)

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
        if is_left_out(before) or is_left_out(verdict):
            # Its claims are asked about from now on, or not any more.
            claims = filter(None, map(self._ledger.claim, self._ledger.names()))
            former = (*former, *(place_of(each) for each in claims if _is_held_by(each, asker)))
        return {*former, *current, *self._given.serve(asker, verdict, current)}

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
        works = {place: self._work_on(place) for place in places}
        tellings = {
            claim.metadata.name: telling(claim.metadata.name, self._served.get(place), self._ledger)
            for place in places
            for claim in self._ledger.at(place)
        }
        # Claims that are gone, and ranges: another may count in the place of each, and who is served is nothing to them.
        names = changes.names | set(self._ledger.ranges if changes.ranges else ())
        tellings |= {name: telling(name, None, self._ledger) for name in names - tellings.keys()}
        self._writer.note(works, tellings)


def _is_held_by(claim: PortClaim, asker: Asker) -> bool:
    return asker_of(claim.spec.holder or ClaimHolder())._replace(section="") == asker._replace(section="")


def _had(verdict: Verdict | None) -> tuple[Place, ...]:
    return verdict.held if verdict is not None else ()
