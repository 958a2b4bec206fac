"""Who stands in which line: claims with their ranks, those whom PortClaims remember, and those whom reservations keep out; pure.

Whom this replica serves is remembered here. It counts where no PortClaim says who holds a place: until it is written, and where
somebody deleted it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from router.admission.address_use import NOBODY, AddressUse
from router.admission.claims import NEWCOMER, SERVED, Claim, Rank, holder_rank
from router.admission.ledger import Ledger
from router.admission.places import SNI, Hold, Place, Reservation
from router.admission.verdicts import Reason, Rejection
from router.model import Asker, Spot


class Lines:
    """Lines up claims.

    Args:
        ledger: who holds what, and for whom it is reserved.
        served: whom this replica serves already.
        overlapping: the names of addresses that overlap with ``--bind-address``.
        address_use: says who may come to use which address.
    """

    def __init__(
        self,
        ledger: Ledger,
        served: Mapping[Place, Asker],
        overlapping: Collection[str] = (),
        address_use: AddressUse = NOBODY,
    ) -> None:
        self._ledger = ledger
        self._address_use = address_use
        self._overlapping = overlapping
        self.served: dict[Place, Asker] = dict(served)
        """Who has which place."""
        self._places: dict[int, tuple[Place, ...]] = {}
        """Of external ports, the places that somebody has."""
        for place in self.served:
            if place.port != SNI:
                self._places[place.port] = (*self._places.get(place.port, ()), place)

    def of_port(self, port: int, claims: Iterable[Claim]) -> tuple[list[Claim], dict[Asker, Rejection]]:
        """Line up those who claim an external port; give whom a reservation keeps out beside."""
        holds = {hold.place: hold for hold in self._ledger.holds(port)}
        queue: list[Claim] = []
        barred: dict[Asker, Rejection] = {}
        there: dict[Asker, Claim] = {}
        for claim in claims:
            place = claim.place
            bar = self._ledger.bars(place, claim.asker)
            if bar is not None:
                barred[claim.asker] = _refusal(place, bar)
                continue
            rank = self._port_rank(claim, place, holds)
            # Who has it keeps it.
            if rank == NEWCOMER and (refusal := self.address_refusal(claim)) is not None:
                barred[claim.asker] = refusal
                continue
            there[claim.asker] = claim
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

    def address_refusal(self, claim: Claim) -> Rejection | None:
        """Say why who does not hold it yet may not have a port of the address that is claimed; None if he may."""
        return self._address_use.refusal(claim.asker.namespace, claim.address)

    def bar(self, place: Place, asker: Asker) -> str:
        """Say for whom a place is reserved, and by which PortClaim, that an asker is kept out of; empty if it is not."""
        bar = self._ledger.bars(place, asker)
        return str(bar) if bar is not None else ""

    def settled(self, port: int, served: Iterable[Claim]) -> None:
        """Remember who has an external port."""
        for place in self._places.pop(port, ()):
            del self.served[place]
        current = {claim.place: claim.asker for claim in served}
        self.served.update(current)
        if current:
            self._places[port] = tuple(current)

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
        The same is so of all addresses together and one of them.
        """
        asker = claim.asker
        whole = [Place(place.port, "", place.address)]
        if place.address in self._overlapping:
            whole.append(Place(place.port))
        held = [holds[each] for each in (place, *whole) if each in holds]
        if not place.host:
            inside = [hold for hold in holds.values() if self._covers(place.address, hold.place.address)]
            held += inside if all(hold.asker == asker for hold in inside) else []
        ranks = [holder_rank(hold.since) for hold in held if hold.asker == asker]
        if ranks:
            return min(ranks)
        had = {self.served.get(each) for each in (place, *whole)}
        if not place.host:
            places = self._places.get(place.port, ())
            others = {self.served[each] for each in places if self._covers(place.address, each.address)}
            had |= others if others == {asker} else set()
        return SERVED if asker in had else NEWCOMER

    def _covers(self, address: str, other: str) -> bool:
        """Say whether who has a port of an address has it of the other one, too."""
        return address == other or (not address and other in self._overlapping)

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
        asked, held = claim.address, hold.place.address
        if asked != held:
            return not (self._covers(asked, held) or self._covers(held, asked))
        return bool(hold.place.host) and claim.shares_port and claim.host != hold.place.host


def _refusal(place: Place, bar: Reservation) -> Rejection:
    return Rejection(Reason.PORT_RESERVED, f"port {Spot(place.port, place.address)} is reserved for {bar}")
