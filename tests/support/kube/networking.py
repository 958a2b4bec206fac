"""What an API server refuses in Services, EndpointSlices and Endpoints.

Followed: kubernetes/pkg/apis/core/validation/validation.go (ValidateService, ValidateEndpoints, ValidateEndpointIP) and
pkg/apis/discovery/validation/validation.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container, Iterator
from typing import Any

from tests.support.kube.statuses import Cause, required, wrong

Object = dict[str, Any]

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_MAX_ENDPOINTS, _MAX_ADDRESSES = 1000, 100


def service_problems(new: Object) -> Iterator[Cause]:
    """Give what is wrong with a Service."""
    ports = new["spec"].get("ports") or []
    if not ports and new["spec"]["type"] != "ExternalName" and new["spec"].get("clusterIP") != "None":
        yield required("spec.ports")
    names: set[str] = set()
    numbers: set[tuple[object, str]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name, number = port.get("name") or "", (port.get("port"), port["protocol"])
        if len(ports) > 1 and not name:
            yield required(f"{path}.name")
        yield from _name_of_port_problems(f"{path}.name", name, names)
        yield from _number_problems(f"{path}.port", port.get("port"))
        if number in numbers:
            yield Cause(path, "FieldValueDuplicate", f"Duplicate value: {number[0]}")
        numbers.add(number)
        yield from _protocol_problems(f"{path}.protocol", port["protocol"])
        target = port.get("targetPort")
        if isinstance(target, str) and not _PORT_NAME.fullmatch(target):
            yield wrong(
                f"{path}.targetPort", target, "must contain at least one letter (a-z), no more than 15 characters"
            )
        elif not isinstance(target, str):
            yield from _number_problems(f"{path}.targetPort", target)


def slice_problems(new: Object, old: Object | None, loopback: Container[str]) -> Iterator[Cause]:
    """Give what is wrong with an EndpointSlice."""
    kind = new.get("addressType")
    if kind not in {"IPv4", "IPv6", "FQDN"}:
        known = 'supported values: "FQDN", "IPv4", "IPv6"'
        yield Cause("addressType", "FieldValueNotSupported", f'Unsupported value: "{kind or ""}": {known}')
        return
    if old is not None and old["addressType"] != kind:
        yield wrong("addressType", kind, "field is immutable")
    names: set[str] = set()
    for index, port in enumerate(new.get("ports") or ()):
        name = port["name"] or ""
        yield from _name_of_port_problems(f"ports[{index}].name", name, names, may_repeat_empty=False)
        yield from _protocol_problems(f"ports[{index}].protocol", port["protocol"])
        if port.get("port") is not None:
            yield from _number_problems(f"ports[{index}].port", port["port"])
    endpoints = new.get("endpoints") or ()
    if len(endpoints) > _MAX_ENDPOINTS:
        yield Cause(
            "endpoints", "FieldValueTooMany", f"Too many: {len(endpoints)}: must have at most {_MAX_ENDPOINTS} items"
        )
    for index, endpoint in enumerate(endpoints):
        yield from _endpoint_problems(f"endpoints[{index}]", endpoint, kind, loopback)


def endpoints_problems(new: Object, loopback: Container[str]) -> Iterator[Cause]:
    """Give what is wrong with an Endpoints object."""
    for number, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{number}]"
        if not (subset.get("addresses") or subset.get("notReadyAddresses")):
            yield required(path)
        for field in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(field) or ()):
                yield from _address_problems(f"{path}.{field}[{index}].ip", address.get("ip", ""), "IP", loopback)
        names: set[str] = set()
        for index, port in enumerate(subset.get("ports") or ()):
            yield from _name_of_port_problems(f"{path}.ports[{index}].name", port.get("name") or "", names)
            yield from _number_problems(f"{path}.ports[{index}].port", port.get("port"))


def _endpoint_problems(path: str, endpoint: Object, kind: str, loopback: Container[str]) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield Cause(f"{path}.addresses", "FieldValueRequired", "Required value: must contain at least 1 address")
    if len(addresses) > _MAX_ADDRESSES:
        said = f"Too many: {len(addresses)}: must have at most {_MAX_ADDRESSES} items"
        yield Cause(f"{path}.addresses", "FieldValueTooMany", said)
    hostname = endpoint.get("hostname")
    if hostname is not None and not _DNS_LABEL.fullmatch(hostname):
        yield wrong(f"{path}.hostname", hostname, "a lowercase RFC 1123 label must consist of lower case alphanumerics")
    for number, text in enumerate(addresses if kind != "FQDN" else ()):
        yield from _address_problems(f"{path}.addresses[{number}]", text, kind, loopback)


def _name_of_port_problems(path: str, name: str, names: set[str], *, may_repeat_empty: bool = True) -> Iterator[Cause]:
    if name and not _DNS_LABEL.fullmatch(name):
        yield wrong(path, name, "a lowercase RFC 1123 label must consist of lower case alphanumerics or '-'")
    if name in names and (name or not may_repeat_empty):
        yield Cause(path, "FieldValueDuplicate", f'Duplicate value: "{name}"')
    names.add(name)


def _number_problems(path: str, port: object) -> Iterator[Cause]:
    if not isinstance(port, int) or not 1 <= port <= 65535:
        yield wrong(path, port, "must be between 1 and 65535, inclusive")


def _protocol_problems(path: str, protocol: object) -> Iterator[Cause]:
    if protocol not in _PROTOCOLS:
        known = ", ".join(f'"{each}"' for each in _PROTOCOLS)
        yield Cause(path, "FieldValueNotSupported", f'Unsupported value: "{protocol}": supported values: {known}')


def _address_problems(path: str, text: str, kind: str, loopback: Container[str]) -> Iterator[Cause]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        yield wrong(path, text, "must be a valid IP address")
        return
    # Go takes a mapped address for the IPv4 address inside it.
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if kind != "IP" and address.version != (4 if kind == "IPv4" else 6):
        yield wrong(path, text, f"must be a valid {kind} address")
    if address.is_unspecified:
        yield wrong(path, text, f"may not be unspecified ({text})")
    if address.is_loopback and text not in loopback:
        yield wrong(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield wrong(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    # Only that of the link; other multicast is let through.
    if address.is_multicast and (
        address.packed[:3] == b"\xe0\0\0" or (address.version == 6 and address.packed[1] & 15 == 2)
    ):
        yield wrong(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
