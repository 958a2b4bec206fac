"""The endpoints of one Service that a Route leads to: ready ones, draining ones, and what was dropped."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from router.admission.addresses import LOOPBACK, judge_address
from router.admission.own_places import Loops
from router.admission.pods import Found, Place, places_of_pods
from router.admission.target_port import PortChoice, choose_port, is_tcp, shown_key
from router.admission.text import is_dns_subdomain, sanitised, shown
from router.admission.verdicts import Lack, Rejection
from router.objects.core import Service
from router.objects.discovery import Endpoint, EndpointPort, EndpointSlice
from router.settings import MAX_PORT

MAX_ENDPOINTS = 2000
"""That one Route leads to. Twice what the API lets an Endpoints object have; to add so many while it runs takes HAProxy 0.12 s."""

IDLED_AT = "idling.alpha.openshift.io/idled-at"
"""Set by ``oc idle`` on a Service, removed when the first connection wakes it (openshift/api, unidling annotations)."""

LEAST_WIDE = 64
"""Endpoints of a Service from which on it is worth the memory to know where each comes from (``router.admission.wide``)."""
_MAX_LISTED = 3
_SERVICE_AT = 2
"""Which part of a server's name its Service is."""
_LOOPBACK_SHOWN = f"({LOOPBACK})"
_members, _draining = attrgetter("endpoints"), attrgetter("draining")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What endpoints were found by, where nothing is to be said of any, each is in one slice alone, and all slices have the same ports."""

    choice: PortChoice
    ports: tuple[EndpointPort, ...] | None
    slices: tuple[EndpointSlice, ...]
    """All of them."""
    looked_at: tuple[EndpointSlice, ...]
    """As ``looked_at`` gives them."""


class ServiceEndpoints(msgspec.Struct, frozen=True, gc=False):
    """What one Service leads to."""

    ready: tuple[Found, ...]
    draining: tuple[Found, ...]
    warnings: tuple[str, ...]
    lack: Lack | None = None
    """Why there is none that serves."""
    reading: Reading | None = None
    """By what these were found; None where they are few, or that is not so simple."""


def find_endpoints(  # noqa: PLR0913 - what there is to know of endpoints
    service: Service,
    slices: Mapping[str, EndpointSlice],
    target_port: int | str | None,
    *,
    allow_loopback: bool,
    loops: Loops,
    most: int = MAX_ENDPOINTS,
    of_service: bool = False,
) -> ServiceEndpoints | Rejection:
    """Find the endpoints of a Service for a Route's target port.

    Args:
        service: the Service.
        slices: its EndpointSlices by name.
        target_port: ``spec.port.targetPort``, None where the Route has none.
        allow_loopback: let endpoints on loopback addresses through.
        loops: tells which endpoints are the routers themselves.
        of_service: the target port is one of the Service, as ``choose_port`` has it.
        most: how many endpoints of the slices are looked at; beyond, those of the first slices by name.

    Returns:
        The endpoints, each pod once, sorted by name; or why no Route may lead to this Service.
    """
    choice = choose_port(service, slices.values(), target_port, of_service=of_service)
    if isinstance(choice, Rejection):
        return choice
    if choice.problem:
        return ServiceEndpoints((), (), (choice.problem,), choice.lack)
    told, read = looked_at(slices, most)
    dropped: set[str] = set()
    # Those that drain are behind all others.
    usable = sorted(find_usable(service, read, choice, dropped, allow_loopback=allow_loopback, loops=loops))
    best = usable if len(usable) < 2 else _each_once(usable, prefers_ipv6=prefers_ipv6(service))  # noqa: PLR2004 - one is there once
    serving = len(best) if not best or not best[-1].draining else bisect_left(best, True, key=_draining)  # noqa: FBT003
    ready, draining = tuple(best[:serving]), tuple(best[serving:])
    if not ready and IDLED_AT in (service.metadata.annotations or {}):
        ready = tuple(_waker(service, choice, dropped, allow_loopback=allow_loopback, loops=loops))
    warnings = [choice.warning] if choice.warning else []
    if dropped:
        warnings.append(_dropped_warning(service, dropped))
    if told > most:
        warnings.append(too_many_warning(service, told, most))
    if not ready:
        warnings.append(_nothing_ready_warning(service, slices, len(draining)))
    is_plain = told >= LEAST_WIDE and serving > 0 and len(best) == len(usable) and not dropped and not loops.ports
    reading = _reading(choice, slices, read) if is_plain else None
    return ServiceEndpoints(ready, draining, tuple(warnings), None if ready else Lack.ENDPOINTS, reading)


def _each_once(usable: list[Found], *, prefers_ipv6: bool) -> list[Found]:
    """Give each pod once, of several ways to it the best; in order, as they come."""
    best: dict[Place, Found] = {}
    for found in usable:
        best.setdefault(found.place, found)
    for place in places_of_pods(best.values(), prefers_ipv6=prefers_ipv6):
        del best[place]
    return list(best.values())


def _reading(
    choice: PortChoice, slices: Mapping[str, EndpointSlice], read: tuple[EndpointSlice, ...]
) -> Reading | None:
    ports = {each.ports for each in slices.values() if each.endpoints}
    return Reading(choice, ports.pop(), tuple(slices.values()), read) if len(ports) == 1 else None


def looked_at(slices: Mapping[str, EndpointSlice], most: int) -> tuple[int, tuple[EndpointSlice, ...]]:
    """Give how many endpoints these have, and the slices with so many of them at most: the first in the order of the slices' names.

    At the speed of C: there may be thousands of slices, of which one has changed.
    """
    told = sum(map(len, filter(None, map(_members, slices.values()))))
    if told <= most:
        return told, tuple(slices.values())
    in_order = list(filter(_members, map(slices.__getitem__, sorted(slices))))
    ends = list(accumulate(map(len, map(_members, in_order))))
    whole = bisect_right(ends, most)
    left = most - (ends[whole - 1] if whole else 0)
    cut = in_order[whole]
    rest = (replace(cut, endpoints=(cut.endpoints or ())[:left]),) if left > 0 else ()
    return told, (*in_order[:whole], *rest)


def too_many_warning(service: Service, told: int, most: int) -> str:
    """Say that not all endpoints are looked at."""
    return (
        f"Service {shown_key(service)} has {told} endpoints; only the first {most} are looked at, by the names of their "
        f"EndpointSlices: a Route leads to at most {MAX_ENDPOINTS}"
    )


def find_usable(  # noqa: PLR0913 - what there is to know of endpoints
    service: Service,
    slices: Iterable[EndpointSlice],
    choice: PortChoice,
    dropped: set[str],
    *,
    allow_loopback: bool,
    loops: Loops,
) -> Iterator[Found]:
    """Give every endpoint that may be connected to, and put what may not into ``dropped``."""
    service_name = service.metadata.name
    for each in slices:
        # Whoever writes slices without endpoints can give each thousands of ports.
        ports = _matching(each.ports, choice) if each.endpoints else ()
        if not ports:
            continue
        for endpoint in each.endpoints or ():
            draining = _is_draining(endpoint)
            if draining is None or not endpoint.addresses:
                continue
            # The addresses of one endpoint are alternatives, the first is as good as any (discovery.k8s.io/v1, Endpoint).
            address = _accepted(each.address_type, endpoint.addresses[0], dropped, allow_loopback=allow_loopback)
            if address is None:
                continue
            for port, port_name in ports:
                if not 1 <= port <= MAX_PORT:
                    dropped.add(f"{address} (port {shown(port)})")
                    continue
                if loops.lead_back(address, port):
                    dropped.add(shown_loop(address, port))
                    continue
                pod = _pod(endpoint)
                name = server_name(pod or address, service_name, port_name, address, port)
                yield Found(draining, name, address, port, check=True, service=service_name, pod=pod)


@lru_cache(maxsize=1 << 10)
def _matching(of_slice: tuple[EndpointPort, ...] | None, choice: PortChoice) -> tuple[tuple[int, str], ...]:
    """Give the ports of a slice that are meant, each number once, with its name; of several names the first.

    Remembered, because the ports of a slice are what they were when its endpoints are others.
    """
    ports: dict[int, str] = {}
    for port in choice.among(of_slice or ()):
        if port.port is not None:
            name = port.name or ""
            other = ports.get(port.port)
            ports[port.port] = name if other is None else min(other, name, key=lambda each: f"{sanitised(each)}:")
    return tuple(ports.items())


def _is_draining(endpoint: Endpoint) -> bool | None:
    """Say whether an endpoint drains (True) or serves (False); None is neither.

    Conditions that are not told read as ready, serving, not terminating (discovery.k8s.io/v1, EndpointConditions).
    """
    conditions = endpoint.conditions
    if conditions.ready is not False:
        return False
    return True if conditions.terminating and conditions.serving is not False else None


def _accepted(address_type: str, text: str, dropped: set[str], *, allow_loopback: bool) -> str | None:
    if address_type == "FQDN":
        dropped.add(f"{shown(text)} (a name, not an address)")
        return None
    address, problem = judge_address(text)
    if problem is None or (problem == LOOPBACK and allow_loopback):
        return address
    dropped.add(f"{shown(text)} ({problem})")
    return None


def prefers_ipv6(service: Service) -> bool:
    """Say whether a Service's first family is IPv6: the one that Kubernetes gives clients that could use both."""
    families = service.spec.ip_families
    return families is not None and families[:1] == ("IPv6",)


def _pod(endpoint: Endpoint) -> str:
    target = endpoint.target_ref
    return target.name if target is not None and target.kind == "Pod" and is_dns_subdomain(target.name) else ""


def server_name(pod: str, service_name: str, port_name: str, address: str, port: int) -> str:
    """Give the name of the server that an endpoint is; ``pod`` is what is known of it, be it only an address."""
    return f"pod:{pod}:{service_name}:{sanitised(port_name) if port_name else ''}:{address}:{port}"


def service_of(name: str) -> str:
    """Give the Service by which an endpoint was found, of the name of its server."""
    return name.split(":")[_SERVICE_AT]


def _waker(
    service: Service, choice: PortChoice, dropped: set[str], *, allow_loopback: bool, loops: Loops
) -> Iterator[Found]:
    """Give the ClusterIP of an idled Service: connections to it make OpenShift start the pods.

    It is not checked, for the check would wake the pods too.
    """
    port = choice.service_port
    cluster_ip = service.spec.cluster_ip
    if cluster_ip in ("", "None") or port is None or not is_tcp(port.protocol):
        return
    address = _accepted("", cluster_ip, dropped, allow_loopback=allow_loopback)
    if address is not None and loops.lead_back(address, port.port):
        dropped.add(shown_loop(address, port.port))
    elif address is not None and 1 <= port.port <= MAX_PORT:
        yield Found(
            draining=False,
            name=server_name("idled", service.metadata.name, port.name, address, port.port),
            address=address,
            port=port.port,
            check=False,
            service=service.metadata.name,
            pod="",
        )


def shown_loop(address: str, port: int) -> str:
    """Say that an endpoint is the router."""
    return f"{address} port {port} (the router itself)"


def _dropped_warning(service: Service, dropped: set[str]) -> str:
    return f"endpoints of Service {shown_key(service)} were dropped: {shown_dropped(dropped)}"


def shown_dropped(dropped: set[str]) -> str:
    """List what may not be connected to, of many the first."""
    listed = ", ".join(sorted(dropped)[:_MAX_LISTED])
    more = f" and {len(dropped) - _MAX_LISTED} more" if len(dropped) > _MAX_LISTED else ""
    hint = (
        "; a router for demonstrations leads to loopback with --allow-loopback-endpoints"
        if _LOOPBACK_SHOWN in listed
        else ""
    )
    return f"{listed}{more}{hint}"


def _nothing_ready_warning(service: Service, slices: Mapping[str, EndpointSlice], draining: int) -> str:
    if draining:
        return f"Service {shown_key(service)} has no ready endpoints; {draining} drain"
    if any(each.endpoints for each in slices.values()):
        return f"Service {shown_key(service)} has no ready endpoints on this port"
    if not slices and service.spec.selector is None:
        return (
            f"Service {shown_key(service)} has no endpoints: it has no selector, and no EndpointSlice has the label "
            f"kubernetes.io/service-name: {service.metadata.name}. Of Endpoints Kubernetes makes one, unless they have the label "
            "endpointslice.kubernetes.io/skip-mirror"
        )
    return f"Service {shown_key(service)} has no endpoints"
