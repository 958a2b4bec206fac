"""The kinds of objects that the router reads, and which of them may ask to be served."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.objects.asker_note import AskerNote
from router.objects.cis import KIND, TransportServer
from router.objects.config_map import ConfigMap
from router.objects.core import RouterPod, Service
from router.objects.credential import Credential
from router.objects.discovery import EndpointSlice
from router.objects.gateway import (
    Gateway,
    GatewayClass,
    GatewaySecret,
    HttpRoute,
    ListenerSet,
    ReferenceGrant,
    TcpRoute,
    TlsRoute,
)
from router.objects.meta import ObjectKey
from router.objects.namespace import Namespace, PortPolicy
from router.objects.pair_note import PairNote
from router.objects.portclaim import PortClaim
from router.objects.porter import CLAIM_KIND, TransportServerClaim
from router.objects.portnote import PortNote
from router.objects.resolved import ResolvedName
from router.objects.route import Route
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.objects.unread import Unread

KubernetesObject = (
    Route
    | Service
    | EndpointSlice
    | RouterPod
    | PortClaim
    | Namespace
    | PortPolicy
    | ResolvedName
    | PortNote
    | Credential
    | AskerNote
    | TransportServerClaim
    | PairNote
    | ConfigMap
    | TransportServer
    | GatewayClass
    | Gateway
    | ListenerSet
    | TcpRoute
    | ReferenceGrant
    | HttpRoute
    | TlsRoute
    | GatewaySecret
    | TcpRoutePolicy
    | Unread
)
AskingObject = Route | Service | TransportServerClaim | TransportServer | Gateway | ListenerSet
"""Of the kinds that may ask; whether one does, admission says."""
Brought = AskingObject | TcpRoute | TlsRoute | TcpRoutePolicy
"""What asks, what leads others that ask to Services, and what refers to ConfigMaps for these."""
Slot = tuple[type[KubernetesObject], ObjectKey]
"""Where an object is kept: its kind and its key."""
ASKING: Mapping[str, type[AskingObject]] = MappingProxyType({
    "Route": Route, "Service": Service, CLAIM_KIND: TransportServerClaim, KIND: TransportServer, "Gateway": Gateway,
    "ListenerSet": ListenerSet,
})  # fmt: skip
"""By the name of their kind."""


def may_ask(obj: KubernetesObject | None) -> bool:
    """Say whether an object may ask to be served: all of its kind do, but a Service only by annotations or its class, or if it was told that it did."""
    return isinstance(obj, Route | TransportServerClaim | TransportServer | Gateway | ListenerSet) or (
        isinstance(obj, Service)
        and bool(obj.metadata.annotations or obj.status.conditions or obj.spec.load_balancer_class)
    )
