"""Where clients reach a Service of our class, as its status says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from router.admission import Reason, Verdict
from router.admission.places import Place
from router.model import Asker
from router.objects.core import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    PortStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from router.objects.meta import ObjectMeta
from router.status.balanced import Balancing
from router.status.route import Identity, StatusChange
from router.status.service import decide_status, patch_status, summed, warnings

PORTS = (ServicePort(5432, "pg"), ServicePort(9187, "metrics"), ServicePort(53, "dns", "UDP"))


def service(**spec: Any) -> Service:
    """Make the Service ``shop/db`` of our class."""
    fields = {
        "type": "LoadBalancer",
        "ports": PORTS,
        "load_balancer_class": "tcp-router.openshift.io/tcp-router",
        **spec,
    }
    return Service(ObjectMeta(name="db", namespace="shop", uid="u1"), ServiceSpec(**fields))


def verdict(section: str, port: int, reason: Reason | None = None, address: str = "") -> Verdict:
    """Make the verdict of one port."""
    asker = Asker("", "Service", "shop", "db", section, "u1")
    is_aside = reason is Reason.PORT_UNAVAILABLE
    return Verdict(
        asker=asker,
        port=port,
        reason=reason,
        message="why" if reason is not None else "",
        set_aside=is_aside,
        places=(Place(port, address=address),) if reason is None or is_aside else (),
        address=address,
    )


class World:
    """A Service as the API server has it, and who writes its status."""

    def __init__(self, hostname: str = "tcp.example.com", *, drops_mode: bool = False, **balancing: Any) -> None:
        balancing = {"node_ips": frozenset, **balancing}
        self.identity = Identity("tcp-router", hostname, "node-1", Balancing(**balancing))
        self.drops_mode = drops_mode
        self.service = service()
        self.writes = 0

    def tell(self, *verdicts: Verdict) -> None:
        """Bring the status level."""
        while (change := self.decide(*verdicts)) is not None:
            self.writes += 1
            assert self.writes < 10, "it does not come to an end"
            self.apply(change)

    def decide(self, *verdicts: Verdict) -> StatusChange | None:
        """Decide about the Service as it is."""
        found = summed(self.service, verdicts, self.identity)
        return decide_status(self.service, found, self.identity, 1767229200.0, None)

    def apply(self, change: StatusChange) -> None:
        """Send what is applied to a server."""
        patch_status(self, self.service.key, change.patch, self.identity)  # type: ignore[arg-type]

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:  # noqa: ARG002 - of one Service
        """Take what is applied, as a server does."""
        sent: Mapping[str, Any] = json.loads(body).get("status", {})
        if self.drops_mode:
            for each in sent.get("loadBalancer", {}).get("ingress", ()):
                each.pop("ipMode", None)
        answer = json.dumps({"metadata": {}, "status": sent}).encode()
        read = msgspec.json.decode(answer, type=Service)
        self.service = replace(self.service, status=read.status)
        return answer

    @property
    def ingress(self) -> tuple[LoadBalancerIngress, ...]:
        """What it says of where clients come in."""
        return self.service.status.ingress

    def warnings(self, *verdicts: Verdict) -> tuple[str, ...]:
        """What there is to warn of."""
        found = summed(self.service, verdicts, self.identity)
        assert found is not None
        return warnings(self.service, found, self.identity)


PG, METRICS = verdict("pg", 5432), verdict("metrics", 9187)
SERVED = (
    PortStatus(5432, "TCP"),
    PortStatus(9187, "TCP"),
    PortStatus(53, "UDP", "ProtocolNotSupported"),
)


def test_a_hostname_with_an_entry_for_each_port() -> None:
    """One write, an error where a port is not served, and no other write while it is so."""
    world = World()
    world.tell(PG, METRICS)
    assert world.ingress == (LoadBalancerIngress(hostname="tcp.example.com", ports=SERVED),)
    assert world.writes == 1
    world.tell(PG, verdict("metrics", 9187, Reason.PORT_ALREADY_CLAIMED))
    (ingress,) = world.ingress
    assert ingress.ports is not None
    assert [each.error for each in ingress.ports] == [None, "PortAlreadyClaimed", "ProtocolNotSupported"]
    # What is so on one node alone is no error: others serve it.
    world.tell(verdict("pg", 5432, Reason.PORT_UNAVAILABLE), METRICS)
    assert world.ingress == (LoadBalancerIngress(hostname="tcp.example.com", ports=SERVED),)


def test_nothing_is_said_where_nothing_is_served() -> None:
    """And it is taken back when it was."""
    world = World()
    lost = [verdict("pg", 5432, Reason.PORT_NOT_ALLOWED), verdict("metrics", 9187, Reason.PORT_NOT_ALLOWED)]
    world.tell(*lost)
    assert world.ingress == ()
    (condition,) = world.service.status.conditions or ()
    assert condition.message == "tcp-router: metrics, pg: why"
    world.tell(PG, METRICS)
    world.tell(*lost)
    assert world.ingress == ()
    assert world.warnings(*lost) == ()


@pytest.mark.parametrize("hostname", ["", "192.0.2.1", "2001:db8::1"])
def test_without_a_name_it_stays_empty_and_says_so(hostname: str) -> None:
    """An address is no name."""
    world = World(hostname)
    world.tell(PG, METRICS)
    assert world.ingress == ()
    (warning,) = world.warnings(PG, METRICS)
    assert warning.startswith("NoHostname: ")
    assert warning.endswith("by --canonical-hostname")


def test_a_named_address_has_a_name_of_its_own() -> None:
    """The router's name leads elsewhere."""
    there = verdict("pg", 5432, address="db"), verdict("metrics", 9187, address="db")
    assert World().warnings(*there)[0].endswith("by --address-hostname db=HOST")
    world = World(hostnames=MappingProxyType({"db": "db.example.com"}))
    world.tell(*there)
    assert [each.hostname for each in world.ingress] == ["db.example.com"]
    assert world.warnings(*there) == ()


IPS = MappingProxyType({"db": ("192.0.2.7", "2001:db8::7")})


def test_ips_are_told_with_their_mode_where_an_admin_chose_so() -> None:
    """Of named addresses alone, and not those of nodes; while these are not known, of none."""
    there = verdict("pg", 5432, address="db"), verdict("metrics", 9187, address="db")
    world = World(ips=IPS)
    world.tell(*there)
    assert world.ingress == tuple(
        LoadBalancerIngress(ip=ip, ip_mode="Proxy", ports=SERVED) for ip in ("192.0.2.7", "2001:db8::7")
    )
    world.tell(PG, METRICS)
    assert [each.hostname for each in world.ingress] == ["tcp.example.com"]
    for addresses in (frozenset({"192.0.2.7"}), None):
        nodes = World(ips=IPS, node_ips=lambda addresses=addresses: addresses)
        nodes.tell(*there)
        assert nodes.ingress == (), addresses


@pytest.mark.parametrize("hostnames", [{}, {"db": "db.example.com"}])
def test_an_ip_that_lost_its_mode_is_taken_out_again(hostnames: dict[str, str]) -> None:
    """An API server that does not know the mode would make it one that bypasses the router; it is not tried again."""
    there = verdict("pg", 5432, address="db"), verdict("metrics", 9187, address="db")
    world = World(drops_mode=True, ips=IPS, hostnames=MappingProxyType(hostnames))
    world.tell(*there)
    assert [each.hostname for each in world.ingress] == list(hostnames.values())
    writes = world.writes
    world.tell(*there)
    assert world.writes == writes == 2


def test_what_somebody_else_wrote_tells_nothing_of_the_api_server() -> None:
    """Who may write the status of one Service does not take the IPs of all others; his own is set right."""
    there = verdict("pg", 5432, address="db"), verdict("metrics", 9187, address="db")
    world = World(ips=IPS)
    world.tell(*there)
    right = world.ingress
    wrong = LoadBalancerStatus((LoadBalancerIngress(ip="192.0.2.7", ip_mode="VIP"),))
    world.service = replace(world.service, status=ServiceStatus(world.service.status.conditions, wrong))
    world.tell(*there)
    assert world.ingress == right


def test_a_service_of_another_class_is_left_alone() -> None:
    """Its condition is ours, its load balancer somebody else's."""
    world = World()
    others = LoadBalancerStatus((LoadBalancerIngress(ip="192.0.2.9", ip_mode="VIP"),))
    world.service = replace(service(load_balancer_class=None), status=ServiceStatus(None, others))
    change = world.decide(PG)
    assert change is not None
    assert "loadBalancer" not in json.loads(change.patch.body)["status"]
    assert world.identity.balancing.keeps_mode
