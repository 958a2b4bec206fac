"""How many open files HAProxy needs, and what to do without where it may not have as many; pure.

HAProxy counts before it starts, and does not start where its limit (RLIMIT_NOFILE) is lower: then nobody would be served. The
count is that of its source (``compute_ideal_maxsock`` and ``compute_ideal_maxconn`` in src/limits.c, before 3.1 in src/haproxy.c)
and of its manual (``maxconn``, ``ulimit-n``); tests compare it with each HAProxy. Limits are of a process: a new worker has as
many again for itself, and needs none of the former one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from router.model import Backend, Model, RouteSection, SharedFrontend, Step
from router.model.stages import has_stage, stages
from router.ordered import differences

STEPS = (Step.CHECKS, Step.CONNECTIONS, Step.POOL, Step.CLAIMS)
"""What HAProxy does without where files are short: each step with all before it."""

LEAST_CONNECTIONS = 100
"""What HAProxy takes for ``maxconn`` if it has to choose and no more fits (DEFAULT_MAXCONN)."""
_SHARE_OF_CONNECTIONS = 8
"""Where HAProxy chooses ``maxconn``, a quarter of the files is for connections of clients, two for each (half, with second stages, and three quarters
with third ones): before it comes to fewer, checks end."""
_FEWEST_PORTS = 8
"""Of all addresses together: so many are served rather than room kept for old workers."""
_BACK_AT = 0.9
"""Share of the limit at which a step is taken back: what comes and goes at the limit must not reload HAProxy again and again."""
_TIGHT_AT = 0.8
"""Share of the limit from which on it is told, before anything is done without."""
_EASY_AT = 0.75
"""And from which on it is told that there is enough again."""

_NO_ADDRESSES: Mapping[str, int] = MappingProxyType({})
_RESERVE = 10
_STATS_CONNECTIONS = 10
"""The stats socket's own ``maxconn``."""
_STATS_SOCKET = 1
_OF_A_WORKER = 1
"""Its end of the master's line to it."""
_OF_A_WORKER_BEFORE_3_1 = 23
"""The master's sockets, with the connections to them, which it had too."""
_AT_A_RELOAD = 2
"""And one for each worker that lives: the master's lines to them, which a new worker starts with."""
_PER_CONNECTION = 2
_PER_THREAD = 3
"""Its poller and the pipe that wakes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Haproxy:
    """What the need depends on, beside the model."""

    version: tuple[int, int, int]
    threads: int
    binds_per_port: int
    """Addresses that each port listens on; each is a file."""
    max_connections: int | None
    """None: HAProxy chooses."""
    limit: int
    """Files that one of its processes may have."""
    workers: int = 64
    """How many workers may live when it is reloaded: the one to be replaced, and those that were and keep connections. With more,
    a load may fail at the limit, and what runs runs on."""


_PER_SLOT = 2
"""Sockets: its own, and that of before a reload, which a Route keeps until the next one."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What of a model needs files."""

    ports: int
    pool_ports: int
    checked_servers: int
    named: int = 0
    """IP addresses with a port, of named addresses."""
    named_pool: int = 0
    stages: int = 1
    """How many of HAProxy's connections one of a client may be."""


def counts(model: Model, pool: Iterable[RouteSection], ips: Mapping[str, int] = _NO_ADDRESSES) -> Counts:
    """Count; the model's own pool is left out of account for ``pool``, what would be declared beside it.

    Args:
        model: what shall be served.
        pool: what would be declared beside.
        ips: how many IP addresses each named address is.
    """
    return Tally(ips).counts(model, pool)


class _Sums(NamedTuple):
    """What of some sections needs files."""

    ports: int = 0
    named: int = 0
    sockets: int = 0
    """Of places for TLS that ends here, whatever a port is bound to."""
    stages: int = 0
    """Ports behind which TLS ends."""
    checked: int = 0

    def plus(self, sections: Iterable[RouteSection], ips: Mapping[str, int], sign: int = 1) -> _Sums:
        """Count these too; with the sign -1 they are gone."""
        ports, named, sockets, staged, checked = self
        for section in sections:
            if section.frontend is not None and section.frontend.address:
                named += sign * ips.get(section.frontend.address, 1)
            elif section.frontend is not None:
                ports += sign
            sockets += sign * (_PER_SLOT if section.slot is not None else 0)
            staged += sign * has_stage(section)
            checked += sign * _checked(section.backend)
        return _Sums(ports, named, sockets, staged, checked)


class Tally:
    """Counts one model after the other: what is the same as in the last one is not looked at.

    Args:
        ips: how many IP addresses each named address is.
    """

    def __init__(self, ips: Mapping[str, int] = _NO_ADDRESSES) -> None:
        self._ips = ips
        self._routes: tuple[tuple[RouteSection, ...], _Sums] = (), _Sums()
        self._pool: tuple[tuple[RouteSection, ...], _Sums] = (), _Sums()
        """The last ones, and what they come to."""

    def counts(self, model: Model, pool: Iterable[RouteSection]) -> Counts:
        """Count, as ``counts``."""
        of_routes, of_pool = self._of(self._routes, model.routes), self._of(self._pool, tuple(pool))
        self._routes, self._pool = of_routes, of_pool
        routes, declared = of_routes[1], of_pool[1]
        ports, named = _count(model.shared, self._ips)
        of_shared = stages(Model((), model.shared))
        return Counts(
            ports=routes.ports
            + ports
            + sum(shared.ends_tls + gates + bool(gates) for shared in model.shared for gates in [shared.gates])
            + routes.stages,
            named=routes.named + named,
            pool_ports=declared.ports,
            named_pool=declared.named + declared.sockets,
            checked_servers=routes.checked,
            stages=max(of_shared, 2 if routes.stages or declared.sockets else 1),
        )

    def _of(
        self, former: tuple[tuple[RouteSection, ...], _Sums], sections: tuple[RouteSection, ...]
    ) -> tuple[tuple[RouteSection, ...], _Sums]:
        gone, new = differences(former[0], sections)
        return sections, former[1].plus(gone, self._ips, -1).plus(new, self._ips)


def needed(haproxy: Haproxy, listeners: int, checked_servers: int, connections: int) -> int:
    """Give how many files one worker needs, as HAProxy will count them.

    Args:
        haproxy: which HAProxy.
        listeners: addresses with ports that it listens on, its sockets not counted.
        checked_servers: servers with a health check, each of which needs a file of its own.
        connections: ``maxconn``.
    """
    own = _OF_A_WORKER if haproxy.version >= (3, 1) else _OF_A_WORKER_BEFORE_3_1
    inherited = _AT_A_RELOAD + haproxy.workers if haproxy.workers else 0
    return (
        _RESERVE
        + _STATS_CONNECTIONS
        + _STATS_SOCKET
        + own
        + inherited
        + listeners
        + checked_servers
        + _PER_CONNECTION * connections
        + _PER_THREAD * haproxy.threads
    )


def wanted(haproxy: Haproxy, of: Counts, saved: frozenset[Step] = frozenset()) -> int:
    """Give how many files it takes to serve everything, less what ``saved`` does without."""
    has_pool = Step.POOL not in saved
    ports = of.ports + (of.pool_ports if has_pool else 0)
    named = of.named + (of.named_pool if has_pool else 0)
    checked = 0 if Step.CHECKS in saved else of.checked_servers
    connections = LEAST_CONNECTIONS if Step.CONNECTIONS in saved else _connections(haproxy, of.stages)
    return needed(haproxy, ports * haproxy.binds_per_port + named, checked, connections)


def saved(haproxy: Haproxy, of: Counts, formerly: frozenset[Step]) -> frozenset[Step]:
    """Give what to do without: as little as makes it fit, and a step that was taken is taken back only where there is room to spare.

    Args:
        haproxy: which HAProxy, and its limit.
        of: what is wanted.
        formerly: what it does without until now.
    """
    for number in range(len(STEPS)):
        steps = frozenset(STEPS[:number])
        room = haproxy.limit * (_BACK_AT if len(steps) < len(formerly) else 1)
        if wanted(haproxy, of, steps) <= room:
            return steps
    return frozenset(STEPS)


def ports_that_fit(haproxy: Haproxy) -> int:
    """Give how many ports there is room for when everything else is saved.

    Room for old workers comes before ports, but for a few: with very few files it would leave none, and nobody would be served.
    """
    one = replace(haproxy, workers=min(haproxy.workers, 1))
    spare = max(haproxy.limit - needed(one, 0, 0, LEAST_CONNECTIONS), 0)
    old_workers = max(haproxy.workers - 1, 0)
    return max(spare - old_workers, min(spare // 2, _FEWEST_PORTS)) // haproxy.binds_per_port


def is_tight(haproxy: Haproxy, of: Counts, *, formerly: bool) -> bool:
    """Say whether little is left of the limit; once it is, it takes more to say the contrary."""
    return wanted(haproxy, of) > haproxy.limit * (_EASY_AT if formerly else _TIGHT_AT)


def _count(frontends: Iterable[SharedFrontend], ips: Mapping[str, int]) -> tuple[int, int]:
    """Give how many ports of ``--bind-address`` there are, and how many IP addresses with a port of others."""
    ports = named = 0
    for frontend in frontends:
        if frontend.address:
            named += ips.get(frontend.address, 1)
        else:
            ports += 1
    return ports, named


def _connections(haproxy: Haproxy, of_a_client: int) -> int:
    if haproxy.max_connections is not None:
        return haproxy.max_connections * of_a_client
    # As many clients as without a second stage.
    return max(LEAST_CONNECTIONS, haproxy.limit // _SHARE_OF_CONNECTIONS) * of_a_client


def _checked(backend: Backend) -> int:
    checked = sum(server.check for server in backend.servers) if backend.check_interval_ms else 0
    return checked * (2 if backend.tells_apart else 1)
