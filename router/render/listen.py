"""On which addresses ports listen, from ``--ip-mode`` and ``--bind-address``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from router.errors import SettingsError
from router.settings import IpMode, RenderSettings


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One ``bind`` line: ``bind <host>:<port><options>``."""

    host: str
    options: str = ""


_EVERYWHERE: dict[IpMode, ListenAddress] = {
    "v4": ListenAddress("ipv4@*"),
    "v6": ListenAddress("[::]", " v6only"),
    # One socket for both families: at thousands of ports, half the file descriptors of two.
    "v4v6": ListenAddress("[::]", " v4v6"),
}


def listen_addresses(settings: RenderSettings) -> tuple[ListenAddress, ...]:
    """Give the addresses to listen on, in a fixed order without repetitions.

    Named addresses are taken as they are: ``::`` is then IPv6 alone, and ``0.0.0.0`` beside it is no conflict.

    Raises:
        SettingsError: an address is none, or of a family that ``ip_mode`` excludes.
    """
    return _patient(settings, _addresses(settings))


def named_addresses(settings: RenderSettings, ips: Iterable[str]) -> tuple[ListenAddress, ...]:
    """Give the addresses to listen on for a port of a named address, in the order in which they are given."""
    return _patient(settings, (_listen_on(ip_address(ip)) for ip in ips))


def _patient(settings: RenderSettings, addresses: Iterable[ListenAddress]) -> tuple[ListenAddress, ...]:
    patience = f" tcp-ut {settings.tcp_user_timeout_ms}ms" if settings.tcp_user_timeout_ms else ""
    return tuple(replace(each, options=each.options + patience) for each in addresses)


def _addresses(settings: RenderSettings) -> tuple[ListenAddress, ...]:
    if not settings.bind_addresses:
        return (_EVERYWHERE[settings.ip_mode],)
    addresses = sorted({_parse(text) for text in settings.bind_addresses}, key=lambda each: (each.version, each))
    for address in addresses:
        if f"v{address.version}" not in settings.ip_mode:
            raise SettingsError(f"bind address {address} does not go with IP mode {settings.ip_mode}")
    return tuple(map(_listen_on, addresses))


def _listen_on(address: IPv4Address | IPv6Address) -> ListenAddress:
    return ListenAddress(str(address)) if address.version == 4 else ListenAddress(f"[{address}]", " v6only")  # noqa: PLR2004 - IPv4


def _parse(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise SettingsError(f"bind address {text!r} is not an IP address") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise SettingsError(f"bind address {text!r} has a zone, which HAProxy does not take")
    return address
