"""What may grow with the size of a cluster: many Routes among far more that is others', hosts, certificates, large namespaces and Services, many changes.

At 20,000 Routes it is what is aimed at; with fewer everything is smaller by as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.settings import PortRanges, RenderSettings
from scripts.benchmark import haproxy, steps
from scripts.benchmark.by_host import first_byte
from scripts.benchmark.client import wait_for_answer
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET_MOST, Figure, Unit, summarize
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import Live, running_pods
from scripts.benchmark.ports import free_ports
from scripts.benchmark.router import started
from scripts.benchmark.size_steps import SETTLED_S, Used, awaited, change, more_slices, some, traced_ms, used
from scripts.benchmark.tls import made_certificate
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

START = "start to last port"
MEMORY = "memory of the router"
MOVED = "endpoint moved to first byte"
MEMORY_AFTER = "memory of the router after changes"
RELOAD = "reload with a pool, as the router logs it"
HOSTS = "hosts on one port: start to last host"
HOST_NEW = "hosts on one port: new host to first byte"
HOST_RELOADS = "hosts on one port: reloads by new hosts"
CERTIFICATES = "certificates on one port: start to last host"
CROWDED = "endpoint moved, one namespace has all"
WIDE = "endpoint changed, of a Service with many, to HAProxy's reply"
CHANGES = "changes: {}"

_LEAST = 20
_AIM = 20_000
"""Routes, at which the targets hold."""
_TARGETS: Mapping[str, float] = {
    START: 12_000.0,
    MEMORY: 350.0,
    MEMORY_AFTER: 350.0,
    MOVED: 3.0,
    HOST_NEW: 5.0,
    HOST_RELOADS: 0.0,
    CERTIFICATES: 6_000.0,
}
_RELOAD_FACTOR = 1.1
"""HAProxy's own and so much."""
_MOVES = 20
_START_S = 900.0
"""So long a start may take on a machine that others keep busy."""
_CHANGES_PER_ROUTE = 5
_TESTED = ("127.0.0.1", *ENDPOINT_ADDRESSES)


def measure_size(
    routes: int, runs: int, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure for so many Routes, and what belongs to a cluster of that size.

    Args:
        routes: how many, 20 at least.
        runs: how often what takes seconds is measured; of a start a third.
        binary: the HAProxy to run.
        directory: does not exist yet; its path is short enough for sockets.
        note: is told what is being measured.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    if routes < _LEAST:
        raise BenchFailed(f"size is measured with at least {_LEAST} Routes (--routes)")
    directory.mkdir()
    size = _Size(routes, runs, binary, directory, note)
    size.large()
    size.reload()
    size.hosts()
    size.certificates()
    size.crowded()
    size.wide()
    size.changes()
    return size.figures


class _Size:
    """The figures so far."""

    def __init__(
        self, routes: int, runs: int, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
    ) -> None:
        self.figures: list[Figure] = []
        self._routes = routes
        self._runs = runs
        self._starts = max(runs // 3, 1)
        self._binary = binary
        self._directory = directory
        self._note = note
        self._count = 0

    def large(self) -> None:
        """All Routes, a tenth of them by hosts on one port, for HAProxy may not have files for more ports; two to three times as much is others'."""
        by_host = self._routes // 10
        alone = self._routes - by_host
        behind, other, shared, *ports = free_ports(alone + 3, _TESTED)
        workload = Workload(
            self._routes,
            (*ports, *[shared] * by_host),
            behind,
            other,
            by_host=range(alone, self._routes),
            others=(self._routes * 5 // 2, self._routes * 2),
        )
        self._begin(START)
        started_ms, memory = [], []
        for run in range(self._starts):
            with self._running(workload) as (live, elapsed_ms):
                started_ms.append(elapsed_ms)
                memory.append(live.process.memory_mib()["VmRSS"])
                if run < self._starts - 1:
                    continue
                self._add(START, started_ms)
                self._add(MEMORY, memory, "MiB")
                self._begin(MOVED)
                self._add(MOVED, steps.moves(live, self._runs * _MOVES, among=alone))
                self._add(MEMORY_AFTER, [live.process.memory_mib()["VmRSS"]], "MiB")

    def reload(self) -> None:
        """A quarter of the Routes, and a pool of a twentieth."""
        routes, pool_size = self._routes // 4, self._routes // 20
        behind, other, *ports = free_ports(routes + pool_size + self._runs + 2, _TESTED)
        workload = Workload(routes, tuple(ports), behind, other)
        pool = PortRanges.of(*ports[routes : routes + pool_size])
        self._begin(RELOAD)
        with self._running(workload, "--port-pool", str(pool)) as (live, _):
            samples = []
            numbers = range(routes + pool_size, routes + pool_size + self._runs)
            live.add_services(numbers)
            for number in numbers:
                time.sleep(SETTLED_S / 2)
                live.reloads()
                haproxy.wait_for_old_workers(live.process.master_socket)
                live.send(live.creation(number))
                samples += awaited(live.reloads_ms, "the router to reload")
            state_dir = live.process.state_dir
        settings = RenderSettings(state_dir=state_dir)
        own = sorted(haproxy.reload_ms(self._binary, state_dir / "haproxy.cfg", settings, self._runs))
        floor = own[len(own) // 2]
        self._add(RELOAD, samples, beside={"HAProxy's own": floor, TARGET_MOST: floor * _RELOAD_FACTOR})

    def hosts(self) -> None:
        """Half as many hosts on one port as there are Routes; then new ones."""
        routes, new = self._routes // 2, self._runs * 10
        behind, other, shared = free_ports(3, _TESTED)
        workload = Workload(routes, (shared,) * (routes + new), behind, other, by_host=range(routes + new))
        self._begin(HOSTS)
        with self._running(workload, "--sni-pool", f"{new}") as (live, elapsed_ms):
            self._add(HOSTS, [elapsed_ms])
            self._begin(HOST_NEW)
            numbers = range(routes, routes + new)
            live.add_services(numbers)
            time.sleep(SETTLED_S)
            live.reloads()
            samples = []
            for number in numbers:
                steps.rest()
                live.forget_sent()
                live.send(live.creation(number))
                served_s = self._served_s(live, number)
                samples.append((served_s - live.last_sent_s()) * 1000)
            self._add(HOST_NEW, samples)
            self._add(HOST_RELOADS, [float(live.reloads())], "count")

    def certificates(self) -> None:
        """A twentieth as many Routes, each with a certificate, on one port by their hosts."""
        routes = self._routes // 20
        behind, other, shared = free_ports(3, _TESTED)
        workload = Workload(routes, (shared,) * routes, behind, other, by_host=range(routes))
        made = tuple(made_certificate(workload.host(number)) for number in range(routes))
        workload = replace(workload, certificates=made)
        self._begin(CERTIFICATES)
        samples = []
        for _ in range(self._starts):
            with self._running(workload) as (_, elapsed_ms):
                samples.append(elapsed_ms)
        self._add(CERTIFICATES, samples)

    def crowded(self) -> None:
        """A twentieth as many Routes, all in one namespace, and then in twenty."""
        routes = self._routes // 20
        behind, other, *ports = free_ports(routes + 2, _TESTED)
        self._begin(CROWDED)
        samples = {}
        for spaces in (20, 1):
            with self._running(Workload(routes, tuple(ports), behind, other, spaces=spaces)) as (live, _):
                samples[spaces] = steps.moves(live, self._runs * _MOVES)
        self._add(CROWDED, samples[1], beside={"in twenty namespaces": sorted(samples[20])[len(samples[20]) // 2]})

    def wide(self) -> None:
        """One Route, whose Service has many endpoints, of which one becomes another, and a small one beside it."""
        many = self._routes * 3 // 20
        behind, other, *ports = free_ports(4, _TESTED)
        workload = Workload(2, tuple(ports), behind, other)
        self._begin(WIDE)
        with self._running(workload, "--trace-changes") as (live, _):
            small = [traced_ms(live, 1) for _ in range(self._runs * _MOVES)]
            live.send(*more_slices(workload, many))
            time.sleep(SETTLED_S)
            samples = [traced_ms(live, 0) for _ in range(self._runs * _MOVES)]
        self._add(WIDE, samples, beside={"of three": sorted(small)[len(small) // 2]})

    def changes(self) -> None:
        """Five changes for each Route, of a twentieth of them: endpoints that move, Routes that come to a pool and go; what is in use before and after."""
        routes, pool_size = self._routes // 20, 20
        behind, other, *ports = free_ports(routes + pool_size + 2, _TESTED)
        workload = Workload(routes, tuple(ports), behind, other)
        pool = PortRanges.of(*ports[routes:])
        total = self._routes * _CHANGES_PER_ROUTE
        self._begin(CHANGES.format(f"{total:,}"))
        with self._running(workload, "--port-pool", str(pool)) as (live, _):
            live.add_services(range(routes, routes + pool_size))
            # What is remembered of the places in use comes with the first changes of each.
            change(live, routes, pool_size, min(total // 10, routes * 4))
            before = used(live)
            change(live, routes, pool_size, total)
            after = used(live)
        units: dict[str, Unit] = {"memory": "MiB"}
        for name in Used.__slots__:
            unit = units.get(name, "count")
            self._add(CHANGES.format(name), [getattr(after, name)], unit, {"before": getattr(before, name)})

    def _begin(self, name: str) -> None:
        self._note(f"{self._routes:,} Routes: {name}")

    def _add(
        self, name: str, samples: Sequence[float], unit: Unit = "ms", beside: Mapping[str, float] | None = None
    ) -> None:
        targets = {TARGET_MOST: _TARGETS[name]} if self._routes == _AIM and name in _TARGETS else {}
        self.figures.append(summarize(self._routes, name, samples, {**targets, **(beside or {})}, unit))

    @contextmanager
    def _running(self, workload: Workload, *options: str) -> Iterator[tuple[Live, float]]:
        """Start pods, an API server and a router; give them and the milliseconds to the last port or host that serves."""
        self._count += 1
        directory = self._directory / f"{self._count}"
        with (
            running_pods(workload, 1),
            Api(workload, directory.with_name(f"{self._count}-objects")) as api,
            started(self._binary, api, directory, ("--reload-interval", "1s", *options)) as process,
        ):
            live = Live(api, process, workload)
            served_s = self._served_s(live, workload.last)
            live.wait_for_reload()
            for number in some(workload.routes):
                self._served_s(live, number)
            yield live, (served_s - process.started_s) * 1000

    @staticmethod
    def _served_s(live: Live, number: int) -> float:
        """Wait until a Route serves; give when it did."""
        workload = live.workload
        port = workload.external_ports[number]
        if number not in workload.by_host:
            return wait_for_answer(port, _START_S, live.process.check)

        def served_s() -> list[float]:
            live.process.check()
            answer = first_byte(port, workload.host(number), ends_tls=bool(workload.certificates))
            return [time.perf_counter()] if answer else []

        return awaited(served_s, f"{workload.host(number)} to serve", _START_S)[0]
