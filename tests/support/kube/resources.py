"""The kinds that the API server of tests has, and where they are in its paths."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, and how the API server treats it (the ``Strategy`` of each kind in kubernetes/pkg/registry)."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    unconditional_update: bool = True
    """Whether a PUT may leave out the resourceVersion."""
    create_on_update: bool = False
    """Whether a PUT of an object that does not exist creates it."""
    counts_generations: bool = False
    fields: tuple[str, ...] = ()
    """Top-level fields that objects can be selected by, beside what all can be."""

    @property
    def has_status(self) -> bool:
        """Whether the status is written apart."""
        return "status" in self.subresources

    @property
    def api_version(self) -> str:
        """Group and version as objects have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Plural and group, as in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def crd(self) -> str:
        """The name of its CustomResourceDefinition, where it has one."""
        return f"{self.plural}.{self.group}"

    @property
    def prefix(self) -> str:
        """What its paths begin with."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


ROUTES = Resource(
    "route.openshift.io",
    "v1",
    "Route",
    "routes",
    subresources=("status",),
    unconditional_update=False,
    counts_generations=True,
)
PORT_CLAIMS = Resource(
    "tcp-router.openshift.io",
    "v1alpha1",
    "PortClaim",
    "portclaims",
    subresources=("status",),
    unconditional_update=False,
    counts_generations=True,
)
TCP_ROUTE_POLICIES = Resource(
    "tcp-router.openshift.io",
    "v1alpha1",
    "TCPRoutePolicy",
    "tcproutepolicies",
    subresources=("status",),
    unconditional_update=False,
    counts_generations=True,
)
GATEWAY_CLASSES, GATEWAYS, LISTENER_SETS, TCP_ROUTES, TLS_ROUTES, HTTP_ROUTES, REFERENCE_GRANTS = (
    Resource(
        "gateway.networking.k8s.io",
        "v1",
        kind,
        plural,
        namespaced=kind != "GatewayClass",
        subresources=() if kind == "ReferenceGrant" else ("status",),
        unconditional_update=False,
        counts_generations=True,
    )
    for kind, plural in (
        ("GatewayClass", "gatewayclasses"),
        ("Gateway", "gateways"),
        ("ListenerSet", "listenersets"),
        ("TCPRoute", "tcproutes"),
        ("TLSRoute", "tlsroutes"),
        ("HTTPRoute", "httproutes"),
        ("ReferenceGrant", "referencegrants"),
    )
)
OLDER_TCP_ROUTES, OLDER_TLS_ROUTES, OLDER_GRANTS = (
    replace(resource, version=version)
    for resource, version in ((TCP_ROUTES, "v1alpha2"), (TLS_ROUTES, "v1alpha3"), (REFERENCE_GRANTS, "v1beta1"))
)
OLDER = (OLDER_TCP_ROUTES, OLDER_TLS_ROUTES, OLDER_GRANTS)
"""Of the same form as v1, in CRDs that have no v1; not there until a test says so, and then for objects of their own."""
SERVICES = Resource("", "v1", "Service", "services", subresources=("status",), create_on_update=True)
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", create_on_update=True)
PODS = Resource("", "v1", "Pod", "pods", subresources=("status",))
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False, subresources=("status",))
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", counts_generations=True)
EVENTS = Resource("events.k8s.io", "v1", "Event", "events", create_on_update=True)
TRANSPORT_SERVER_CLAIMS = Resource(
    "porter.devops.gov.bc.ca",
    "v1alpha1",
    "TransportServerClaim",
    "transportserverclaims",
    subresources=("status",),
    unconditional_update=False,
    counts_generations=True,
)
TRANSPORT_SERVERS = Resource(
    "cis.f5.com",
    "v1",
    "TransportServer",
    "transportservers",
    subresources=("status",),
    unconditional_update=False,
    counts_generations=True,
)
NETWORK_POLICIES = Resource(
    "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", create_on_update=True, counts_generations=True
)
SECRETS = Resource("", "v1", "Secret", "secrets", create_on_update=True, fields=("type",))
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", create_on_update=True)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", unconditional_update=False, create_on_update=True)
SERVICE_ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", subresources=("token",))
ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS = (
    Resource("rbac.authorization.k8s.io", "v1", kind, f"{kind.lower()}s", namespaced=not kind.startswith("Cluster"))
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
)
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
REVIEWS = (TOKEN_REVIEWS, ACCESS_REVIEWS)
"""Kinds that are answered and not stored."""

CUSTOM: tuple[Resource, ...] = (
    ROUTES,
    PORT_CLAIMS,
    TCP_ROUTE_POLICIES,
    TRANSPORT_SERVER_CLAIMS,
    TRANSPORT_SERVERS,
    GATEWAY_CLASSES,
    GATEWAYS,
    LISTENER_SETS,
    TCP_ROUTES,
    TLS_ROUTES,
    HTTP_ROUTES,
    REFERENCE_GRANTS,
    *OLDER,
)
"""Those that come by a CustomResourceDefinition, and go with it."""

RESOURCES = (
    *CUSTOM,
    SERVICES,
    ENDPOINTS,
    PODS,
    NAMESPACES,
    ENDPOINT_SLICES,
    EVENTS,
    NETWORK_POLICIES,
    SECRETS,
    CONFIG_MAPS,
    LEASES,
    SERVICE_ACCOUNTS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    *REVIEWS,
)
_BY_KIND = {resource.kind: resource for resource in RESOURCES if resource not in OLDER}
_BY_PLURAL = {(resource.prefix, resource.plural): resource for resource in RESOURCES}
_PATH = re.compile(r"(/api/[^/]+|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?")
_NAMESPACE = re.compile(r"/api/v1/namespaces/([^/]+)(/status)?")


def of_kind(kind: str) -> Resource:
    """Give the resource of a kind, as ``Route``."""
    return _BY_KIND[kind]


class Target(NamedTuple):
    """What a path is about; empty where the path does not say."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def parse(path: str) -> Target | None:
    """Say what a path is about; None where there is nothing of the kind."""
    if match := _NAMESPACE.fullmatch(path):
        return Target(NAMESPACES, "", match[1], "status" if match[2] else "")
    match = _PATH.fullmatch(path)
    resource = _BY_PLURAL.get((match[1], match[3])) if match else None
    if match is None or resource is None:
        return None
    target = Target(resource, match[2] or "", match[4] or "", match[5] or "")
    if target.subresource and target.subresource not in resource.subresources:
        return None
    if resource.namespaced and target.name and not target.namespace:
        return None
    return None if target.namespace and not resource.namespaced else target
