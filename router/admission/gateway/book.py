"""Keeps what became of all objects of the Gateway API level with them, and looks at what a change concerns alone.

What is right is defined by a new book that is told of everything. An event is followed from the object to
the Gateways that it concerns, with their ListenerSets, and to the routes (``ways``): those of a class, those that a route names, those whose routes lead to a
Service, or need a grant, and those that choose namespaces by labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from router.admission.gateway.asking import route_request
from router.admission.gateway.at_listener import MetRoute
from router.admission.gateway.attachment import attach, parent_of
from router.admission.gateway.backends import Backends, Judged
from router.admission.gateway.grants import Grants
from router.admission.gateway.index import Index
from router.admission.gateway.merging import Seen, age_of
from router.admission.gateway.policy_book import POLICY_KINDS, PolicyBook
from router.admission.gateway.resolving import Resolved
from router.admission.gateway.sights import Sights
from router.admission.gateway.states import (
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    ParentState,
    RouteState,
    State,
    StateKey,
)
from router.admission.gateway.tables import Led, Table
from router.admission.gateway.telling import parents_of
from router.admission.gateway.things import CLASS_KIND, ServedRoute, class_state, labels_in, route_of
from router.admission.gateway.ways import PARENT_KINDS, ROUTE_KINDS, Ways
from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.model import Asker, SharedFrontend, Spot
from router.objects.gateway import (
    GROUP,
    Gateway,
    GatewayClass,
    GatewaySecret,
    HttpRoute,
    ListenerSet,
    ParentRef,
    TlsRoute,
)
from router.objects.gateway_objects import GatewayObjects
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Changes, Objects
from router.objects.tcp_route_policy import POLICY_KIND, TcpRoutePolicy
from router.ordered import SortedMap
from router.settings import AdmissionSettings

TLS_KIND = "TLSRoute"
_NONE: frozenset[Slot] = frozenset()
_NO_ROUTES: frozenset[StateKey] = frozenset()
_STRUCTS: Mapping[str, type[Gateway | ListenerSet]] = MappingProxyType({
    GATEWAY_KIND: Gateway, LISTENER_SET_KIND: ListenerSet,
})  # fmt: skip
_NOWHERE = Backends()


class GatewayBook:
    """Follows one set of objects, as admission does.

    Args:
        settings: what may be served; without ``gateway_controller`` there is nothing to follow.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._controller = settings.gateway_controller
        self._grants, self._ways = Grants(), Ways()
        self._policies = PolicyBook(settings, self._ways.gateways_of)
        self._judged = Judged(self._grants, external_names=bool(settings.external_names))
        self._sights = Sights(settings, self._ways, self._grants, self._policies)
        self._resolved: dict[StateKey, Resolved] = {}
        self._of_routes: dict[ObjectKey, Request] = {}
        """What TLSRoutes ask for."""
        self._led = Led()
        self._by_spot: Index[Spot, StateKey] = Index()
        """Gateways and ListenerSets by the ports that their TLS listeners ask for."""
        self._states: SortedMap[StateKey, State] = SortedMap()

    def states(self) -> Mapping[StateKey, State]:
        """Give what all objects that are ours are told; the same object until it is something else."""
        return self._states.mapping()

    def requests(self, slot: Slot) -> tuple[Request | Verdict, ...]:
        """Give what the listeners of a Gateway or a ListenerSet, or a TLSRoute, ask for, as last updated; nothing of those that are not ours."""
        kind, key = slot
        if kind is TlsRoute:
            request = self._of_routes.get(key)
            return (request,) if request is not None else ()
        resolved = self._resolved.get(StateKey(PARENT_KINDS[kind], *key))
        return resolved.requests if resolved is not None else ()

    def lead(self, shared: tuple[SharedFrontend, ...]) -> tuple[SharedFrontend, ...]:
        """Give the shared ports with the names of routes at TLS listeners; the same objects where nothing changed."""
        if not self._controller:
            return shared
        return self._led.lead(shared, self._table_of, lambda spot: bool(self._by_spot.of(spot)))

    def _table_of(self, listener: Asker) -> Table | None:
        resolved = self._resolved.get(StateKey(listener.kind, *listener.key))
        return resolved.tables.get(listener.section) if resolved is not None else None

    def is_concerned(self, services: Iterable[ObjectKey], objects: Objects) -> bool:
        """Say whether any of these Services is another one to a route: it is not where endpoints moved and nothing else."""
        return bool(self._controller and self._judged.otherwise(services, objects.services))

    def is_settled(self, told: Iterable[Slot]) -> bool:
        """Say whether nothing comes of the statuses of these, which alone are otherwise."""
        return not self._controller or not any(map(self._hangs_on_status, told))

    def _hangs_on_status(self, slot: Slot) -> bool:
        """Say whether it is a route of which no parent is ours: whether it is told anything depends on what it was told."""
        kind, key = slot
        if kind not in ROUTE_KINDS:
            return False
        state = self._states.get(StateKey(ROUTE_KINDS[kind], *key))
        return not (isinstance(state, RouteState) and state.parents)

    def hold(self, slot: Slot, *, is_held: bool) -> None:
        """Do not look at a Gateway or a ListenerSet, or look at it again, with the next update that names it; other kinds are passed over."""
        kind, key = slot
        if kind in PARENT_KINDS:
            self._sights.hold(StateKey(PARENT_KINDS[kind], *key), is_held=is_held)

    def update(self, objects: Objects, changes: Changes) -> frozenset[Slot]:
        """Take note of changes; give the objects whose listeners, or which themselves, may ask for something else."""
        if not self._controller:
            return _NONE
        meet: dict[StateKey, set[StateKey]] = {}
        gateways, routes = self._concerned(objects, changes, meet)
        for gateway in gateways:
            for parent in self._sights.look(gateway, objects):
                meet.setdefault(parent, set())
        for route in routes:
            self._judged.forget(route)
            for parent in self._ways.parents_of(route):
                meet.setdefault(parent, set()).add(route)
        told, asking = set(routes), set[Slot]()
        for parent, those in meet.items():
            before = self._asked_by(parent)
            told |= self._resolve(parent, those, objects)
            if self._asked_by(parent) is not before:
                asking.add((_STRUCTS[parent.kind], ObjectKey(parent.namespace, parent.name)))
        for route in told:
            if self._tell(route, objects) or (route in routes and route.kind == TLS_KIND):
                asking.add((TlsRoute, ObjectKey(route.namespace, route.name)))
        self._tell_policies(gateways, told | meet.keys(), objects, changes)
        return frozenset(asking)

    def _asked_by(self, parent: StateKey) -> tuple[Request | Verdict, ...]:
        resolved = self._resolved.get(parent)
        return resolved.requests if resolved is not None else ()

    def _tell_policies(
        self, gateways: Iterable[ObjectKey], others: AbstractSet[StateKey], objects: Objects, changes: Changes
    ) -> None:
        policies = {key for kind, key in changes.gateway_api if kind is TcpRoutePolicy}
        targets = others | {StateKey(GATEWAY_KIND, *key) for key in gateways}
        for policy in policies | self._policies.of(targets):
            state = self._policies.tell(policy, objects, self._sights.ours)
            self._put(StateKey(POLICY_KIND, *policy), state)

    def _concerned(
        self, objects: Objects, changes: Changes, meet: dict[StateKey, set[StateKey]]
    ) -> tuple[set[ObjectKey], set[StateKey]]:
        """Take note of changes; give the Gateways and the routes that they concern (``meet`` as with ``_take``)."""
        gateways = {key for kind, key in changes.askers if kind is Gateway}
        routes: set[StateKey] = set()
        hanging = filter(self._hangs_on_status, changes.told)
        for slot in (*changes.gateway_api, *hanging) if changes.told else changes.gateway_api:
            of_gateways, of_routes = self._take(slot, objects.gateway_api, meet)
            gateways |= of_gateways
            routes |= of_routes
        for listener_set in changes.of(ListenerSet):
            gateways |= self._ways.of_set(listener_set)
        for credential in changes.credentials:
            gateways |= self._ways.needing_secret(credential) | self._policies.naming(credential)
        for service in self._judged.otherwise(changes.services, objects.services):
            self._judged.look_again(service)
            routes |= self._ways.leading_to(service)
        for namespace in changes.namespaces:
            routes |= self._ways.routes_in(namespace.name)
            gateways |= self._ways.with_sets_in(namespace.name)
        return gateways, routes

    def _take(
        self, slot: Slot, api: GatewayObjects, meet: dict[StateKey, set[StateKey]]
    ) -> tuple[AbstractSet[ObjectKey], AbstractSet[StateKey]]:
        """Take note of one object that was added or changed, or is gone; give the Gateways and the routes that it concerns.

        To ``meet`` the parents are put that it does not ask for any more, with the route that it is.
        """
        kind, key = slot
        if kind is GatewayClass:
            self._put(StateKey(CLASS_KIND, "", key.name), class_state(api.classes.get(key), self._controller))
            return self._ways.of_class(key.name), _NO_ROUTES
        if kind in PARENT_KINDS:
            return self._take_parent(slot, api, meet), _NO_ROUTES
        if kind in POLICY_KINDS:
            return self._policies.take(slot, api)
        if kind is GatewaySecret:
            return self._ways.needing_secret(key), _NO_ROUTES
        if kind in ROUTE_KINDS:
            route = StateKey(ROUTE_KINDS[kind], *key)
            for parent in self._ways.put_route(route, route_of(route, api)):
                meet.setdefault(parent, set()).add(route)
            return frozenset(), {route}
        self._grants.put(key, api.grants.get(key))
        return self._ways.needing_grant(key.namespace), self._ways.leading_into(key.namespace)

    def _take_parent(
        self, slot: Slot, api: GatewayObjects, meet: dict[StateKey, set[StateKey]]
    ) -> AbstractSet[ObjectKey]:
        kind, key = slot
        if kind is Gateway:
            self._ways.put_gateway(key, api.gateways.get(key))
            return {key}
        listener_set = StateKey(LISTENER_SET_KIND, *key)
        self._sights.forget(listener_set)
        meet.setdefault(listener_set, set())
        return self._ways.put_set(key, api.listener_sets.get(key))

    def _resolve(self, key: StateKey, routes: set[StateKey], objects: Objects) -> AbstractSet[StateKey]:
        """Bring a Gateway or a ListenerSet level, of whose routes these are others; give all routes that may be told something else by that."""
        seen, resolved = self._sights.seen.get(key), self._resolved.get(key)
        if seen is None:
            self._led.stale |= self._by_spot.keys_of(key)
            self._by_spot.put(key, ())
            self._put(key, None)
            return self._resolved.pop(key).routes.keys() if resolved is not None else _NO_ROUTES
        if resolved is None:
            resolved = self._resolved[key] = Resolved(seen, self._settings)
            routes |= self._ways.routes_of(key)
        tables, requests = resolved.tables, resolved.requests
        routes |= resolved.see(seen)
        concerned = set(routes)
        for route in routes:
            concerned |= resolved.put(route, self._met(route, seen, objects))
        resolved.level()
        spots = self._by_spot.keys_of(key)
        if resolved.requests is not requests:
            asked = (each for each in resolved.requests if isinstance(each, Request) and each.shares_port)
            self._by_spot.put(key, {Spot(each.port, each.address) for each in asked if each.port is not None})
        if resolved.tables is not tables or spots != self._by_spot.keys_of(key):
            self._led.stale |= spots | self._by_spot.keys_of(key)
        self._put(key, resolved.state)
        return concerned

    def _met(self, key: StateKey, seen: Seen, objects: Objects) -> MetRoute | None:
        """Let a route meet a Gateway or a ListenerSet; None where it does not name that."""
        route = route_of(key, objects.gateway_api)
        if route is None:
            return None
        refs = [ref for ref in route.spec.parent_refs or () if parent_of(ref, key.namespace) == seen.key]
        if not refs:
            return None
        hostnames = route.spec.hostnames if isinstance(route, HttpRoute | TlsRoute) else None
        labels_of = labels_in(objects)
        return MetRoute(
            key=key,
            age=age_of(route.metadata),
            attachments=tuple(
                attach(ref, key.kind, key.namespace, seen.key, seen.views, labels_of, hostnames, is_taken=seen.is_taken)
                for ref in refs
            ),
            # Of those that are only counted nobody asks where they lead to.
            backends=self._judged.of(key, route.spec.rules, objects.services)
            if isinstance(route, ServedRoute)
            else _NOWHERE,
            asker=Asker(GROUP, *key, "", route.metadata.uid) if key.kind == TLS_KIND else None,
            hostnames=hostnames,
            wishes=self._policies.wishes(key),
        )

    def _tell(self, key: StateKey, objects: Objects) -> bool:
        """Say what a route is told of all of its parents that are ours, and what it asks for; those that are only counted are told nothing.

        Returns:
            Whether it asks for something else than before.
        """
        route = route_of(key, objects.gateway_api)
        if not isinstance(route, ServedRoute):
            self._put(key, None)
            return self._ask(key, None)
        parents: dict[ParentRef, ParentState] = {}
        having: list[tuple[Resolved, MetRoute]] = []
        for parent in sorted(self._ways.parents_of(key)):
            resolved = self._resolved.get(parent)
            met = resolved.routes.get(key) if resolved is not None else None
            if resolved is not None and met is not None:
                parents.update((each.ref, each) for each in parents_of(met, resolved))
                if any(resolved.has(key, listener) for listener in met.listeners):
                    having.append((resolved, met))
        refs = dict.fromkeys(route.spec.parent_refs or ())
        said = tuple(parents[ref] for ref in refs if ref in parents)
        has_entry = any(each.controller_name == self._controller for each in route.status.parents or ())
        state = RouteState(key=key, uid=route.metadata.uid, generation=route.metadata.generation, parents=said)
        self._put(key, state if said or has_entry else None)
        return self._ask(key, self._request(route, having) if key.kind == TLS_KIND and having else None)

    def _request(self, route: ServedRoute, having: list[tuple[Resolved, MetRoute]]) -> Request | None:
        stages = {spot for resolved, met in having for spot in resolved.stages_of(met)}
        imposed = [each for resolved, met in having for each in resolved.imposed_on(met)]
        created = route.metadata.creation_timestamp or None
        return route_request(having[-1][1], created, self._settings, stages, imposed)

    def _ask(self, key: StateKey, request: Request | None) -> bool:
        place = ObjectKey(key.namespace, key.name)
        if key.kind != TLS_KIND or request == self._of_routes.get(place):
            return False
        if request is None:
            del self._of_routes[place]
        else:
            self._of_routes[place] = request
        return True

    def _put(self, key: StateKey, state: State | None) -> None:
        if state is None or state != self._states.get(key):
            self._states.put(key, state)
