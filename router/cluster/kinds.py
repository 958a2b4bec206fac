"""The resources that are watched: where they are, and what their objects become in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.cluster.decoding import Head, decode_endpoints, decode_object
from router.cluster.kept import SERVICE_LABEL, kept_slice
from router.objects import cis, porter
from router.objects.core import Service
from router.objects.decoding import Misfit
from router.objects.discovery import EndpointSlice
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API. ``name`` is its plural, as paths, metrics and logs have it."""

    name: str
    root: str
    """Path of its group and version."""
    absent: str
    """What to tell where the API server does not have it."""
    fields: str = ""
    """A field selector: which of its objects are asked for; empty is all."""
    withheld: str = ""
    """Of a kind without which somebody is let in: what to tell where the API server has it, and does not let it be read."""

    older: tuple[str, ...] = ()
    """Paths of older versions, whose objects are of the same form: read, in this order, where ``root`` has none of the kind."""

    @property
    def group(self) -> str:
        """Its API group; empty is that of the core."""
        _, _, rest = self.root.partition("/apis/")
        return rest.partition("/")[0]

    def path(self, namespace: str = "") -> str:
        """Give the path of the collection; no namespace is all of them."""
        return self.paths(namespace)[0]

    def paths(self, namespace: str = "") -> tuple[str, ...]:
        """Give it, and behind it those of older versions."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        return tuple(f"{root}{scope}/{self.name}" for root in (self.root, *self.older))


ROUTES = Resource(
    "routes",
    "/apis/route.openshift.io/v1",
    "this cluster has no Route API (route.openshift.io/v1): install the Route CRD, docs/kubernetes.md says how;"
    " the router waits for it, unless Services ask for ports",
)
NAMESPACES = Resource("namespaces", "/api/v1", "the API server has no namespaces; is it a Kubernetes API server?")
SERVICES = Resource("services", "/api/v1", "the API server has no services; is it a Kubernetes API server?")
_ENDPOINTS = Resource(
    "endpoints", "/api/v1", "this cluster has no Endpoints; run the router with --endpoints endpointslices"
)
_SLICES = Resource(
    "endpointslices",
    "/apis/discovery.k8s.io/v1",
    "this cluster has no EndpointSlices (discovery.k8s.io/v1); run the router with --endpoints endpoints",
)

PORT_CLAIMS = Resource(
    "portclaims",
    "/apis/tcp-router.openshift.io/v1alpha1",
    "this cluster has no PortClaims (tcp-router.openshift.io/v1alpha1): apply manifests/crds; the router waits for them",
)
"""Of the router's own namespace alone."""

SERVER_CLAIMS = Resource(
    "transportserverclaims",
    f"/apis/{porter.GROUP}/{porter.VERSION}",
    "this cluster has no TransportServerClaims (porter.devops.gov.bc.ca/v1alpha1): apply manifests/crds/transport-server-claims;"
    " everything else is served meanwhile",
)

TRANSPORT_SERVERS = Resource(
    "transportservers",
    f"/apis/{cis.GROUP}/{cis.VERSION}",
    "this cluster has no TransportServers (cis.f5.com/v1), whose CRD comes with F5's controller; everything else is served meanwhile",
)

PODS = Resource("pods", "/api/v1", "the API server has no pods; is it a Kubernetes API server?")
"""Of the routers alone."""


@dataclass(frozen=True, slots=True)
class FollowedKind:
    """A resource of which only the objects of some Services are kept."""

    resource: Resource
    decode: Callable[[bytes], tuple[KubernetesObject, ...] | Misfit]
    """Makes what goes into the store, of the JSON of one object."""
    service_of: Callable[[Head], ObjectKey]
    """Says which Service an object belongs to."""
    selector: Callable[[str], Mapping[str, str]]
    """Gives the query that lists the objects of the Service of this name."""


def _decode_slice(raw: bytes) -> tuple[EndpointSlice] | Misfit:
    endpoint_slice = decode_object(EndpointSlice, raw)
    return endpoint_slice if isinstance(endpoint_slice, Misfit) else (kept_slice(endpoint_slice),)


def _by_name(name: str) -> Mapping[str, str]:
    return {"fieldSelector": f"metadata.name={name}"}


def services(decode: Callable[[bytes], tuple[Service] | Misfit]) -> FollowedKind:
    """Give the kind of Services; what is kept of one depends on whether it asks to be served itself."""
    return FollowedKind(SERVICES, decode, lambda head: head.key, _by_name)


ENDPOINTS = FollowedKind(_ENDPOINTS, decode_endpoints, lambda head: head.key, _by_name)
SLICES = FollowedKind(
    _SLICES,
    _decode_slice,
    lambda head: ObjectKey(head.metadata.namespace, (head.metadata.labels or {}).get(SERVICE_LABEL, "")),
    lambda name: {"labelSelector": f"{SERVICE_LABEL}={name}"},
)
