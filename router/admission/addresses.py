"""Which addresses of endpoints may be connected to.

A team can write EndpointSlices by hand. Without this filter a Route could lead from outside to what listens on the router's
own loopback, or to the metadata service of the node's cloud, which hands out the node's credentials. Kubernetes forbids
part of it in its own validation (k8s.io/kubernetes, ValidateEndpointIP: unspecified, loopback, link-local, multicast).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_Range = tuple[int, int, str]


def _ranges(*networks: tuple[str, str]) -> tuple[_Range, ...]:
    parsed = ((ipaddress.ip_network(network), kind) for network, kind in networks)
    return tuple((int(network.network_address), int(network.broadcast_address), kind) for network, kind in parsed)


LOOPBACK = "loopback"
_METADATA = "cloud metadata"

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
    ("fd00:ec2::254/128", _METADATA),  # AWS
    ("fd20:ce::254/128", _METADATA),  # GCP
    ("fd00:c1::a9fe:a9fe/128", _METADATA),  # Oracle Cloud
)
# Both carry an IPv4 address in their last 32 bits: IPv4-mapped (RFC 4291) and the well-known NAT64 prefix (RFC 6052).
_MAPPED = int(ipaddress.IPv6Address("::ffff:0:0")) >> 32
_NAT64 = int(ipaddress.IPv6Address("64:ff9b::")) >> 32
_LOW_32 = (1 << 32) - 1


@lru_cache(maxsize=1 << 14)
def judge_address(text: str) -> tuple[str, str | None]:
    """Read an endpoint's address.

    Returns:
        The address in its canonical spelling (an IPv4-mapped one as IPv4), and None if it may be connected to; else the
        text as it came, and the kind of address that it is.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text, "no IP address"
    number = int(address)
    if isinstance(address, ipaddress.IPv4Address):
        return _judged(str(address), text, number, _DROPPED_V4)
    if address.scope_id is not None:
        return text, "with a zone"
    if number >> 32 == _MAPPED:
        return _judged(str(ipaddress.IPv4Address(number & _LOW_32)), text, number & _LOW_32, _DROPPED_V4)
    if number >> 32 == _NAT64:
        return _judged(str(address), text, number & _LOW_32, _DROPPED_V4)
    return _judged(str(address), text, number, _DROPPED_V6)


def _judged(canonical: str, text: str, number: int, dropped: tuple[_Range, ...]) -> tuple[str, str | None]:
    for low, high, kind in dropped:
        if low <= number <= high:
            # Loopback alone may be let through, so its spelling is wanted too.
            return (canonical if kind == LOOPBACK else text), kind
    return canonical, None
