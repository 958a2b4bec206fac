"""Takes back, in one cluster, what a pair wrote there, without asking the other one: it is gone for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from router.cluster.kinds import PORT_CLAIMS, SERVICES, Resource
from router.errors import ApiConflict, ApiNotFound
from router.kube.api import DeletingApi
from router.kube.pages import Pages
from router.pair.objects import (
    CLAIMS,
    COPIED_FROM,
    ENDPOINTS,
    FINALIZER,
    OWN,
    PAIRED_CLAIM,
    PAIRED_WITH,
    SLICES,
    PairObject,
)
from router.pair.watched import read_object
from router.shapes import write
from router.status.route import MERGE_PATCH

Say = Callable[[str], None]


class Forgetting:
    """What is done once.

    Args:
        api: the API server.
        other: the name of the cluster that is gone.
        router_namespace: where the PortClaims are.
        say: is told of each thing that is done.
    """

    def __init__(self, api: DeletingApi, other: str, router_namespace: str, say: Say) -> None:
        self._api = api
        self._other = other
        self._router_namespace = router_namespace
        self._say = say

    def run(self) -> int:
        """Do it; give how many objects were changed. Done twice, the second time finds nothing.

        Raises:
            ApiError: as the API server answered; what was done stays done.
        """
        changed = 0
        own = {"labelSelector": f"{OWN},{PAIRED_WITH}={self._other}"}
        for resource in (SLICES, ENDPOINTS, SERVICES):
            for obj in self._all(resource, "", own):
                changed += self._delete(resource, obj)
        claims = list(self._all(CLAIMS, "", {}))
        living = {(each.metadata.namespace, each.name) for each in claims if not each.is_going}
        for obj in self._all(PORT_CLAIMS, self._router_namespace, own):
            changed += self._lift(obj, living)
        for claim in claims:
            changed += self._let_go(claim)
        return changed

    def _lift(self, reservation: PairObject, living: set[tuple[str, str]]) -> int:
        """Delete a reservation, unless its claim lives: by it the router knows the claim's port, which shall stay."""
        holder = (reservation.spec or {}).get("holder") or {}
        key = holder.get("namespace", ""), (reservation.metadata.annotations or {}).get(PAIRED_CLAIM, "")
        if key in living:
            port = (reservation.spec or {}).get("port")
            self._say(f"kept: PortClaim {reservation.name}: port {port} of TransportServerClaim {key[0]}/{key[1]}")
            return 0
        return self._delete(PORT_CLAIMS, reservation)

    def _let_go(self, claim: PairObject) -> int:
        """Take the finalizer from a claim, and the label from a copy, which is a claim like any other from now on."""
        metadata: dict[str, object] = {}
        finalizers = [each for each in claim.metadata.finalizers or () if each != FINALIZER]
        if len(finalizers) != len(claim.metadata.finalizers or ()):
            metadata["finalizers"] = finalizers or None
        if (claim.metadata.labels or {}).get(COPIED_FROM) == self._other:
            metadata["labels"] = {COPIED_FROM: None}
        if not metadata:
            return 0
        metadata["uid"] = claim.metadata.uid
        path = f"{CLAIMS.path(claim.metadata.namespace)}/{claim.name}"
        try:
            # Of nothing else than these two is anything sent, so that who writes meanwhile loses nothing by it, but for a finalizer.
            self._api.patch(path, write({"metadata": metadata}), MERGE_PATCH)
        except ApiNotFound:
            return 0
        self._say(f"let go: TransportServerClaim {claim.key}")
        return 1

    def _delete(self, resource: Resource, obj: PairObject) -> int:
        preconditions = {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            self._api.delete(f"{resource.path(obj.metadata.namespace)}/{obj.name}", write(body))
        except ApiNotFound:
            return 0
        except ApiConflict as error:
            self._say(f"left: {resource.name} {obj.key}: {error.said or error}; try again")
            return 0
        self._say(f"deleted: {resource.name} {obj.key}")
        return 1

    def _all(self, resource: Resource, namespace: str, query: dict[str, str]) -> Iterator[PairObject]:
        pages = Pages(self._api, resource.path(namespace), query)
        while not pages.is_over:
            for raw in pages.read().items:
                try:
                    yield read_object(raw)
                except msgspec.DecodeError as error:
                    self._say(f"left: one of {resource.name} that cannot be read: {error}")
