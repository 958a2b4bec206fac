"""Where the routers themselves listen.

An endpoint there would feed a Route from itself: each connection makes the next one, until the process has no more to give.
What counts as an address of the routers is the same for all replicas, as a connection that leaves one comes back by another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Set  # noqa: PYI025 - as it is called in collections.abc
from dataclasses import dataclass
from functools import lru_cache

from router.admission.addresses import inside
from router.objects.core import RouterPod
from router.ordered import shared
from router.settings import AdmissionSettings


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """The routers' addresses."""

    addresses: frozenset[str] = frozenset()
    """In their canonical spelling."""
    has_loopback: bool = False
    """Every loopback address is one of them: something is bound to all addresses."""

    @classmethod
    def of(cls, texts: Iterable[str], *, has_loopback: bool = False) -> OwnAddresses:
        """Make of texts; what is no address, or the unspecified one, is passed over."""
        return cls(frozenset(filter(None, map(_canonical, texts))), has_loopback)

    def __or__(self, other: OwnAddresses) -> OwnAddresses:
        return OwnAddresses(self.addresses | other.addresses, self.has_loopback or other.has_loopback)

    def __contains__(self, address: str) -> bool:
        """Say whether a connection to this address, as ``judge_address`` spells it, may come to a router."""
        if ":" not in address:
            return address in self.addresses or (self.has_loopback and _is_loopback(address))
        reached = inside(address)
        return not self.addresses.isdisjoint(reached) or (self.has_loopback and any(map(_is_loopback, reached)))


class Listening:
    """Says whether the routers listen on a port of an address of theirs.

    Args:
        settings: their own ports, and which addresses have names.
        served_on: gives the names of the addresses on which an external port is served.
    """

    def __init__(self, settings: AdmissionSettings, served_on: Callable[[int], Set[str]]) -> None:
        self._own_ports = {*settings.own_ports, settings.sni_port}
        self._own_ips = {name: OwnAddresses.of(address.ips) for name, address in settings.addresses.items()}
        self._served_on = served_on

    def __call__(self, address: str, port: int) -> bool:
        """Say so."""
        if port in self._own_ports:
            return True
        return any(not name or address in self._own_ips[name] for name in self._served_on(port))


class OwnPlaces:
    """Follows what the routers' addresses are.

    Args:
        settings: those that are known from the beginning, and the routers' own ports.
        served_on: gives the names of the addresses on which an external port is served.
    """

    def __init__(self, settings: AdmissionSettings, served_on: Callable[[int], Set[str]]) -> None:
        own = (*settings.own_addresses, *(ip for address in settings.addresses.values() for ip in address.ips))
        self._settled = OwnAddresses.of(own, has_loopback=settings.listens_everywhere)
        self._is_served = Listening(settings, served_on)
        self.addresses = self._settled
        """As they are now."""

    def meet(self, pods: Iterable[RouterPod]) -> bool:
        """Take note of the addresses of the routers' pods; say whether there are others now."""
        former = self.addresses
        self.addresses = self._settled | OwnAddresses.of(address for pod in pods for address in pod.addresses)
        return self.addresses != former

    def loops(self) -> Loops:
        """Give what tells of the endpoints of one Route."""
        return Loops(self.addresses, self._is_served)


class Loops:
    """Tells of the endpoints of one Route whether they are the routers themselves, and remembers what that depends on.

    Args:
        own: the routers' addresses.
        is_served: says whether the routers listen on a port of an address of theirs.
    """

    def __init__(self, own: OwnAddresses, is_served: Callable[[str, int], bool]) -> None:
        self.own = own
        """The routers' addresses."""
        self._is_served = is_served
        self._ports: set[int] = set()

    def fresh(self) -> Loops:
        """Give one that was not asked anything yet."""
        return Loops(self.own, self._is_served)

    @property
    def ports(self) -> frozenset[int]:
        """The ports of endpoints at the routers' addresses: when one of them is served, or ceases to be, the answer is another."""
        return shared(frozenset(self._ports))

    def lead_back(self, address: str, port: int) -> bool:
        """Say whether a connection to this address, as ``judge_address`` spells it, and port comes to a router.

        Other ports at these addresses are left to whom they belong: on the host's network other pods have the same address.
        """
        if address not in self.own:
            return False
        self._ports.add(port)
        return self._is_served(address, port)


@lru_cache(maxsize=1 << 10)
def _canonical(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    known = mapped or address
    return None if known.is_unspecified else str(known)


def _is_loopback(address: str) -> bool:
    # In its canonical spelling, which tells it.
    return address == "::1" or address.startswith("127.")
