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


CLASS_PREFIX = "tcp-router.openshift.io/"
"""What ``spec.loadBalancerClass`` begins with that means a router of this kind; its name is the rest."""


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
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None
    load_balancer_ip: str | None = msgspec.field(name="loadBalancerIP", default=None)
    allocate_load_balancer_node_ports: bool | None = None


class Condition(Fields, frozen=True):
    """meta/v1 Condition, one of a map by type."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PortStatus(Fields, frozen=True):
    """One of ``ports`` of an ingress."""

    port: int
    protocol: str = "TCP"
    error: str | None = None


class LoadBalancerIngress(Fields, frozen=True, omit_defaults=True):
    """One of ``status.loadBalancer.ingress``."""

    hostname: str | None = None
    ip: str | None = None
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] | None = None


class LoadBalancerStatus(Fields, frozen=True):
    """``status.loadBalancer``."""

    ingress: tuple[LoadBalancerIngress, ...] | None = None


class ServiceStatus(Fields, frozen=True):
    """``status`` of a Service."""

    conditions: tuple[Condition, ...] | None = None
    load_balancer: LoadBalancerStatus | None = None

    @property
    def ingress(self) -> tuple[LoadBalancerIngress, ...]:
        """Where clients reach it, by its load balancer."""
        return (self.load_balancer.ingress if self.load_balancer is not None else None) or ()


class Service(WholeObject, frozen=True):
    """v1 Service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def router_of_class(self) -> str:
        """The name of the router that its class says is its load balancer; empty where it is of another class, or type."""
        name = self.spec.load_balancer_class
        if name is None or self.spec.type != "LoadBalancer" or not name.startswith(CLASS_PREFIX):
            return ""
        return name.removeprefix(CLASS_PREFIX)


REPORTED_ADDRESSES = "tcp-router.openshift.io/addresses"
REPORTED_FIGURES = "tcp-router.openshift.io/figures"
"""The annotation by which the router of a pod says which of the named addresses its node has."""


class PodNow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How a pod of a router is, for people to see; nothing is decided by it."""

    ready: bool | None
    """None: the kubelet has not said."""
    phase: str
    since: str
    """When it was started; RFC 3339, empty where that is not known."""
    figures: str
    """What it says of itself in an annotation, as it was written; empty where it says nothing."""


class RouterPod(WholeObject, frozen=True):
    """A pod of a router, of which the addresses are kept; or the machine of one that is no pod."""

    addresses: tuple[str, ...] = ()
    """Its own and its node's, as they were told."""
    node: str = ""
    """The name of its node; empty where that is not known, or the pod has ended."""
    app: str = ""
    """Which router it is of several: its label ``app.kubernetes.io/name``."""
    reported: tuple[str, ...] | None = None
    """Of the IP addresses of ``--address`` those that its node has, as it says itself; None while it has not said."""
