"""tcp-router.openshift.io/v1alpha1: PortClaims (manifests/crds/portclaims.yaml, docs/claims.md)."""

from __future__ import annotations

from typing import Literal

from router.objects.meta import Fields, WholeObject

Origin = Literal["Won", "Reserved"]


class ClaimHolder(Fields, frozen=True):
    """``spec.holder``: who has a port, or for whom it is reserved."""

    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    section: str = ""
    uid: str = ""


class PortClaimSpec(Fields, frozen=True):
    """``spec`` of a PortClaim."""

    ledger: str
    port: int
    """0 for the port that all hosts share."""
    origin: Origin
    router_name: str = ""
    address: str = ""
    port_end: int | None = None
    host: str = ""
    """Empty for the whole port; ``*.example.com`` for a wildcard."""
    holder: ClaimHolder | None = None


class ClaimCondition(Fields, frozen=True):
    """One of ``status.conditions``."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class PortClaimStatus(Fields, frozen=True):
    """``status`` of a PortClaim."""

    holder: str = ""
    last_used: str | None = None
    released_at: str | None = None
    conditions: tuple[ClaimCondition, ...] | None = None


class PortClaim(WholeObject, frozen=True):
    """tcp-router.openshift.io/v1alpha1 PortClaim."""

    spec: PortClaimSpec
    status: PortClaimStatus = PortClaimStatus()
