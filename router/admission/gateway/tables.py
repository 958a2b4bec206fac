"""Which TLS server name leads to which route on ports with TLS listeners: the listener first, by its hostname, then the route inside it.

HAProxy looks for the most specific name of one map for each port. So what a less specific listener has under the hostname of a more specific one is
left out (listener isolation), and the hostname of each listener is in the map: where no route of it has a name, it leads to the listener's own
backend, which has no servers and ends what comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from operator import attrgetter

from router.admission.gateway.hosts import covers, intersections, is_carried, specificity
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.admission.text import LONGEST_ENDING, shown
from router.model import Asker, SharedFrontend, SniHost, Spot, backend_name
from router.model.tls import PortTls
from router.ordered import SortedMap, differences

_WITH_LISTENERS = frozenset({GATEWAY_KIND, LISTENER_SET_KIND})
_host_of = attrgetter("host")


@dataclass(frozen=True, slots=True)
class Table:
    """One TLS listener."""

    hostname: str
    """As ``hosts.meet`` has it."""
    leads: tuple[tuple[str, Asker], ...] = ()
    """Names under it, sorted, each with the route that has it."""
    ends: tuple[PortTls, ...] = ()
    """How TLS ends for each of these; none where it goes on as it came."""
    ends_tls: bool = False
    """Whether it does; with ``ends`` for each name, of which there may be none."""

    def hosts(self) -> Iterator[SniHost]:
        """Give the names, as they are led."""
        for (name, route), tls in zip_longest(self.leads, self.ends):
            yield SniHost(name, backend_name(route), route, tls)

    def unled(self, hostnames: Iterable[str] | None) -> str:
        """Say why clients of a route's names are led nowhere by this listener; empty where all can be."""
        names = intersections(self.hostname, hostnames)
        long = next((name for name in sorted(names) if self.ends_tls and not is_carried(name)), "")
        if not long:
            return ""
        return f"hostname {shown(long)} has {len(long)} characters; accepted are up to {LONGEST_ENDING} where the listener's tls.mode is Terminate"


TableOf = Callable[[Asker], Table | None]


class Led:
    """Shared ports as they are led by tables; what did not change is the object that it was."""

    def __init__(self) -> None:
        self._remembered: dict[Spot, tuple[SharedFrontend, tuple[Table, ...], SharedFrontend]] = {}
        self._shared: tuple[SharedFrontend, ...] = ()
        self._by_spot: dict[Spot, SharedFrontend] = {}
        """The same by their ports."""
        self._led_ports: SortedMap[Spot, SharedFrontend] = SortedMap()
        self.stale: set[Spot] = set()
        """Ports of which a table is another than when last asked."""

    def lead(
        self, shared: tuple[SharedFrontend, ...], table_of: TableOf, has_listeners: Callable[[Spot], bool]
    ) -> tuple[SharedFrontend, ...]:
        """Give the shared ports with what the tables of their TLS listeners say; looks at those alone that may be otherwise than last.

        Args:
            shared: as their hosts were claimed, sorted by port.
            table_of: gives the table of a listener; None for what is none.
            has_listeners: says whether there may be a TLS listener on a port: all others are not looked into.
        """
        stale, self.stale = self.stale, set()
        if shared is not self._shared:
            former, current = differences(self._shared, shared)
            self._shared = shared
            for each in former:
                del self._by_spot[each.spot]
            self._by_spot.update((each.spot, each) for each in current)
            stale.update(each.spot for each in (*former, *current))
        for spot in stale:
            there = self._by_spot.get(spot)
            if there is None:
                self._remembered.pop(spot, None)
            elif has_listeners(spot):
                there = self._led(there, table_of)
            if there is not self._led_ports.get(spot):
                self._led_ports.put(spot, there)
        return self._led_ports.values()

    def _led(self, frontend: SharedFrontend, table_of: TableOf) -> SharedFrontend:
        tables = {
            host.asker: table
            for host in frontend.hosts
            if host.asker.kind in _WITH_LISTENERS and (table := table_of(host.asker)) is not None
        }
        if not tables:
            return frontend
        known = self._remembered.get(frontend.spot)
        now = tuple(tables.values())
        if known is not None and known[0] is frontend and known[1] == now:
            return known[2]
        others = [host for host in frontend.hosts if host.asker not in tables]
        # A certificate is shown by one wildcard of a name alone, and a Route's is looked up first.
        taken = {host.host for host in others}
        named = (
            host for host in _names(tables.items()) if host.tls is None or host.host.removeprefix("*") not in taken
        )
        hosts = {host.host: host for host in [*named, *others]}
        before = {host.host: host for host in known[2].hosts} if known is not None else {}
        # What is equal is the object that it was, so that nobody looks at it again.
        kept = (there if (there := before.get(host.host)) == host else host for host in hosts.values())
        made = replace(frontend, hosts=tuple(sorted(kept, key=_host_of)))
        if known is not None and known[2] == made:
            made = known[2]
        self._remembered[frontend.spot] = frontend, now, made
        return made


def _names(tables: Iterable[tuple[Asker, Table]]) -> Iterable[SniHost]:
    tables = list(tables)
    for listener, table in tables:
        within = [
            each.hostname
            for _, each in tables
            if each.hostname != table.hostname
            and specificity(each.hostname) > specificity(table.hostname)
            and covers(table.hostname, each.hostname)
        ]
        yield SniHost(table.hostname, backend_name(listener), listener)
        for host in table.hosts():
            if not any(covers(each, host.host) for each in within):
                yield host
