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

from router.admission.gateway.hosts import covers, specificity
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.model import Asker, SharedFrontend, SniHost, Spot, backend_name
from router.model.tls import PortTls

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

    def hosts(self) -> Iterator[SniHost]:
        """Give the names, as they are led."""
        for (name, route), tls in zip_longest(self.leads, self.ends):
            yield SniHost(name, backend_name(route), route, tls)


TableOf = Callable[[Asker], Table | None]


class Led:
    """Shared ports as they are led by tables; what did not change is the object that it was."""

    def __init__(self) -> None:
        self._remembered: dict[Spot, tuple[SharedFrontend, tuple[Table, ...], SharedFrontend]] = {}
        self._shared: tuple[SharedFrontend, ...] = ()
        self._last: tuple[SharedFrontend, ...] = ()
        self.is_stale = False
        """Whether a table is another than when last asked."""

    def lead(
        self, shared: tuple[SharedFrontend, ...], table_of: TableOf, has_listeners: Callable[[Spot], bool]
    ) -> tuple[SharedFrontend, ...]:
        """Give the shared ports with what the tables of their TLS listeners say.

        Args:
            shared: as their hosts were claimed.
            table_of: gives the table of a listener; None for what is none.
            has_listeners: says whether there may be a TLS listener on a port: all others are not looked into.
        """
        if shared is self._shared and not self.is_stale:
            return self._last
        self._shared, self.is_stale = shared, False
        made = tuple(self._led(each, table_of) if has_listeners(each.spot) else each for each in shared)
        if len(made) != len(self._last) or any(one is not other for one, other in zip(made, self._last, strict=True)):
            self._last = made
            spots = {each.spot for each in made}
            self._remembered = {spot: known for spot, known in self._remembered.items() if spot in spots}
        return self._last

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
        made = replace(frontend, hosts=tuple(sorted(hosts.values(), key=_host_of)))
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
