"""Who stands in which line: claims with their ranks, those whom PortClaims remember, and those whom reservations keep out; pure.

Whom this replica serves is remembered here. It counts where no PortClaim says who holds a place: until it is written, and where
somebody deleted it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set  # noqa: PYI025 - as it is called in collections.abc
from typing import NamedTuple

from msgspec.structs import replace

from router.admission.address_use import NOBODY, AddressUse
from router.admission.claims import NEWCOMER, SERVED, Claim, Rank, holder_rank
from router.admission.ledger import Ledger
from router.admission.places import SNI, Hold, Place, Reservation
from router.admission.policy import Policies
from router.admission.quotas import NamespacePorts
from router.admission.verdicts import Reason, Rejection, forfeited
from router.model import Asker, Spot


class Line(NamedTuple):
    """Who stands in line for a port."""

    queue: list[Claim]
    """In no order."""
    barred: dict[Asker, Rejection]
    """Who is kept out of it, and why."""
    tolerated: dict[Asker, Rejection]
    """Who stands in it only because he had the port before, and why he would not otherwise."""


class Lines:
    """Lines up claims.

    Args:
        ledger: who holds what, and for whom it is reserved.
        served: whom this replica serves already.
        policies: what namespaces may have.
        overlapping: the names of addresses that overlap with ``--bind-address``.
        address_use: says who may come to use which address.
    """

    def __init__(
        self,
        ledger: Ledger,
        served: Mapping[Place, Asker],
        policies: Policies,
        overlapping: Collection[str] = (),
        address_use: AddressUse = NOBODY,
    ) -> None:
        self._ledger = ledger
        self._policies = policies
        self._address_use = address_use
        self._overlapping = overlapping
        self.served: dict[Place, Asker] = dict(served)
        """Who has which place."""
        self.keeps: Callable[[Asker, Place], bool] = lambda _asker, _place: False
        """Says whether somebody has a port also while he is not served."""
        self.had = NamespacePorts()
        """The ports of namespaces, as they are served."""
        self._places: dict[int, tuple[Place, ...]] = {}
        """Of external ports, the places that somebody has."""
        self.unconfirmed: dict[str, set[tuple[Asker, int]]] = {}
        """By namespace, who came to have which external port here, as long as no PortClaim said so."""
        for place in self.served:
            if place.port != SNI:
                self._places[place.port] = (*self._places.get(place.port, ()), place)
                self.had.add(self.served[place].namespace, Spot(place.port, place.address))

    def of_port(self, port: int, claims: Iterable[Claim]) -> Line:
        """Line up those who claim an external port, without those whom a reservation or the policy of their namespace keeps out."""
        holds = {hold.place: hold for hold in self._ledger.holds(port)}
        queue: list[Claim] = []
        barred: dict[Asker, Rejection] = {}
        tolerated: dict[Asker, Rejection] = {}
        there: dict[Asker, Claim] = {}
        for claim in claims:
            place = claim.place
            bar = self._ledger.bars(place, claim.asker)
            if bar is not None:
                barred[claim.asker] = _refusal(place, bar)
                continue
            rank = self._port_rank(claim, place, holds)
            if (refusal := self._refusal(claim)) is not None:
                if rank == NEWCOMER or self._policies.binds_holders(claim.asker.namespace, port, claim.address):
                    barred[claim.asker] = forfeited(refusal) if rank < SERVED else refusal
                    continue
                tolerated[claim.asker] = refusal
            there[claim.asker] = claim
            if rank == SERVED and self._is_too_much(claim.asker, port):
                rank = NEWCOMER
            queue.append(claim if rank == NEWCOMER else replace(claim, port_rank=rank))
        queue += [Claim.remembered(hold) for hold in holds.values() if self._is_remembered(hold, there)]
        return Line(queue, barred, tolerated)

    def stand(self, claim: Claim) -> tuple[Claim | None, Rejection | None]:
        """Give a claim to a host on a shared port as it stands in line, or what keeps it out; neither where it is tolerated alone."""
        place = claim.place
        bar = self._ledger.bars(place, claim.asker)
        if bar is not None:
            return None, _refusal(place, bar)
        near = {place, Place(place.port, "", place.address), Place(place.port)}
        holds = {each: hold for each in near if (hold := self._ledger.hold(each)) is not None}
        rank, refusal = self._port_rank(claim, place, holds), self._refusal(claim)
        if refusal is not None:
            return None, refusal if rank == NEWCOMER else None
        return (claim if rank == NEWCOMER else replace(claim, port_rank=rank)), None

    def barred(self, claim: Claim) -> Rejection | None:
        """Say what keeps one out of the line who has nothing of the port; None if nothing does."""
        bar = self._ledger.bars(claim.place, claim.asker)
        return _refusal(claim.place, bar) if bar is not None else self._refusal(claim)

    def remembered(self, place: Place, there: Claim | None) -> Claim | None:
        """Give what stands for a place's holder, who has this claim to the port, or none; None if nothing does."""
        hold = self._ledger.hold(place)
        beside = {there.asker: there} if there is not None else {}
        return Claim.remembered(hold) if hold is not None and self._is_remembered(hold, beside) else None

    def holder(self, place: Place) -> Asker | None:
        """Give who holds a place by a PortClaim."""
        hold = self._ledger.hold(place)
        return hold.asker if hold is not None else None

    def is_reserved(self, place: Place) -> bool:
        """Say whether an admin says something about this very place."""
        return any(claim.spec.origin == "Reserved" for claim in self._ledger.at(place))

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

    @property
    def held(self) -> NamespacePorts:
        """The ports of which PortClaims say that somebody of a namespace won them, or a host on them."""
        return self._ledger.held

    def held_ports(self) -> Iterable[int]:
        """Give all ports that PortClaims are about."""
        return self._ledger.ports

    def take_holders(self) -> set[str]:
        """Give the namespaces that may hold another number of ports since this was last asked."""
        return self._ledger.take_holders()

    def _refusal(self, claim: Claim) -> Rejection | None:
        """Say why who does not hold it yet may not have the port that is claimed; None if he may."""
        namespace = claim.asker.namespace
        if (refusal := self._address_use.refusal(namespace, claim.address)) is not None:
            return refusal
        said = self._policies.refusal(namespace, claim.where.port)
        return Rejection(Reason.PORT_NOT_ALLOWED, said) if said else None

    def bar(self, place: Place, asker: Asker) -> str:
        """Say for whom a place is reserved, and by which PortClaim, that an asker is kept out of; empty if it is not."""
        bar = self._ledger.bars(place, asker)
        return str(bar) if bar is not None else ""

    def settled(self, port: int, served: Iterable[Claim]) -> None:
        """Remember who has an external port."""
        former = {place: self.served.pop(place) for place in self._places.pop(port, ())}
        for place, asker in former.items():
            self.had.remove(asker.namespace, Spot(port, place.address))
        current = {claim.place: claim.asker for claim in served}
        self._confirm(port, set(former.values()), set(current.values()))
        self.served.update(current)
        for place, asker in current.items():
            self.had.add(asker.namespace, Spot(port, place.address))
        if current:
            self._places[port] = tuple(current)

    def settled_place(self, place: Place, asker: Asker | None) -> None:
        """Remember who has a host on a shared port; None is nobody."""
        former, spot = self.served.pop(place, None), Spot(place.port, place.address)
        places = self._places.get(place.port, ())
        if former is not None:
            self.had.remove(former.namespace, spot)
        if asker is not None:
            self.served[place] = asker
            self.had.add(asker.namespace, spot)
        if former is None and asker is not None:
            self._places[place.port] = (*places, place)
        elif former is not None and asker is None:
            at = places.index(place)
            self._places[place.port] = places[:at] + places[at + 1 :]

    def _confirm(self, port: int, former: Set[Asker], current: Set[Asker]) -> None:
        """Take note of who came to have a port, and of whom a PortClaim says so."""
        holders = {hold.asker for hold in self._ledger.holds(port)} if current else current
        for asker in current - former - holders:
            self.unconfirmed.setdefault(asker.namespace, set()).add((asker, port))
        for asker in former - current | holders:
            of_namespace = self.unconfirmed.get(asker.namespace)
            if of_namespace is not None:
                of_namespace.discard((asker, port))
                if not of_namespace:
                    del self.unconfirmed[asker.namespace]

    def may_exceed(self, namespace: str) -> bool:
        """Say whether somebody came to have a port here, and PortClaims were written of others of his namespace."""
        return self._policies.gives_way and namespace in self.unconfirmed and bool(self.held.of(namespace))

    def at(self, port: int) -> Iterator[tuple[Place, Asker]]:
        """Give who has an external port, or a host on it, or holds it by a PortClaim."""
        yield from ((place, self.served[place]) for place in self._places.get(port, ()))
        yield from ((hold.place, hold.asker) for hold in self._ledger.holds(port))

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
        return SERVED if asker in had or self.keeps(asker, place) else NEWCOMER

    def _is_too_much(self, asker: Asker, port: int) -> bool:
        """Say whether somebody came to have a port here while PortClaims were written of others, who make his namespace have more than it may hold.

        This replica saw them later than that which leads, or what was given by then is claimed only now; so nobody who holds something loses it.
        """
        namespace = asker.namespace
        if not self.may_exceed(namespace) or (asker, port) not in self.unconfirmed[namespace]:
            return False
        most = self._policies.max_ports(namespace)
        return most is not None and len(self.held.of(namespace) | self.had.of(namespace)) > most

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
        if self._policies.binds_holders(hold.asker.namespace, hold.place.port, hold.place.address):
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
