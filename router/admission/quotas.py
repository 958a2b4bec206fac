"""How many ports namespaces claim, and hold; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set  # noqa: PYI025 - as it is called in collections.abc

from router.model import Spot

_NONE: Set[Spot] = frozenset()


class NamespacePorts:
    """The ports of each namespace, on whichever addresses, each with how many of it there are."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, Counter[Spot]] = {}

    def add(self, namespace: str, spot: Spot) -> None:
        """Take note of one more."""
        self._by_namespace.setdefault(namespace, Counter())[spot] += 1

    def remove(self, namespace: str, spot: Spot) -> None:
        """Take note of one less."""
        counts = self._by_namespace[namespace]
        counts[spot] -= 1
        if not counts[spot]:
            del counts[spot]
            if not counts:
                del self._by_namespace[namespace]

    def namespaces(self) -> Set[str]:
        """Give those that have any."""
        return self._by_namespace.keys()

    def of(self, namespace: str) -> Set[Spot]:
        """Give the ports of a namespace."""
        counts = self._by_namespace.get(namespace)
        return counts.keys() if counts is not None else _NONE

    def ports(self, namespace: str) -> set[int]:
        """Give their numbers."""
        return {spot.port for spot in self.of(namespace)}
