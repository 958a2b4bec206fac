"""What a Service of type LoadBalancer asks for whose class is that of a router: each of its TCP ports, at the number that it has there.

``spec.loadBalancerClass: tcp-router.openshift.io/<router name>`` says by which router it is balanced. Such a Service is one asker; what it
asks for is its ``spec.ports``, and so no annotation may say another port, or another router.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from router.admission.allowlist import read_networks
from router.admission.forms import BOOLEAN, read
from router.admission.near_keys import read_near_keys
from router.admission.options import (
    EXTERNAL_TCP_PORT,
    EXTERNAL_TCP_PORT_SNI,
    IP_ALLOWLIST,
    IP_WHITELIST,
    ROUTER_NAME,
    WZH_ROUTER_NAME,
    RouteOptions,
    read_options,
    with_allowlist,
)
from router.admission.request import Request, Target, annotations_of, check_names, check_port, read_address
from router.admission.target_port import is_tcp
from router.admission.text import is_dns_label, shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.model import SERVICE_KIND, Asker
from router.objects.core import Service, ServicePort
from router.settings import AdmissionSettings

MAX_PORTS = 100
"""TCP ports of one Service."""
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
"""The annotation of before ``spec.loadBalancerSourceRanges``, which counts where that is empty (kubernetes, cloud-provider, service/helpers)."""
_WEIGHT = 1
_MAX_LISTED = 5


def read_balanced(service: Service, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Read a Service of such a class, each TCP port for itself; a Verdict is the rejection of one that cannot be had whatever else there is.

    What is wrong with the whole Service is wrong with each of its ports, so that it is known which these are.
    """
    metadata = service.metadata
    asker = Asker("", SERVICE_KIND, metadata.namespace, metadata.name, "", metadata.uid)
    ports = [port for port in service.spec.ports or () if is_tcp(port.protocol)]
    try:
        check_names(SERVICE_KIND, service.key)
        _check_ports(service, ports)
    except NotAcceptable as refused:
        return (Verdict(asker=asker, reason=refused.reason, message=refused.message),)
    annotations = annotations_of(metadata)
    try:
        _check_annotations(annotations, service.router_of_class, settings)
        address = read_address(annotations, settings, claims_port=True)
        options = _read_options(service, annotations, settings)
        warnings = (*read_near_keys(annotations, SERVICE_KIND), *options.warnings, *_warnings(service))
    except NotAcceptable as refused:
        return tuple(_rejected(asker, port, refused) for port in ports)
    asked = (_asked(service, asker, port, address, options, warnings, settings) for port in ports)
    return tuple(asked)


def _rejected(asker: Asker, port: ServicePort, refused: NotAcceptable, address: str = "") -> Verdict:
    who = asker._replace(section=port.name)
    return Verdict(asker=who, port=port.port, reason=refused.reason, message=refused.message, address=address)


def _asked(  # noqa: PLR0913, PLR0917 - what a port asks for, and what all do
    service: Service,
    asker: Asker,
    port: ServicePort,
    address: str,
    options: RouteOptions,
    warnings: tuple[str, ...],
    settings: AdmissionSettings,
) -> Request | Verdict:
    try:
        check_port(port.port, settings, address)
    except NotAcceptable as refused:
        return _rejected(asker, port, refused, address)
    return Request(
        asker=asker._replace(section=port.name),
        port=port.port,
        address=address,
        shares_port=False,
        host=None,
        created=service.metadata.creation_timestamp or None,
        options=options,
        targets=(Target(service.key, _WEIGHT),),
        target_port=port.name or None,
        warnings=warnings,
    )


def _check_ports(service: Service, ports: Sequence[ServicePort]) -> None:
    if not ports:
        has = f"it has {_listed(service.spec.ports or ())}" if service.spec.ports else "it has no ports"
        raise NotAcceptable(Reason.INVALID_PORT, f"the Service has no TCP port, and only TCP can be served; {has}")
    names = [port.name for port in ports]
    if len(ports) > 1 and (len(set(names)) < len(names) or "" in names):
        raise NotAcceptable(
            Reason.INVALID_PORT, f"each port of the Service needs a name of its own; it has {_listed(ports)}"
        )
    odd = next((name for name in names if name and not is_dns_label(name)), None)
    if odd is not None:
        raise NotAcceptable(Reason.INVALID_PORT, f"the Service's port is named {shown(odd)}, which is no DNS label")
    if len(ports) > MAX_PORTS:
        raise NotAcceptable(
            Reason.INVALID_PORT,
            f"the Service has {len(ports)} TCP ports; accepted are up to {MAX_PORTS} of one Service",
        )


def _check_annotations(annotations: Mapping[str, str], router: str, settings: AdmissionSettings) -> None:
    named = annotations.get(ROUTER_NAME, annotations.get(WZH_ROUTER_NAME, router))
    if named != router or router != settings.router_name:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {ROUTER_NAME} is {shown(named)}, and spec.loadBalancerClass names the router {shown(router)}; one Service is served by one router",
        )
    if EXTERNAL_TCP_PORT in annotations:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_TCP_PORT} and spec.loadBalancerClass both say which ports are asked for; those of such a Service are its spec.ports",
        )
    if read(annotations, EXTERNAL_TCP_PORT_SNI, BOOLEAN):
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_TCP_PORT_SNI} is true; that needs a host, which only a Route can have",
        )


def _read_options(service: Service, annotations: Mapping[str, str], settings: AdmissionSettings) -> RouteOptions:
    options = read_options(annotations, settings.defaults, claims_port=True)
    ranges, where = service.spec.load_balancer_source_ranges, "spec.loadBalancerSourceRanges"
    if not ranges and SOURCE_RANGES in annotations:
        ranges, where = tuple(annotations[SOURCE_RANGES].split(",")), f"annotation {SOURCE_RANGES}"
    if not ranges:
        return options
    for key in (IP_ALLOWLIST, IP_WHITELIST):
        if key in annotations:
            raise NotAcceptable(
                Reason.INVALID_SOURCE_RANGES,
                f"{where} and annotation {key} both say who may connect; leave one of them",
            )
    networks = read_networks(where, {each.strip() for each in ranges}, Reason.INVALID_SOURCE_RANGES)
    return with_allowlist(options, networks)


def _warnings(service: Service) -> Iterator[str]:
    spec = service.spec
    others = [port for port in spec.ports or () if not is_tcp(port.protocol)]
    if others:
        yield f"only TCP is served; left out are {_listed(others)}"
    if spec.allocate_load_balancer_node_ports is not False:
        yield (
            "NodePortsOpen: its node ports lead to it past this router, its allowlist and its limits; "
            "spec.allocateLoadBalancerNodePorts: false, from the start, has none"
        )
    if spec.load_balancer_ip:
        yield "spec.loadBalancerIP has no effect"


def _listed(ports: Sequence[ServicePort]) -> str:
    listed = [f"{shown(port.name)} ({shown(port.protocol)} {port.port})" for port in ports[:_MAX_LISTED]]
    more = f" and {len(ports) - _MAX_LISTED} more" if len(ports) > _MAX_LISTED else ""
    return f"{', '.join(listed)}{more}"
