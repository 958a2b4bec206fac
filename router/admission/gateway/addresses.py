"""Which address of the router a Gateway is of, by its ``spec.addresses``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from router.admission.gateway.states import ACCEPTED, ALL_ACCEPTED, PROGRAMMED, Said, not_so, so
from router.admission.text import shown
from router.objects.gateway import Gateway, GatewayAddress
from router.settings import AdmissionSettings

IP_ADDRESS = "IPAddress"
BY_NAME = "tcp-router.openshift.io/address"
"""The type of an address that is meant by its name of ``--address``."""
_READY = so(PROGRAMMED, "Programmed")


class Chosen(NamedTuple):
    """What came of it."""

    name: str
    """Of ``--address``; empty is ``--bind-address``."""
    accepted: Said
    programmed: Said


def choose(gateway: Gateway, settings: AdmissionSettings) -> Chosen:
    """Choose the address of a Gateway: what it asks for, all of it being one address of ours, else what the router listens on anyway."""
    wanted = [each for each in gateway.spec.addresses or () if each.value or (each.type or IP_ADDRESS) != IP_ADDRESS]
    unsupported = [each for each in wanted if (each.type or IP_ADDRESS) not in {IP_ADDRESS, BY_NAME}]
    if unsupported:
        message = (
            f"an address of type {shown(unsupported[0].type or '')} is not supported; {IP_ADDRESS} and {BY_NAME} are"
        )
        return Chosen(
            "",
            not_so(ACCEPTED, "UnsupportedAddress", message),
            not_so(PROGRAMMED, "Invalid", message),
        )
    names: list[str] = []
    for each in wanted:
        name = _name_of(each, settings)
        if name is None:
            known = ", ".join(settings.addresses) or "none"
            return _unusable(f"address {shown(each.value)} is none of this router's; by --address it has {known}")
        names.append(name)
    if len(set(names)) > 1:
        return _unusable("the addresses are more than one address of this router; a Gateway has one")
    return Chosen(names[0] if names else "", ALL_ACCEPTED, _READY)


def _unusable(message: str) -> Chosen:
    return Chosen("", ALL_ACCEPTED, not_so(PROGRAMMED, "AddressNotUsable", message))


def _name_of(address: GatewayAddress, settings: AdmissionSettings) -> str | None:
    """Give the name of the address that is meant; None for one that we have not."""
    if address.type == BY_NAME:
        return address.value if address.value in settings.addresses else None
    try:
        ip = str(ip_address(address.value))
    except ValueError:
        return None
    named = (name for name, each in settings.addresses.items() if ip in each.ips)
    return next(named, "" if ip in settings.own_addresses else None)
