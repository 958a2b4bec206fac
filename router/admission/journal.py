"""What may be decided otherwise after PortClaims changed; pure."""

from __future__ import annotations

from dataclasses import dataclass

from router.admission.places import SNI, Place


@dataclass(frozen=True, slots=True)
class Touched:
    """What may be decided otherwise after claims changed."""

    ports: frozenset[int] = frozenset()
    hosts: frozenset[str] = frozenset()
    """On the SNI port."""
    ranges: tuple[tuple[int, int], ...] = ()
    """First and last of ports."""
    places: frozenset[Place] = frozenset()
    """Of claims that are others, but for ranges."""
    names: frozenset[str] = frozenset()
    """Of these claims."""


class Journal:
    """Takes note of changes, for one who asks for them now and then."""

    def __init__(self) -> None:
        self._places: set[Place] = set()
        self._names: set[str] = set()
        self._ranges: list[tuple[int, int]] = []

    def place(self, name: str, place: Place) -> None:
        """Note that a claim to a place came or went."""
        self._names.add(name)
        self._places.add(place)

    def range(self, name: str, first: int, last: int) -> None:
        """Note that a claim to a range came or went."""
        self._names.add(name)
        self._ranges.append((first, last))

    def take(self) -> Touched:
        """Give what was noted since this was last asked."""
        places, names, ranges = frozenset(self._places), frozenset(self._names), tuple(self._ranges)
        self._places, self._names, self._ranges = set(), set(), []
        ports = frozenset(place.port for place in places if place.port != SNI)
        return Touched(ports, frozenset(place.host for place in places if place.port == SNI), ranges, places, names)
