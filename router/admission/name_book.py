"""Which names of each namespace are looked up: those of its oldest askers, and a bounded number of them.

A name costs queries for as long as somebody leads to it. Who comes first depends on objects of that namespace alone, and so
does what a namespace with too many loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.model import Asker
from router.objects.meta import ObjectKey

MAX_NAMES = 32
"""Of one namespace."""

_Rank = tuple[bool, str, tuple[str, str, str, str]]


class NameBook:
    """Keeps who leads to which names."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[Asker, tuple[_Rank, Mapping[ObjectKey, str]]]] = {}
        self._allowed: dict[str, frozenset[str]] = {}
        self._turned: set[Asker] = set()
        self._wanted: Mapping[ObjectKey, str] = MappingProxyType({})
        self._is_settled = True

    def put(self, asker: Asker, created: str | None, names: Mapping[ObjectKey, str]) -> None:
        """Take note of the names that an asker leads to, by the Services that say them; none where it leads to none."""
        members = self._by_namespace.get(asker.namespace, {})
        former = members.get(asker)
        if (former is None and not names) or (former is not None and former[1] == names):
            return
        if names:
            rank = (created is None, created or "", asker.order)
            self._by_namespace.setdefault(asker.namespace, members)[asker] = rank, names
        else:
            del members[asker]
        if not members:
            del self._by_namespace[asker.namespace]
        self._settle(asker.namespace)

    def allows(self, namespace: str, name: str) -> bool:
        """Say whether a name is one of those that are looked up for a namespace."""
        return name in self._allowed.get(namespace, ())

    def take_turned(self) -> set[Asker]:
        """Give the askers with a name that is looked up now and was not, or the other way round, since last asked."""
        turned, self._turned = self._turned, set()
        return turned

    def wanted(self) -> Mapping[ObjectKey, str]:
        """Give the names to look up, by the Services that say them; the same object while it is the same."""
        if not self._is_settled:
            wanted = {
                service: name
                for members in self._by_namespace.values()
                for asker, (_, names) in members.items()
                for service, name in names.items()
                if self.allows(asker.namespace, name)
            }
            self._wanted = self._wanted if wanted == self._wanted else MappingProxyType(wanted)
            self._is_settled = True
        return self._wanted

    def _settle(self, namespace: str) -> None:
        self._is_settled = False
        members = self._by_namespace.get(namespace, {})
        allowed: set[str] = set()
        for _, names in sorted(members.values(), key=lambda each: each[0]):
            for name in sorted(set(names.values())):
                if len(allowed) < MAX_NAMES:
                    allowed.add(name)
        former = self._allowed.pop(namespace, frozenset())
        if allowed:
            self._allowed[namespace] = frozenset(allowed)
        turned = former ^ allowed
        self._turned.update(asker for asker, (_, names) in members.items() if not turned.isdisjoint(names.values()))
