"""porter.devops.gov.bc.ca/v1alpha1: TransportServerClaims, by which teams of installations with F5 appliances ask for a TCP port.

The CRD of that operator has no schema, so that anything may stand in spec and status: both are kept as they were written, and what they
mean, and whether it can be had, is admission's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.objects.core import Condition
from router.objects.meta import ObjectMeta, WholeObject

GROUP, VERSION, CLAIM_KIND = "porter.devops.gov.bc.ca", "v1alpha1", "TransportServerClaim"
FINALIZER = f"{GROUP}/finalizer"
"""Of the operator that serves these claims by an appliance."""
_NOTHING: Mapping[str, Any] = {}


class ClaimMeta(ObjectMeta, frozen=True):
    """``metadata`` of a TransportServerClaim."""

    finalizers: tuple[str, ...] | None = None


class TransportServerClaim(WholeObject, frozen=True):
    """porter.devops.gov.bc.ca/v1alpha1 TransportServerClaim."""

    metadata: ClaimMeta
    spec: Any = None
    """As it was written; what it says is in ``router.admission.transport_server_claim``."""
    status: Any = None

    @property
    def said(self) -> Mapping[str, Any]:
        """The fields of ``status``; none where it has no such form."""
        return self.status if isinstance(self.status, Mapping) else _NOTHING

    @property
    def told_port(self) -> str:
        """``status.port``, by whomever it was written, as text; empty where there is none."""
        port = self.said.get("port")
        return str(port) if isinstance(port, str | int) and not isinstance(port, bool) else ""

    @property
    def told_address(self) -> str:
        """``status.address``; empty where there is none."""
        address = self.said.get("address")
        return address if isinstance(address, str) else ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """``status.conditions``, those that have the form of conditions."""
        listed = self.said.get("conditions")
        return (
            tuple(each for raw in listed if (each := _condition(raw)) is not None) if isinstance(listed, list) else ()
        )


def _condition(raw: object) -> Condition | None:
    if not isinstance(raw, Mapping):
        return None
    texts = [raw.get(key) for key in ("type", "status", "reason", "message")]
    kind, status, reason, message = (each if isinstance(each, str) else "" for each in texts)
    since = raw.get("lastTransitionTime")
    return Condition(kind, status, reason, message, since if isinstance(since, str) else None) if kind else None
