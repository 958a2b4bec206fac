"""Who holds which port and host, and for whom they are reserved, from PortClaims alone; pure.

Reservations are an admin's word and go before what was won. Of several that are about the same, the oldest counts. What was won counts
as it was created: a claim whose spec somebody changed says nothing any more, until the leader has made it anew. What a change costs
does not depend on how many claims there are, but for ranges, which are an admin's alone to write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.admission.journal import Journal, Touched
from router.admission.places import SNI, Hold, Place, Reservation, hold_of, is_as_won, place_of
from router.admission.quotas import NamespacePorts
from router.admission.segments import Segments, age_of, last_of
from router.model import Asker, Spot
from router.objects.portclaim import ClaimHolder, PortClaim


class Reason(StrEnum):
    """Whether a claim counts, as the ``reason`` of its condition."""

    IN_FORCE = "InForce"
    OVERRULED = "Overruled"
    """Another claim counts in its place."""
    CHANGED = "Changed"
    """It was won, and somebody changed it since."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a claim counts, and why not."""

    reason: Reason
    by: str = ""
    """The name of the PortClaim that counts in its place."""


class Ledger:
    """The PortClaims of one ledger, kept decided.

    Args:
        name: claims of other ledgers are passed over.
        overlapping: the names of addresses that overlap with ``--bind-address``: who has a port there has it of them, too.
    """

    def __init__(self, name: str, overlapping: Collection[str] = ()) -> None:
        self.name = name
        self._overlapping = overlapping
        self._claims: dict[str, PortClaim] = {}
        self._told: dict[Place, tuple[PortClaim, ...]] = {}
        """What claims say of each place: reservations, then what was won, each the oldest first. Values that never change, so that any thread may have a look."""
        self._others: dict[int, set[Place]] = {}
        """Of external ports, the places among these but for the whole port of ``--bind-address``, which is all that most have."""
        self._addresses = {""}
        """Of which there were claims."""
        self._ranges: dict[str, PortClaim] = {}
        self._segments: dict[str, Segments] = {}
        """By address."""
        self._reserved = 0
        """How many claims of single places are reservations: most clusters have none, and everybody is kept out by none."""
        self._journals = [Journal()]
        """The first is that of ``take_touched``."""
        self.held = NamespacePorts()
        """Of namespaces, by what was won."""
        self._holders: set[str] = set()

    def put(self, name: str, claim: PortClaim | None) -> None:
        """Take a claim as it is now; None is gone."""
        if claim is not None and claim.spec.ledger != self.name:
            claim = None
        former = self._claims.pop(name, None)
        if former is not None:
            self._leave(name, former)
        if claim is not None:
            self._claims[name] = claim
            self._enter(name, claim)

    def take_touched(self) -> Touched:
        """Give what may be decided otherwise since this was last asked."""
        return self._journals[0].take()

    def follow(self) -> Journal:
        """Have all changes from now on noted for somebody else, too."""
        journal = Journal()
        self._journals.append(journal)
        return journal

    def keep(self, names: Iterable[str]) -> None:
        """Forget all claims but these: who begins anew with it may not have been told which are gone."""
        for name in self._claims.keys() - set(names):
            self.put(name, None)

    def take_holders(self) -> set[str]:
        """Give the namespaces that may hold another number of ports since this was last asked."""
        holders, self._holders = self._holders, set()
        return holders

    def holds(self, port: int) -> tuple[Hold, ...]:
        """Give who holds a port, or a host on it, on whichever address, the first first; one for each place."""
        if port not in self._others:
            # The whole port of ``--bind-address``, as of nearly all ports.
            return (alone,) if (alone := self.hold(Place(port))) is not None else ()
        held = (hold for place in self.places(port) if (hold := self.hold(place)) is not None)
        return tuple(sorted(held, key=lambda hold: hold.order))

    def hold(self, place: Place) -> Hold | None:
        """Give who holds a place."""
        for claim in self._told.get(place, ()):
            if _is_won(claim) and is_as_won(claim):
                return hold_of(claim.metadata.name, claim)
        return None

    def won(self, place: Place) -> tuple[PortClaim, ...]:
        """Give the claims that were won of a place, whether they count or not, the oldest first."""
        return tuple(claim for claim in self._told.get(place, ()) if _is_won(claim))

    def at(self, place: Place) -> tuple[PortClaim, ...]:
        """Give all claims of a place, but ranges; any thread."""
        return self._told.get(place, ())

    def places(self, port: int) -> Iterator[Place]:
        """Give the places of an external port of which there are claims."""
        if (whole := Place(port)) in self._told:
            yield whole
        yield from self._others.get(port, ())

    def has_whole(self, port: int) -> bool:
        """Say whether there are claims to an external port as a whole, on whichever address."""
        return any(Place(port, "", address) in self._told for address in self._addresses)

    @property
    def ports(self) -> Iterable[int]:
        """The ports of which there are claims."""
        return {place.port for place in self._told}

    @property
    def ranges(self) -> Iterable[str]:
        """The names of the claims to ranges."""
        return self._ranges.keys()

    def reservations(self, place: Place) -> tuple[Reservation, ...]:
        """Give the reservations that count for a place: of its port, and of its host. Who asks for it needs them all.

        Of a port also those of addresses that overlap with its own.
        """
        places = [place] if place.port == SNI or place.host else []
        if place.port != SNI:
            beside = [*self._overlapping] if not place.address else [""] if place.address in self._overlapping else []
            places = [Place(place.port, "", address) for address in (place.address, *beside)] + places
        return tuple(found for each in places if (found := self._reservation(each)) is not None)

    def bars(self, place: Place, asker: Asker) -> Reservation | None:
        """Give the reservation that keeps an asker from a place; None if none does."""
        if not self._reserved and not self._segments:
            return None
        return next((each for each in self.reservations(place) if not each.allows(asker)), None)

    def overlaps(self, address: str, other: str) -> bool:
        """Say whether nobody can have a port on one address while somebody else has it on the other."""
        return (
            address == other
            or (not address and other in self._overlapping)
            or (not other and address in self._overlapping)
        )

    def is_in_force(self, name: str) -> bool:
        """Say whether a claim counts."""
        standing = self.standing(name)
        return standing is not None and standing.reason is Reason.IN_FORCE

    def is_range(self, name: str) -> bool:
        """Say whether a reservation is of a range of ports."""
        return name in self._ranges

    def speaks_of(self, port: int) -> bool:
        """Say whether any claim is about a port, or a host on it, on whichever address: won, or a reservation."""
        return any(True for _ in self.places(port)) or any(each.at(port) for each in self._segments.values())

    def standing(self, name: str) -> Standing | None:
        """Say whether a claim counts; None for those of other ledgers."""
        claim = self._claims.get(name)
        if claim is None:
            return None
        if claim.spec.origin == "Reserved":
            return self._standing_reserved(name, claim)
        hold = hold_of(name, claim)
        if not is_as_won(claim):
            return Standing(Reason.CHANGED)
        bar = self.bars(hold.place, hold.asker)
        if bar is not None:
            return Standing(Reason.OVERRULED, bar.claim)
        first = self.hold(hold.place)
        if first is not None and first.claim != name:
            return Standing(Reason.OVERRULED, first.claim)
        rival = self._rival(hold)
        return Standing(Reason.OVERRULED, rival.claim) if rival is not None else Standing(Reason.IN_FORCE)

    def claim(self, name: str) -> PortClaim | None:
        """Give a claim of this ledger."""
        return self._claims.get(name)

    def names(self) -> Iterator[str]:
        """Give the names of all claims of this ledger."""
        return iter(self._claims)

    def _standing_reserved(self, name: str, claim: PortClaim) -> Standing:
        if _is_range(claim):
            winners = self._segments[claim.spec.address].winners(claim.spec.port, last_of(claim))
            if not winners or name in winners:
                return Standing(Reason.IN_FORCE)
            return Standing(Reason.OVERRULED, winners[0])
        found = self._reservation(place_of(claim))
        if found is None or found.claim == name:
            return Standing(Reason.IN_FORCE)
        return Standing(Reason.OVERRULED, found.claim)

    def _rival(self, hold: Hold) -> Hold | None:
        """Give who comes first on a port and has it otherwise, whole or by hosts, or on addresses that overlap.

        Two leaders wrote both at a time, under two names.
        """
        port, address = hold.place.port, hold.place.address
        is_alone = Place(port, "", address) not in self._told and not self._overlapping
        if port == SNI or is_alone or port not in self._others:
            return None
        firsts: dict[str, Hold] = {}
        for each in self.holds(port):
            if each.place.address not in firsts and self.bars(each.place, each.asker) is None:
                firsts[each.place.address] = each
        beside = self._first_beside(address, firsts)
        if beside is not None and beside.asker != hold.asker:
            return beside
        first = firsts.get(address, hold)
        is_otherwise = bool(first.place.host) is not bool(hold.place.host)
        return first if is_otherwise and first.asker != hold.asker else None

    def _first_beside(self, address: str, firsts: Mapping[str, Hold]) -> Hold | None:
        """Give who comes before all on an address, and has an address that overlaps with it."""
        if address and address not in self._overlapping:
            return None
        own, everywhere = firsts.get(address), firsts.get("")
        inside = [first for name, first in firsts.items() if name in self._overlapping]
        first_inside = min(inside, key=lambda hold: hold.order, default=None)
        if own is None or everywhere is None or first_inside is None:
            return None
        if not address:
            return first_inside if first_inside.order < everywhere.order else None
        return everywhere if everywhere.order < first_inside.order else None

    def _reservation(self, place: Place) -> Reservation | None:
        reserved = self._told.get(place, ())[:1]
        if reserved and _is_won(reserved[0]):
            reserved = ()
        if place.port != SNI and not place.host and (segments := self._segments.get(place.address)) is not None:
            over = segments.at(place.port)
            reserved = (*reserved, self._ranges[over]) if over else reserved
        if not reserved:
            return None
        claim = min(reserved, key=age_of)
        return Reservation(claim.metadata.name, claim.spec.holder or ClaimHolder())

    def _enter(self, name: str, claim: PortClaim) -> None:
        if _is_range(claim):
            self._ranges[name] = claim
            self._ranges_changed(name, claim)
            return
        place = place_of(claim)
        self._put(place, (*self._told.get(place, ()), claim))
        self._reserved += not _is_won(claim)
        self._touch(name, place)
        self._hold(claim, self.held.add)

    def _leave(self, name: str, claim: PortClaim) -> None:
        if _is_range(claim):
            del self._ranges[name]
            self._ranges_changed(name, claim)
            return
        place = place_of(claim)
        self._put(place, tuple(each for each in self._told[place] if each is not claim))
        self._reserved -= not _is_won(claim)
        self._touch(name, place)
        self._hold(claim, self.held.remove)

    def _put(self, place: Place, claims: tuple[PortClaim, ...]) -> None:
        if len(claims) > 1:
            claims = tuple(sorted(claims, key=lambda claim: (_is_won(claim), age_of(claim))))
        if claims:
            self._told[place] = claims
        else:
            del self._told[place]
        if place.port == SNI or not (place.host or place.address):
            return
        self._addresses.add(place.address)
        others = self._others.setdefault(place.port, set())
        if claims:
            others.add(place)
        else:
            others.discard(place)
        if not others:
            del self._others[place.port]

    def _hold(self, claim: PortClaim, note: Callable[[str, Spot], None]) -> None:
        """Take note of what a namespace holds, or no longer; hosts on the SNI port are no ports."""
        if _is_won(claim) and claim.spec.port != SNI:
            namespace = claim.spec.holder.namespace if claim.spec.holder is not None else ""
            note(namespace, Spot(claim.spec.port, claim.spec.address))
            self._holders.add(namespace)

    def _touch(self, name: str, place: Place) -> None:
        for journal in self._journals:
            journal.place(name, place)

    def _ranges_changed(self, name: str, claim: PortClaim) -> None:
        address = claim.spec.address
        self._segments[address] = Segments(each for each in self._ranges.values() if each.spec.address == address)
        for journal in self._journals:
            journal.range(name, claim.spec.port, last_of(claim))


def _is_won(claim: PortClaim) -> bool:
    return claim.spec.origin == "Won"


def _is_range(claim: PortClaim) -> bool:
    return claim.spec.origin == "Reserved" and claim.spec.port_end is not None and claim.spec.port != SNI
