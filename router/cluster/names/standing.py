"""How it stands with each name that is looked up: its addresses, when it is asked for again, and what is wrong; no I/O, the time is told.

The last addresses stay while no server answers. That a name, or its addresses of one family, are gone is believed when it was
said three times in a row: a server that is being set up anew says so too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.cluster.names.lookup import Outcome
from router.cluster.names.messages import FAMILIES, Absent, Addresses, Family
from router.cluster.names.resolver import Answer
from router.supervisor.backoff import Backoff

LEAST_TTL_S, LONGEST_TTL_S = 5.0, 300.0
WARNS_AT = 3
"""Failures in a row."""
GONE_AT = 3
"""Answers in a row by which there is nothing."""
_LONGEST_PAUSE_S = 60.0
"""Between lookups that fail."""
_NEW_AT_ONCE, _NEW_EVERY_S = 64, 0.5
"""Of one namespace: so many new names are looked up at once, then one in so many seconds."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a name."""

    addresses: tuple[str, ...] = ()
    problem: str = ""
    is_tried: bool = False
    """There was an outcome, of whatever kind, since this process began."""


@dataclass(slots=True)
class _Side:
    """One family of a name."""

    addresses: tuple[str, ...] = ()
    failures: int = 0
    absences: int = 0
    reason: str = ""
    """Of the first failure in the row: what is told does not change with each."""
    exists: bool = True

    holds_s: float | None = None
    """For how many seconds the last answer holds; None for a failure."""

    def take(self, outcome: Outcome) -> None:
        """Take note of an outcome."""
        if isinstance(outcome, Addresses):
            self.addresses, self.failures, self.absences, self.exists = outcome.addresses, 0, 0, True
            self.holds_s = _clamped(outcome.ttl_s)
        elif isinstance(outcome, Absent):
            self.failures, self.exists = 0, outcome.exists
            self.absences += 1
            is_believed = not self.addresses or self.absences >= GONE_AT
            self.addresses = () if is_believed else self.addresses
            self.holds_s = _clamped(outcome.ttl_s) if is_believed else LEAST_TTL_S
        else:
            self.failures += 1
            self.reason = self.reason if self.failures > 1 else outcome.problem
            self.holds_s = None


def _clamped(ttl_s: int) -> float:
    return min(max(float(ttl_s), LEAST_TTL_S), LONGEST_TTL_S)


@dataclass(slots=True)
class _Standing:
    sides: dict[Family, _Side] = field(default_factory=lambda: {family: _Side() for family in FAMILIES})
    backoff: Backoff = field(default_factory=lambda: Backoff(LEAST_TTL_S, _LONGEST_PAUSE_S))
    due_s: float = 0.0
    left: set[Family] = field(default_factory=set)
    """The families that are being looked up."""
    is_tried: bool = False
    known: Known = Known()


class _Pace:
    """When new names are looked up first: whoever says another one each instant does not have us ask as often."""

    def __init__(self) -> None:
        self._begun_s: dict[str, float] = {}
        """By namespace, until when what it began counts."""

    def begins_s(self, namespace: str, now_s: float) -> float:
        self._begun_s = {each: until_s for each, until_s in self._begun_s.items() if until_s > now_s}
        until_s = self._begun_s.get(namespace, now_s)
        self._begun_s[namespace] = until_s + _NEW_EVERY_S
        return max(now_s, until_s - _NEW_AT_ONCE * _NEW_EVERY_S)


class Standings:
    """Keeps all names."""

    def __init__(self) -> None:
        self._names: dict[str, _Standing] = {}
        self._due: list[tuple[float, str]] = []
        self._pace = _Pace()

    def __len__(self) -> int:
        return len(self._names)

    def follow(self, names: Mapping[str, str], now_s: float) -> tuple[str, ...]:
        """Have these looked up from now on, and no others; give those that are new.

        Args:
            names: by name a namespace in which somebody leads to it.
            now_s: the time.
        """
        for name in self._names.keys() - names.keys():
            del self._names[name]
        new = tuple(sorted(names.keys() - self._names.keys()))
        for name in new:
            self._names[name] = _Standing()
            self._plan(name, self._pace.begins_s(names[name], now_s))
        return new

    def remember(self, name: str, addresses: Iterable[str]) -> None:
        """Take what another process knew last of a name that is followed."""
        standing = self._names[name]
        for address in sorted(set(addresses)):
            side = standing.sides["AAAA" if ":" in address else "A"]
            side.addresses = (*side.addresses, address)
        standing.known = _known(name, standing)

    def due(self, now_s: float) -> list[str]:
        """Give the names to look up now; each once."""
        names = []
        while self._due and self._due[0][0] <= now_s:
            due_s, name = heapq.heappop(self._due)
            standing = self._names.get(name)
            if standing is not None and standing.due_s == due_s:
                # Until the answer is there.
                standing.due_s = float("inf")
                standing.left = set(FAMILIES)
                names.append(name)
        return names

    @property
    def next_s(self) -> float:
        """When the next is to be looked up."""
        return self._due[0][0] if self._due else float("inf")

    def take(self, answer: Answer, now_s: float) -> bool:
        """Take what came of looking up a name; say whether anything is different by it."""
        standing = self._names.get(answer.name)
        if standing is None:
            return False
        standing.sides[answer.family].take(answer.outcome)
        standing.left.discard(answer.family)
        if not standing.left:
            standing.is_tried = True
            self._plan(answer.name, now_s + _pause_s(standing))
        former, standing.known = standing.known, _known(answer.name, standing)
        return standing.known != former

    def known(self, name: str) -> Known:
        """Give what is known of a name; of one that is not followed nothing."""
        standing = self._names.get(name)
        return standing.known if standing is not None else Known()

    def counts(self) -> Mapping[str, int]:
        """Give how many names are ``resolved`` and ``failing``, by what was last said of them, and ``pending``."""
        counts = {"resolved": 0, "failing": 0, "pending": 0}
        for standing in list(self._names.values()):
            known = standing.known
            counts["failing" if known.problem else "resolved" if known.is_tried else "pending"] += 1
        return counts

    @property
    def awaits_first(self) -> bool:
        """Whether of any name nothing is known, and nothing was said yet."""
        return any(not each.is_tried and not each.known.addresses for each in list(self._names.values()))

    def _plan(self, name: str, due_s: float) -> None:
        self._names[name].due_s = due_s
        heapq.heappush(self._due, (due_s, name))


def _pause_s(standing: _Standing) -> float:
    """Give the seconds until a name is looked up again."""
    holds_s = [each for side in standing.sides.values() if (each := side.holds_s) is not None]
    if len(holds_s) == len(standing.sides):
        standing.backoff.reset()
        return min(holds_s)
    return min(*holds_s, standing.backoff.pause_s(), LONGEST_TTL_S)


def _known(name: str, standing: _Standing) -> Known:
    sides = standing.sides.values()
    addresses = tuple(sorted({address for side in sides for address in side.addresses}))
    return Known(addresses, _problem(name, standing) if standing.is_tried else "", standing.is_tried)


def _problem(name: str, standing: _Standing) -> str:
    sides = standing.sides.values()
    has_addresses = any(side.addresses for side in sides)
    failing = [side for side in sides if side.failures]
    if not has_addresses:
        if failing:
            return f"{name} cannot be resolved ({failing[0].reason})"
        return f"{name} has no address" if any(side.exists for side in sides) else f"the name {name} does not exist"
    # One family that nobody answers for is no loss where there was none of it.
    lost = [side for side in failing if side.failures >= WARNS_AT and side.addresses]
    return f"{name} cannot be resolved any more ({lost[0].reason}); its last addresses stay" if lost else ""
