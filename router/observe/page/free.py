"""Which ports are free; pure."""

from __future__ import annotations

from collections.abc import Iterable

from router.admission import Verdict
from router.objects.portclaim import PortClaim
from router.settings import AdmissionSettings, PortRanges


def free_ports(
    settings: AdmissionSettings, ranges: PortRanges, verdicts: Iterable[Verdict], claims: Iterable[PortClaim]
) -> PortRanges:
    """Give those of some ports that nobody has, on the addresses that the router is bound to.

    Args:
        settings: what is reserved, and which PortClaims are gone by.
        ranges: the ports that are asked about.
        verdicts: who has what.
        claims: who holds what, and what is reserved.
    """
    taken = {each.port for each in verdicts if each.port is not None and each.held and not each.address}
    taken |= {settings.sni_port, *settings.own_ports}
    for claim in claims:
        spec = claim.spec
        if spec.ledger == settings.ledger and spec.port and not spec.address and claim.status.released_at is None:
            taken.update(range(spec.port, (spec.port_end or spec.port) + 1))
    reserved = settings.reserved_ports
    found: list[tuple[int, int]] = []
    for port in ranges:
        if port in taken or port in reserved:
            continue
        if found and found[-1][1] == port - 1:
            found[-1] = found[-1][0], port
        else:
            found.append((port, port))
    return PortRanges(tuple(found))
