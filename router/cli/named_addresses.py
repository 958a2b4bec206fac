"""``--address``: how it is written, and what it makes of the other options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

import click

from router.admission.text import is_dns_label, shown
from router.cli.types import AddressListType, HostnameType
from router.errors import SettingsError
from router.settings import IpMode, NamedAddress, PortRanges

MAX_NAME = 45
"""Characters: what a PortClaim has room for."""
_PAIR = re.compile(r"([^=]*)=(.*)", re.DOTALL)
Named = tuple[str, tuple[str, ...]]


class NamedAddressType(click.ParamType[Named]):
    """``NAME=IP[,IP]``."""

    name = "name=ip[,ip]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Named:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        try:
            name, text = _split(str(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)
        ips = AddressListType().convert(text, param, ctx)
        if not ips:
            self.fail(f"{shown(str(value))} names no IP address", param, ctx)
        for ip in ips:
            problem = _unusable(ip)
            if problem:
                self.fail(f"{ip} is {problem}, on which no port of an address of its own can be", param, ctx)
        return name, tuple(dict.fromkeys(ips))


class NamedRangesType(click.ParamType[tuple[str, PortRanges]]):
    """``NAME=RANGES``: ports of an address."""

    name = "name=ranges"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, PortRanges]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        try:
            name, text = _split(str(value))
            return name, PortRanges.parse(text)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class NamedHostnameType(click.ParamType[tuple[str, str]]):
    """``NAME=HOST``: the DNS name of an address."""

    name = "name=host"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        try:
            name, text = _split(str(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)
        host = HostnameType().convert(text, param, ctx)
        if _is_ip(host):
            self.fail(f"{host} is an IP address, and no DNS name that leads to one", param, ctx)
        return name, host


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _split(text: str) -> tuple[str, str]:
    """Give name and value of an option about an address.

    Raises:
        SettingsError: it is not of that form.
    """
    pair = _PAIR.fullmatch(text)
    # With digits alone it would read as a port.
    if pair is None or not is_dns_label(pair[1]) or len(pair[1]) > MAX_NAME or pair[1].isdecimal():
        raise SettingsError(
            f"{shown(text)} does not begin with the name of an address and '=', as in pg=192.0.2.10; "
            f"a name is a DNS label of up to {MAX_NAME} characters, not all of them digits"
        )
    return pair[1], pair[2]


def addresses_of(named: Iterable[Named], ip_mode: IpMode) -> Mapping[str, tuple[str, ...]]:
    """Give the IP addresses by name, those of a name that is given twice together.

    Raises:
        SettingsError: an IP address has two names, or is of a family that ``ip_mode`` excludes.
    """
    found: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    for name, ips in named:
        for ip in ips:
            if names.setdefault(ip, name) != name:
                raise SettingsError(
                    f"--address gives {ip} to {names[ip]} and to {name}; it is one address, with one name"
                )
            if f"v{ip_address(ip).version}" not in ip_mode:
                raise SettingsError(f"--address {name}={ip} does not go with --ip-mode {ip_mode}")
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), *ips)))
    return {name: found[name] for name in sorted(found)}


def check_known(option: str, names: Iterable[str], known: Mapping[str, object]) -> None:
    """Refuse names that no ``--address`` has.

    Raises:
        SettingsError: there is one.
    """
    for name in names:
        if name not in known:
            raise SettingsError(f"{option} names the address {name}; --address gives {', '.join(known) or 'none'}")


def for_admission(
    addresses: Mapping[str, tuple[str, ...]],
    bind_addresses: Iterable[str],
    reserved: PortRanges,
    own_ports: Iterable[tuple[str, int]],
) -> Mapping[str, NamedAddress]:
    """Give what admission goes by.

    Args:
        addresses: by name.
        bind_addresses: those of the router; none is all.
        reserved: ports that nobody gets.
        own_ports: where the router itself listens, each an address with a port.
    """
    bound = tuple(bind_addresses)
    return {
        name: NamedAddress(
            ips=ips,
            overlaps=not bound or any(_covers(each, ip, is_dual=False) for each in bound for ip in ips),
            reserved_ports=reserved
            | PortRanges.of(
                *(port for host, port in own_ports if port and any(_covers(host, ip, is_dual=True) for ip in ips))
            ),
        )
        for name, ips in addresses.items()
    }


def _covers(bound: str, ip: str, *, is_dual: bool) -> bool:
    """Say whether who listens on an address listens on another one, too; ``is_dual``: on ``::`` he may listen on IPv4."""
    one, other = ip_address(bound), ip_address(ip)
    return one == other or (one.is_unspecified and (one.version == other.version or (is_dual and one.version == 6)))  # noqa: PLR2004 - IPv6


def _unusable(ip: str) -> str:
    address = ip_address(ip)
    if address.is_unspecified:
        return "every address"
    if address.is_multicast:
        return "a multicast address"
    return "a link-local address, which needs a zone" if address.is_link_local and address.version == 6 else ""  # noqa: PLR2004 - IPv6
