"""In what two sections of one Route differ; pure."""

from __future__ import annotations

from dataclasses import replace

from router.model import Frontend, RouteSection
from router.model.tls import NOTHING_PRIVATE, Certificate, ClientTls, PortTls
from router.ordered import differences
from router.plan.outcome import ReloadCause


def ending(before: RouteSection, after: RouteSection) -> frozenset[str]:
    """Give the servers whose connections end with them: those of endpoints that left, where the Route wants that.

    A Route that goes, or moves to another port, is no reason to end any: its endpoints are there.
    """
    if not after.backend.shutdown_sessions_on_removed:
        return frozenset()
    # Under another name (of its Service's port, say) an endpoint is there all the same.
    gone, come = differences(before.backend.servers, after.backend.servers, after.backend.advance)
    there = {(server.address, server.port) for server in come}
    return frozenset(each.name for each in gone if (each.address, each.port) not in there)


def difference(before: RouteSection, after: RouteSection) -> ReloadCause:
    """Name the kind of what two sections of one Route differ in, where that needs a reload."""
    former, wanted = before.frontend, after.frontend
    if former is not None and wanted is not None and former.spot != wanted.spot:
        return ReloadCause.PORT_CHANGED
    if former != wanted and _ips(former) != _ips(wanted):
        return ReloadCause.ADDRESS_CHANGED
    if (former is None) is not (wanted is None):
        return ReloadCause.PORT_CHANGED
    if before.backend.servers != after.backend.servers:
        return ReloadCause.SERVERS_CHANGED
    return ReloadCause.OPTIONS_CHANGED


def is_same_port(before: RouteSection, after: RouteSection) -> bool:
    """Say whether two sections listen alike, but for the certificate that they show, and what those of clients are verified by."""
    one, other = before.frontend, after.frontend
    if one is other:
        return True
    if one is None or other is None or one.tls is None or other.tls is None:
        return one == other
    return replace(one, tls=_fixed(one.tls)) == replace(other, tls=_fixed(other.tls))


def is_alike(before: RouteSection, after: RouteSection) -> bool:
    """Say whether they listen so, and lead to servers that are verified alike."""
    return is_same_port(before, after) and before.backend.tls == after.backend.tls


def _fixed(tls: PortTls) -> PortTls:
    """Give what of it only a reload can change."""
    clients = tls.clients
    if clients is not None:
        has_lists = "lists" if clients.revoked else ""
        clients = ClientTls("", clients.required, has_lists, clients.subjects, tells_apart=clients.tells_apart)
    return replace(tls, certificate=Certificate(NOTHING_PRIVATE, 0, 0), clients=clients)


def is_same_place(before: RouteSection, after: RouteSection) -> bool:
    """Say whether no other place of the pool will do better than the one in which it is."""
    return is_same_port(before, after) and (before.stages is None) is (after.stages is None)


def is_led_alike(before: RouteSection, after: RouteSection) -> bool:
    """Say whether clients can be led as before, where their TLS ends behind ports.

    Whether these have room for what leads them otherwise is known only when all Routes are planned: who is served stays so until a reload.
    """
    return before.is_gated is after.is_gated or not (before.stages and after.stages)


def _ips(frontend: Frontend | None) -> tuple[str, ...]:
    return frontend.ips if frontend is not None else ()
