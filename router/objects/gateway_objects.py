"""The objects of the Gateway API as the reconcile thread sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.objects.gateway import (
    GATEWAY_KINDS,
    Gateway,
    GatewayClass,
    GatewaySecret,
    HttpRoute,
    ListenerSet,
    ReferenceGrant,
    TcpRoute,
    TlsRoute,
)
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.objects.unread import Unread

GATEWAY_API: tuple[type[KubernetesObject], ...] = (*GATEWAY_KINDS, TcpRoutePolicy, Unread)


@dataclass(frozen=True, slots=True)
class GatewayObjects:
    """By kind and key; only ``Store.take`` writes here."""

    classes: dict[ObjectKey, GatewayClass] = field(default_factory=dict)
    gateways: dict[ObjectKey, Gateway] = field(default_factory=dict)
    tcp_routes: dict[ObjectKey, TcpRoute] = field(default_factory=dict)
    tls_routes: dict[ObjectKey, TlsRoute] = field(default_factory=dict)
    grants: dict[ObjectKey, ReferenceGrant] = field(default_factory=dict)
    http_routes: dict[ObjectKey, HttpRoute] = field(default_factory=dict)
    secrets: dict[ObjectKey, GatewaySecret] = field(default_factory=dict)
    listener_sets: dict[ObjectKey, ListenerSet] = field(default_factory=dict)
    policies: dict[ObjectKey, TcpRoutePolicy] = field(default_factory=dict)
    unread: dict[ObjectKey, Unread] = field(default_factory=dict)
    """Kinds whose absence would let in whom they keep out: where they may not be read."""

    @property
    def by_kind(self) -> Mapping[type[KubernetesObject], dict[ObjectKey, Any]]:
        """All of them."""
        return {
            GatewayClass: self.classes,
            Gateway: self.gateways,
            ListenerSet: self.listener_sets,
            TcpRoute: self.tcp_routes,
            TlsRoute: self.tls_routes,
            ReferenceGrant: self.grants,
            HttpRoute: self.http_routes,
            GatewaySecret: self.secrets,
            TcpRoutePolicy: self.policies,
            Unread: self.unread,
        }

    def slots(self) -> frozenset[Slot]:
        """Give the kind and the key of each."""
        return frozenset((kind, key) for kind, members in self.by_kind.items() for key in members)
