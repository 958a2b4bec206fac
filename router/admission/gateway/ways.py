"""Follows what of the Gateway API names what: from a thing that changed to the Gateways, and to the routes, that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.admission.gateway.attachment import parent_of, parents_of
from router.admission.gateway.backends import services_of
from router.admission.gateway.certificates import secrets_of
from router.admission.gateway.index import Index
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND, StateKey
from router.admission.gateway.things import AnyRoute, ServedRoute
from router.objects.gateway import (
    GROUP,
    Gateway,
    GatewayClass,
    GatewaySecret,
    HttpRoute,
    ListenerSet,
    ReferenceGrant,
    TcpRoute,
    TlsRoute,
)
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.objects.unread import Unread

PARENT_KINDS: Mapping[type, str] = MappingProxyType({Gateway: GATEWAY_KIND, ListenerSet: LISTENER_SET_KIND})
"""What routes may want to be reached by."""
ROUTE_KINDS: Mapping[type, str] = MappingProxyType({TcpRoute: "TCPRoute", TlsRoute: "TLSRoute", HttpRoute: "HTTPRoute"})


def gateway_of(listener_set: ListenerSet) -> ObjectKey | None:
    """Give the Gateway that a ListenerSet wants to be of; None where it means another kind."""
    ref = listener_set.spec.parent_ref
    is_gateway = (ref.group, ref.kind) == (GROUP, GATEWAY_KIND)
    return ObjectKey(ref.namespace or listener_set.metadata.namespace, ref.name) if is_gateway else None


class Ways:
    """Of one set of objects. A parent is what routes may want to be reached by: a Gateway or a ListenerSet."""

    def __init__(self) -> None:
        self._by_class: Index[str, ObjectKey] = Index()
        """Gateways by the name of their class."""
        self._sets: Index[ObjectKey, StateKey] = Index()
        """ListenerSets by the Gateway that they name."""
        self._sets_in: Index[str, StateKey] = Index()
        """ListenerSets by their namespace."""
        self._by_secret: Index[ObjectKey, StateKey] = Index()
        """Parents by the Secrets that they refer to."""
        self._by_vault: Index[str, StateKey] = Index()
        """Parents by the namespaces of these, where it is another than their own, in which nobody needs a grant."""
        self._by_parent: Index[StateKey, StateKey] = Index()
        """Routes by the parents that they name."""
        self._by_service: Index[ObjectKey, StateKey] = Index()
        """Routes by the Services that they lead to."""
        self._by_target: Index[str, StateKey] = Index()
        """Routes by the namespaces of these, likewise."""
        self._routes_in: Index[str, StateKey] = Index()
        """Routes by their own."""

    def put_gateway(self, key: ObjectKey, gateway: Gateway | None) -> None:
        """Take note of a Gateway, or (None) that it is gone."""
        self._by_class.put(key, (gateway.spec.gateway_class_name,) if gateway is not None else ())
        self._put_secrets(StateKey(GATEWAY_KIND, *key), gateway)

    def put_set(self, key: ObjectKey, listener_set: ListenerSet | None) -> frozenset[ObjectKey]:
        """Take note of a ListenerSet, or (None) that it is gone; give the Gateways that it names, and named."""
        parent = StateKey(LISTENER_SET_KIND, *key)
        former = self._sets.keys_of(parent)
        gateway = gateway_of(listener_set) if listener_set is not None else None
        self._sets.put(parent, (gateway,) if gateway is not None else ())
        self._sets_in.put(parent, (key.namespace,) if listener_set is not None else ())
        self._put_secrets(parent, listener_set)
        return former | self._sets.keys_of(parent)

    def _put_secrets(self, parent: StateKey, obj: Gateway | ListenerSet | None) -> None:
        secrets = secrets_of(obj) if obj is not None else frozenset()
        self._by_secret.put(parent, secrets)
        self._by_vault.put(parent, {secret.namespace for secret in secrets if secret.namespace != parent.namespace})

    def put_route(self, key: StateKey, route: AnyRoute | None) -> frozenset[StateKey]:
        """Take note of a route, or (None) that it is gone; give the parents that it named."""
        former = self._by_parent.keys_of(key)
        rules = route.spec.rules if isinstance(route, ServedRoute) else None
        services = services_of(rules, key.namespace)
        self._by_parent.put(key, parents_of(route.spec.parent_refs, key.namespace) if route is not None else ())
        self._by_service.put(key, services)
        self._by_target.put(key, {each.namespace for each in services if each.namespace != key.namespace})
        self._routes_in.put(key, (key.namespace,) if route is not None else ())
        return former

    def of_class(self, name: str) -> frozenset[ObjectKey]:
        """Give the Gateways of a class."""
        return self._by_class.of(name)

    def of_set(self, key: ObjectKey) -> frozenset[ObjectKey]:
        """Give the Gateway that a ListenerSet names."""
        return self._sets.keys_of(StateKey(LISTENER_SET_KIND, *key))

    def sets_of(self, gateway: ObjectKey) -> frozenset[StateKey]:
        """Give the ListenerSets that name a Gateway, whether it takes them or not."""
        return self._sets.of(gateway)

    def needing_secret(self, secret: ObjectKey) -> frozenset[ObjectKey]:
        """Give the Gateways that refer to a Secret, or whose ListenerSets do."""
        return self._gateways(self._by_secret.of(secret))

    def needing_grant(self, namespace: str) -> frozenset[ObjectKey]:
        """Give the Gateways that refer to a Secret of a namespace that is another than theirs, likewise."""
        return self._gateways(self._by_vault.of(namespace))

    def with_sets_in(self, namespace: str) -> frozenset[ObjectKey]:
        """Give the Gateways that ListenerSets of a namespace name."""
        return self._gateways(self._sets_in.of(namespace))

    def _gateways(self, parents: frozenset[StateKey]) -> frozenset[ObjectKey]:
        own = {ObjectKey(each.namespace, each.name) for each in parents if each.kind == GATEWAY_KIND}
        return frozenset(own.union(*(self._sets.keys_of(each) for each in parents if each.kind != GATEWAY_KIND)))

    def routes_of(self, parent: StateKey) -> frozenset[StateKey]:
        """Give the routes that name a parent."""
        return self._by_parent.of(parent)

    def parents_of(self, route: StateKey) -> frozenset[StateKey]:
        """Give the parents that a route names."""
        return self._by_parent.keys_of(route)

    def gateways_of(self, key: StateKey) -> frozenset[ObjectKey]:
        """Give the Gateways that a route names, or whose ListenerSets it does; of a ListenerSet the one that it names."""
        return self._gateways(self._by_parent.keys_of(key) if key.kind != LISTENER_SET_KIND else frozenset({key}))

    def leading_to(self, service: ObjectKey) -> frozenset[StateKey]:
        """Give the routes that refer to a Service."""
        return self._by_service.of(service)

    def leading_into(self, namespace: str) -> frozenset[StateKey]:
        """Give the routes of other namespaces that refer to Services of this one."""
        return self._by_target.of(namespace)

    def routes_in(self, namespace: str) -> frozenset[StateKey]:
        """Give the routes of a namespace."""
        return self._routes_in.of(namespace)


def concerning(slot: Slot, objects: Objects) -> frozenset[Slot]:
    """Give what a Gateway or a ListenerSet is decided by, itself included; looks at all routes."""
    api, (kind, key) = objects.gateway_api, slot
    parent = StateKey(PARENT_KINDS[kind], *key)
    routes = {
        (of_kind, route)
        for of_kind in ROUTE_KINDS
        for route, obj in api.by_kind[of_kind].items()
        if any(parent_of(ref, route.namespace) == parent for ref in obj.spec.parent_refs or ())
    }
    shared = {GatewayClass, ReferenceGrant, GatewaySecret, TcpRoutePolicy, Unread}
    others = {other for other in api.slots() if other[0] in shared}
    listener_set = api.listener_sets.get(key) if kind is ListenerSet else None
    gateway = gateway_of(listener_set) if listener_set is not None else None
    of_set = {(Gateway, gateway)} if gateway is not None else set()
    return frozenset({slot, *of_set, *routes, *others})
