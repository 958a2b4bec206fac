"""What is kept of Routes, Services and EndpointSlices: what the router reads of them, and equal parts once for all.

A cluster has tens of thousands of these objects, most of which say the same: "tcp", 8080, ready. Of a slice with three endpoints
this keeps about half of what the bytes decode to. A Route is kept whole, for its status is decided of it too.

Of Services and slices the resourceVersion goes too: one that changed in nothing else is the object that the store has already.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from typing import TypeVar, cast

from msgspec import Struct

from router.admission.endpoints import IDLED_AT
from router.admission.service import ADMITTED as SERVICE_ADMITTED
from router.objects.core import Condition, LoadBalancerStatus, Service, ServiceSpec, ServiceStatus
from router.objects.discovery import Endpoint, EndpointSlice, TargetRef
from router.objects.meta import ObjectMeta
from router.objects.portclaim import ClaimHolder, PortClaim, PortClaimSpec, PortClaimStatus
from router.objects.route import Route, RouteCondition, RouteIngress, RouteSpec, RouteStatus, RouteTarget

_Part = TypeVar("_Part")

SERVICE_LABEL = "kubernetes.io/service-name"
_DISTINCT = 4096
_FIRST: dict[object, object] = {}
"""The first of equal parts, so many of them at most."""
_SMALL = 64
"""Characters of a text that is shared; names of ports and conditions have less."""
_FEW = 8
"""Ports of a Service or a slice that are shared."""


def kept_route(route: Route) -> Route:
    """Give an equal Route of which the parts that many Routes have alike are shared."""
    metadata, spec = route.metadata, route.spec
    annotations = metadata.annotations
    return Route(
        ObjectMeta(
            name=metadata.name,
            namespace=intern(metadata.namespace),
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            generation=metadata.generation,
            creation_timestamp=metadata.creation_timestamp,
            annotations={intern(key): value for key, value in annotations.items()} if annotations is not None else None,
            labels=metadata.labels,
        ),
        RouteSpec(
            to=_target(spec.to, metadata.name),
            host=spec.host,
            subdomain=spec.subdomain,
            path=spec.path,
            alternate_backends=spec.alternate_backends,
            port=_shared(spec.port),
            tls=_shared(spec.tls),
            wildcard_policy=intern(spec.wildcard_policy),
        ),
        RouteStatus(tuple(_ingress(entry, spec.host) for entry in route.status.ingress))
        if route.status.ingress
        else route.status,
    )


def kept_service(service: Service, *, asks: bool = False) -> Service:
    """Give a Service without what nobody reads: of its annotations, its identity and its status all, if it asks to be served itself."""
    metadata, spec = service.metadata, service.spec
    annotations = metadata.annotations
    idled = {IDLED_AT: annotations[IDLED_AT]} if annotations and IDLED_AT in annotations else None
    return Service(
        ObjectMeta(
            name=metadata.name,
            namespace=intern(metadata.namespace),
            uid=metadata.uid if asks else "",
            creation_timestamp=metadata.creation_timestamp if asks else None,
            annotations=annotations if asks else idled,
        ),
        ServiceSpec(
            type=intern(spec.type),
            cluster_ip=spec.cluster_ip,
            ip_families=_shared(spec.ip_families),
            external_name=spec.external_name,
            ports=_shared(spec.ports),
            session_affinity=intern(spec.session_affinity),
            load_balancer_class=spec.load_balancer_class if asks else None,
            load_balancer_source_ranges=spec.load_balancer_source_ranges if asks else None,
            load_balancer_ip=spec.load_balancer_ip if asks else None,
            allocate_load_balancer_node_ports=spec.allocate_load_balancer_node_ports if asks else None,
        ),
        ServiceStatus(_own_conditions(service) or None, _own_balancer(service)) if asks else ServiceStatus(),
    )


def _own_conditions(service: Service) -> tuple[Condition, ...]:
    return tuple(each for each in service.status.conditions or () if each.type == SERVICE_ADMITTED)


def _own_balancer(service: Service) -> LoadBalancerStatus | None:
    return service.status.load_balancer if service.router_of_class else None


def kept_slice(endpoint_slice: EndpointSlice) -> EndpointSlice:
    """Give an EndpointSlice without what nobody reads."""
    metadata, endpoints = endpoint_slice.metadata, endpoint_slice.endpoints
    return EndpointSlice(
        ObjectMeta(
            name=metadata.name,
            namespace=intern(metadata.namespace),
            labels=_labels(endpoint_slice.service.name),
        ),
        intern(endpoint_slice.address_type),
        tuple(map(_endpoint, endpoints)) if endpoints is not None else None,
        _shared(endpoint_slice.ports),
    )


def kept_claim(claim: PortClaim) -> PortClaim:
    """Give a PortClaim of which the parts that many have alike are shared."""
    metadata, spec, status = claim.metadata, claim.spec, claim.status
    holder = spec.holder
    return PortClaim(
        ObjectMeta(
            name=metadata.name,
            namespace=intern(metadata.namespace),
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            generation=metadata.generation,
            creation_timestamp=_shared(metadata.creation_timestamp),
        ),
        PortClaimSpec(
            ledger=intern(spec.ledger),
            port=spec.port,
            origin=spec.origin,
            router_name=intern(spec.router_name),
            address=intern(spec.address),
            port_end=spec.port_end,
            host=spec.host,
            holder=ClaimHolder(
                intern(holder.group),
                intern(holder.kind),
                intern(holder.namespace),
                holder.name,
                intern(holder.section),
                holder.uid,
            )
            if holder is not None
            else None,
        ),
        PortClaimStatus(
            status.holder, _shared(status.last_used), _shared(status.released_at), _shared(status.conditions)
        ),
    )


def _target(target: RouteTarget, route_name: str) -> RouteTarget:
    name = route_name if target.name == route_name else target.name
    return RouteTarget(name, intern(target.kind), target.weight)


def _ingress(entry: RouteIngress, host: str) -> RouteIngress:
    return RouteIngress(
        router_name=intern(entry.router_name),
        host=host if entry.host == host else entry.host,
        router_canonical_hostname=intern(entry.router_canonical_hostname),
        wildcard_policy=intern(entry.wildcard_policy),
        conditions=tuple(map(_condition, entry.conditions)) if entry.conditions is not None else None,
    )


def _condition(condition: RouteCondition) -> RouteCondition:
    if not condition.message:
        shared: RouteCondition = _shared(condition)
        return shared
    return RouteCondition(
        intern(condition.type),
        intern(condition.status),
        intern(condition.reason),
        condition.message,
        _shared(condition.last_transition_time),
    )


def _endpoint(endpoint: Endpoint) -> Endpoint:
    target = endpoint.target_ref
    return Endpoint(
        endpoint.addresses,
        _shared(endpoint.conditions),
        TargetRef(intern(target.kind), target.name) if target is not None else None,
    )


def _shared(part: _Part) -> _Part:
    """Give the first of equal parts; what is large is given as it is, for whoever writes that often would fill the memory."""
    if part is None:
        return part
    # Most often it was seen before, and is small.
    first = _FIRST.get(part)
    if first is not None:
        return cast("_Part", first)
    if _is_small(part):
        if len(_FIRST) >= _DISTINCT:
            _FIRST.clear()
        _FIRST[part] = part
    return part


def _is_small(part: object) -> bool:
    match part:
        case str():
            return len(part) <= _SMALL
        case tuple():
            return len(part) <= _FEW and all(map(_is_small, part))
        case Struct():
            return all(_is_small(getattr(part, name)) for name in part.__struct_fields__)
        case _:
            return True


@lru_cache(_DISTINCT)
def _labels(service: str) -> dict[str, str]:
    return {SERVICE_LABEL: service}
