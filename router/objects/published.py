"""v1 Service, as it is read of the one that stands in front of the router: who owns which of its ports, and where clients reach it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.objects.core import ServiceStatus
from router.objects.meta import Fields
from router.shapes import reader


class PublishedPort(Fields, frozen=True):
    """One of ``spec.ports``."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0


class _PublishedSpec(Fields, frozen=True):
    type: str = "ClusterIP"
    ports: tuple[PublishedPort, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(name="externalIPs", default=None)
    load_balancer_class: str | None = None
    allocate_load_balancer_node_ports: bool | None = None


class _OwnedPorts(msgspec.Struct, frozen=True):
    ports: dict[str, dict[str, msgspec.Raw]] | None = msgspec.field(name="f:ports", default=None)


class _OwnedFields(msgspec.Struct, frozen=True):
    spec: _OwnedPorts | None = msgspec.field(name="f:spec", default=None)


class ManagedFields(msgspec.Struct, frozen=True):
    """One of ``metadata.managedFields``, of which the ports are read."""

    manager: str = ""
    operation: str = ""
    fields: _OwnedFields | None = msgspec.field(name="fieldsV1", default=None)

    @property
    def ports(self) -> Mapping[str, frozenset[str]]:
        """What it owns of entries of ``spec.ports``, by their keys: names of fields, as in ``f:targetPort``."""
        spec = self.fields.spec if self.fields is not None else None
        owned = (spec.ports if spec is not None else None) or {}
        return {key: frozenset(fields) for key, fields in owned.items()}


class PublishedMeta(msgspec.Struct, frozen=True, rename="camel"):
    """``metadata``."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    managed_fields: tuple[ManagedFields, ...] | None = None


class PublishedService(msgspec.Struct, frozen=True):
    """v1 Service."""

    metadata: PublishedMeta
    spec: _PublishedSpec = _PublishedSpec()
    status: ServiceStatus = ServiceStatus()

    def __str__(self) -> str:
        return f"Service {self.metadata.namespace}/{self.metadata.name}"

    @property
    def address(self) -> str:
        """Where clients reach it: what its load balancer was given, else the first of its external addresses; empty where it has none."""
        for each in self.status.ingress:
            if each.hostname or each.ip:
                return each.hostname or each.ip or ""
        return next(iter(self.spec.external_ips or ()), "")

    @property
    def gives_node_ports(self) -> bool:
        """Whether each of its ports has a node port."""
        spec = self.spec
        is_balanced = spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is not False
        return spec.type == "NodePort" or is_balanced


read_published = reader(PublishedService)
"""Raises msgspec.DecodeError."""
