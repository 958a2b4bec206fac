"""How the router is, in one value: for the page's view of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client.registry import Collector

from router import __version__
from router.errors import HaproxyError
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.master import processes
from router.haproxy.talk.stats import Info, info, read_info
from router.haproxy.talk.tables import parse_info_fields
from router.objects.core import PodNow, RouterPod
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.observe.health import Health
from router.observe.page.figures import Figures, read, written
from router.reconcile.snapshot import Snapshot

_COMMAND_S = 2.0
_MOST_WORKERS = 16
"""So many that were replaced are asked one by one."""
_SHOWN = frozenset({
    "tcp_router_api_connected", "tcp_router_leader", "tcp_router_level", "tcp_router_reloads_total", "tcp_router_reload_causes_total",
    "tcp_router_runtime_updates_total", "tcp_router_change_to_served_seconds_sum", "tcp_router_change_to_served_seconds_count",
    "tcp_router_haproxy_files_needed", "tcp_router_haproxy_files_limit", "tcp_router_connection_limit", "tcp_router_done_without",
    "tcp_router_haproxy_ends_total", "tcp_router_stale", "tcp_router_input_problems", "tcp_router_routes", "tcp_router_status_queue",
    "tcp_router_haproxy_adds_backends", "tcp_router_port_pool", "tcp_router_port_pool_free", "tcp_router_port_pool_busiest_hour",
    "process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total",
})  # fmt: skip
"""Of the router's own metrics those that the view has."""


class Worker(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One HAProxy worker."""

    pid: int
    connections: int
    limit: int
    seconds: int
    """How long it runs."""
    is_old: bool
    """It was replaced, and lives on for its connections."""


class Replica(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A pod of a router, as the API server has it."""

    name: str
    node: str
    addresses: tuple[str, ...]
    leads: bool
    ready: bool | None
    """None: that is not known."""
    phase: str
    since: str
    figures: Figures | None
    """What it says of itself; None where it says nothing, as it may have no right to."""


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One value of a metric, as an array."""

    name: str
    labels: dict[str, str]
    value: float


class Overview(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the view shows."""

    name: str
    version: str
    haproxy: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    last_success_s: float | None
    workers: tuple[Worker, ...]
    more_old_workers: int
    replicas: tuple[Replica, ...]
    shares_figures: bool
    """This replica tells the others how it is, for which there is an option; as a rule they all do, or none."""
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overviews:
    """Makes it; from any thread."""

    router_name: str
    haproxy_build: str
    snapshot: Callable[[], Snapshot]
    readiness: Callable[[], Health]
    liveness: Callable[[], Health]
    registry: Collector
    objects: Objects
    stats_socket: Path
    master_socket: Path
    pods: Callable[[], Mapping[ObjectKey, PodNow]] = dict
    """How the pods of routers are, as far as the API server tells."""
    leader: Callable[[], str] = str
    """Who holds the Lease: the name of its pod, or its node, and ``_`` with a number behind; empty for nobody."""
    shares_figures: bool = False

    def now(self) -> Overview:
        """Give how it is now; HAProxy is asked, who may be silent for seconds."""
        snapshot, ready, alive = self.snapshot(), self.readiness(), self.liveness()
        workers, more = self._workers()
        problems = (*alive.problems, *ready.problems, *filter(None, (snapshot.problem, snapshot.template_problem)))
        return Overview(
            name=self.router_name,
            version=__version__,
            haproxy=self.haproxy_build,
            problems=tuple(dict.fromkeys(problems)),
            notes=ready.notes,
            last_success_s=snapshot.last_success_s,
            workers=workers,
            more_old_workers=more,
            replicas=self._replicas(),
            shares_figures=self.shares_figures,
            samples=tuple(_samples(self.registry)),
        )

    def figures(self) -> str | None:
        """Give what the pages of other replicas show of this one, as text; None while it has served nothing yet."""
        snapshot, ready, alive = self.snapshot(), self.readiness(), self.liveness()
        if not snapshot.configured:
            return None
        workers, more = self._workers()
        current = next((each for each in workers if not each.is_old), None)
        problems = dict.fromkeys((*alive.problems, *ready.problems, *filter(None, (snapshot.problem,))))
        reloads = (each.value for each in _samples(self.registry) if each.name == "tcp_router_reloads_total")
        return written(
            Figures(
                time_s=round(time.time(), 1),
                version=__version__,
                haproxy=self.haproxy_build,
                connections=current.connections if current is not None else -1,
                limit=current.limit if current is not None else 0,
                old_workers=sum(each.is_old for each in workers) + more,
                reloads=round(sum(reloads)),
                problems=tuple(problems),
            )
        )

    def _replicas(self) -> tuple[Replica, ...]:
        holder = self.leader().rpartition("_")[0]
        known = self.objects.routers
        # What else is known is no pod: the machine of a router that has none.
        return tuple(_replica(key, known[key], now, holder) for key, now in sorted(self.pods().items()) if key in known)

    def _workers(self) -> tuple[tuple[Worker, ...], int]:
        found: list[Worker] = []
        more = 0
        try:
            found.append(_worker(info(self.stats_socket, _COMMAND_S), is_old=False))
            old = processes(self.master_socket, _COMMAND_S).old_workers
            more = max(0, len(old) - _MOST_WORKERS)
            for pid in old[:_MOST_WORKERS]:
                answer = command(self.master_socket, f"@!{pid} show info", _COMMAND_S)
                found.append(_worker(read_info(parse_info_fields(answer)), is_old=True))
        except HaproxyError:
            # One that ended between two questions, or a HAProxy that is being started: what was told is shown.
            return tuple(found), more
        return tuple(found), more


def _replica(key: ObjectKey, pod: RouterPod, now: PodNow, holder: str) -> Replica:
    return Replica(
        name=str(key),
        node=pod.node,
        addresses=pod.addresses,
        # On the host's network a process has the name of its node.
        leads=bool(holder) and holder in {key.name, pod.node},
        ready=now.ready,
        phase=now.phase,
        since=now.since,
        figures=read(now.figures),
    )


def _worker(told: Info, *, is_old: bool) -> Worker:
    return Worker(
        pid=told.pid,
        connections=told.connections,
        limit=told.max_connections,
        seconds=told.uptime_s,
        is_old=is_old,
    )


def _samples(registry: Collector) -> Iterable[Sample]:
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in _SHOWN:
                yield Sample(sample.name, dict(sample.labels), sample.value)
