"""The status of the kinds that a router serves by an option alone; a function for each (docs/architecture.md, "Adding a kind")."""

from __future__ import annotations

from collections.abc import Iterator

from router.admission import transport_server as servers
from router.admission import transport_server_claim as server_claims
from router.objects import cis, porter
from router.settings import AdmissionSettings, ServerClaims
from router.status import transport_server, transport_server_claim
from router.status.kinds import StatusKind


def more_kinds(settings: AdmissionSettings) -> Iterator[StatusKind]:
    """Give those that are served."""
    if settings.server_claims != "off":
        yield _server_claims(settings.server_claims)
    if settings.transport_servers:
        yield _transport_servers(settings)


def _transport_servers(settings: AdmissionSettings) -> StatusKind:
    return StatusKind(
        cis.KIND,
        cis.TransportServer,
        is_ours=lambda obj, _router_name: servers.is_ours(obj, settings),
        has_entry=transport_server.has_entry,
        summed=transport_server.summed,
        decide=transport_server.decide_status,
        own_entry=transport_server.own_entry,
        named_node=transport_server.named_node,
        may_be_anothers=lambda _server, _identity, _was_seen: True,
        same_request=transport_server.same_request,
        warnings=transport_server.warnings,
        read=transport_server.read_server,
        patch=transport_server.patch_status,
    )


def _server_claims(serves: ServerClaims) -> StatusKind:
    return StatusKind(
        porter.CLAIM_KIND,
        porter.TransportServerClaim,
        is_ours=lambda obj, router_name: server_claims.is_ours(obj, router_name, serves),
        has_entry=server_claims.was_told,
        summed=transport_server_claim.summed,
        decide=transport_server_claim.decide_status,
        own_entry=transport_server_claim.own_entry,
        named_node=transport_server_claim.named_node,
        may_be_anothers=lambda _claim, _identity, _was_seen: True,
        same_request=transport_server_claim.same_request,
        warnings=transport_server_claim.warnings,
        read=transport_server_claim.read_claim,
        patch=transport_server_claim.patch_status,
    )
