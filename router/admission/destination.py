"""Where a Route leads to: the servers of all its Services, with their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

import msgspec

from router.admission.endpoints import MAX_ENDPOINTS, Found, ServiceEndpoints, find_endpoints
from router.admission.own_places import Loops
from router.admission.request import MAX_WEIGHT, Request, Target
from router.admission.target_port import shown_name
from router.admission.verdicts import Rejection
from router.model import Server
from router.store import Objects

_name = attrgetter("name")
_NOTHING = ServiceEndpoints((), (), ())


class Destination(msgspec.Struct, frozen=True, gc=False):
    """Where a Route leads to."""

    servers: tuple[Server, ...]
    """Sorted by name; names are unique."""
    sticks_to_source: bool
    """The Service of ``spec.to`` has sessionAffinity ClientIP."""
    warnings: tuple[str, ...]
    own_ports: frozenset[int] = frozenset()
    """Ports of endpoints at addresses of the routers: which are dropped depends on whether the routers listen there."""


NOWHERE = Destination((), sticks_to_source=False, warnings=())


def find_destination(
    request: Request, objects: Objects, *, allow_loopback: bool, loops: Loops
) -> Destination | Rejection:
    """Find the servers of a Route.

    Args:
        request: what the Route asks for.
        objects: where its Services and their slices are.
        allow_loopback: let endpoints on loopback addresses through.
        loops: tells which endpoints are the routers themselves; made for this call.

    Returns:
        The destination, or why the Route may not lead to one of its Services.
    """
    shares: list[tuple[Target, ServiceEndpoints]] = []
    warnings: list[str] = []
    left = MAX_ENDPOINTS
    for target in request.targets:
        service = objects.services.get(target.service)
        if service is None:
            warnings.append(f"Service {shown_name(*target.service)} does not exist")
            shares.append((target, _NOTHING))
            continue
        slices = objects.slices.get(target.service, {})
        endpoints = find_endpoints(
            service, slices, request.target_port, allow_loopback=allow_loopback, loops=loops, most=left
        )
        if isinstance(endpoints, Rejection):
            return endpoints
        left -= len(endpoints.ready) + len(endpoints.draining)
        warnings.extend(endpoints.warnings)
        shares.append((target, endpoints))
    primary = objects.services.get(request.targets[0].service)
    return Destination(
        servers=_servers(shares),
        sticks_to_source=primary is not None and primary.spec.session_affinity == "ClientIP",
        warnings=tuple(warnings),
        own_ports=loops.ports,
    )


def server_weights(shares: Sequence[tuple[int, int]]) -> list[int]:
    """Share the weights of Services over their endpoints, as OpenShift's router does (calculateServiceWeights).

    Each endpoint gets its part of the Service's weight; all are scaled so that the largest becomes 256. One Service alone
    has nothing to be weighed against: its endpoints get 1, or 0 where its weight is 0.

    Args:
        shares: weight and number of ready endpoints of each Service.

    Returns:
        The weight of one endpoint of each Service: 0 where the Service's weight is 0, else 1 to 256.
    """
    if len(shares) == 1:
        return [min(shares[0][0], 1)]
    # Exact fractions weight/count, compared and scaled in integers: the same on every machine.
    largest, count_of_largest = 0, 1
    for weight, count in shares:
        if count and weight * count_of_largest > largest * count:
            largest, count_of_largest = weight, count
    return [
        max(1, MAX_WEIGHT * weight * count_of_largest // (largest * count)) if weight and count else 0
        for weight, count in shares
    ]


def _servers(shares: Sequence[tuple[Target, ServiceEndpoints]]) -> tuple[Server, ...]:
    weights = server_weights([(target.weight, len(endpoints.ready)) for target, endpoints in shares])
    return uniquely_named(
        server
        for (_, endpoints), weight in zip(shares, weights, strict=True)
        for server in (*_weighted(endpoints.ready, weight), *_weighted(endpoints.draining, 0))
    )


def _weighted(found: Iterable[Found], weight: int) -> list[Server]:
    return [Server(each.name, each.address, each.port, weight, each.check) for each in found]


def uniquely_named(servers: Iterable[Server]) -> tuple[Server, ...]:
    """Sort by name, and number those whose names became equal when they were made fit for HAProxy."""
    ordered = sorted(servers, key=_name)
    if len(ordered) == len(set(map(_name, ordered))):
        return tuple(ordered)
    by_name: dict[str, Server] = {}
    numbers: dict[str, int] = {}
    for server in ordered:
        name = server.name
        while name in by_name:
            numbers[server.name] = numbers.get(server.name, 1) + 1
            name = f"{server.name}:{numbers[server.name]}"
        by_name[name] = server if name == server.name else replace(server, name=name)
    return tuple(sorted(by_name.values(), key=_name))
