"""The ports that several share, each with its hosts, as they are published: what did not change is the object that it was; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from router.admission.claims import Claim
from router.model import PortOptions, SharedFrontend, SniHost, Spot, backend_name
from router.ordered import Advance, SortedMap

_host_of = attrgetter("host")


class SharedFrontends:
    """All of them; none is published as long as nobody has a host there, but for the SNI port.

    Args:
        spare_gates: how many sockets each has in advance for hosts whose clients are asked for certificates.
    """

    def __init__(self, spare_gates: int = 0) -> None:
        self._spare_gates = spare_gates
        self._shared: SortedMap[Spot, SharedFrontend] = SortedMap()
        self._hosts: dict[Spot, tuple[tuple[SniHost, ...], list[SniHost]]] = {}
        """By port where one host changed, all hosts as they were published, and the same to be changed: a tuple cannot be without copies of its halves."""

    def values(self) -> tuple[SharedFrontend, ...]:
        """Give them, sorted; the same objects where nothing changed."""
        return self._shared.values()

    def share(self, spot: Spot, served: Iterable[Claim]) -> None:
        """Publish a port as shared by those who have it, if they do share it."""
        claims = list(served)
        if not claims or not claims[0].shares_port:
            if self._shared.get(spot) is not None:
                self._shared.put(spot, None)
            return
        hosts = sorted(map(sni_host, claims), key=_host_of)
        self.publish(spot, claims[0].port_options, tuple(hosts))

    def publish(self, spot: Spot, options: PortOptions, hosts: tuple[SniHost, ...]) -> None:
        """Publish a port with these hosts, sorted, unless it is what was there."""
        frontend = SharedFrontend(spot.port, options, hosts, spot.address, spare_gates=self._spare_gates)
        if self._shared.get(spot) != frontend:
            self._shared.put(spot, frontend)

    def change(self, spot: Spot, host: str, claim: Claim | None) -> None:
        """Have one host of a shared port lead elsewhere, or (None) nowhere."""
        frontend = self._shared.get(spot)
        if frontend is None:
            raise LookupError(f"{spot} is not shared")
        before = frontend.hosts
        place = bisect_left(before, host, key=_host_of)
        former = before[place : place + 1] if before[place : place + 1] and before[place].host == host else ()
        current = (sni_host(claim),) if claim is not None else ()
        if current == former:
            return
        published, hosts = self._hosts.get(spot, ((), []))
        if published is not before:
            hosts = list(before)
        hosts[place : place + len(former)] = current
        after = tuple(hosts)
        self._hosts[spot] = after, hosts
        self._shared.put(spot, replace(frontend, hosts=after, advance=Advance(before, after, former, current)))


def sni_host(claim: Claim) -> SniHost:
    """Give the host that a claim is to, and where it leads."""
    return SniHost(claim.host or "", backend_name(claim.asker), claim.asker, claim.port_tls)
