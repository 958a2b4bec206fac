"""Writes single PortClaims."""

from __future__ import annotations

from collections.abc import Mapping

from router.admission.places import Place
from router.errors import ApiNotFound
from router.kube.api import DeletingApi
from router.model import Asker
from router.objects.portclaim import Origin, PortClaim
from router.shapes import write
from router.status.claim_work import displayed
from router.status.route import MERGE_PATCH

_GROUP = "tcp-router.openshift.io/v1alpha1"


class ClaimApi:
    """Writes the claims of one ledger.

    Args:
        api: the API server.
        namespace: the router's own.
        ledger: the name of its claims.
        router_name: for people who read them.
    """

    def __init__(self, api: DeletingApi, namespace: str, ledger: str, router_name: str) -> None:
        self._api = api
        self._path = f"/apis/{_GROUP}/namespaces/{namespace}/portclaims"
        self._namespace = namespace
        self._ledger = ledger
        self._router_name = router_name

    def create(self, name: str, place: Place, asker: Asker) -> None:
        """Write that somebody has a place.

        Raises:
            ApiError: as the API server answered; ApiConflict where there is a claim of that name.
        """
        self._create(name, place, "Won", asker._asdict())

    def reserve(self, name: str, place: Place, asker: Asker) -> None:
        """Write that a place is kept for whoever has an asker's name, as an admin does.

        Raises:
            ApiError: as ``create`` does.
        """
        self._create(name, place, "Reserved", asker.unnumbered._asdict())

    def _create(self, name: str, place: Place, origin: Origin, holder: Mapping[str, str]) -> None:
        spec = {
            "ledger": self._ledger,
            "routerName": self._router_name,
            **({"address": place.address} if place.address else {}),
            "port": place.port,
            "host": displayed(place.host),
            "origin": origin,
            "holder": dict(holder),
        }
        body = {
            "apiVersion": _GROUP,
            "kind": "PortClaim",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": spec,
        }
        self._api.post(self._path, write(body))

    def delete(self, claim: PortClaim) -> bool:
        """Delete a claim as it is known; one that somebody touched meanwhile is not the one that this was decided about.

        Returns:
            Whether it was there.

        Raises:
            ApiError: as the API server answered; ApiConflict where it is another.
        """
        preconditions = {"uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            self._api.delete(f"{self._path}/{claim.metadata.name}", write(body))
        except ApiNotFound:
            return False
        return True

    def touch(self, name: str, now: str) -> None:
        """Write that a claim's place is used now.

        Raises:
            ApiError: as the API server answered.
        """
        self._api.patch(f"{self._path}/{name}/status", write({"status": {"lastUsed": now}}), MERGE_PATCH)

    def tell(self, claim: PortClaim, status: Mapping[str, object]) -> None:
        """Write a claim's status.

        Raises:
            ApiError: as the API server answered; ApiConflict where the claim was changed meanwhile.
        """
        body = {"metadata": {"resourceVersion": claim.metadata.resource_version}, "status": status}
        self._api.patch(f"{self._path}/{claim.metadata.name}/status", write(body), MERGE_PATCH)
