"""Which of several ranges of ports counts for each port; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from heapq import heappop, heappush

from router.objects.portclaim import PortClaim

_Age = tuple[bool, str, str]
"""By which the oldest of several claims is found: creationTimestamp (those without one last), then its name."""


class Segments:
    """Which of several ranges counts for each port: the oldest."""

    def __init__(self, ranges: Iterable[PortClaim]) -> None:
        edges: dict[int, list[tuple[_Age, int]]] = {}
        for claim in ranges:
            edges.setdefault(claim.spec.port, []).append((age_of(claim), last_of(claim)))
            edges.setdefault(last_of(claim) + 1, [])
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


def last_of(claim: PortClaim) -> int:
    """Give the last port that a claim is about."""
    return max(claim.spec.port, claim.spec.port_end or 0)


def age_of(claim: PortClaim) -> _Age:
    """Give that by which the oldest of several claims comes first."""
    created = claim.metadata.creation_timestamp or ""
    return not created, created, claim.metadata.name
