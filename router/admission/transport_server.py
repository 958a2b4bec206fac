"""What a TransportServer of F5's Container Ingress Services asks for, read from that object alone, or why it cannot be had.

Sources: k8s-bigip-ctlr, docs/customResource/CustomResource.md and config/apis/cis/v1/types.go. What of its spec has no meaning without a BIG-IP is told by
name: it is refused where it may keep somebody out, and else has no effect, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as replaced
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from router.admission.allowlist import read_networks
from router.admission.client_certificates import unheard
from router.admission.gateway.grants import Grants, Referrer
from router.admission.monitor import Monitor, read_monitor
from router.admission.near_keys import near_keys, read_near_keys, told
from router.admission.options import (
    BALANCE,
    CHECK_INTERVAL,
    EXTERNAL_ADDRESS,
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
from router.admission.request import Request, Target, annotations_of, check_names, check_port
from router.admission.spec_values import as_list, as_mapping, number, service_name, service_port, shown_value
from router.admission.text import is_dns_label, shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.model import SERVICE_KIND, Asker, Balance
from router.objects.cis import GROUP, KIND, TransportServer
from router.objects.meta import ObjectKey
from router.settings import MAX_PORT, AdmissionSettings

NO_GRANTS = Grants()
CLASS_LABEL = "f5cr"
"""The label by which F5's controller is told which objects are its own."""
MAX_ALTERNATES = 16
_MAX_WEIGHT = 100
_INTERVAL_S, _TIMEOUT_S = 5, 16
"""F5's defaults of a monitor."""
_SERVED = frozenset({
    "virtualServerPort", "virtualServerAddress", "ipamLabel", "type", "mode", "pool", "allowSourceRange", "persistenceProfile", "host",
})  # fmt: skip
_MAY_CLOSE = ("allowVlans", "botDefense", "dos", "iRules", "policyName", "policyNamespace", "tls")
"""What may keep somebody out, or change what is let through."""
_POOL_SERVED = frozenset({
    "service", "serviceNamespace", "servicePort", "loadBalancingMethod", "monitor", "monitors", "weight", "alternateBackends",
})  # fmt: skip
_MONITOR_SERVED = frozenset({"type", "interval", "timeout"})
_METHODS: Mapping[str, Balance] = MappingProxyType({
    "round-robin": "roundrobin", "ratio-member": "roundrobin", "ratio-node": "roundrobin", "ratio-session": "roundrobin",
    "least-connections-member": "leastconn", "least-connections-node": "leastconn", "least-sessions": "leastconn",
    "ratio-least-connections-member": "leastconn", "ratio-least-connections-node": "leastconn",
    "weighted-least-connections-member": "leastconn", "weighted-least-connections-node": "leastconn",
})  # fmt: skip
"""Those of F5 that HAProxy has, too."""
_SOURCE_ADDRESS = frozenset({"source-address", "/Common/source_addr", "source_addr"})
_MOST_NAMED = 12


def is_ours(server: TransportServer, settings: AdmissionSettings) -> bool:
    """Say whether a TransportServer is for this router: where it is of the class, and names no other router."""
    if not settings.transport_servers:
        return False
    annotations = annotations_of(server.metadata)
    name = annotations.get(ROUTER_NAME, annotations.get(WZH_ROUTER_NAME))
    if name is not None:
        return name == settings.router_name
    of = settings.transport_server_class
    return not of or of in (server.asked.get("ipamLabel"), (server.metadata.labels or {}).get(CLASS_LABEL))


def services_of(server: TransportServer) -> frozenset[ObjectKey]:
    """Give the Services that a TransportServer leads to; none where what it says of them is not acceptable."""
    try:
        return frozenset(
            target.service for target in _targets(server, as_mapping("spec.pool", server.asked.get("pool")))
        )
    except NotAcceptable:
        return frozenset()


def granting_of(server: TransportServer) -> frozenset[str]:
    """Give the other namespaces that a TransportServer leads to, whose ReferenceGrants may let it."""
    return frozenset(service.namespace for service in services_of(server)) - {server.metadata.namespace}


def address_of(server: TransportServer, settings: AdmissionSettings) -> str:
    """Give the name of the address that its port is of; empty is ``--bind-address``.

    Raises:
        NotAcceptable: it asks for one that this router does not have.
    """
    ip, label = server.asked.get("virtualServerAddress"), server.asked.get("ipamLabel")
    if ip is None and label is None:
        raise NotAcceptable(
            Reason.INVALID_SPEC, "spec.ipamLabel or spec.virtualServerAddress has to say on which address"
        )
    by_ip = _by_ip(ip, settings) if ip is not None else None
    by_label = _by_label(label, settings) if label is not None and by_ip is None else None
    known = ", ".join(f"{name} ({', '.join(each.ips)})" for name, each in settings.addresses.items()) or "none"
    if by_ip is None and by_label is None:
        field, value = ("virtualServerAddress", ip) if ip is not None else ("ipamLabel", label)
        raise NotAcceptable(
            Reason.INVALID_SPEC,
            f"spec.{field} is {shown_value(value)}, which is no address of this router; it has {known} (--address)",
        )
    if by_ip is not None and label is not None and _by_label(label, settings) not in (by_ip, None, ""):
        raise NotAcceptable(
            Reason.INVALID_SPEC,
            f"spec.ipamLabel is {shown_value(label)}, and spec.virtualServerAddress is another address; leave one of them",
        )
    return by_ip if by_ip is not None else by_label or ""


def _by_ip(ip: object, settings: AdmissionSettings) -> str | None:
    """Give the name of the address that an IP is, empty for the only one that the router is bound to; None where it has none such."""
    try:
        text = str(ip_address(ip)) if isinstance(ip, str) else ""
    except ValueError:
        return None
    named = next((name for name, each in settings.addresses.items() if text in each.ips), None)
    # Of several, or of all that a node has, the others would be open, too.
    return "" if named is None and settings.own_addresses == {text} else named


def _by_label(label: object, settings: AdmissionSettings) -> str | None:
    if isinstance(label, str) and label in settings.addresses:
        return label
    return "" if settings.transport_server_class and label == settings.transport_server_class else None


def read_server(
    server: TransportServer, settings: AdmissionSettings, grants: Grants = NO_GRANTS
) -> tuple[Request | Verdict]:
    """Read a TransportServer of ours; a Verdict is the rejection of one that cannot be had whatever else there is.

    Args:
        server: the object.
        settings: what may be served.
        grants: the ReferenceGrants, which let it lead to Services of other namespaces.
    """
    asker = Asker(GROUP, KIND, *server.key, "", server.metadata.uid)
    port: int | None = None
    address = ""
    annotations = annotations_of(server.metadata)
    try:
        check_names(KIND, server.key)
        spec = as_mapping("spec", server.spec)
        port = number("spec.virtualServerPort", spec.get("virtualServerPort"), 1, MAX_PORT)
        address = address_of(server, settings)
        check_port(port, settings, address)
        _check_served(spec)
        pool = as_mapping("spec.pool", spec.get("pool"))
        targets = _targets(server, pool)
        if not settings.transport_server_cross_namespace:
            _check_namespaces(server, targets, grants)
        target_port = service_port("spec.pool.servicePort", pool.get("servicePort"))
        options = _options(spec, pool, annotations, settings)
        warnings = (
            *read_near_keys(annotations, KIND),
            *options.warnings,
            *unheard(annotations),
            *_warnings(spec, pool, annotations),
        )
    except NotAcceptable as refused:
        near = [each for each in near_keys(annotations)[:1] if shown(each.key) not in refused.message]
        message = "; ".join((refused.message, *told(near)))
        return (Verdict(asker=asker, port=port, reason=refused.reason, message=message, address=address),)
    return (
        Request(
            asker=asker,
            port=port,
            address=address,
            shares_port=False,
            host=None,
            created=server.metadata.creation_timestamp or None,
            options=options,
            targets=targets,
            target_port=target_port,
            warnings=warnings,
            by_service_port=True,
        ),
    )


def _check_served(spec: Mapping[str, Any]) -> None:
    kind, mode = spec.get("type"), spec.get("mode")
    if kind is not None and kind != "tcp":
        raise NotAcceptable(Reason.INVALID_SPEC, f"spec.type is {shown_value(kind)}; only tcp can be served")
    if mode not in ("standard", "performance"):
        raise NotAcceptable(
            Reason.INVALID_SPEC, f"spec.mode is {shown_value(mode)}; accepted is standard or performance"
        )
    closing = next((field for field in _MAY_CLOSE if spec.get(field)), None)
    if closing is not None:
        raise NotAcceptable(
            Reason.INVALID_SPEC,
            f"spec.{closing} may keep somebody out, or change what is let through, and only a BIG-IP has that: remove it",
        )


def _targets(server: TransportServer, pool: Mapping[str, Any]) -> tuple[Target, ...]:
    """Read the Services, each once, with their weights; without any weight said all have the same."""
    alternates = as_list("spec.pool.alternateBackends", pool.get("alternateBackends"))
    if len(alternates) > MAX_ALTERNATES:
        raise NotAcceptable(
            Reason.INVALID_SPEC,
            f"spec.pool.alternateBackends has {len(alternates)} entries; accepted are up to {MAX_ALTERNATES}",
        )
    weights: dict[ObjectKey, int] = {}
    named = [("spec.pool", pool)]
    named += [
        (f"spec.pool.alternateBackends[{index}]", as_mapping(f"spec.pool.alternateBackends[{index}]", each))
        for index, each in enumerate(alternates)
    ]
    for field, said in named:
        namespace = said.get("serviceNamespace") or server.metadata.namespace
        if not isinstance(namespace, str) or not is_dns_label(namespace):
            raise NotAcceptable(
                Reason.INVALID_SPEC,
                f"{field}.serviceNamespace is {shown_value(namespace)}, which is no namespace's name",
            )
        key = ObjectKey(namespace, service_name(f"{field}.service", said.get("service")))
        weight = said.get("weight")
        share = _MAX_WEIGHT if weight is None else number(f"{field}.weight", weight, 0, _MAX_WEIGHT)
        weights[key] = weights.get(key, 0) + share
    return tuple(Target(key, weight) for key, weight in weights.items())


def _check_namespaces(server: TransportServer, targets: tuple[Target, ...], grants: Grants) -> None:
    """Refuse Services of other namespaces to which no ReferenceGrant of theirs lets it, whether they are there or not."""
    referrer = Referrer(GROUP, KIND, server.metadata.namespace)
    other = next(
        (each.service for each in targets if not grants.permit(referrer, "", SERVICE_KIND, each.service)), None
    )
    if other is not None:
        raise NotAcceptable(
            Reason.REF_NOT_PERMITTED,
            f"spec.pool leads to Service {other}, in another namespace than its own, and no ReferenceGrant in namespace {other.namespace} "
            f"lets it: one from group {GROUP}, kind {KIND}, namespace {referrer.namespace} to kind {SERVICE_KIND} does",
        )


def _options(
    spec: Mapping[str, Any], pool: Mapping[str, Any], annotations: Mapping[str, str], settings: AdmissionSettings
) -> RouteOptions:
    options = read_options(annotations, settings.defaults, claims_port=True)
    if BALANCE not in annotations:
        chosen = _balance(spec, pool)
        if chosen is not None:
            options = replaced(options, backend=replaced(options.backend, balance=chosen), balance_chosen=True)
    monitor = _monitor(pool)
    if monitor is not None:
        by_annotation = options.backend.check_interval_ms if CHECK_INTERVAL in annotations else None
        options = monitor.applied(options, by_annotation)
    ranges = as_list("spec.allowSourceRange", spec.get("allowSourceRange"))
    if not ranges:
        return options
    for key in (IP_ALLOWLIST, IP_WHITELIST):
        if key in annotations:
            raise NotAcceptable(
                Reason.INVALID_SOURCE_RANGES,
                f"spec.allowSourceRange and annotation {key} both say who may connect; leave one of them",
            )
    odd = next((each for each in ranges if not isinstance(each, str)), None)
    if odd is not None:
        raise NotAcceptable(
            Reason.INVALID_SOURCE_RANGES,
            f"spec.allowSourceRange has {shown_value(odd)}, which is no address or network",
        )
    networks = read_networks("spec.allowSourceRange", {each.strip() for each in ranges}, Reason.INVALID_SOURCE_RANGES)
    return with_allowlist(options, networks)


def _balance(spec: Mapping[str, Any], pool: Mapping[str, Any]) -> Balance | None:
    """Give how connections find their pod, where that is said and can be had; persistence goes before the method."""
    profile, method = spec.get("persistenceProfile"), pool.get("loadBalancingMethod")
    if isinstance(profile, str) and profile in _SOURCE_ADDRESS:
        return "source"
    return _METHODS.get(method) if isinstance(method, str) else None


def _monitors(pool: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Give the monitors with their fields' names; ``monitors`` goes before ``monitor``."""
    several = as_list("spec.pool.monitors", pool.get("monitors"))
    if several:
        return [
            (f"spec.pool.monitors[{index}]", as_mapping(f"spec.pool.monitors[{index}]", each))
            for index, each in enumerate(several)
        ]
    one = pool.get("monitor")
    return [("spec.pool.monitor", as_mapping("spec.pool.monitor", one))] if one is not None else []


def _monitor(pool: Mapping[str, Any]) -> Monitor | None:
    """Read the first monitor that checks by TCP connections; None where there is none."""
    for field, said in _monitors(pool):
        if said.get("type") == "tcp":
            return read_monitor(field, said, interval_s=_INTERVAL_S, timeout_s=_TIMEOUT_S)
    return None


def _warnings(spec: Mapping[str, Any], pool: Mapping[str, Any], annotations: Mapping[str, str]) -> Iterator[str]:
    if spec.get("host"):
        yield f"spec.host ({shown_value(spec['host'])}) is for DNS alone, which this router does not write: who connects to the port is served, whatever name they use"
    profile, method = spec.get("persistenceProfile"), pool.get("loadBalancingMethod")
    if profile is not None and not (isinstance(profile, str) and profile in _SOURCE_ADDRESS):
        yield f"spec.persistenceProfile is {shown_value(profile)}, which has no effect; source-address has one"
    if method is not None and not (isinstance(method, str) and method in _METHODS):
        yield f"spec.pool.loadBalancingMethod is {shown_value(method)}, which this router does not have; round-robin and least-connections-member it has"
    monitors = _monitors(pool)
    used = next((field for field, said in monitors if said.get("type") == "tcp"), None)
    if monitors and used is None:
        yield f"{monitors[0][0]} checks otherwise than by TCP connections, which is all that this router does: pods are checked so, as often as it does by itself"
    idle = [f"spec.{field}" for field in sorted(spec) if field not in _SERVED and field not in _MAY_CLOSE]
    idle += [f"spec.pool.{field}" for field in sorted(pool) if field not in _POOL_SERVED]
    idle += [field for field, _ in monitors if used is not None and field != used]
    idle += [
        f"{field}.{each}"
        for field, said in monitors
        if field == used
        for each in sorted(said)
        if each not in _MONITOR_SERVED
    ]
    idle += ["spec.pool.monitor"] if monitors and pool.get("monitor") and monitors[0][0] != "spec.pool.monitor" else []
    idle += [
        f"annotation {key}"
        for key in (EXTERNAL_TCP_PORT, EXTERNAL_TCP_PORT_SNI, EXTERNAL_ADDRESS)
        if key in annotations
    ]
    if idle:
        named = ", ".join(each if each.replace(".", "").isalnum() else shown(each) for each in idle[:_MOST_NAMED])
        more = f" and {len(idle) - _MOST_NAMED} more" if len(idle) > _MOST_NAMED else ""
        yield f"without a BIG-IP there is no effect of {named}{more}"
