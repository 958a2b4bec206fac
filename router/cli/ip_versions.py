"""What this host's kernel has of IPv6, and what that leaves of the options: without it, both IP versions are IPv4."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from ipaddress import IPv6Address

import structlog

from router.settings import RenderSettings

log = structlog.get_logger()

_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EPFNOSUPPORT, errno.EADDRNOTAVAIL})
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - where we were told to listen


def has_ipv6() -> bool:
    """Say whether a socket can listen on all addresses of both versions.

    A kernel that was started with ``ipv6.disable=1``, or built without, has no such sockets; with the sysctl ``disable_ipv6`` it
    has, and they serve IPv4.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as attempt:
            attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            attempt.bind(("::", 0))
    except OSError as error:
        # Whatever else is wrong (no descriptors left, say) is no reason to serve half of the clients.
        return error.errno not in _NO_IPV6
    return True


def settings_on_this_host(settings: RenderSettings) -> RenderSettings:
    """Give the settings with IPv4 alone in the place of both versions, where the kernel has no IPv6.

    Who asked for IPv6 by its name, or by an address, is told of each port that it cannot be had.
    """
    if settings.ip_mode != "v4v6" or settings.bind_addresses or has_ipv6():
        return settings
    log.warning(
        "no ipv6 on this host", consequence="ports listen on IPv4 alone; --ip-mode v4 says the same without this line"
    )
    return replace(settings, ip_mode="v4")


def listen_on_this_host(address: str) -> str:
    """Give the address for the HTTP port: all of IPv4 in the place of all addresses, where the kernel has no IPv6."""
    is_every_address = address == str(IPv6Address(0))
    return _EVERYWHERE if is_every_address and not has_ipv6() else address
