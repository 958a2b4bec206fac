"""porter.devops.gov.bc.ca/v1alpha1: TransportServerClaims, by which teams of installations with F5 appliances ask for a TCP port."""

from __future__ import annotations

from router.objects.meta import Fields, WholeObject

GROUP, VERSION, CLAIM_KIND = "porter.devops.gov.bc.ca", "v1alpha1", "TransportServerClaim"


class TransportServerClaimSpec(Fields, frozen=True):
    """``spec`` of a TransportServerClaim: where it leads."""

    service: str = ""
    service_port: int | str = 0
    """Of the Service, which may lead to another port of its pods."""


class TransportServerClaim(WholeObject, frozen=True):
    """porter.devops.gov.bc.ca/v1alpha1 TransportServerClaim."""

    spec: TransportServerClaimSpec = TransportServerClaimSpec()
