"""Where a Route leads to: the servers of all its Services, with their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter

import msgspec

from router.admission.endpoints import MAX_ENDPOINTS, ServiceEndpoints, find_endpoints, prefers_ipv6
from router.admission.external_names import EXTERNAL_NAME, ExternalNames, find_addresses
from router.admission.name_book import MAX_NAMES
from router.admission.options import HASH_BALANCE_FACTOR
from router.admission.own_places import Loops
from router.admission.pods import Found, Place, places_of_pods
from router.admission.request import Request, Target
from router.admission.target_port import shown_key, shown_name
from router.admission.verdicts import Lack, Rejection
from router.admission.weights import endpoint_shares, largest_weight, scaled
from router.admission.wide import Terms, Wide, server_of, wide_of
from router.model import Balance, Server
from router.model.refusing import REFUSING
from router.objects.core import Service
from router.objects.meta import ObjectKey
from router.objects.resolved import ResolvedName
from router.objects.store import Objects
from router.ordered import Advance
from router.server_ids import ServerKey, another_id, server_ids

_name = attrgetter("name")
_NOTHING = ServiceEndpoints((), (), (), Lack.SERVICE)
_ON_A_RING: frozenset[Balance] = frozenset({"source", "random"})
"""What finds a server by points that are spread over a ring."""


class Destination(msgspec.Struct, frozen=True, gc=False):
    """Where a Route leads to."""

    servers: tuple[Server, ...]
    """Sorted by name; names are unique."""
    balance: Balance
    warnings: tuple[str, ...]
    lack: Lack | None = None
    """Why there is nobody to answer; of several Services the first that has nobody."""
    own_ports: frozenset[int] = frozenset()
    """Ports of endpoints at addresses of the routers: which are dropped depends on whether the routers listen there."""
    advance: Advance[Server] | None = None
    """How the servers came from those before, where that is known."""
    wide: Wide | None = None
    """What is known of its one Service, where that has many endpoints."""


NOWHERE = Destination((), balance="leastconn", warnings=())


def names_of(request: Request, objects: Objects, names: ExternalNames) -> Mapping[ObjectKey, str]:
    """Give the names to look up for a Route, by the Services that say them; none where it may not lead to one of these."""
    found: dict[ObjectKey, str] = {}
    for target in request.targets:
        service = objects.services.get(target.service)
        if service is not None and service.spec.type == EXTERNAL_NAME:
            name = names.look(service)
            if isinstance(name, Rejection):
                return {}
            found[target.service] = name
    return found


def find_destination(  # noqa: PLR0913 - what there is to know of a Route
    request: Request,
    objects: Objects,
    *,
    names: ExternalNames,
    is_looked_up: Callable[[str], bool],
    loops: Loops,
    former: Destination | Rejection = NOWHERE,
) -> Destination | Rejection:
    """Find the servers of a Route.

    Args:
        request: what the Route asks for.
        objects: where its Services, their slices and the addresses of their names are.
        names: which names it may lead to, and whether to endpoints on loopback addresses.
        is_looked_up: says of a name whether it is one of those that are looked up for the Route's namespace.
        loops: tells which endpoints are the routers themselves; made for this call.
        former: where it led until now: servers that are still the same stay the same objects.

    Returns:
        The destination, or why the Route may not lead to one of its Services.
    """
    moved = _moved(request, objects, names, loops, former)
    if moved is not None:
        return moved
    shares: list[tuple[Target, ServiceEndpoints]] = []
    warnings: list[str] = []
    left = MAX_ENDPOINTS
    for target in request.targets:
        service, port = objects.services.get(target.service), target.port or request.target_port
        if service is None:
            warnings.append(f"Service {shown_name(*target.service)} does not exist")
            shares.append((target, _NOTHING))
            continue
        endpoints: ServiceEndpoints | Rejection
        if service.spec.type == EXTERNAL_NAME:
            resolved = objects.names.get(target.service)
            endpoints = _by_name(service, resolved, port, names, is_looked_up, loops, left)
        else:
            slices = objects.slices.get(target.service, {})
            endpoints = find_endpoints(
                service,
                slices,
                port,
                allow_loopback=names.loopback,
                loops=loops,
                most=left,
                of_service=request.by_service_port,
            )
        if isinstance(endpoints, Rejection):
            if request.refused_weight is None:
                return endpoints
            warnings.append(endpoints.message)
            endpoints = _NOTHING
        left -= len(endpoints.ready) + len(endpoints.draining)
        warnings.extend(endpoints.warnings)
        shares.append((target, endpoints))
    primary = objects.services.get(request.targets[0].service) if request.targets else None
    balance = _balance(request, primary)
    if balance != "source" and request.options.backend.hash_balance_factor is not None:
        warnings.append(
            f"annotation {HASH_BALANCE_FACTOR} has no effect: balance is {balance}, and it is for source alone"
        )
    verify_domain = _verify_domain(request)
    servers, ids = _servers(
        shares,
        balance,
        prefers_ipv6=primary is not None and prefers_ipv6(primary),
        verify_domain=verify_domain,
        refused=request.refused_weight,
        former=former.servers if isinstance(former, Destination) else (),
    )
    wide = None
    if primary is not None and len(shares) == 1 and shares[0][1].reading is not None and request.refused_weight is None:
        wide = wide_of(shares[0][1], servers, ids, loops, _terms(request, primary, names, balance))
    return Destination(
        servers=servers,
        balance=balance,
        warnings=tuple(warnings),
        lack=_lack(shares),
        own_ports=loops.ports,
        wide=wide,
    )


def _terms(request: Request, service: Service, names: ExternalNames, balance: Balance) -> Terms:
    """Give the terms for the one Service of a request."""
    weight = request.targets[0].weight
    return Terms(
        service=service,
        most=MAX_ENDPOINTS,
        allow_loopback=names.loopback,
        weight=lambda ready: _weight_of_each(weight, ready, balance),
        verify_domain=_verify_domain(request),
    )


def _moved(
    request: Request, objects: Objects, names: ExternalNames, loops: Loops, former: Destination | Rejection
) -> Destination | None:
    """Give where a Route leads whose one Service has many endpoints, of which few are others; None where that has to be found anew."""
    if isinstance(former, Rejection) or former.wide is None:
        return None
    target = request.targets[0].service
    service = objects.services.get(target)
    if service is None:
        return None
    terms = _terms(request, service, names, former.balance)
    moved = former.wide.moved(former.servers, objects.slices.get(target, {}), loops.fresh(), terms)
    if moved is None:
        return None
    warnings = former.warnings
    if moved.said is not None:
        warnings = (*moved.said, *warnings[len(former.wide.said(terms.most)) :])
    return msgspec.structs.replace(
        former, servers=moved.servers, warnings=warnings, advance=moved.advance, wide=moved.wide
    )


def _lack(shares: Iterable[tuple[Target, ServiceEndpoints]]) -> Lack | None:
    found = [endpoints for target, endpoints in shares if target.weight]
    if any(endpoints.ready for endpoints in found):
        return None
    return next((endpoints.lack for endpoints in found if endpoints.lack is not None), Lack.ENDPOINTS)


def _by_name(  # noqa: PLR0913, PLR0917 - what there is to know of a name
    service: Service,
    resolved: ResolvedName | None,
    target_port: int | str | None,
    names: ExternalNames,
    is_looked_up: Callable[[str], bool],
    loops: Loops,
    most: int,
) -> ServiceEndpoints | Rejection:
    name = names.look(service)
    if isinstance(name, Rejection):
        return name
    if not is_looked_up(name):
        said = f"Service {shown_key(service)}: {name} is not looked up: a namespace may lead to {MAX_NAMES} names, and has older ones"
        return ServiceEndpoints((), (), (said,))
    return find_addresses(service, name, resolved, target_port, names=names, loops=loops, most=most)


def _balance(request: Request, primary: Service | None) -> Balance:
    """Give how connections find their pod; sessionAffinity of the Service of ``spec.to`` counts where the Route does not say."""
    options = request.options
    sticks_to_source = primary is not None and primary.spec.session_affinity == "ClientIP"
    return "source" if sticks_to_source and not options.balance_chosen else options.backend.balance


def _verify_domain(request: Request) -> str:
    """Give what comes behind a Service's name in the certificate of its pods, by which OpenShift's service CA knows them."""
    tls = request.server_tls
    return f"{request.asker.namespace}.svc" if tls is not None and tls.by_service else ""


def _servers(  # noqa: PLR0913 - what makes up a server
    shares: Sequence[tuple[Target, ServiceEndpoints]],
    balance: Balance,
    *,
    prefers_ipv6: bool,
    verify_domain: str,
    refused: int | None,
    former: Sequence[Server],
) -> tuple[tuple[Server, ...], Mapping[ServerKey, int]]:
    """Give the servers, and the ids of those that are endpoints."""
    if len(shares) == 1 and refused is None:
        servers, ids = _of_one(*shares[0], balance, verify_domain)
        return (_with_former(servers, former) if former else servers), ids
    found: dict[Place, Found] = {}
    parts: dict[Place, int] = {}
    each_gets = endpoint_shares(
        [*((target.weight, len(endpoints.ready)) for target, endpoints in shares), (_refused(shares, refused), 1)]
    )
    for (_, endpoints), share in zip(shares, each_gets[:-1], strict=True):
        for endpoint in endpoints.ready:
            place = endpoint.place
            found.setdefault(place, endpoint)
            parts[place] = parts.get(place, 0) + share
    for _, endpoints in shares:
        for endpoint in endpoints.draining:
            found.setdefault(endpoint.place, endpoint)
    if len(shares) > 1:
        # One Service may lead to a pod by the one family, another by the other.
        for place, instead in places_of_pods(found.values(), prefers_ipv6=prefers_ipv6).items():
            del found[place]
            parts[instead] = parts.get(instead, 0) + parts.pop(place, 0)
    kinds = len(shares) + (each_gets[-1] > 0)
    largest = largest_weight(kinds, len(parts), on_a_ring=balance in _ON_A_RING)
    ids = server_ids((each.address, each.port, each.service) for each in found.values())
    servers = _weighted(found, parts, largest, verify_domain, each_gets[-1] if any(parts.values()) else 0, ids)
    return (_with_former(servers, former) if former else servers), ids


def _of_one(
    target: Target, endpoints: ServiceEndpoints, balance: Balance, verify_domain: str
) -> tuple[tuple[Server, ...], Mapping[ServerKey, int]]:
    """Give the servers of a Route that leads to one Service, and all of it: each of its endpoints is one, and those that are ready get the same."""
    ids = server_ids([(each.address, each.port, each.service) for each in (*endpoints.ready, *endpoints.draining)])
    weight = _weight_of_each(target.weight, len(endpoints.ready), balance)
    servers = [
        server_of(each, 0 if each.draining else weight, number, verify_domain)
        for each in (*endpoints.ready, *endpoints.draining)
        for number in (ids[each.address, each.port, each.service],)
    ]
    return uniquely_named(servers), ids


def _weight_of_each(weight: int, ready: int, balance: Balance) -> int:
    """Give the weight of each of so many ready endpoints of the only Service, which has that one itself."""
    return largest_weight(1, ready, on_a_ring=balance in _ON_A_RING) if weight else 0


def _refused(shares: Sequence[tuple[Target, ServiceEndpoints]], refused: int | None) -> int:
    """Give the weight of what is refused: that which is, and of Services that have nobody who could answer."""
    if refused is None:
        return 0
    return refused + sum(target.weight for target, endpoints in shares if not endpoints.ready)


def _weighted(  # noqa: PLR0913, PLR0917 - what makes up a server
    found: Mapping[Place, Found],
    parts: Mapping[Place, int],
    largest: int,
    verify_domain: str,
    refused: int,
    ids: Mapping[ServerKey, int],
) -> tuple[Server, ...]:
    # Where everything is refused nobody has to stand for it.
    *scaled_parts, refusing = scaled((*parts.values(), refused), largest)
    weights = dict(zip(parts, scaled_parts, strict=True))
    servers = [
        server_of(each, weights.get(place, 0), ids[(*place, each.service)], verify_domain)
        for place, each in found.items()
    ]
    if refusing:
        number = another_id((REFUSING, 0, ""), frozenset(ids.values()))
        servers.append(Server(REFUSING, REFUSING, 0, refusing, check=False, id=number))
    return uniquely_named(servers)


def _with_former(servers: tuple[Server, ...], former: Sequence[Server]) -> tuple[Server, ...]:
    """Give the same servers, and of those that were there before the former objects: whoever compares them later need not look into them."""
    known = dict(zip(former, former, strict=True))
    return tuple(map(known.get, servers, servers))


def uniquely_named(servers: Sequence[Server]) -> tuple[Server, ...]:
    """Sort by name, and number those whose names became equal when they were made fit for HAProxy."""
    ordered = sorted(servers, key=_name) if len(servers) > 1 else servers
    if len(ordered) == len(set(map(_name, ordered))):
        return tuple(ordered)
    by_name: dict[str, Server] = {}
    numbers: dict[str, int] = {}
    for server in ordered:
        name = server.name
        while name in by_name:
            numbers[server.name] = numbers.get(server.name, 1) + 1
            name = f"{server.name}:{numbers[server.name]}"
        by_name[name] = server if name == server.name else msgspec.structs.replace(server, name=name)
    return tuple(sorted(by_name.values(), key=_name))
