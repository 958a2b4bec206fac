"""Services with many endpoints: of slices that did not change nothing is read again, so that a pod that moves costs what its slice costs; pure.

What is right is what all slices come to. Here is done what gives the same for sure, as it does for what is usual: each endpoint is in one slice, all are
of one address family, and nothing is to be said of any. Whatever else comes is left to who reads all of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from msgspec.structs import replace

from router.admission.endpoints import Reading, ServiceEndpoints, find_usable, looked_at, too_many_warning
from router.admission.own_places import Loops, OwnAddresses
from router.admission.pods import Found, Place
from router.model import Server
from router.objects.core import Service
from router.objects.discovery import EndpointPort, EndpointSlice
from router.ordered import Advance, differences
from router.server_ids import contested_ids, first_id

_name, _members = attrgetter("name"), attrgetter("endpoints")


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the endpoints of a Service are found, and are servers.

    Args:
        service: the Service.
        most: how many of its endpoints are looked at.
        allow_loopback: whether endpoints on loopback addresses are let through.
        weight: gives the weight of one that is ready, where so many are.
        verify_domain: what comes behind the Service's name in the certificates of its pods; empty where these are not asked for it.
    """

    service: Service
    most: int
    allow_loopback: bool
    weight: Callable[[int], int]
    verify_domain: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the servers."""

    servers: tuple[Server, ...]
    advance: Advance[Server] | None
    """How they came from the former ones; None where they are these."""
    wide: Wide
    said: tuple[str, ...] | None
    """Warnings about the Service; None where they are the former ones."""


@dataclass(frozen=True, slots=True)
class Wide:
    """What is known of the endpoints of one Service, which are all servers of a Route."""

    service: Service
    own: OwnAddresses
    reading: Reading
    told: int
    """Endpoints, also those beyond what is looked at."""
    ready: int
    weight: int
    """Of one that is ready."""
    is_ipv6: bool
    by_place: Mapping[Place, Server]
    ids: AbstractSet[int]
    contested: AbstractSet[int]

    def moved(
        self, servers: tuple[Server, ...], slices: Mapping[str, EndpointSlice], loops: Loops, terms: Terms
    ) -> Moved | None:
        """Give what the Service comes to with these slices.

        Args:
            servers: those that it came to before.
            slices: its slices by name.
            loops: tells which endpoints are the routers themselves; what it was asked before does not matter.
            terms: those of before, but for the Service, perhaps.

        Returns:
            None where all slices have to be read to know.
        """
        if terms.service is not self.service or loops.own is not self.own:
            return None
        everything = tuple(slices.values())
        told, read = looked_at(slices, terms.most)
        ports = {each.ports for each in differences(self.reading.slices, everything)[1] if each.endpoints}
        before, after = (
            self._places(each, loops, terms)
            for each in _others(*differences(self.reading.looked_at, read), self.reading.ports)
        )
        if ports - {self.reading.ports} or before is None or after is None or len(before) + len(after) > len(servers):
            return None
        ready = self.ready + _ready(after) - _ready(before)
        if not ready or terms.weight(ready) != self.weight:
            return None
        by_place, ids = dict(self.by_place), set(self.ids)
        removed = [by_place.pop(place) for place in before.keys() - after.keys()]
        leaving = {server.id for server in removed}
        ids -= leaving
        added: list[Server] = []
        for place, found in after.items():
            there = by_place.get(place)
            number = there.id if there is not None else first_id((*place, found.service))
            if (place in before) is (there is None) or (there is None and number in ids):
                return None
            server = server_of(found, 0 if found.draining else self.weight, number, terms.verify_domain)
            if server != there:
                removed += [there] if there is not None else []
                added.append(server)
                by_place[place] = server
                ids.add(number)
        if leaving & self.contested:
            return None
        reading = Reading(self.reading.choice, self.reading.ports, everything, read)
        wide = Wide(
            self.service, self.own, reading, told, ready, self.weight, self.is_ipv6, by_place, ids, self.contested
        )
        advance = _advance(servers, removed, added) if removed or added else None
        current = advance.after if advance is not None else servers
        return Moved(current, advance, wide, wide.said(terms.most) if told != self.told else None)

    def said(self, most: int) -> tuple[str, ...]:
        """Give the warnings about the Service."""
        too_many = too_many_warning(self.service, self.told, most) if self.told > most else ""
        return tuple(filter(None, (self.reading.choice.warning, too_many)))

    def _places(
        self, slices: Iterable[EndpointSlice] | None, loops: Loops, terms: Terms
    ) -> Mapping[Place, Found] | None:
        """Give the endpoints of some slices by their places; None if any of them is not as usual."""
        if slices is None:
            return None
        dropped: set[str] = set()
        usable = find_usable(
            self.service, slices, self.reading.choice, dropped, allow_loopback=terms.allow_loopback, loops=loops
        )
        places: dict[Place, Found] = {}
        for found in usable:
            if found.place in places or found.is_ipv6 is not self.is_ipv6:
                return None
            places[found.place] = found
        return None if dropped or loops.ports else places


def wide_of(
    endpoints: ServiceEndpoints,
    servers: tuple[Server, ...],
    ids: Mapping[tuple[str, int, str], int],
    loops: Loops,
    terms: Terms,
) -> Wide | None:
    """Give what is to be known of a Service whose endpoints are all servers of a Route; None where it has few, or these are not as usual.

    Args:
        endpoints: what it leads to.
        servers: what that is as servers.
        ids: their ids.
        loops: told which endpoints are the routers themselves.
        terms: on which they were found.
    """
    found = (*endpoints.ready, *endpoints.draining)
    reading = endpoints.reading
    if reading is None or len(found) != len(servers) or len({e.is_ipv6 for e in found}) > 1:
        return None
    told = sum(len(each.endpoints or ()) for each in reading.slices)
    ready = len(endpoints.ready)
    by_place = {(server.address, server.port): server for server in servers}
    return Wide(
        terms.service,
        loops.own,
        reading,
        told,
        ready,
        terms.weight(ready),
        found[0].is_ipv6,
        by_place,
        frozenset(ids.values()),
        contested_ids(ids),
    )


def server_of(found: Found, weight: int, number: int, verify_domain: str) -> Server:
    """Give the server that an endpoint is, with this weight and id."""
    verify_host = f"{found.service}.{verify_domain}" if verify_domain else ""
    return Server(found.name, found.address, found.port, weight, found.check, verify_host=verify_host, id=number)


def _others(
    gone: tuple[EndpointSlice, ...], come: tuple[EndpointSlice, ...], ports: tuple[EndpointPort, ...] | None
) -> tuple[tuple[EndpointSlice, ...] | None, tuple[EndpointSlice, ...] | None]:
    """Give slices of the endpoints that are in these and not in those, and the other way round; None where one is in two slices, or they are of several families."""
    both = (*gone, *come)
    if len({each.address_type for each in both}) > 1:
        return None, None
    former, current = (list(chain.from_iterable(filter(None, map(_members, each)))) for each in (gone, come))
    before, after = frozenset(former), frozenset(current)
    if len(before) != len(former) or len(after) != len(current):
        return None, None
    one, other = (
        tuple(replace(each, endpoints=tuple(endpoints), ports=ports) for each in both[:1])
        for endpoints in (before - after, after - before)
    )
    return one, other


def _ready(places: Mapping[Place, Found]) -> int:
    return sum(not found.draining for found in places.values())


def _advance(before: tuple[Server, ...], removed: Iterable[Server], added: Iterable[Server]) -> Advance[Server]:
    """Give the servers without and with these, in order."""
    servers = list(before)
    removed, added = tuple(sorted(removed, key=_name)), tuple(sorted(added, key=_name))
    for server in removed:
        del servers[bisect_left(servers, server.name, key=_name)]
    for server in added:
        servers.insert(bisect_left(servers, server.name, key=_name), server)
    return Advance(before, tuple(servers), removed, added)
