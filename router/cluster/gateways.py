"""The watches over the Gateway API, of which each kind may be missing, and come later."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

import msgspec
from msgspec.structs import replace

from router.cluster.decoding import decode_object
from router.cluster.gateway_secrets import SecretSink
from router.cluster.kinds import Resource
from router.cluster.shard import Shard
from router.cluster.sinks import Counted, ShardSink
from router.cluster.whole import WholeSink
from router.cluster.withheld import taken_back
from router.objects.decoding import Misfit
from router.objects.gateway import (
    GROUP,
    Gateway,
    GatewayClass,
    GatewayObject,
    HttpRoute,
    ListenerSet,
    ReferenceGrant,
    TcpRoute,
    TlsRoute,
)
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.secret import TLS_TYPE
from router.objects.store import Store
from router.objects.tcp_route_policy import POLICY_GROUP, POLICY_VERSION, TcpRoutePolicy, UnreadPolicy
from router.settings import KubeSettings
from router.shapes import reader

_Object = TypeVar(
    "_Object",
    bound=GatewayClass | Gateway | ListenerSet | TcpRoute | TlsRoute | HttpRoute | ReferenceGrant | TcpRoutePolicy,
)

_read_unread: Callable[[bytes | msgspec.Raw], UnreadPolicy] = reader(UnreadPolicy)

_GROUP = f"/apis/{GROUP}"
ROOT = f"{_GROUP}/v1"


def _resource(name: str, consequence: str, *older: str) -> Resource:
    versions = " or ".join(("v1", *older))
    absent = f"this cluster has no {name} ({GROUP}/{versions}), and {consequence}; the router waits for them"
    return Resource(name, ROOT, absent, older=tuple(f"{_GROUP}/{version}" for version in older))


GATEWAY_CLASSES = _resource("gatewayclasses", "no Gateway is served")
GATEWAYS = _resource("gateways", "no Gateway is served")
LISTENER_SETS = _resource("listenersets", "Gateways have the listeners alone that are their own")
TCP_ROUTES = _resource("tcproutes", "Gateways lead no TCP ports anywhere", "v1alpha2")
TLS_ROUTES = _resource("tlsroutes", "Gateways lead no TLS server names anywhere", "v1alpha3", "v1alpha2")
REFERENCE_GRANTS = _resource(
    "referencegrants", "no route, and no TransportServer by one, leads to another namespace", "v1beta1"
)
HTTP_ROUTES = _resource("httproutes", "none is counted")
POLICIES = Resource(
    "tcproutepolicies",
    f"/apis/{POLICY_GROUP}/{POLICY_VERSION}",
    "this cluster has no tcproutepolicies (tcp-router.openshift.io/v1alpha1): Gateways and their routes are served as the router's options say; the router waits for them",
    withheld="TCPRoutePolicies may not be read, so that it is not known whom they keep out: nobody is led on until the router may list and watch"
    " tcproutepolicies (manifests/components/gateway-api)",
)
SECRETS = Resource(
    "secrets", "/api/v1", "the API server has no secrets; is it a Kubernetes API server?", f"type={TLS_TYPE}"
)
"""With --gateway-http accept, for whether they are whole, or --gateway-certificates. Those of other types stay where they are."""
_OF_SHARD: Mapping[Resource, type[Gateway | ListenerSet | TcpRoute | TlsRoute]] = {
    GATEWAYS: Gateway,
    LISTENER_SETS: ListenerSet,
    TCP_ROUTES: TcpRoute,
    TLS_ROUTES: TlsRoute,
}
_OF_STORE: Mapping[Resource, type[GatewayClass | HttpRoute | ReferenceGrant]] = {
    GATEWAY_CLASSES: GatewayClass,
    HTTP_ROUTES: HttpRoute,
    REFERENCE_GRANTS: ReferenceGrant,
}
REQUIRED = frozenset({GATEWAY_CLASSES, GATEWAYS})
"""Without these nothing of the API can be used."""
_ALWAYS = (GATEWAY_CLASSES, GATEWAYS, LISTENER_SETS, TCP_ROUTES, TLS_ROUTES, REFERENCE_GRANTS, POLICIES)
RESOURCES = (*_ALWAYS, HTTP_ROUTES, SECRETS)


def scoped(settings: KubeSettings) -> Iterator[tuple[Resource, str]]:
    """Give each watch that the settings ask for, and the namespace that it is over; empty is all."""
    grants = (REFERENCE_GRANTS,) if settings.reads_grants else ()
    of_http = (HTTP_ROUTES,) if settings.gateway_http else ()
    secrets = (SECRETS,) if settings.gateway_http or settings.gateway_certificates else ()
    for resource in (*_ALWAYS, *of_http, *secrets) if settings.gateway_api != "off" else grants:
        for namespace in ("",) if resource is GATEWAY_CLASSES else settings.namespaces or ("",):
            yield resource, namespace


def sink_of(resource: Resource, namespace: str, store: Store, shard: Shard, *, keeps_secrets: bool) -> Counted:
    """Make what takes the objects of one watch."""
    if resource in _OF_SHARD:
        return ShardSink(_OF_SHARD[resource], resource.name, _kept, shard, namespace)
    if resource is POLICIES:
        return PolicySink(resource, shard, namespace, store)
    if resource is SECRETS:
        return SecretSink(store, keeps_content=keeps_secrets)
    return _StoreSink(_OF_STORE[resource], resource, store)


def _kept(obj: _Object) -> _Object:
    """Give an object without what nobody reads of its metadata."""
    metadata = obj.metadata
    if isinstance(obj, TcpRoute | TlsRoute):
        # One text for all.
        obj = replace(obj, api_version=sys.intern(obj.api_version))
    return replace(
        obj,
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            generation=metadata.generation,
            creation_timestamp=metadata.creation_timestamp,
        ),
    )


class PolicySink(ShardSink[TcpRoutePolicy]):
    """Brings policies. Of one that cannot be read it brings what it is for: to pass it over would let in whom it keeps out."""

    def __init__(self, resource: Resource, shard: Shard, namespace: str, store: Store) -> None:
        super().__init__(TcpRoutePolicy, resource.name, _kept, shard, namespace)
        self._store = store
        self._resource = resource

    def end_list(self, resource_version: str) -> None:
        """Take what was listed for all that there is, and then for known."""
        super().end_list(resource_version)
        taken_back(self._store, self._resource, self._namespace)

    def _decode(self, raw: msgspec.Raw) -> TcpRoutePolicy | None:
        decoded = decode_object(TcpRoutePolicy, raw)
        if not isinstance(decoded, Misfit):
            return self._kept(decoded)
        try:
            return self._kept(_read_unread(raw).refused(str(decoded)))
        except msgspec.DecodeError:
            return super()._decode(raw)


class _StoreSink(WholeSink[_Object]):
    """Brings objects into the store as they come."""

    def __init__(self, struct: type[_Object], resource: Resource, store: Store) -> None:
        super().__init__(struct, resource.name, _kept)
        self._kind = cast("type[GatewayObject]", struct)
        self._store = store
        self._known: set[ObjectKey] = set()

    counts_all = False

    @property
    def held(self) -> int:
        """How many are known."""
        return len(self._known)

    def replace(self, listed: Mapping[ObjectKey, _Object], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        gone = self._known - listed.keys() - undecodable
        self._known = (self._known & undecodable) | set(listed)
        present: dict[Slot, KubernetesObject] = {(self._kind, key): obj for key, obj in listed.items()}
        self._store.apply(present, frozenset((self._kind, key) for key in gone))

    def put(self, obj: _Object) -> None:
        """Take one that was added or changed."""
        self._known.add(obj.key)
        self._store.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._known.discard(key)
        self._store.delete(self._kind, key)
