"""Which ports are free."""

from __future__ import annotations

from dataclasses import replace

from router.admission import Admission
from router.objects.portclaim import ClaimHolder, PortClaimStatus
from router.observe.page.free import free_ports
from router.settings import PortRanges
from tests.unit.admission.builders import SETTINGS, objects_of, port_claim, route

ASKED = replace(SETTINGS, ports=PortRanges.parse("5000-5009"), reserved_ports=PortRanges.of(5009), sni_port=5008)


def test_what_nobody_has() -> None:
    """Not those of Routes, of PortClaims, reserved ones and the router's own; one that was released is free."""
    holder = ClaimHolder("route.openshift.io", "Route", "shop", "old")
    claims = [
        port_claim("a", 5003, holder),
        port_claim("b", 5005, origin="Reserved", end=5006),
        port_claim("c", 5001, holder, address="other"),
    ]
    released = port_claim("d", 5007, holder)
    claims.append(type(released)(released.metadata, released.spec, PortClaimStatus(released_at="2024-06-01T00:00:00Z")))
    objects = objects_of(route("db", 5000), route("loser", 5000, created="2025-01-01T00:00:00Z"))
    verdicts = Admission(ASKED).update(objects, objects.everything()).verdicts
    assert str(free_ports(ASKED, ASKED.ports, verdicts.values(), claims)) == "5001-5002,5004,5007"
    assert str(free_ports(ASKED, PortRanges(()), verdicts.values(), claims)) == ""
