"""Where clients reach a Service of type LoadBalancer of our class, as its ``status.loadBalancer`` says it; pure, but for one memory of the API server.

A hostname by default: OVN-Kubernetes makes every ``ip`` there a load balancer of its own, which leads to the pods past the router, and
ignores ``ipMode``. An ``ip`` with the mode Proxy (KEP-1860) is told of named addresses alone, where an admin chose so, and only if they are
not the nodes' own. An API server that does not know the mode drops it; then the address is taken out again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from router.admission import Verdict
from router.admission.target_port import is_tcp
from router.objects.core import LoadBalancerIngress, PortStatus, Service

PROXY = "Proxy"
_NOT_TCP = "ProtocolNotSupported"
"""The error of a port that is no TCP port."""
_NOT_DECIDED = "Pending"
"""That of one of which nothing is decided yet."""


@dataclass(slots=True)
class Balancing:
    """What there is to know of addresses, for Services of our class."""

    hostnames: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """``--address-hostname``, by the name of the address."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The IPs of ``--address``, by its name."""
    ips: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The same, as Services are told them: none where they are not to be."""
    node_ips: Callable[[], frozenset[str] | None] = lambda: None
    """Gives the addresses of nodes and pods of routers, None where they are not known; any thread."""
    keeps_mode: bool = True
    """Whether the API server keeps the mode of an IP, as far as is known: by its answer to one, which nobody else can have written."""

    def look(self, service: Service) -> None:
        """Look what the API server made of IPs that were just written."""
        if any(each.ip and each.ip_mode != PROXY for each in service.status.ingress):
            self.keeps_mode = False

    def reached(self, address: str, hostname: str) -> tuple[LoadBalancerIngress, ...]:
        """Give how clients reach an address: by a name, or by IPs.

        Args:
            address: the name of the address; empty for those that the router is bound to.
            hostname: of the router, for those.
        """
        ips = self.ips.get(address, ()) if self.keeps_mode else ()
        of_nodes = self.node_ips() if ips else None
        if of_nodes is not None and of_nodes.isdisjoint(ips):
            return tuple(LoadBalancerIngress(ip=ip, ip_mode=PROXY) for ip in ips)
        name = self.hostnames.get(address, "") if address else hostname
        return (LoadBalancerIngress(hostname=name),) if name and not _is_address(name) else ()


def ingress_of(
    service: Service, verdict: Verdict | None, router_name: str, hostname: str, balancing: Balancing
) -> tuple[LoadBalancerIngress, ...]:
    """Give what its status shall say; nothing where none of its ports is served, or clients have no name to come by.

    Args:
        service: the Service.
        verdict: what became of all of its ports.
        router_name: ours.
        hostname: by which clients reach the router; empty is not known.
        balancing: what is known of addresses.
    """
    if verdict is None or service.router_of_class != router_name:
        return ()
    served = [each for each in verdict.sections if each.held]
    if not served:
        return ()
    ports = tuple(_ports(service, verdict))
    return tuple(
        LoadBalancerIngress(each.hostname, each.ip, each.ip_mode, ports)
        for each in balancing.reached(served[0].address, hostname)
    )


def warnings_of(
    service: Service, verdict: Verdict, router_name: str, hostname: str, balancing: Balancing
) -> tuple[str, ...]:
    """Say so where a Service is served and its status names no place, and by which option it would."""
    is_served = any(each.held for each in verdict.sections)
    if (
        not is_served
        or service.router_of_class != router_name
        or ingress_of(service, verdict, router_name, hostname, balancing)
    ):
        return ()
    address = next(each.address for each in verdict.sections if each.held)
    option = f"--address-hostname {address}=HOST" if address else "--canonical-hostname"
    return (
        f"NoHostname: status.loadBalancer stays empty, for the router knows no DNS name of its own there; its admin gives one by {option}",
    )


def _ports(service: Service, verdict: Verdict) -> Iterator[PortStatus]:
    """Give an entry for each port of the Service, with an error where it is not served."""
    by_section = {each.asker.section: each for each in verdict.sections}
    for port in service.spec.ports or ():
        if not is_tcp(port.protocol):
            yield PortStatus(port.port, port.protocol, _NOT_TCP)
            continue
        section = by_section.get(port.name)
        if section is None or section.port != port.port:
            yield PortStatus(port.port, port.protocol, _NOT_DECIDED)
        else:
            yield PortStatus(port.port, port.protocol, None if section.held else str(section.reason))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
