"""The routes that one listener took: who has its connections, kept level with each route that comes, changes or goes.

A TCP listener's connections are all of the oldest route; of a TLS listener each name is of the oldest that has it. What a change costs is a search
among those that want the same, however many routes there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from router.admission.gateway.attachment import Attachment
from router.admission.gateway.backends import Backends
from router.admission.gateway.certificates import certificate_for
from router.admission.gateway.hosts import ANY, intersections, is_carried, is_led
from router.admission.gateway.listeners import ListenerView
from router.admission.gateway.merging import Age
from router.admission.gateway.states import ListenerState, StateKey
from router.admission.gateway.tables import Table
from router.admission.gateway.wishes import NO_WISHES, Wishes
from router.admission.text import LONGEST_ENDING, shown
from router.model import Asker, SniHost, backend_name
from router.ordered import SortedMap

_ALL = frozenset({""})
"""What a route wants of a listener whose connections are all of one."""
_NOTHING: frozenset[str] = frozenset()
_NOBODY: frozenset[StateKey] = frozenset()
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MetRoute:
    """A route, and what came of those of its parentRefs that mean one Gateway or ListenerSet."""

    key: StateKey
    age: Age
    attachments: tuple[Attachment, ...]
    backends: Backends
    asker: Asker | None = None
    """As who it asks for its own backend, where it has one."""
    hostnames: tuple[str, ...] | None = None
    wishes: Wishes = NO_WISHES
    """What the policy says that targets it."""

    @property
    def listeners(self) -> frozenset[str]:
        """Those that took it."""
        return frozenset(name for each in self.attachments for name in each.listeners)


class _Wish(NamedTuple):
    """What one route wants of the listener."""

    age: Age
    names: frozenset[str]
    asker: Asker | None


class AtListener:
    """Follows the routes of one listener.

    Args:
        view: the listener; of another view there is another follower.
    """

    def __init__(self, view: ListenerView) -> None:
        self.view = view
        self._wishes: dict[StateKey, _Wish] = {}
        self._wanting: dict[str, list[tuple[Age, StateKey]]] = {}
        """By what they want, the oldest first."""
        self._having: dict[StateKey, int] = {}
        """Of how much each is the oldest that wants it."""
        self._led: SortedMap[str, SniHost] = SortedMap()
        self._hostname = (view.listener.hostname or ANY).lower()
        self._table = Table(self._hostname)
        self._state: ListenerState | None = None
        # Without certificates one that ends TLS leads nobody anywhere.
        self._leads_nowhere = view.pairs == () or bool(view.imposed.wishes.problem)

    def put(self, key: StateKey, route: MetRoute | None) -> AbstractSet[StateKey]:
        """Take note of a route that the listener took, or (None) that it has it no more; give the routes for which something may be otherwise by that."""
        former = self._wishes.get(key)
        current = self._wish(route) if route is not None else None
        if former == current:
            return _NOBODY
        if current is None:
            del self._wishes[key]
        else:
            self._wishes[key] = current
        before = former.names if former is not None else _NOTHING
        after = current.names if current is not None else _NOTHING
        concerned = {key}
        for name in before | after:
            concerned |= self._change(
                name,
                key,
                former.age if former is not None and name in before else None,
                current.age if current is not None and name in after else None,
            )
        return concerned

    def _change(self, name: str, key: StateKey, former: Age | None, current: Age | None) -> AbstractSet[StateKey]:
        """Let a route want something of this age, and not of that; give who has it, or had it, and all who want it, where that is another."""
        ranks = self._wanting.setdefault(name, [])
        before = ranks[0][1] if ranks else None
        if former is not None:
            del ranks[bisect_left(ranks, (former, key))]
        if current is not None:
            insort(ranks, (current, key))
        after = ranks[0][1] if ranks else None
        if not ranks:
            del self._wanting[name]
        if after == key or after != before:
            self._lead(name, after)
        if after == before:
            return _NOBODY
        if before is not None:
            self._having[before] -= 1
            if not self._having[before]:
                del self._having[before]
        if after is not None:
            self._having[after] = self._having.get(after, 0) + 1
        concerned = {each for _, each in ranks}
        return concerned if before is None else concerned | {before}

    def _lead(self, name: str, key: StateKey | None) -> None:
        asker = self._wishes[key].asker if key is not None else None
        if asker is None:
            self._led.put(name, None)
            return
        pairs = self.view.pairs
        tls = self.view.imposed.ending(certificate_for(name, pairs).certificate) if pairs is not None else None
        host = SniHost(name, backend_name(asker), asker, tls)
        if host != self._led.get(name):
            self._led.put(name, host)

    def _wish(self, route: MetRoute) -> _Wish:
        if self._leads_nowhere:
            return _Wish(route.age, _NOTHING, None)
        if self.view.listener.protocol != "TLS":
            return _Wish(route.age, _ALL, None)
        if route.asker is None:
            return _Wish(route.age, _NOTHING, None)
        names = intersections(self.view.listener.hostname, route.hostnames)
        return _Wish(route.age, frozenset(filter(self._is_served, names)), route.asker)

    def _is_served(self, name: str) -> bool:
        return is_led(name, ends_tls=self.view.pairs is not None)

    def unled(self, hostnames: Iterable[str] | None) -> str:
        """Say why clients of a route's names are led nowhere by a listener that ends TLS; empty where all can be."""
        if self.view.pairs is None or self._leads_nowhere:
            return ""
        names = intersections(self._hostname, hostnames)
        long = next((name for name in sorted(names) if not is_carried(name)), "")
        if not long:
            return ""
        return f"hostname {shown(long)} has {len(long)} characters; accepted are up to {LONGEST_ENDING} where the listener's tls.mode is Terminate"

    def has(self, key: StateKey) -> bool:
        """Say whether a route has connections of the listener."""
        return key in self._having

    @property
    def oldest(self) -> StateKey | None:
        """The route that has all connections of a listener where it is not by names; None where nobody has."""
        ranks = self._wanting.get("")
        return ranks[0][1] if ranks else None

    @property
    def leads_anybody(self) -> bool:
        """Whether any route has connections of it."""
        return bool(self._having)

    def ahead(self, key: StateKey) -> list[StateKey]:
        """Give the routes that have what a route wants, a few of them, sorted."""
        wish = self._wishes.get(key)
        return sorted({self._wanting[name][0][1] for name in wish.names} if wish is not None else ())[:_MAX_NAMED]

    @property
    def table(self) -> Table:
        """Who has which name of a TLS listener; the same object until that is otherwise."""
        hosts = self._led.values()
        if hosts is not self._table.hosts:
            self._table = Table(self._hostname, hosts)
        return self._table

    @property
    def state(self) -> ListenerState:
        """What the listener is told; the same object until that is otherwise."""
        attached, view = len(self._wishes), self.view
        if self._state is None or self._state.attached != attached:
            self._state = ListenerState(
                name=view.listener.name,
                kinds=view.kinds,
                attached=attached,
                is_served=view.is_served,
                has_certificates=view.pairs != (),
                problem=view.imposed.wishes.problem,
                accepted=view.accepted,
                resolved=view.resolved,
                conflicted=view.conflicted,
            )
        return self._state
