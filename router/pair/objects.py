"""The objects that a pair reads and writes, in the fields that it needs; and by which words an object is known for one of its own."""

from __future__ import annotations

from typing import Any

from router.cluster.kinds import NAMESPACES, PORT_CLAIMS, SERVICES, Resource
from router.objects.meta import Fields, ObjectKey
from router.objects.porter import GROUP, VERSION

CLAIMS = Resource(
    "transportserverclaims",
    f"/apis/{GROUP}/{VERSION}",
    f"this cluster has no TransportServerClaims ({GROUP}/{VERSION}): apply manifests/crds/transport-server-claims; the pair waits for them",
)
ENDPOINTS = Resource("endpoints", "/api/v1", "this cluster has no Endpoints")
SLICES = Resource(
    "endpointslices", "/apis/discovery.k8s.io/v1", "this cluster has no EndpointSlices (discovery.k8s.io/v1)"
)
RESOURCES = {each.name: each for each in (CLAIMS, SERVICES, ENDPOINTS, SLICES, PORT_CLAIMS, NAMESPACES)}
"""All that is read of both clusters, by its plural."""

PREFIX = "tcp-router.openshift.io/"
FINALIZER = f"{PREFIX}pair"
"""On claims of the first cluster for which something was written."""
COPIED_FROM = f"{PREFIX}copied-from"
"""Label of a copy: the name of the cluster that the claim is in."""
PAIRED_WITH = f"{PREFIX}paired-with"
"""Label of all else that is written: the name of the other cluster."""
PAIRED_CLAIM = f"{PREFIX}paired-claim"
"""Annotation of the same: the claim, which may have a name that is too long for a label."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "tcp-router-pair"
OWN = f"{MANAGED_BY}={MANAGER}"
"""Selects what was written, but for copies."""
ADDRESS_ANNOTATION = "haproxy.router.openshift.io/external-address"
COPIED_ANNOTATIONS = ("haproxy.router.openshift.io/", "router.openshift.io/", PREFIX)
"""What annotations of a claim begin with that are copied: what says how it is served, an allowlist above all."""


class PairMeta(Fields, frozen=True):
    """meta/v1 ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None


class PairObject(Fields, frozen=True):
    """A claim, Service, Endpoints, EndpointSlice or Namespace.

    A CRD of claims may have no schema at all, so that nothing is known of spec and status.
    """

    metadata: PairMeta
    spec: Any = None
    status: Any = None
    subsets: Any = None
    address_type: str | None = None
    endpoints: Any = None
    ports: Any = None

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def is_going(self) -> bool:
        """Whether it was deleted, and waits for its finalizers."""
        return self.metadata.deletion_timestamp is not None

    @property
    def paired_claim(self) -> str:
        """For which claim it was written; empty where that is not said."""
        return (self.metadata.annotations or {}).get(PAIRED_CLAIM, "")


def is_own(labels: dict[str, str] | None, other: str) -> bool:
    """Say by its labels whether an object was written by a pair with the cluster of this name."""
    return labels is not None and labels.get(MANAGED_BY) == MANAGER and labels.get(PAIRED_WITH) == other
