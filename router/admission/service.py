"""What a Service asks for by its annotations, read from that Service alone: each named port for itself, or why it cannot be had.

``external-tcp-port`` of a Service is a port, if the Service has a single TCP port, or names of its ports with a port for each:
``pg=15432 metrics=19187``. Whatever else a Route can say by annotations a Service can, for all of its ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from router.admission.balanced import MAX_PORTS, read_balanced
from router.admission.client_certificates import unheard
from router.admission.external_names import EXTERNAL_NAME
from router.admission.forms import BOOLEAN, read
from router.admission.near_keys import near_keys, read_near_keys, told
from router.admission.options import EXTERNAL_TCP_PORT, EXTERNAL_TCP_PORT_SNI, RouteOptions, read_options
from router.admission.request import (
    AUTO,
    PORT_FORM,
    Request,
    Target,
    annotations_of,
    asks_for,
    check_auto,
    check_names,
    check_port,
    read_address,
)
from router.admission.target_port import is_tcp
from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.model import SERVICE_KIND, Asker
from router.objects.core import Condition, Service, ServicePort
from router.objects.meta import ObjectKey
from router.settings import AdmissionSettings

ADMITTED = "tcp-router.openshift.io/Admitted"
"""The type of the condition by which a Service is told what became of what it asks for."""
MAX_SECTIONS = 16
"""Ports that one Service may ask for."""
_MAX_CHARACTERS = MAX_SECTIONS * 80
"""A name has up to 63, a port up to 5, written in groups some more."""
_NAMED = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)=(\S+)")
_SEPARATOR = re.compile(r"[ \t\r\n]+")
_FORM = f"a port or {AUTO}, or up to {MAX_SECTIONS} names of the Service's ports with that for each, as in pg=15432 metrics={AUTO}"
_MAX_LISTED = 5
_HAS = "has"
_WEIGHT = 1


def said_by(service: Service, router_name: str) -> Condition | None:
    """Give the condition by which this router told the Service what became of it; None where it did not. Its message begins with the router's name."""
    return next(
        (
            each
            for each in service.status.conditions or ()
            if each.type == ADMITTED and each.message.startswith(f"{router_name}: ")
        ),
        None,
    )


def held(service: Service, router_name: str) -> Mapping[str, int]:
    """Give the ports that the Service has by what its status says, by section; the status is written as ``holding`` says it. It decides nothing."""
    condition = said_by(service, router_name)
    if condition is None:
        return {}
    words = condition.message.partition(": ")[2].partition(";")[0].split(" ")
    if words[0] != _HAS:
        return {}
    pairs = (word.rpartition("=") for word in words[1 : max(MAX_SECTIONS, MAX_PORTS) + 1])
    return {section: port for section, _, text in pairs if (port := PORT_FORM.parse(text)) is not None}


def holding(ports: Mapping[str, int]) -> str:
    """Say which ports a Service has, by section, as its annotation would ask for them."""
    return " ".join((_HAS, *(f"{section}={port}" if section else str(port) for section, port in ports.items())))


def is_ours(service: Service, router_name: str) -> bool:
    """Say whether the Service asks for this router, by an annotation or by its class."""
    return service.router_of_class == router_name or asks_for(service.metadata, router_name)


def services_of(service: Service) -> frozenset[ObjectKey]:
    """Give the Service itself: to its own pods its ports lead."""
    return frozenset((service.key,))


def read_service(service: Service, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Read a Service of ours, each port that it asks for; a Verdict is the rejection of one that cannot be had whatever else there is."""
    if service.router_of_class:
        return read_balanced(service, settings)
    metadata = service.metadata
    asker = Asker("", SERVICE_KIND, metadata.namespace, metadata.name, "", metadata.uid)
    annotations = annotations_of(metadata)
    try:
        check_names(SERVICE_KIND, service.key)
        _check_type(service, settings)
        ports = _read_ports(service, annotations)
        address = read_address(annotations, settings, claims_port=True)
        _check_needs_no_host(annotations)
        options = read_options(annotations, settings.defaults, claims_port=True)
        warnings = (*read_near_keys(annotations, SERVICE_KIND), *options.warnings, *unheard(annotations))
    except NotAcceptable as refused:
        near = [each for each in near_keys(annotations)[:1] if shown(each.key) not in refused.message]
        message = "; ".join((refused.message, *told(near)))
        return (Verdict(asker=asker, reason=refused.reason, message=message),)
    asked: list[Request | Verdict] = []
    for section, port in ports.items():
        who = asker._replace(section=section)
        try:
            if section:
                _check_section(service, section)
            check_port(port, settings, address)
            if port is None:
                check_auto(settings)
        except NotAcceptable as refused:
            asked.append(Verdict(asker=who, port=port, reason=refused.reason, message=refused.message, address=address))
        else:
            left_out = tuple(_not_served(service)) if not section else ()
            request = _request(service, who, port, options, (*warnings, *left_out))
            asked.append(replace(request, address=address) if address else request)
    return tuple(asked)


def _request(
    service: Service, asker: Asker, port: int | None, options: RouteOptions, warnings: tuple[str, ...]
) -> Request:
    return Request(
        asker=asker,
        port=port,
        shares_port=False,
        host=None,
        created=service.metadata.creation_timestamp or None,
        options=options,
        targets=(Target(service.key, _WEIGHT),),
        target_port=asker.section or None,
        warnings=warnings,
        auto=port is None,
    )


def _check_type(service: Service, settings: AdmissionSettings) -> None:
    if service.spec.type == EXTERNAL_NAME and not settings.external_names:
        # As with a Route that leads to one.
        raise NotAcceptable(
            Reason.EXTERNAL_NAME_NOT_ALLOWED, "the Service is of type ExternalName; this router leads to pods only"
        )


def _check_needs_no_host(annotations: Mapping[str, str]) -> None:
    if read(annotations, EXTERNAL_TCP_PORT_SNI, BOOLEAN):
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_TCP_PORT_SNI} is true; that needs a host, which only a Route can have",
        )


def _read_ports(service: Service, annotations: Mapping[str, str]) -> dict[str, int | None]:
    """Give the external port of each section that is asked for, in the order in which they are written; None is any."""
    value = annotations.get(EXTERNAL_TCP_PORT)
    if value is None:
        raise NotAcceptable(
            Reason.INVALID_PORT, f"the Service asks for no port: add the annotation {EXTERNAL_TCP_PORT}, {_FORM}"
        )
    if "=" not in value:
        port = PORT_FORM.parse(value)
        if port is None and value != AUTO:
            raise _malformed(value)
        _check_single(service, value)
        return {"": port}
    entries = [entry for entry in _SEPARATOR.split(value[: _MAX_CHARACTERS + 1]) if entry]
    if len(value) > _MAX_CHARACTERS or len(entries) > MAX_SECTIONS:
        raise NotAcceptable(
            Reason.INVALID_PORT,
            f"annotation {EXTERNAL_TCP_PORT} asks for more than {MAX_SECTIONS} ports; accepted are up to {MAX_SECTIONS} of one Service",
        )
    ports: dict[str, int | None] = {}
    for entry in entries:
        match = _NAMED.fullmatch(entry)
        port = PORT_FORM.parse(match[2]) if match is not None else None
        if match is None or (port is None and match[2] != AUTO):
            raise _malformed(entry)
        if match[1] in ports:
            raise NotAcceptable(
                Reason.INVALID_PORT,
                f"annotation {EXTERNAL_TCP_PORT} names {shown(match[1])} twice; a port has one external port",
            )
        ports[match[1]] = port
    return ports


def _malformed(text: str) -> NotAcceptable:
    return NotAcceptable(Reason.INVALID_PORT, f"annotation {EXTERNAL_TCP_PORT} has {shown(text)}; accepted is {_FORM}")


def _check_single(service: Service, value: str) -> None:
    tcp = [port for port in service.spec.ports or () if is_tcp(port.protocol)]
    if len(tcp) <= 1:
        return
    named = [port.name for port in tcp if port.name]
    example = f"{named[0]}={value}" if named else f"name={value}"
    raise NotAcceptable(
        Reason.AMBIGUOUS_TARGET_PORT,
        f"the Service has the TCP ports {_listed(tcp)}; say which in annotation {EXTERNAL_TCP_PORT}, as in {shown(example)}",
    )


def _check_section(service: Service, section: str) -> None:
    ports = service.spec.ports or ()
    named = [port for port in ports if port.name == section]
    if any(is_tcp(port.protocol) for port in named):
        return
    if named:
        raise NotAcceptable(
            Reason.INVALID_PORT,
            f"port {shown(section)} of the Service is {shown(named[0].protocol)}; only TCP can be served",
        )
    has = f"it has {_listed(ports)}" if ports else "it has no ports"
    raise NotAcceptable(Reason.INVALID_PORT, f"the Service has no port named {shown(section)}; {has}")


def _not_served(service: Service) -> Iterator[str]:
    """Tell of the ports that a Service with a single TCP port has beside it."""
    ports = service.spec.ports or ()
    others = [port for port in ports if not is_tcp(port.protocol)]
    if others and len(others) < len(ports):
        yield f"only TCP is served; left out are {_listed(others)}"


def _listed(ports: tuple[ServicePort, ...] | list[ServicePort]) -> str:
    listed = [f"{shown(port.name)} ({shown(port.port)})" for port in ports[:_MAX_LISTED]]
    more = f" and {len(ports) - _MAX_LISTED} more" if len(ports) > _MAX_LISTED else ""
    return f"{', '.join(listed)}{more}"
