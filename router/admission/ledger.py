"""Who holds which port and host, and for whom they are reserved, from PortClaims alone; pure.

Reservations are an admin's word and go before what was won. Of several that are about the same, the oldest counts. What was won counts
as it was created: a claim whose spec somebody changed says nothing any more, until the leader has made it anew. What a change costs
does not depend on how many claims there are, but for ranges, which are an admin's alone to write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush

from router.admission.places import SNI, Hold, Place, Reservation, hold_of, is_as_won, place_of
from router.model import Asker
from router.objects.portclaim import ClaimHolder, PortClaim

_Age = tuple[bool, str, str]
"""By which the oldest of several claims is found: creationTimestamp (those without one last), then its name."""


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


@dataclass(frozen=True, slots=True)
class Touched:
    """What may be decided otherwise after claims changed."""

    ports: frozenset[int] = frozenset()
    hosts: frozenset[str] = frozenset()
    """On the SNI port."""
    ranges: tuple[tuple[int, int], ...] = ()
    """First and last of ports."""


@dataclass(slots=True)
class _Told:
    """What claims say of one place."""

    won: dict[str, PortClaim] = field(default_factory=dict)
    reserved: dict[str, PortClaim] = field(default_factory=dict)


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
        self._ports: dict[int, dict[Place, _Told]] = {}
        """By port."""
        self._ranges: dict[str, PortClaim] = {}
        self._segments: dict[str, _Segments] = {}
        """By address."""
        self._ports_touched: set[int] = set()
        self._hosts_touched: set[str] = set()
        self._ranges_touched: list[tuple[int, int]] = []

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
        touched = Touched(frozenset(self._ports_touched), frozenset(self._hosts_touched), tuple(self._ranges_touched))
        self._ports_touched, self._hosts_touched, self._ranges_touched = set(), set(), []
        return touched

    def holds(self, port: int) -> tuple[Hold, ...]:
        """Give who holds a port, or a host on it, on whichever address, the first first; one for each place."""
        told = self._ports.get(port, {})
        return tuple(sorted((hold for each in told.values() if (hold := _first(each))), key=lambda hold: hold.order))

    def hold(self, place: Place) -> Hold | None:
        """Give who holds a place."""
        told = self._told(place)
        return _first(told) if told is not None else None

    def won(self, place: Place) -> tuple[PortClaim, ...]:
        """Give the claims that were won of a place, whether they count or not, the oldest first."""
        told = self._told(place)
        return tuple(claim for _, claim in sorted(told.won.items(), key=lambda item: _age(*item))) if told else ()

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
        return next((each for each in self.reservations(place) if not each.allows(asker)), None)

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
            winners = self._segments[claim.spec.address].winners(claim.spec.port, _last(claim))
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
        there = self._ports.get(port, {})
        is_alone = Place(port, "", address) not in there and not self._overlapping
        if port == SNI or is_alone or len(there) == 1:
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
        told = self._told(place)
        reserved = list(told.reserved.items()) if told is not None else []
        if place.port != SNI and not place.host:
            segments = self._segments.get(place.address)
            over = segments.at(place.port) if segments is not None else ""
            reserved += [(over, self._ranges[over])] if over else []
        if not reserved:
            return None
        name, claim = min(reserved, key=lambda item: _age(*item))
        return Reservation(name, claim.spec.holder or ClaimHolder())

    def _told(self, place: Place) -> _Told | None:
        return self._ports.get(place.port, {}).get(place)

    def _enter(self, name: str, claim: PortClaim) -> None:
        if _is_range(claim):
            self._ranges[name] = claim
            self._ranges_changed(claim)
            return
        place = place_of(claim)
        told = self._ports.setdefault(place.port, {}).setdefault(place, _Told())
        if claim.spec.origin == "Reserved":
            told.reserved[name] = claim
        else:
            told.won[name] = claim
        self._touch(place)

    def _leave(self, name: str, claim: PortClaim) -> None:
        if _is_range(claim):
            del self._ranges[name]
            self._ranges_changed(claim)
            return
        place = place_of(claim)
        told = self._ports[place.port][place]
        told.reserved.pop(name, None)
        told.won.pop(name, None)
        if not told.reserved and not told.won:
            del self._ports[place.port][place]
            if not self._ports[place.port]:
                del self._ports[place.port]
        self._touch(place)

    def _touch(self, place: Place) -> None:
        if place.port == SNI:
            self._hosts_touched.add(place.host)
        else:
            self._ports_touched.add(place.port)

    def _ranges_changed(self, claim: PortClaim) -> None:
        address = claim.spec.address
        self._segments[address] = _Segments(item for item in self._ranges.items() if item[1].spec.address == address)
        self._ranges_touched.append((claim.spec.port, _last(claim)))


class _Segments:
    """Which of several ranges counts for each port: the oldest."""

    def __init__(self, ranges: Iterable[tuple[str, PortClaim]]) -> None:
        edges: dict[int, list[tuple[_Age, int]]] = {}
        for name, claim in ranges:
            edges.setdefault(claim.spec.port, []).append((_age(name, claim), _last(claim)))
            edges.setdefault(_last(claim) + 1, [])
        self._starts = sorted(edges)
        self._names: list[str] = []
        """For each start the range that counts from there on; empty is none."""
        open_ranges: list[tuple[_Age, int]] = []
        for start in self._starts:
            for each in edges[start]:
                heappush(open_ranges, each)
            while open_ranges and open_ranges[0][1] < start:
                heappop(open_ranges)
            self._names.append(open_ranges[0][0][-1] if open_ranges else "")

    def at(self, port: int) -> str:
        """Give the name of the range that counts for a port; empty is none."""
        place = bisect_right(self._starts, port) - 1
        return self._names[place] if place >= 0 else ""

    def winners(self, first: int, last: int) -> list[str]:
        """Give the names of the ranges that count for some port of these."""
        begin, end = bisect_right(self._starts, first) - 1, bisect_right(self._starts, last)
        return [name for name in self._names[max(0, begin) : end] if name]


def _first(told: _Told) -> Hold | None:
    counting = (item for item in told.won.items() if is_as_won(item[1]))
    first = min(counting, key=lambda item: _age(*item), default=None)
    return hold_of(*first) if first is not None else None


def _is_range(claim: PortClaim) -> bool:
    return claim.spec.origin == "Reserved" and claim.spec.port_end is not None and claim.spec.port != SNI


def _last(claim: PortClaim) -> int:
    return max(claim.spec.port, claim.spec.port_end or 0)


def _age(name: str, claim: PortClaim) -> _Age:
    created = claim.metadata.creation_timestamp or ""
    return not created, created, name
