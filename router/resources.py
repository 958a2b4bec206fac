"""The fields that the router reads of Kubernetes objects, as frozen structs, and decoding into them.

Unknown fields are skipped, absent ones take the API's defaults. Nothing is validated here beyond the JSON types: what a
value means, and whether it is allowed, is admission's to say.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class ObjectKey(NamedTuple):
    """Namespace and name of an object; sorts as ``namespace/name`` lists do."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Fields(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base: frozen, and camelCase outside. Made of JSON, so no cycle can lead through it, and nobody needs to look for one."""


class ObjectMeta(_Fields, frozen=True):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/."""

    name: str = ""
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339 in UTC, whole seconds, as API servers write it; compares as text."""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class RouteTarget(_Fields, frozen=True):
    """``spec.to`` and the members of ``spec.alternateBackends``."""

    name: str = ""
    kind: str = "Service"
    weight: int | None = None


class RoutePort(_Fields, frozen=True):
    """``spec.port``."""

    target_port: int | str


class RouteTLS(_Fields, frozen=True):
    """``spec.tls``."""

    termination: str = ""
    insecure_edge_termination_policy: str = ""


class RouteSpec(_Fields, frozen=True):
    """``spec`` of a Route."""

    to: RouteTarget = RouteTarget()
    host: str = ""
    subdomain: str = ""
    path: str = ""
    alternate_backends: tuple[RouteTarget, ...] | None = None
    port: RoutePort | None = None
    tls: RouteTLS | None = None
    wildcard_policy: str = "None"


class RouteCondition(_Fields, frozen=True):
    """One condition of one router's entry."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class RouteIngress(_Fields, frozen=True):
    """One router's entry in the status."""

    router_name: str = ""
    host: str = ""
    router_canonical_hostname: str = ""
    wildcard_policy: str = ""
    conditions: tuple[RouteCondition, ...] | None = None


class RouteStatus(_Fields, frozen=True):
    """``status`` of a Route: an entry per router."""

    ingress: tuple[RouteIngress, ...] | None = None


class _Object(_Fields, frozen=True):
    """Base of whole objects."""

    metadata: ObjectMeta

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)


class Route(_Object, frozen=True):
    """route.openshift.io/v1 Route (openshift/api, route/v1/types.go)."""

    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()


class ServicePort(_Fields, frozen=True):
    """One of ``spec.ports`` of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class SomeSelector(_Fields, frozen=True):
    """That there is a selector; what it selects is Kubernetes' to know."""


class ServiceSpec(_Fields, frozen=True):
    """``spec`` of a Service."""

    type: str = "ClusterIP"
    # A literal default would be read as the struct's default for absent fields, which is what the API means too.
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] | None = msgspec.field(name="clusterIPs", default=None)
    ip_families: tuple[str, ...] | None = None
    ports: tuple[ServicePort, ...] | None = None
    session_affinity: str = "None"
    selector: SomeSelector | None = None


class Service(_Object, frozen=True):
    """v1 Service."""

    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(_Fields, frozen=True):
    """Conditions of an endpoint; None is unknown, which the API says to read as ready and serving."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(_Fields, frozen=True):
    """The object behind an endpoint, a Pod as a rule."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class Endpoint(_Fields, frozen=True):
    """One endpoint of a slice: one pod."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    hostname: str | None = None


class EndpointPort(_Fields, frozen=True):
    """A port that every endpoint of the slice has. The API's null for name and protocol reads as "" and TCP."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(_Object, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> ObjectKey:
        """The Service that the slice belongs to, by its label; the name is empty where it has none."""
        labels = self.metadata.labels or {}
        return ObjectKey(self.metadata.namespace, labels.get("kubernetes.io/service-name", ""))


class RouterPod(_Object, frozen=True):
    """A pod of a router, of which the addresses are kept; or the machine of one that is no pod."""

    addresses: tuple[str, ...] = ()
    """Its own and its node's, as they were told."""
    node: str = ""
    """The name of its node; empty where that is not known, or the pod has ended."""
    app: str = ""
    """Which router it is of several: its label ``app.kubernetes.io/name``."""


KubernetesObject = Route | Service | EndpointSlice | RouterPod
