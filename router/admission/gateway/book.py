"""Keeps what became of all objects of the Gateway API level with them, and looks at what a change concerns alone.

What is right is defined by a new book that is told of everything. An event is followed from the object to
the Gateways that it concerns: those of a class, those that a route names, those whose routes lead to a Service, or need a grant, and those
that choose namespaces by labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from router.admission.certificates import Pair
from router.admission.gateway.attachment import attach, gateway_of, gateways_of
from router.admission.gateway.backends import Backends, judge, services_of
from router.admission.gateway.certificates import read_certificates, secrets_of
from router.admission.gateway.grants import Grants
from router.admission.gateway.imposed import Imposed
from router.admission.gateway.index import Index
from router.admission.gateway.listeners import HTTP_KINDS_OF, KINDS_OF, ListenerView, views
from router.admission.gateway.policy_book import PolicyBook
from router.admission.gateway.resolving import (
    MetRoute,
    Resolved,
    age_of,
    parents_of,
    resolve,
    route_request,
    stages_of,
)
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    ClassState,
    ParentState,
    RouteState,
    State,
    StateKey,
    not_so,
)
from router.admission.gateway.tables import GATEWAY_KIND, Led, Table
from router.admission.gateway.things import AnyRoute, ServedRoute, pair_in, route_of
from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.model import Asker, SharedFrontend, Spot
from router.objects.gateway import (
    GROUP,
    Gateway,
    GatewayClass,
    GatewaySecret,
    HttpRoute,
    ReferenceGrant,
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

CLASS_KIND, TLS_KIND = "GatewayClass", "TLSRoute"
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_NONE: frozenset[Slot] = frozenset()
_NO_ROUTES: frozenset[StateKey] = frozenset()
_NOWHERE = Backends()
_ROUTES: Mapping[type, str] = MappingProxyType({TcpRoute: "TCPRoute", TlsRoute: TLS_KIND, HttpRoute: "HTTPRoute"})


class GatewayBook:
    """Follows one set of objects, as admission does.

    Args:
        settings: what may be served; without ``gateway_controller`` there is nothing to follow.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._controller = settings.gateway_controller
        self._kinds_of = {**KINDS_OF, **HTTP_KINDS_OF} if settings.gateway_http else KINDS_OF
        self._grants, self._policies = Grants(), PolicyBook(settings)
        self._by_class: Index[str, ObjectKey] = Index()
        """Gateways by the name of their class."""
        self._by_secret: Index[ObjectKey, ObjectKey] = Index()
        """Gateways by the Secrets that they refer to."""
        self._by_vault: Index[str, ObjectKey] = Index()
        """Gateways by the namespaces of these."""
        self._by_gateway: Index[ObjectKey, StateKey] = Index()
        """Routes by the Gateways that they name."""
        self._by_service: Index[ObjectKey, StateKey] = Index()
        """Routes by the Services that they lead to."""
        self._by_target: Index[str, StateKey] = Index()
        """Routes by the namespaces of these."""
        self._by_namespace: Index[str, StateKey] = Index()
        """Routes by their own."""
        self._backends: dict[StateKey, Backends] = {}
        """Of routes."""
        self._resolved: dict[ObjectKey, Resolved] = {}
        self._of_routes: dict[ObjectKey, Request] = {}
        """What TLSRoutes ask for."""
        self._led = Led()
        self._by_spot: Index[Spot, ObjectKey] = Index()
        """Gateways by the ports that their TLS listeners ask for."""
        self._held: set[ObjectKey] = set()
        """Gateways that are not looked at."""
        self._states: SortedMap[StateKey, State] = SortedMap()

    def states(self) -> Mapping[StateKey, State]:
        """Give what all objects that are ours are told; the same object until it is something else."""
        return self._states.mapping()

    def requests(self, slot: Slot) -> tuple[Request | Verdict, ...]:
        """Give what the listeners of a Gateway, or a TLSRoute, ask for, as last updated; nothing of those that are not ours."""
        kind, key = slot
        if kind is TlsRoute:
            request = self._of_routes.get(key)
            return (request,) if request is not None else ()
        resolved = self._resolved.get(key)
        return resolved.requests if resolved is not None else ()

    def lead(self, shared: tuple[SharedFrontend, ...]) -> tuple[SharedFrontend, ...]:
        """Give the shared ports with the names of routes at TLS listeners; the same objects where nothing changed."""
        if not self._controller:
            return shared
        return self._led.lead(shared, self._table_of, lambda spot: bool(self._by_spot.of(spot)))

    def _table_of(self, listener: Asker) -> Table | None:
        resolved = self._resolved.get(ObjectKey(*listener.key))
        return resolved.tables.get(listener.section) if resolved is not None else None

    def hold(self, slot: Slot, *, is_held: bool) -> None:
        """Do not look at a Gateway, or look at it again, with the next update that names it; other kinds are passed over."""
        kind, key = slot
        if kind is Gateway and is_held:
            self._held.add(key)
        elif kind is Gateway:
            self._held.discard(key)

    def update(self, objects: Objects, changes: Changes) -> frozenset[Slot]:
        """Take note of changes; give the Gateways whose listeners may ask for something else."""
        if not self._controller:
            return _NONE
        gateways = {key for kind, key in changes.askers if kind is Gateway}
        routes: set[StateKey] = set()
        policies = {key for kind, key in changes.gateway_api if kind is TcpRoutePolicy}
        for slot in changes.gateway_api:
            of_gateways, of_routes = self._take(slot, objects.gateway_api)
            gateways |= of_gateways
            routes |= of_routes
        for credential in changes.credentials:
            gateways |= self._by_secret.of(credential) | self._policies.naming(credential)
        for service in changes.services:
            routes |= self._by_service.of(service)
        for namespace in changes.namespaces:
            routes |= self._by_namespace.of(namespace.name)
        for route in routes:
            self._backends.pop(route, None)
            gateways |= self._by_gateway.keys_of(route)
        told = set(routes)
        for gateway in gateways:
            told |= self._by_gateway.of(gateway)
            self._resolve(gateway, objects)
        for route in told:
            self._tell(route, objects)
        targets = {StateKey(GATEWAY_KIND, *key) for key in gateways} | told
        for policy in policies | self._policies.of(targets):
            state = self._policies.tell(policy, objects, self._resolved.keys(), self._by_gateway.keys_of)
            self._put(StateKey(POLICY_KIND, *policy), state)
        asking = {(TlsRoute, ObjectKey(each.namespace, each.name)) for each in told if each.kind == TLS_KIND}
        return frozenset((Gateway, key) for key in gateways) | asking

    def _take(self, slot: Slot, api: GatewayObjects) -> tuple[AbstractSet[ObjectKey], AbstractSet[StateKey]]:
        """Take note of one object that was added or changed, or is gone; give the Gateways and the routes that it concerns."""
        kind, key = slot
        if kind is GatewayClass:
            self._put_class(key, api.classes.get(key))
            return self._by_class.of(key.name), _NO_ROUTES
        if kind is Gateway:
            self._index_gateway(key, api.gateways.get(key))
            return {key}, _NO_ROUTES
        if kind is TcpRoutePolicy:
            return self._policies.put(key, api.policies.get(key))
        if kind is GatewaySecret:
            return self._by_secret.of(key), _NO_ROUTES
        if kind in _ROUTES:
            route = StateKey(_ROUTES[kind], *key)
            former = self._by_gateway.keys_of(route)
            self._index_route(route, route_of(route, api))
            return former, {route}
        self._grants.put(key, api.grants.get(key))
        return self._by_vault.of(key.namespace), self._by_target.of(key.namespace)

    def _put_class(self, key: ObjectKey, obj: GatewayClass | None) -> None:
        state = None
        if obj is not None and obj.spec.controller_name == self._controller:
            ref = obj.spec.parameters_ref
            said = ALL_ACCEPTED
            if ref is not None:
                said = not_so(
                    ACCEPTED, "InvalidParameters", "parametersRef is none that this router knows; it knows none"
                )
            state = ClassState(
                key=StateKey(CLASS_KIND, "", key.name),
                uid=obj.metadata.uid,
                generation=obj.metadata.generation,
                accepted=said,
            )
        self._put(StateKey(CLASS_KIND, "", key.name), state)

    def _index_gateway(self, key: ObjectKey, gateway: Gateway | None) -> None:
        self._by_class.put(key, (gateway.spec.gateway_class_name,) if gateway is not None else ())
        secrets = secrets_of(gateway) if gateway is not None else frozenset()
        self._by_secret.put(key, secrets)
        self._by_vault.put(key, {secret.namespace for secret in secrets})

    def _index_route(self, key: StateKey, route: AnyRoute | None) -> None:
        rules = route.spec.rules if isinstance(route, ServedRoute) else None
        services = services_of(rules, key.namespace)
        self._by_gateway.put(key, gateways_of(route.spec.parent_refs, key.namespace) if route is not None else ())
        self._by_service.put(key, services)
        self._by_target.put(key, {service.namespace for service in services})
        self._by_namespace.put(key, (key.namespace,) if route is not None else ())

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

    def _resolve(self, key: ObjectKey, objects: Objects) -> None:
        gateway = objects.gateway_api.gateways.get(key)
        if gateway is None or key in self._held or not self._is_ours(gateway, objects):
            self._resolved.pop(key, None)
            self._by_spot.put(key, ())
            self._led.is_stale = True
            self._put(StateKey(GATEWAY_KIND, *key), None)
            return

        def secret(wanted: ObjectKey) -> Pair | str | None:
            return pair_in(wanted, objects)

        seen = views(
            gateway,
            self._kinds_of,
            lambda each: read_certificates(each, key.namespace, self._grants, secret),
            may_end_tls=self._settings.gateway_certificates,
        )
        seen = tuple(self._policies.seen(each, key, objects.credentials) for each in seen)
        met = (self._met(route, key, seen, objects) for route in sorted(self._by_gateway.of(key)))
        former = self._resolved.get(key)
        resolved = self._resolved[key] = resolve(gateway, seen, met, self._settings)
        self._led.is_stale |= former is None or former.tables != resolved.tables
        asked = (each for each in resolved.requests if isinstance(each, Request) and each.shares_port)
        self._by_spot.put(key, {Spot(each.port, each.address) for each in asked if each.port is not None})
        self._put(StateKey(GATEWAY_KIND, *key), resolved.state)

    def _met(self, key: StateKey, gateway: ObjectKey, seen: tuple[ListenerView, ...], objects: Objects) -> MetRoute:
        route = route_of(key, objects.gateway_api) or TcpRoute(ObjectMeta(name=key.name, namespace=key.namespace))
        hostnames = route.spec.hostnames if isinstance(route, HttpRoute | TlsRoute) else None
        uid = route.metadata.uid
        refs = [ref for ref in route.spec.parent_refs or () if gateway_of(ref, key.namespace) == gateway]

        def labels_of(namespace: str) -> Mapping[str, str] | None:
            found = objects.namespaces.get(ObjectKey("", namespace))
            return (found.metadata.labels or _NO_LABELS) if found is not None else None

        return MetRoute(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            age=age_of(route.metadata),
            attachments=tuple(
                attach(ref, key.kind, key.namespace, gateway, seen, labels_of, hostnames) for ref in refs
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
        for gateway in sorted(self._by_gateway.keys_of(key)):
            resolved = self._resolved.get(gateway)
            met = resolved.routes.get(key) if resolved is not None else None
            if resolved is not None and met is not None:
                parents.update((each.ref, each) for each in parents_of(met, resolved))
                if any(met in served for served in resolved.served.values()):
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


def concerning(gateway: ObjectKey, objects: Objects) -> frozenset[Slot]:
    """Give what a Gateway is decided by, itself included; looks at all routes."""
    api = objects.gateway_api
    routes = {
        (kind, key)
        for kind in _ROUTES
        for key, route in api.by_kind[kind].items()
        if gateway in gateways_of(route.spec.parent_refs, key.namespace)
    }
    others = {slot for slot in api.slots() if slot[0] in {GatewayClass, ReferenceGrant, GatewaySecret, TcpRoutePolicy}}
    return frozenset({(Gateway, gateway), *routes, *others})
