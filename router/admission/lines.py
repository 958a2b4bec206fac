"""Who stands in which line: claims with their ranks, those whom PortClaims remember, and those whom reservations keep out; pure.

Whom this replica serves is remembered here. It counts where no PortClaim says who holds a place: until it is written, and where
somebody deleted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from router.admission.claims import NEWCOMER, SERVED, Claim, Rank, holder_rank
from router.admission.ledger import Ledger
from router.admission.places import SNI, Hold, Place, Reservation
from router.admission.verdicts import Reason, Rejection
from router.model import Asker


class Lines:
    """Lines up claims.

    Args:
        ledger: who holds what, and for whom it is reserved.
        served: whom this replica serves already.
    """

    def __init__(self, ledger: Ledger, served: Mapping[Place, Asker]) -> None:
        self._ledger = ledger
        self.served: dict[Place, Asker] = dict(served)
        """Who has which place."""
        self._hosts: dict[int, set[str]] = {}
        """Of external ports, the hosts of places that somebody has; the empty one is of a dedicated port."""
        for place in self.served:
            if place.port != SNI:
                self._hosts.setdefault(place.port, set()).add(place.host)

    def of_port(self, port: int, claims: Iterable[Claim]) -> tuple[list[Claim], dict[Asker, Rejection]]:
        """Line up those who claim an external port; give whom a reservation keeps out beside."""
        holds = {hold.place: hold for hold in self._ledger.holds(port)}
        queue: list[Claim] = []
        barred: dict[Asker, Rejection] = {}
        there: dict[Asker, Claim] = {}
        for claim in claims:
            place = _place(claim)
            bar = self._ledger.bars(place, claim.asker)
            if bar is not None:
                barred[claim.asker] = _refusal(place, bar)
                continue
            there[claim.asker] = claim
            rank = self._port_rank(claim, place, holds)
            queue.append(claim if rank == NEWCOMER else replace(claim, port_rank=rank))
        queue += [Claim.remembered(hold) for hold in holds.values() if self._is_remembered(hold, there)]
        return queue, barred

    def of_host(self, host: str, claims: Iterable[Claim]) -> dict[Asker, Claim]:
        """Line up those who claim a host on the SNI port, without those whom a reservation keeps out."""
        place = Place(SNI, host)
        hold = self._ledger.hold(place)
        line: dict[Asker, Claim] = {}
        for claim in claims:
            if self._ledger.bars(place, claim.asker) is None:
                rank = self._rank(place, claim.asker, hold)
                line[claim.asker] = claim if rank == NEWCOMER else replace(claim, host_rank=rank)
        if hold is not None and hold.asker not in line and self._ledger.bars(place, hold.asker) is None:
            line[hold.asker] = Claim.remembered(hold)
        return line

    def bar(self, place: Place, asker: Asker) -> str:
        """Say for whom a place is reserved, and by which PortClaim, that an asker is kept out of; empty if it is not."""
        bar = self._ledger.bars(place, asker)
        return str(bar) if bar is not None else ""

    def settled(self, port: int, served: Iterable[Claim]) -> None:
        """Remember who has an external port."""
        for host in self._hosts.pop(port, ()):
            del self.served[Place(port, host)]
        hosts = set()
        for claim in served:
            place = _place(claim)
            self.served[place] = claim.asker
            hosts.add(place.host)
        if hosts:
            self._hosts[port] = hosts

    def settled_host(self, host: str, asker: Asker | None) -> bool:
        """Remember who has a host on the SNI port; None is nobody. Say whether that is another than before, so that its line is another."""
        place = Place(SNI, host)
        if self.served.get(place) == asker:
            return False
        if asker is None:
            del self.served[place]
        else:
            self.served[place] = asker
        return True

    def _port_rank(self, claim: Claim, place: Place, holds: Mapping[Place, Hold]) -> Rank:
        """Give the rank of a claim to an external port.

        Who has the port to itself and comes to share it has it still; and so has who shared it with nobody and comes to want it alone.
        """
        asker, whole = claim.asker, Place(place.port)
        held = [holds[each] for each in (place, whole) if each in holds]
        if not place.host and all(hold.asker == asker for hold in holds.values()):
            held += holds.values()
        ranks = [holder_rank(hold.since) for hold in held if hold.asker == asker]
        if ranks:
            return min(ranks)
        had = {self.served.get(place), self.served.get(whole)}
        if not place.host:
            others = {self.served[Place(place.port, host)] for host in self._hosts.get(place.port, ())}
            had |= others if others == {asker} else set()
        return SERVED if asker in had else NEWCOMER

    def _rank(self, place: Place, asker: Asker, hold: Hold | None) -> Rank:
        if hold is not None and hold.asker == asker:
            return holder_rank(hold.since)
        return SERVED if self.served.get(place) == asker else NEWCOMER

    def _is_remembered(self, hold: Hold, there: Mapping[Asker, Claim]) -> bool:
        """Say whether a holder stands in line by its PortClaim alone.

        One that asks for the port in another way than it holds it gave up what does not go together with that.
        """
        if self._ledger.bars(hold.place, hold.asker) is not None:
            return False
        claim = there.get(hold.asker)
        if claim is None:
            return True
        return bool(hold.place.host) and claim.shares_port and claim.host != hold.place.host


def _place(claim: Claim) -> Place:
    return Place(claim.port or SNI, (claim.host or "") if claim.shares_port else "")


def _refusal(place: Place, bar: Reservation) -> Rejection:
    return Rejection(Reason.PORT_RESERVED, f"port {place.port} is reserved for {bar}")
