"""What a claim says, read from a spec and a status of which no schema may have been enforced; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from router.pair.objects import ADDRESS_ANNOTATION, PairObject
from router.settings import MAX_PORT

_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=[-a-z0-9]*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_DEFAULT_S, _LONGEST_S = 10, 3600


@dataclass(frozen=True, slots=True)
class Asked:
    """What a claim asks for; ``problem`` says why nothing can be made of it."""

    service: str = ""
    port: int | str = 0
    """Of the Service."""
    also_external: bool = False
    """The Services that lead to the other cluster listen on the port that the claim was given there, too, and not on that of the Service alone."""
    requested: int = 0
    """0 where no port is asked for."""
    interval_s: int = _DEFAULT_S
    timeout_s: int = _DEFAULT_S
    problem: str = ""


def asked(claim: PairObject) -> Asked:
    """Read a claim's spec.

    ``overrideServicePort`` counts where it is a real boolean ``true``, as with Porter. There it asks for the Service's port, which is what all have
    here; its own docs make others of it. So both ports are had by it.
    """
    spec = _mapping(claim.spec)
    service, port, monitor = spec.get("service"), spec.get("servicePort"), _mapping(spec.get("monitor"))
    if not isinstance(service, str) or _SERVICE_NAME.fullmatch(service) is None:
        return Asked(problem=f"spec.service is no name of a Service: {_shown(service)}")
    if isinstance(port, str) and port.isdecimal():
        port = int(port) if len(port) <= len(str(MAX_PORT)) else 0
    number = _number(port, 0, MAX_PORT)
    if not number and not (isinstance(port, str) and _PORT_NAME.fullmatch(port)):
        return Asked(service, problem=f"spec.servicePort is neither a port nor the name of one: {_shown(port)}")
    return Asked(
        service,
        number or str(port),
        spec.get("overrideServicePort") is True,
        _number(spec.get("requestedPort"), 0, MAX_PORT),
        _number(monitor.get("interval"), _DEFAULT_S, _LONGEST_S),
        _number(monitor.get("timeout"), _DEFAULT_S, _LONGEST_S),
    )


def address_name(claim: PairObject) -> str:
    """Give the name of the address that a claim wants its port of; empty for the router's own."""
    return ((claim.metadata.annotations or {}).get(ADDRESS_ANNOTATION) or "").strip()


def said_port(claim: PairObject | None) -> int:
    """Give the port that a claim's status says; 0 for none."""
    port = _mapping(claim.status).get("port") if claim is not None else None
    if isinstance(port, str) and port.isdecimal() and len(port) <= len(str(MAX_PORT)):
        port = int(port)
    return _number(port, 0, MAX_PORT)


def said_address(claim: PairObject | None) -> str:
    """Give the address that a claim's status says, an IP or a name; empty for none."""
    address = _mapping(claim.status).get("address") if claim is not None else None
    return address.strip() if isinstance(address, str) else ""


def is_ip(text: str) -> bool:
    """Say whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def conditions(claim: PairObject | None) -> tuple[dict[str, Any], ...]:
    """Give the conditions of a claim's status that have the form of some."""
    listed = _mapping(claim.status).get("conditions") if claim is not None else None
    if not isinstance(listed, list):
        return ()
    return tuple(each for each in listed if isinstance(each, dict) and isinstance(each.get("type"), str))


def port_number(service: PairObject | None, port: int | str) -> int:
    """Give the number of a Service's port by its name; 0 where the Service has none of that name."""
    if isinstance(port, int):
        return port
    listed = _mapping(service.spec).get("ports") if service is not None else None
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("name") == port:
            return _number(each.get("port"), 0, MAX_PORT)
    return 0


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - of an object without a schema
    return value if isinstance(value, dict) else {}


def _number(value: Any, default: int, most: int) -> int:  # noqa: ANN401 - likewise
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
    return value if is_number else default


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line
