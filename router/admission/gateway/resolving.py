"""One Gateway, or one ListenerSet, with all routes that want it: what it is told, what each of its listeners asks for, and who gets its connections.

What is right is defined by ``resolve``, which begins with nothing. A route that changes has what its own listeners have looked at, and nothing of all other
routes but of those that want the same of a listener, where another has that now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from router.admission.gateway.asking import listener_request, untaken
from router.admission.gateway.at_listener import AtListener, MetRoute
from router.admission.gateway.imposed import ENDING, NOTHING_IMPOSED, Imposed
from router.admission.gateway.index import Index
from router.admission.gateway.listeners import KINDS_OF, ListenerView, views
from router.admission.gateway.merging import Seen, see_gateway, see_set_alone
from router.admission.gateway.states import (
    GatewayState,
    ListenerSetState,
    ListenerState,
    ParentsState,
    StateKey,
)
from router.admission.gateway.tables import Table
from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.model import Spot
from router.objects.gateway import Gateway, ListenerSet
from router.settings import AdmissionSettings

_NOBODY: frozenset[StateKey] = frozenset()


class Resolved:
    """What came of one Gateway, or of one ListenerSet, kept level: of what it is without any route, and of all routes that have a parentRef to it.

    Args:
        seen: what it is.
        settings: what may be served.
    """

    def __init__(self, seen: Seen, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._seen = seen
        self.routes: dict[StateKey, MetRoute] = {}
        """All that have a parentRef to it."""
        self._by_section: Index[str | None, StateKey] = Index()
        """The same by the listeners that these mean; None is any."""
        self._at: dict[str, AtListener] = {}
        self._stale: set[str] = set()
        """Listeners of which something may be otherwise than when it was last brought level."""
        self._names: tuple[str, ...] = ()
        self._states: dict[str, ListenerState] = {}
        self._asking: tuple[str, ...] = ()
        """Those that may be served."""
        self._asked: dict[str, Request | Verdict] = {}
        self._untaken: tuple[Verdict, ...] = ()
        self.requests: tuple[Request | Verdict, ...] = ()
        """One for each listener that may be served, and for those of a ListenerSet that its Gateway does not take; the same object until it is something else."""
        self.tables: Mapping[str, Table] = {}
        """Of TLS listeners that may be served, by name; the same object until it is something else."""
        self.state: ParentsState = _state(seen, ())
        self._take(seen.views)

    def see(self, seen: Seen) -> AbstractSet[StateKey]:
        """Take note of what it is now; give the routes that are to be met anew, and told."""
        former, self._seen = self._seen, seen
        if former is seen:
            return _NOBODY
        others = self._take(seen.views)
        if _frame(former) != _frame(seen):
            self._stale |= self._at.keys()
            return frozenset(self.routes)
        return self._by_section.of(None).union(*map(self._by_section.of, others)) if others else _NOBODY

    def _take(self, views: tuple[ListenerView, ...]) -> set[str]:
        """Take note of the listeners; give the names of those that are others, or gone."""
        there = {view.listener.name: view for view in views}
        at = self._at
        others = {name for name, each in at.items() if (view := there.get(name)) is not each.view and view != each.view}
        for name in others:
            del at[name], self._states[name]
            self._asked.pop(name, None)
        new = there.keys() - at.keys()
        at.update((name, AtListener(there[name])) for name in new)
        self._stale = (self._stale | new) & there.keys()
        self._names = tuple([view.listener.name for view in views])
        asking = [view.listener.name for view in views if view.accepted.holds and view.is_served]
        self._asking = tuple(asking) if self._seen.is_served else ()
        self._untaken = tuple(untaken(self._seen))
        return others | new

    def put(self, key: StateKey, route: MetRoute | None) -> AbstractSet[StateKey]:
        """Take note of a route, or (None) that it has no parentRef to this any more; give all for which something may be otherwise by that, itself but for."""
        former = self.routes.pop(key, None)
        if route is not None:
            self.routes[key] = route
        sections = () if route is None else (each.ref.section_name for each in route.attachments)
        self._by_section.put(key, sections)
        before = former.listeners if former is not None else frozenset()
        after = route.listeners if route is not None else frozenset()
        concerned: AbstractSet[StateKey] = _NOBODY
        for name in before | after:
            if name in self._at:
                self._stale.add(name)
                concerned |= self._at[name].put(key, route if name in after else None)
        return concerned

    def level(self) -> None:
        """Bring what it is told and asks for level with what was taken note of."""
        stale, self._stale = self._stale, set()
        for name in stale:
            self._states[name] = self._at[name].state
        for name in stale.intersection(self._asking):
            self._asked[name] = self._asks(self._at[name])
        self.state = _state(self._seen, tuple(map(self._states.__getitem__, self._names)))
        requests = (*map(self._asked.__getitem__, self._asking), *self._untaken)
        if requests != self.requests:
            self.requests = requests
        if not self.is_served:
            stale, self.tables = set(), self.tables and {}
        tables = {name: at.table for name in stale if (at := self._at[name]).view.listener.protocol == "TLS"}
        gone = (self.tables.keys() - self._at.keys()) | ((self.tables.keys() & stale) - tables.keys())
        if gone or any(self.tables.get(name) != table for name, table in tables.items()):
            kept = {name: table for name, table in self.tables.items() if name not in gone}
            self.tables = {**kept, **tables}

    def _asks(self, at: AtListener) -> Request | Verdict:
        route = self.routes[at.oldest] if at.oldest is not None else None
        request = listener_request(self._seen, at.view, route, self._settings)
        known = self._asked.get(at.view.listener.name)
        return known if known is not None and known == request else request

    @property
    def is_served(self) -> bool:
        """Whether anything of it may be."""
        return self._seen.is_served

    def at(self, listener: str) -> AtListener:
        """Give the routes of a listener."""
        return self._at[listener]

    def has(self, route: StateKey, listener: str) -> bool:
        """Say whether a route has connections of a listener."""
        there = self._at.get(listener)
        return there is not None and self.is_served and there.has(route)

    def imposed_on(self, route: MetRoute) -> Iterator[Imposed]:
        """Give what policies say of the listeners at which a route has connections, and that they end TLS; nothing of others."""
        names = route.listeners
        # In the order of the listeners: of what two say the first counts.
        for name in names if len(names) == 1 else [each.listener.name for each in self._seen.views]:
            if name in names and self.has(route.key, name):
                view = self._at[name].view
                if view.imposed != NOTHING_IMPOSED:
                    yield view.imposed
                elif view.pairs is not None:
                    yield ENDING

    def stages_of(self, route: MetRoute) -> Iterator[Spot]:
        """Give the ports behind which TLS ends for clients that are led to a route."""
        for name in route.listeners:
            asked = self._asked.get(name)
            if asked is not None and asked.port and self._at[name].view.pairs and self.has(route.key, name):
                yield Spot(asked.port, asked.address)


def _frame(seen: Seen) -> tuple[object, ...]:
    """Give what all routes depend on, whichever listener they mean."""
    return seen.uid, seen.created, seen.gateway, seen.address, seen.is_served, seen.is_taken


def _state(seen: Seen, listeners: tuple[ListenerState, ...]) -> ParentsState:
    if seen.key != seen.gateway:
        return ListenerSetState(
            key=seen.key,
            uid=seen.uid,
            generation=seen.generation,
            gateway=seen.gateway,
            accepted=seen.accepted,
            programmed=seen.programmed,
            listeners=listeners,
        )
    return GatewayState(
        key=seen.key,
        uid=seen.uid,
        generation=seen.generation,
        accepted=seen.accepted,
        programmed=seen.programmed,
        address=seen.address,
        listeners=listeners,
        sets=seen.sets,
    )


def resolve(seen: Seen, routes: Iterable[MetRoute], settings: AdmissionSettings) -> Resolved:
    """Decide about a Gateway of ours, or a ListenerSet of one: of what it is without any route, and of all routes that have a parentRef to it."""
    resolved = Resolved(seen, settings)
    for route in routes:
        resolved.put(route.key, route)
    resolved.level()
    return resolved


def read_alone(gateway: Gateway, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Give what the listeners of a Gateway ask for, without any route: their ports, which no route changes."""
    seen = views(gateway.spec.listeners or (), KINDS_OF, may_end_tls=settings.gateway_certificates)
    return resolve(see_gateway(gateway, seen, settings), (), settings).requests


def read_set_alone(listener_set: ListenerSet, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Give what the listeners of a ListenerSet ask for, without its Gateway, which says at which address: at each that there is."""
    seen = views(listener_set.spec.listeners or (), KINDS_OF, may_end_tls=settings.gateway_certificates)
    return tuple(
        request
        for address in ("", *settings.addresses)
        for request in resolve(see_set_alone(listener_set, seen, address), (), settings).requests
    )
