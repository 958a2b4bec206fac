"""Which TLS server name leads to which route on ports with TLS listeners: the listener first, by its hostname, then the route inside it.

HAProxy looks for the most specific name of one map for each port. So what a less specific listener has under the hostname of a more specific one is
left out (listener isolation), and the hostname of each listener is in the map: where no route of it has a name, it leads to the listener's own
backend, which has no servers and ends what comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from router.admission.gateway.hosts import covers, specificity
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.model import Asker, SharedFrontend, SniHost, Spot, backend_name
from router.ordered import SortedMap, differences

_WITH_LISTENERS = frozenset({GATEWAY_KIND, LISTENER_SET_KIND})


@dataclass(frozen=True, slots=True)
class Table:
    """One TLS listener."""

    hostname: str
    """As ``hosts.meet`` has it."""
    hosts: tuple[SniHost, ...] = ()
    """Names under it, sorted, each with the route that has it; how TLS ends for it, or that it goes on as it came."""


TableOf = Callable[[Asker], Table | None]


class Led:
    """Shared ports as they are led by tables; what did not change is the object that it was."""

    def __init__(self) -> None:
        self._remembered: dict[Spot, _Port] = {}
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

    def _led(self, claimed: SharedFrontend, table_of: TableOf) -> SharedFrontend:
        known = self._remembered.get(claimed.spot)
        if known is None or known.claimed is not claimed:
            listeners = tuple(host.asker for host in claimed.hosts if host.asker.kind in _WITH_LISTENERS)
        else:
            listeners = known.listeners
        tables = {asker: table for asker in listeners if (table := table_of(asker)) is not None}
        if not tables:
            self._remembered.pop(claimed.spot, None)
            return claimed
        if known is None or not known.follows(claimed, tables):
            known = self._remembered[claimed.spot] = _Port(claimed, listeners, tables, known)
        return known.led


class _Port:
    """One shared port, as it was claimed and as it is led; kept level with its tables.

    Args:
        claimed: as its hosts were claimed.
        listeners: those of its hosts that are of listeners.
        tables: of these.
        former: what it was before, of which what is equal is kept.
    """

    def __init__(
        self,
        claimed: SharedFrontend,
        listeners: tuple[Asker, ...],
        tables: dict[Asker, Table],
        former: _Port | None = None,
    ) -> None:
        self.claimed = claimed
        self.listeners = listeners
        self._tables = tables
        self._others = {host.host: host for host in claimed.hosts if host.asker not in tables}
        # A certificate is shown by one wildcard of a name alone, and a Route's is looked up first.
        self._within = {listener: _within(table, tables.values()) for listener, table in tables.items()}
        self._hosts: SortedMap[str, SniHost] = SortedMap()
        named = (host for listener, table in tables.items() for host in self._names(listener, table))
        before = {host.host: host for host in former.led.hosts} if former is not None else {}
        # What is equal is the object that it was, so that nobody looks at it again.
        for name, host in {**{host.host: host for host in named}, **self._others}.items():
            there = before.get(name)
            self._hosts.put(name, there if there == host else host)
        self.led: SharedFrontend = replace(claimed, hosts=self._hosts.values())
        if former is not None and former.led == self.led:
            self.led = former.led

    def follows(self, claimed: SharedFrontend, tables: dict[Asker, Table]) -> bool:
        """Take note of what the tables are now, where nothing else is otherwise; say whether that is so."""
        if claimed is not self.claimed or tables.keys() != self._tables.keys():
            return False
        pairs = [(asker, self._tables[asker], table) for asker, table in tables.items()]
        if any(before.hostname != after.hostname for _, before, after in pairs):
            return False
        self._tables = tables
        for listener, before, after in pairs:
            if before is not after:
                self._follow(listener, before, after)
        hosts = self._hosts.values()
        if hosts is not self.led.hosts and hosts != self.led.hosts:
            self.led = replace(claimed, hosts=hosts)
        return True

    def _follow(self, listener: Asker, before: Table, after: Table) -> None:
        removed, added = differences(before.hosts, after.hosts)
        names: dict[str, SniHost | None] = {host.host: None for host in removed if self._leads(listener, host)}
        names.update((host.host, host) for host in added if self._leads(listener, host))
        for name, host in names.items():
            if name not in self._others:
                current = host or (_own(listener, after) if name == after.hostname else None)
                if current is None or current != self._hosts.get(name):
                    self._hosts.put(name, current)

    def _names(self, listener: Asker, table: Table) -> Iterator[SniHost]:
        yield _own(listener, table)
        yield from (host for host in table.hosts if self._leads(listener, host))

    def _leads(self, listener: Asker, host: SniHost) -> bool:
        """Say whether a name is looked up at this listener, and is not kept from having its certificate by another."""
        if host.tls is not None and host.host.removeprefix("*") in self._others:
            return False
        return not any(covers(each, host.host) for each in self._within[listener])


def _own(listener: Asker, table: Table) -> SniHost:
    return SniHost(table.hostname, backend_name(listener), listener)


def _within(table: Table, tables: Iterable[Table]) -> list[str]:
    """Give the hostnames of listeners that are more specific than one, and under it."""
    return [
        each.hostname
        for each in tables
        if each.hostname != table.hostname
        and specificity(each.hostname) > specificity(table.hostname)
        and covers(table.hostname, each.hostname)
    ]
