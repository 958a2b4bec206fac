"""Keeps what became of all objects of the Gateway API level with them, and looks at what a change concerns alone.

What is right is defined by a new book that is told of everything. An event is followed from the object to
the Gateways that it concerns, with their ListenerSets, and to the routes (``ways``): those of a class, those that a route names, those whose routes lead to a
Service, or need a grant, and those that choose namespaces by labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from router.admission.certificates import Pair
from router.admission.gateway.attachment import attach, parent_of
from router.admission.gateway.backends import Backends, judge
from router.admission.gateway.certificates import read_certificates
from router.admission.gateway.grants import Grants
from router.admission.gateway.imposed import Imposed
from router.admission.gateway.index import Index
from router.admission.gateway.listeners import HTTP_KINDS_OF, KINDS_OF, ListenerView, views
from router.admission.gateway.merging import Seen, age_of, see_all
from router.admission.gateway.policy_book import POLICY_KINDS, PolicyBook
from router.admission.gateway.resolving import (
    MetRoute,
    Resolved,
    parents_of,
    resolve,
    route_request,
    stages_of,
)
from router.admission.gateway.standings import Standings
from router.admission.gateway.states import (
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    ParentState,
    RouteState,
    State,
    StateKey,
)
from router.admission.gateway.tables import Led, Table
from router.admission.gateway.things import CLASS_KIND, AnyRoute, ServedRoute, class_state, labels_in, pair_in, route_of
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
    Listener,
    ListenerSet,
    TcpRoute,
    TlsRoute,
)
from router.objects.gateway_objects import GatewayObjects
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey, ObjectMeta
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
        self._kinds_of = {**KINDS_OF, **HTTP_KINDS_OF} if settings.gateway_http else KINDS_OF
        self._grants, self._ways = Grants(), Ways()
        self._policies = PolicyBook(settings, self._ways.gateways_of)
        self._backends: dict[StateKey, Backends] = {}
        """Of routes."""
        self._ours: set[ObjectKey] = set()
        """Gateways of our classes."""
        self._seen: dict[StateKey, Seen] = {}
        """Gateways of ours, and ListenerSets that name one."""
        self._resolved: dict[StateKey, Resolved] = {}
        self._of_routes: dict[ObjectKey, Request] = {}
        """What TLSRoutes ask for."""
        self._led = Led()
        self._by_spot: Index[Spot, StateKey] = Index()
        """Gateways and ListenerSets by the ports that their TLS listeners ask for."""
        self._held: set[StateKey] = set()
        """Those that are not looked at."""
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

    def hold(self, slot: Slot, *, is_held: bool) -> None:
        """Do not look at a Gateway or a ListenerSet, or look at it again, with the next update that names it; other kinds are passed over."""
        kind, key = slot
        if kind in PARENT_KINDS and is_held:
            self._held.add(StateKey(PARENT_KINDS[kind], *key))
        elif kind in PARENT_KINDS:
            self._held.discard(StateKey(PARENT_KINDS[kind], *key))

    def update(self, objects: Objects, changes: Changes) -> frozenset[Slot]:
        """Take note of changes; give the objects whose listeners, or which themselves, may ask for something else."""
        if not self._controller:
            return _NONE
        parents: set[StateKey] = set()
        gateways, routes = self._concerned(objects, changes, parents)
        for gateway in gateways:
            parents |= self._look(gateway, objects)
        for route in routes:
            self._backends.pop(route, None)
            parents |= self._ways.parents_of(route)
        told = set(routes)
        for parent in parents:
            told |= self._ways.routes_of(parent)
            self._resolve(parent, objects)
        for route in told:
            self._tell(route, objects)
        policies = {key for kind, key in changes.gateway_api if kind is TcpRoutePolicy}
        targets = {StateKey(GATEWAY_KIND, *key) for key in gateways} | told | parents
        for policy in policies | self._policies.of(targets):
            state = self._policies.tell(policy, objects, self._ours)
            self._put(StateKey(POLICY_KIND, *policy), state)
        asking = {(TlsRoute, ObjectKey(each.namespace, each.name)) for each in told if each.kind == TLS_KIND}
        return frozenset((_STRUCTS[each.kind], ObjectKey(each.namespace, each.name)) for each in parents) | asking

    def _concerned(
        self, objects: Objects, changes: Changes, parents: set[StateKey]
    ) -> tuple[set[ObjectKey], set[StateKey]]:
        """Take note of changes; give the Gateways and the routes that they concern (``parents`` as with ``_take``)."""
        gateways = {key for kind, key in changes.askers if kind is Gateway}
        routes: set[StateKey] = set()
        for slot in changes.gateway_api:
            of_gateways, of_routes = self._take(slot, objects.gateway_api, parents)
            gateways |= of_gateways
            routes |= of_routes
        for listener_set in changes.of(ListenerSet):
            gateways |= self._ways.of_set(listener_set)
        for credential in changes.credentials:
            gateways |= self._ways.needing_secret(credential) | self._policies.naming(credential)
        for service in changes.services:
            routes |= self._ways.leading_to(service)
        for namespace in changes.namespaces:
            routes |= self._ways.routes_in(namespace.name)
            gateways |= self._ways.with_sets_in(namespace.name)
        return gateways, routes

    def _take(
        self, slot: Slot, api: GatewayObjects, parents: set[StateKey]
    ) -> tuple[AbstractSet[ObjectKey], AbstractSet[StateKey]]:
        """Take note of one object that was added or changed, or is gone; give the Gateways and the routes that it concerns.

        The parents that nobody asks for any more otherwise are put to ``parents``.
        """
        kind, key = slot
        if kind is GatewayClass:
            self._put(StateKey(CLASS_KIND, "", key.name), class_state(api.classes.get(key), self._controller))
            return self._ways.of_class(key.name), _NO_ROUTES
        if kind in PARENT_KINDS:
            return self._take_parent(slot, api, parents), _NO_ROUTES
        if kind in POLICY_KINDS:
            return self._policies.take(slot, api)
        if kind is GatewaySecret:
            return self._ways.needing_secret(key), _NO_ROUTES
        if kind in ROUTE_KINDS:
            route = StateKey(ROUTE_KINDS[kind], *key)
            parents |= self._ways.put_route(route, route_of(route, api))
            return frozenset(), {route}
        self._grants.put(key, api.grants.get(key))
        return self._ways.needing_grant(key.namespace), self._ways.leading_into(key.namespace)

    def _take_parent(self, slot: Slot, api: GatewayObjects, parents: set[StateKey]) -> AbstractSet[ObjectKey]:
        kind, key = slot
        if kind is Gateway:
            self._ways.put_gateway(key, api.gateways.get(key))
            return {key}
        listener_set = StateKey(LISTENER_SET_KIND, *key)
        self._seen.pop(listener_set, None)
        parents.add(listener_set)
        return self._ways.put_set(key, api.listener_sets.get(key))

    def _judged(self, key: StateKey, route: AnyRoute, objects: Objects) -> Backends:
        """Judge where a route leads to, unless that is known; of those that are only counted nobody asks."""
        if not isinstance(route, ServedRoute):
            return _NOWHERE
        known = self._backends.get(key)
        if known is None:
            known = self._backends[key] = judge(
                route.spec.rules,
                key.kind,
                key.namespace,
                self._grants,
                objects.services.get,
                external_names=bool(self._settings.external_names),
            )
        return known

    def _is_ours(self, gateway: Gateway, objects: Objects) -> bool:
        found = objects.gateway_api.classes.get(ObjectKey("", gateway.spec.gateway_class_name))
        # A class that is not acceptable has no Gateways.
        return (
            found is not None and found.spec.controller_name == self._controller and found.spec.parameters_ref is None
        )

    def _look(self, gateway: ObjectKey, objects: Objects) -> set[StateKey]:
        """Look at a Gateway and at the ListenerSets that name it; give those of them of which something is otherwise."""
        key, sets = StateKey(GATEWAY_KIND, *gateway), self._ways.sets_of(gateway)
        seen = {each.key: each for each in self._see(key, sets, objects)}
        self._ours.discard(gateway)
        self._ours.update({gateway} if key in seen else ())
        changed = {each for each in (key, *sets) if self._seen.get(each) != seen.get(each)}
        for each in changed:
            self._seen.pop(each, None)
        self._seen.update(seen)
        return changed

    def _see(self, key: StateKey, sets: frozenset[StateKey], objects: Objects) -> Iterator[Seen]:
        gateway = objects.gateway_api.gateways.get(ObjectKey(key.namespace, key.name))
        if gateway is None or key in self._held or not self._is_ours(gateway, objects):
            return

        def secret(wanted: ObjectKey) -> Pair | str | None:
            return pair_in(wanted, objects)

        def look(owner: StateKey, listeners: tuple[Listener, ...], before: Standings) -> tuple[ListenerView, ...]:
            found = views(
                listeners,
                self._kinds_of,
                lambda each: read_certificates(each, owner, self._grants, secret),
                before,
                may_end_tls=self._settings.gateway_certificates,
            )
            return tuple(self._policies.seen(each, owner, key, objects.credentials) for each in found)

        there = (
            objects.gateway_api.listener_sets.get(ObjectKey(each.namespace, each.name)) for each in sets - self._held
        )
        found = [each for each in there if each is not None]
        yield from see_all(gateway, found, look, labels_in(objects), self._settings)

    def _resolve(self, key: StateKey, objects: Objects) -> None:
        seen = self._seen.get(key)
        if seen is None:
            self._resolved.pop(key, None)
            self._led.stale |= self._by_spot.keys_of(key)
            self._by_spot.put(key, ())
            self._put(key, None)
            return
        met = (self._met(route, seen, objects) for route in sorted(self._ways.routes_of(key)))
        former = self._resolved.get(key)
        resolved = self._resolved[key] = resolve(seen, met, self._settings)
        before = self._by_spot.keys_of(key)
        asked = (each for each in resolved.requests if isinstance(each, Request) and each.shares_port)
        self._by_spot.put(key, {Spot(each.port, each.address) for each in asked if each.port is not None})
        if former is None or former.tables != resolved.tables or before != self._by_spot.keys_of(key):
            self._led.stale |= before | self._by_spot.keys_of(key)
        self._put(key, resolved.state)

    def _met(self, key: StateKey, seen: Seen, objects: Objects) -> MetRoute:
        route = route_of(key, objects.gateway_api) or TcpRoute(ObjectMeta(name=key.name, namespace=key.namespace))
        hostnames = route.spec.hostnames if isinstance(route, HttpRoute | TlsRoute) else None
        uid, labels_of = route.metadata.uid, labels_in(objects)
        refs = [ref for ref in route.spec.parent_refs or () if parent_of(ref, key.namespace) == seen.key]
        return MetRoute(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            age=age_of(route.metadata),
            attachments=tuple(
                attach(ref, key.kind, key.namespace, seen.key, seen.views, labels_of, hostnames, is_taken=seen.is_taken)
                for ref in refs
            ),
            backends=self._judged(key, route, objects),
            asker=Asker(GROUP, *key, "", uid) if key.kind == TLS_KIND else None,
            hostnames=hostnames,
            wishes=self._policies.wishes(key),
        )

    def _tell(self, key: StateKey, objects: Objects) -> None:
        """Say what a route is told of all of its parents that are ours; those that are only counted are told nothing."""
        route = route_of(key, objects.gateway_api)
        place = ObjectKey(key.namespace, key.name)
        if key.kind == TLS_KIND:
            self._of_routes.pop(place, None)
        if not isinstance(route, ServedRoute):
            self._put(key, None)
            return
        parents: dict[object, ParentState] = {}
        stages: set[Spot] = set()
        imposed: list[Imposed] = []
        for parent in sorted(self._ways.parents_of(key)):
            resolved = self._resolved.get(parent)
            met = resolved.routes.get(key) if resolved is not None else None
            if resolved is not None and met is not None:
                parents.update((each.ref, each) for each in parents_of(met, resolved))
                if any(resolved.has(met, listener) for listener in met.listeners):
                    stages.update(stages_of(met, resolved))
                    imposed += resolved.imposed_on(met)
                    created = route.metadata.creation_timestamp or None
                    request = route_request(met, created, self._settings, stages, imposed)
                    if request is not None:
                        self._of_routes[place] = request
        refs = dict.fromkeys(route.spec.parent_refs or ())
        said = tuple(parents[ref] for ref in refs if ref in parents)
        has_entry = any(each.controller_name == self._controller for each in route.status.parents or ())
        state = RouteState(key=key, uid=route.metadata.uid, generation=route.metadata.generation, parents=said)
        self._put(key, state if said or has_entry else None)

    def _put(self, key: StateKey, state: State | None) -> None:
        if state is None or state != self._states.get(key):
            self._states.put(key, state)
