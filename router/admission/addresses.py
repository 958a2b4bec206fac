"""Which addresses of endpoints may be connected to.

A team can write EndpointSlices by hand. Without this filter a Route could lead from outside to what listens on the router's
own loopback, or to the metadata service of the node's cloud, which hands out the node's credentials. Kubernetes forbids
part of it in its own validation (k8s.io/kubernetes, ValidateEndpointIP: unspecified, loopback, link-local, multicast).
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter

_Range = tuple[int, int, str]
_low = itemgetter(0)


def _ranges(*networks: tuple[str, str]) -> tuple[_Range, ...]:
    """Give these, none of which is in another, in order."""
    parsed = ((ipaddress.ip_network(network), kind) for network, kind in networks)
    return tuple(sorted((int(network[0]), int(network[-1]), kind) for network, kind in parsed))


LOOPBACK = "loopback"
_METADATA = "cloud metadata"
_NO_ADDRESS = "no IP address"

_DROPPED_V4 = _ranges(
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", LOOPBACK),
    # Holds the metadata services of AWS, GCP, Azure, OpenStack and others (169.254.169.254).
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("100.100.100.200/32", _METADATA),  # Alibaba Cloud
    ("168.63.129.16/32", _METADATA),  # Azure's WireServer
    ("192.0.0.192/32", _METADATA),  # Oracle Cloud
)
_DROPPED_V6 = _ranges(
    ("::/128", "unspecified"),
    ("::1/128", LOOPBACK),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
    ("fd00:ec2::/32", _METADATA),  # AWS: metadata (::254), and credentials of EKS pods (::23)
    ("fd20:ce::254/128", _METADATA),  # GCP
    ("fd00:c1::a9fe:a9fe/128", _METADATA),  # Oracle Cloud
    # A translator's own choice of a prefix and of where in it the IPv4 address stands (RFC 8215): what is inside cannot be told.
    ("64:ff9b:1::/48", "local NAT64"),
)
_LOW_32 = (1 << 32) - 1

_PRIVATE_V4 = _ranges(
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "shared"),  # RFC 6598; OVN-Kubernetes has its own networks there
    ("192.0.0.0/24", "protocols"),
    ("198.18.0.0/15", "benchmarks"),
    ("240.0.0.0/4", "reserved"),
)
_PRIVATE_V6 = _ranges(
    ("fc00::/7", "unique local"),
    ("fec0::/10", "site-local"),  # deprecated (RFC 3879), and routed as ever where it is in use
)


def _high_96(prefix: str) -> int:
    return int(ipaddress.IPv6Address(prefix)) >> 32


_MAPPED = _high_96("::ffff:0:0")
_IPV4_IN_THE_END = frozenset({
    _high_96("::"),  # IPv4-compatible (RFC 4291, 2.5.5.1): the kernel's automatic tunnels go to the address inside
    _high_96("::ffff:0:0:0"),  # IPv4-translated (RFC 2765)
    _high_96("64:ff9b::"),  # NAT64, the well-known prefix (RFC 6052)
})  # fmt: skip
_6TO4 = 0x2002
_TEREDO = 0x2001_0000
# Of the last 64 bits the first 32, with or without the bit that says that the IPv4 address is unique (RFC 5214, 6.1).
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


_MAX_LENGTH = 64
"""The longest address has 45 characters."""
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
"""An IPv4 address has no other spelling than its canonical one."""


def judge_address(text: str) -> tuple[str, str | None]:
    """Read an endpoint's address.

    Returns:
        The address in its canonical spelling (an IPv4-mapped one as IPv4), and None if it may be connected to; else the
        text as it came, and the kind of address that it is.
    """
    return _judge(text) if len(text) <= _MAX_LENGTH else (text, _NO_ADDRESS)


@lru_cache(maxsize=1 << 14)
def _judge(text: str) -> tuple[str, str | None]:
    if _V4.fullmatch(text):
        return _judged(text, text, int.from_bytes(bytes(map(int, text.split(".")))), _DROPPED_V4)
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text, _NO_ADDRESS
    number = int(address)
    if address.scope_id is not None:
        return text, "with a zone"
    if number >> 32 == _MAPPED:
        return _judged(str(ipaddress.IPv4Address(number & _LOW_32)), text, number & _LOW_32, _DROPPED_V4)
    written, kind = _judged(str(address), text, number, _DROPPED_V6)
    if kind is not None:
        return written, kind
    # However it is sent on its way, what comes out at the end goes to the address inside.
    inside = (_judged(str(address), text, each, _DROPPED_V4) for each in _ipv4_inside(number))
    dropped = [(written, kind) for written, kind in inside if kind is not None]
    return max(dropped, key=lambda each: each[1] != LOOPBACK, default=(str(address), None))


def is_private(address: str) -> bool:
    """Say whether an address, as ``judge_address`` spells one that may be connected to, is of nobody's network but one's own.

    So it is where it only carries such an IPv4 address to a tunnel or a translator.
    """
    reached = inside(address) if ":" in address else (address,)
    return any(_is_in(each, _PRIVATE_V6 if ":" in each else _PRIVATE_V4) for each in reached)


def _is_in(address: str, ranges: tuple[_Range, ...]) -> bool:
    number = int(ipaddress.ip_address(address))
    return any(low <= number <= high for low, high, _ in ranges)


@lru_cache(maxsize=1 << 14)
def inside(address: str) -> tuple[str, ...]:
    """Give all addresses that a connection to this IPv6 address may come to: itself, and the IPv4 addresses that it carries."""
    return (address, *(str(ipaddress.IPv4Address(each)) for each in _ipv4_inside(int(ipaddress.IPv6Address(address)))))


def _ipv4_inside(number: int) -> Iterator[int]:
    """Give the IPv4 addresses that an IPv6 address carries, by which a tunnel or a translator finds its way."""
    if number >> 32 in _IPV4_IN_THE_END or (number >> 32) & _LOW_32 in _ISATAP:
        yield number & _LOW_32
    if number >> 112 == _6TO4:
        yield (number >> 80) & _LOW_32
    if number >> 96 == _TEREDO:
        # The client's is written inverted, its server's as it is (RFC 4380, 4).
        yield ~number & _LOW_32
        yield (number >> 64) & _LOW_32


def _judged(canonical: str, text: str, number: int, dropped: tuple[_Range, ...]) -> tuple[str, str | None]:
    low, high, kind = dropped[bisect_right(dropped, number, key=_low) - 1]
    if low <= number <= high:
        # Loopback alone may be let through, so its spelling is wanted too.
        return (canonical if kind == LOOPBACK else text), kind
    return canonical, None
