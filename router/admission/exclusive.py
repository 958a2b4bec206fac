"""Ranges of ports that one namespace has to itself, and where those of several meet; pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.settings import PortRanges

_MOST_TOLD = 3
"""So many overlaps of one owner are told; who has mended these learns of the next."""
_NO_OVERLAPS: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Ports that are exclusive to the same owners."""

    first: int
    last: int
    owners: tuple[str, ...]
    """The first two of them, by name."""

    def __str__(self) -> str:
        return str(PortRanges(((self.first, self.last),)))


class Exclusive:
    """The exclusive ranges of all owners."""

    def __init__(self) -> None:
        self._own: dict[str, PortRanges] = {}
        self._of_rules: list[tuple[str, PortRanges]] = []
        self._touched: list[tuple[int, int]] = []
        self._stretches: list[Stretch] | None = []
        """Sorted; None where they have to be made."""
        self._starts: list[int] = []

    def put(self, owner: str, ranges: PortRanges | None) -> None:
        """Take what an owner says of itself; None says nothing."""
        former = self._own.pop(owner, None)
        if ranges is not None:
            self._own[owner] = ranges
        if former != ranges:
            self._change(former)
            self._change(ranges)

    def put_rule(self, owner: str, ranges: PortRanges | None) -> None:
        """Take what is said of an owner beside; one may be named often."""
        if ranges is not None:
            self._of_rules.append((owner, ranges))
            self._change(ranges)

    def clear_rules(self) -> None:
        """Take back all that was said beside."""
        for _, ranges in self._of_rules:
            self._change(ranges)
        self._of_rules = []

    def take_touched(self) -> tuple[tuple[int, int], ...]:
        """Give the ranges that are exclusive, or no longer, since this was last asked."""
        touched, self._touched = tuple(self._touched), []
        return touched

    def at(self, port: int) -> Stretch | None:
        """Give to whom a port is exclusive; None is to nobody."""
        stretches = self._made()
        place = bisect_right(self._starts, port) - 1
        return stretches[place] if place >= 0 and port <= stretches[place].last else None

    def __bool__(self) -> bool:
        return bool(self._made())

    def to_others(self, owner: str) -> PortRanges:
        """Give the ports that an owner may not have for what others say, or for what he says beside others."""
        return PortRanges(tuple((each.first, each.last) for each in self._made() if each.owners != (owner,)))

    def range_of(self, owner: str, port: int) -> PortRanges:
        """Give the range of an owner's that has a port, as it was said, whatever others have in it."""
        said = [ranges.ranges for each, ranges in self._said() if each == owner]
        return PortRanges((min(each for ranges in said for each in ranges if each[0] <= port <= each[1]),))

    def overlaps(self) -> Mapping[str, tuple[str, ...]]:
        """Give by owner what its ranges have in common with those of others, in words."""
        shared = [each for each in self._made() if len(each.owners) > 1]
        if not shared:
            return _NO_OVERLAPS
        found: dict[str, list[str]] = {}
        for owner, ranges in self._said():
            told = found.setdefault(owner, [])
            for stretch in _within(shared, ranges):
                if len(told) == _MOST_TOLD:
                    break
                other = next(each for each in stretch.owners if each != owner)
                told.append(f"ports {stretch} are exclusive to {other} too, so that nobody gets new claims there")
        return {owner: tuple(dict.fromkeys(told)) for owner, told in found.items() if told}

    def _change(self, ranges: PortRanges | None) -> None:
        if ranges is not None and ranges.ranges:
            self._touched.extend(ranges.ranges)
            self._stretches = None

    def _said(self) -> Iterable[tuple[str, PortRanges]]:
        yield from self._own.items()
        yield from self._of_rules

    def _made(self) -> list[Stretch]:
        if self._stretches is None:
            self._stretches = list(_stretches(self._said()))
            self._starts = [each.first for each in self._stretches]
        return self._stretches


def _stretches(said: Iterable[tuple[str, PortRanges]]) -> Iterable[Stretch]:
    edges: dict[int, tuple[list[str], list[str]]] = {}
    for owner, ranges in said:
        for first, last in ranges.ranges:
            edges.setdefault(first, ([], []))[0].append(owner)
            edges.setdefault(last + 1, ([], []))[1].append(owner)
    open_owners: list[str] = []
    start = 0
    for edge, (begin, end) in sorted(edges.items()):
        if open_owners:
            # Of one owner several ranges may overlap.
            yield Stretch(start, edge - 1, _first_two(open_owners))
        for owner in end:
            del open_owners[bisect_left(open_owners, owner)]
        for owner in begin:
            insort(open_owners, owner)
        start = edge


def _first_two(owners: list[str]) -> tuple[str, ...]:
    other = bisect_right(owners, owners[0])
    return (owners[0], owners[other]) if other < len(owners) else (owners[0],)


def _within(stretches: list[Stretch], ranges: PortRanges) -> Iterable[Stretch]:
    return (each for each in stretches if any(low <= each.last and each.first <= high for low, high in ranges.ranges))
