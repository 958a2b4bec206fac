"""Allowlists of addresses: read, checked and brought to one spelling."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason

MAX_ENTRIES = 2000
"""HAProxy needs 64 ms of its one thread to take up a list of 2,000 others while it runs, 0.3 s for 5,000 and 4.3 s for 20,000."""
_MAX_CHARACTERS = MAX_ENTRIES * 50
"""An entry has up to 49, the longest IPv6 network."""
_SEPARATOR = re.compile(r"[ \t\r\n]+")
_MAPPED_BITS = 96

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_allowlist(key: str, value: str) -> tuple[str, ...]:
    """Read the value of an allowlist annotation.

    Host bits are masked, as HAProxy does; a network of one address is written as the address. IPv4-mapped IPv6 is written
    as IPv4, which is how HAProxy compares it.

    Args:
        key: the annotation's key, for the message.
        value: IPs and CIDRs, v4 and v6, separated by spaces (tabs and line ends too, as YAML's block texts leave them).

    Returns:
        The networks without repetitions, IPv4 first, by address.

    Raises:
        NotAcceptable: an entry is neither an address nor a network, there is none, or there are too many: an allowlist fails closed.
    """
    if len(value) > _MAX_CHARACTERS:
        raise _too_long(f"annotation {key}", f"{len(value)} characters", Reason.INVALID_ANNOTATION)
    entries = {entry for entry in _SEPARATOR.split(value) if entry}
    if not entries:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {key} is empty; accepted are IPs and CIDRs separated by spaces (remove it to let everybody in)",
        )
    return read_networks(f"annotation {key}", entries, Reason.INVALID_ANNOTATION, "IPs and CIDRs separated by spaces")


def read_networks(where: str, entries: Collection[str], reason: Reason, form: str = "IPs and CIDRs") -> tuple[str, ...]:
    """Read the entries of an allowlist, wherever it stands; as ``read_allowlist`` does.

    Args:
        where: it stands, for the message.
        entries: IPs and CIDRs.
        reason: of a rejection.
        form: what is accepted, for the message.

    Raises:
        NotAcceptable: an entry is neither, or there are too many.
    """
    if len(entries) > MAX_ENTRIES:
        raise _too_long(where, f"{len(entries)} entries", reason)
    networks: set[_Network] = set()
    # Sorted, so that it does not depend on chance which of several bad entries is told.
    for entry in sorted(entries):
        network = _network(entry)
        if network is None:
            raise NotAcceptable(reason, f"{where} has the entry {shown(entry)}; accepted are {form}")
        networks.add(network)
    in_order = sorted(networks, key=lambda each: (each.version, int(each.network_address), each.prefixlen))
    return tuple(_written(network) for network in in_order)


def _too_long(where: str, has: str, reason: Reason) -> NotAcceptable:
    return NotAcceptable(
        reason,
        f"{where} has {has}; accepted are up to {MAX_ENTRIES} entries: name larger networks, or let a firewall in front decide",
    )


def _network(entry: str) -> _Network | None:
    address, slash, prefix = entry.partition("/")
    # ip_network also reads netmasks (10.0.0.0/255.0.0.0) and zone ids (fe80::1%eth0), which are no CIDRs.
    if "%" in address or (slash and not (prefix.isascii() and prefix.isdigit())):
        return None
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _written(network: _Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
