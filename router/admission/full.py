"""Namespaces that claim more ports than they may hold, and what they hold; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from router.admission.claims import Claim, Order
from router.admission.verdicts import Reason, Rejection
from router.model import Asker, Spot

_MOST_NAMED = 10
"""So many holders are named to who is over what its namespace may hold."""

Key = Asker | str
"""Of a claim: its asker, or for one that is remembered the name of its PortClaim."""
Where = tuple[Order, str, Spot]
"""A place in the one order of all claims."""
_NOBODY: frozenset[Asker] = frozenset()


@dataclass(slots=True)
class Full:
    """What is remembered of a namespace that claims more than it may hold."""

    most: int
    over: dict[Key, int] = field(default_factory=dict)
    """Claims that are over it, with their ports."""
    tolerated: frozenset[Asker] = _NOBODY
    """Who has his port only because he had it before."""
    refusal: str = ""
    spots: frozenset[Spot] = frozenset()
    """What it holds, as last counted."""
    having: frozenset[Key] = frozenset()
    """The claims by which it does."""

    def is_over(self, claim: Claim) -> bool:
        """Say whether a claim of who has nothing is over what may be held: all who have something come before it."""
        return claim.where not in self.spots and len(self.spots) >= self.most


class Count:
    """What a namespace holds, as its claims come in their order."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.holders: dict[Spot, Asker] = {}
        self._claims: list[Claim] = []

    def is_full_for(self, claim: Claim) -> bool:
        """Say whether a claim is over what may be held."""
        return claim.where not in self.holders and len(self.holders) >= self.most

    def add(self, claim: Claim) -> None:
        """Take a claim that has its port."""
        there = self.holders.get(claim.where, claim.asker)
        # Of several the same one is named, whoever of them came first.
        self.holders[claim.where] = min(there, claim.asker)
        self._claims.append(claim)

    def having(self) -> frozenset[Key]:
        """Give the claims by which something is held."""
        return frozenset(map(key_of, self._claims))

    def tolerated(self) -> frozenset[Asker]:
        """Give those who have their ports only because they had them before: the last ones, where they are more than may be."""
        if len(self.holders) <= self.most:
            return _NOBODY
        spots: set[Spot] = set()
        found = set()
        for claim in sorted(self._claims, key=attrgetter("place_when_served")):
            if claim.where not in spots and len(spots) >= self.most and not claim.remembered_by:
                found.add(claim.asker)
            spots.add(claim.where)
        return frozenset(found)

    def refusal(self, namespace: str) -> str:
        """Say what the namespace may hold, and who has it."""
        return told_to_who_is_over(namespace, self.most, self.holders)


def told_to_who_is_over(namespace: str, most: int, holders: Mapping[Spot, Asker]) -> str:
    """Say how many ports a namespace may hold, and who has them."""
    named = [f"{spot} ({asker})" for spot, asker in sorted(holders.items())]
    more = len(named) - _MOST_NAMED
    listed = ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    holds = f"holds {len(named)}: {listed}" if named else "holds none"
    return f"namespace {namespace} may hold {most} {'port' if most == 1 else 'ports'} and {holds}"


def over_quota(full: Full) -> Rejection:
    """Give what one is told who claims nothing because of what its namespace holds."""
    return Rejection(Reason.PORT_QUOTA_EXCEEDED, full.refusal)


def key_of(claim: Claim) -> Key:
    """Give what a claim is known by."""
    return claim.remembered_by or claim.asker
