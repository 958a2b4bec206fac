"""v1: Services, and the pods of routers."""

from __future__ import annotations

import msgspec

from router.objects.meta import Fields, WholeObject


class ServicePort(Fields, frozen=True):
    """One of ``spec.ports`` of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(Fields, frozen=True):
    """``spec`` of a Service."""

    type: str = "ClusterIP"
    # A literal default would be read as the struct's default for absent fields, which is what the API means too.
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] | None = msgspec.field(name="clusterIPs", default=None)
    ip_families: tuple[str, ...] | None = None
    external_name: str = ""
    ports: tuple[ServicePort, ...] | None = None
    session_affinity: str = "None"
    selector: dict[str, str] | None = None


class Condition(Fields, frozen=True):
    """meta/v1 Condition, one of a map by type."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ServiceStatus(Fields, frozen=True):
    """``status`` of a Service."""

    conditions: tuple[Condition, ...] | None = None


class Service(WholeObject, frozen=True):
    """v1 Service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class RouterPod(WholeObject, frozen=True):
    """A pod of a router, of which the addresses are kept; or the machine of one that is no pod."""

    addresses: tuple[str, ...] = ()
    """Its own and its node's, as they were told."""
    node: str = ""
    """The name of its node; empty where that is not known, or the pod has ended."""
    app: str = ""
    """Which router it is of several: its label ``app.kubernetes.io/name``."""
