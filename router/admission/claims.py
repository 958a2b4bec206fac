"""Who gets which port and which host: claims in their order, decided per port and per host.

The order is the same everywhere: who holds it by its status, then the oldest, then by namespace and name. It depends only
on the objects, so that every replica decides alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from router.admission.options import EXTERNAL_TCP_PORT_SNI, port_option_difference
from router.admission.request import Request, displayed_host
from router.admission.verdicts import Reason, Rejection
from router.model import PortOptions
from router.resources import ObjectKey

_Order = tuple[bool, bool, str, ObjectKey]


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one Route claims; equal claims are decided equally, whatever else changed on the Route."""

    key: ObjectKey
    port: int | None
    shares_port: bool
    port_options: PortOptions
    host: str | None
    created: str | None
    holds_port: bool
    holds_host: bool

    @classmethod
    def of(cls, request: Request) -> Claim:
        """Give the claim of a Route that may be served."""
        return cls(
            key=request.key,
            port=request.port,
            shares_port=request.shares_port,
            port_options=request.options.port,
            host=request.host,
            created=request.created,
            holds_port=request.holds_port,
            holds_host=request.holds_host,
        )

    @property
    def port_order(self) -> _Order:
        """The place in the queue for the port, and for the host on a shared port."""
        return not self.holds_port, self.created is None, self.created or "", self.key

    @property
    def host_order(self) -> _Order:
        """The place in the queue for the host on the SNI port.

        The status of a Route that shares an external port does not tell on which of the two ports it has its host. It is no
        proof for the SNI port then: were it taken for one, an older Route could take a host from its holder in two steps.
        """
        return not self.holds_host or self.shares_port, self.created is None, self.created or "", self.key


def decide_port(claims: Iterable[Claim]) -> dict[ObjectKey, Rejection | None]:
    """Decide one external port among those who claim it; None is to have it.

    The first in the queue decides whether the port is dedicated or shared and, if shared, with which options.
    """
    queue = list(claims)
    if not queue:
        return {}
    if len(queue) > 1:
        queue.sort(key=lambda claim: claim.port_order)
    first, *others = queue
    decided: dict[ObjectKey, Rejection | None] = {first.key: None}
    hosts = {first.host: first}
    for claim in others:
        rejection = _port_rejection(claim, first, hosts)
        decided[claim.key] = rejection
        if rejection is None:
            hosts[claim.host] = claim
    return decided


def decide_host(claims: Iterable[Claim]) -> Claim | None:
    """Decide one host on the SNI port among those who claim it."""
    return min(claims, key=lambda claim: claim.host_order, default=None)


def host_loss(claim: Claim, holder: ObjectKey, sni_port: int) -> str:
    """Say who has the host of a Route on the SNI port."""
    return f"host {displayed_host(claim.host or '')} is held by Route {holder} on the SNI port {sni_port}"


def _port_rejection(claim: Claim, first: Claim, hosts: Mapping[str | None, Claim]) -> Rejection | None:
    if not first.shares_port:
        return Rejection(Reason.PORT_ALREADY_CLAIMED, f"port {claim.port} is held by Route {first.key}")
    if not claim.shares_port:
        return Rejection(
            Reason.PORT_ALREADY_CLAIMED,
            f"port {claim.port} is held by Route {first.key}, which shares it with Routes "
            f"that have the annotation {EXTERNAL_TCP_PORT_SNI}",
        )
    if claim.port_options != first.port_options:
        key, wanted, held = port_option_difference(claim.port_options, first.port_options)
        return Rejection(
            Reason.INVALID_ANNOTATION,
            f"annotation {key} is {wanted}, but {held} on Route {first.key}, which holds port {claim.port}; "
            "Routes that share a port must agree on it",
        )
    holder = hosts.get(claim.host)
    if holder is not None:
        return Rejection(
            Reason.HOST_ALREADY_CLAIMED,
            f"host {displayed_host(claim.host or '')} on port {claim.port} is held by Route {holder.key}",
        )
    return None
