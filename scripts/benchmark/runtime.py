"""The figures of changes without a reload, and HAProxy's own floor for each of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.settings import PortRanges, RenderSettings
from scripts.benchmark import haproxy, stand, steps, through, traced
from scripts.benchmark.client import wait_for_answer
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET_LEAST, Figure, Unit
from scripts.benchmark.floor import bare_haproxy
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import Live, running_pods
from scripts.benchmark.ports import free_ports
from scripts.benchmark.restarted import restarted_ms
from scripts.benchmark.router import started
from scripts.benchmark.runtime_figures import (
    AT_ONCE,
    AT_ONCE_POOL,
    AT_ONCE_POOL_RELOADS,
    AT_ONCE_RELOADS,
    CHURN_CPU,
    CHURN_FAILED,
    CHURN_RELOADS,
    CLOSED,
    CONNECTIONS,
    FLOOR,
    GAP,
    GIVEN,
    GIVEN_AT_ONCE,
    GIVEN_CLAIMED,
    HELD_ALIVE,
    HELD_PROCESSES,
    MEMORY,
    MEMORY_AFTER,
    MOVED,
    MOVED_WRITING,
    OPENED,
    OPENED_FETCHED,
    RATIO,
    RELOADED,
    RELOADED_POOL,
    RESTARTED,
    ROUND_TRIP,
    STAGES,
    START,
    THROUGHPUT,
    Collected,
)
from scripts.benchmark.services import answer
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, SLICES_IDEAL, Workload

_MORE = 10
_MOVES = 20
"""How many times as many runs the figures of a few milliseconds get; of moved endpoints."""
_AT_ONCE_PER_RUN = 100
_SMALL_POOL_PER_RUN = 10
"""With ten runs, pools of 1,000 ports, which holds the Routes that come at once, and of 100."""
_SECONDS_PER_RUN = 6.0
_ROUNDS_PER_RUN = 4

_RATIO_TARGET = {TARGET_LEAST: 0.97}


def measure_runtime(  # noqa: PLR0913 - what there is to choose
    routes: int,
    runs: int,
    binary: HaproxyBinary,
    directory: Path,
    note: Callable[[str], None],
    *,
    is_ideal: bool = False,
) -> list[Figure]:
    """Measure changes without a reload, on an API server, for so many Routes.

    Args:
        routes: how many, 2 at least.
        runs: how often what takes seconds is measured.
        binary: the HAProxy to run.
        directory: does not exist yet; its path is short enough for sockets.
        note: is told what is being measured.
        is_ideal: the API server answers at once and without TLS; what it does by the way is not measured then.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    directory.mkdir()
    at_once, seldom = _AT_ONCE_PER_RUN * runs, max(runs // 3, 1)
    beyond = runs * 2 + at_once * seldom
    # Of the others two are for pods, and two for a minimal HAProxy.
    behind, other, minimal, minimal_bulk, *external = free_ports(routes + at_once + beyond + 4, ENDPOINT_ADDRESSES)
    workload = Workload(routes, tuple(external), behind, other, slices=SLICES_IDEAL if is_ideal else 1)
    collected = Collected(routes, note)
    with running_pods(workload, through.MIB):
        large = _Case(collected, workload, binary, runs, seldom, at_once, is_ideal=is_ideal)
        state_dir = large.measure(directory / "large", through.Ports(minimal, minimal_bulk))
        large.measure_floors(state_dir)
        large.measure_stand(state_dir, directory / "stand")
        if not is_ideal:
            large.measure_first_start(directory / "first")
        large.measure_given(directory / "given")
        large.break_down(directory / "traced")
        small = _Case(collected, workload, binary, runs, seldom, _SMALL_POOL_PER_RUN * runs, is_ideal=is_ideal)
        small.measure_gap(directory / "small")
        none = _Case(collected, workload, binary, runs, seldom, 0, is_ideal=is_ideal)
        none.measure_without_pool(directory / "none", at_once)
    return collected.figures()


class _Case:
    """A router with a pool of some size.

    Routes by number: those of the workload; as many as the pool holds; then those that come by a reload.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what there is to choose
        self,
        collected: Collected,
        workload: Workload,
        binary: HaproxyBinary,
        runs: int,
        seldom: int,
        pool_size: int,
        *,
        is_ideal: bool,
    ) -> None:
        self._is_ideal = is_ideal
        self._collected = collected
        self._workload = workload
        self._binary = binary
        self._runs = runs
        self._seldom = seldom
        beyond = workload.routes + pool_size
        self._of_pool = range(workload.routes, beyond)
        self._beyond = iter(range(beyond, len(workload.external_ports)))
        self._pool = sorted(workload.external_ports[number] for number in self._of_pool)

    def measure(self, directory: Path, minimal: through.Ports) -> Path:
        """Measure all but what needs another pool; give the state directory that the last router left."""
        directory.mkdir()
        self._collected.begin(START)
        started_ms, memory_mib = [], []
        for run in range(self._seldom - 1):
            with self._running(directory / f"{run}") as (live, elapsed_ms):
                started_ms.append(elapsed_ms)
                memory_mib.append(live.process.memory_mib()["VmRSS"])
        with self._running(directory / "last") as (live, elapsed_ms):
            self._collected.add(START, [*started_ms, elapsed_ms])
            self._collected.add(MEMORY, [*memory_mib, live.process.memory_mib()["VmRSS"]], "MiB")
            self._changes(live)
            self._many(live)
            self._held(live)
            self._through(live, directory / "minimal", minimal)
            self._reloaded(live, RELOADED_POOL)
            self._gap(live)
            return live.process.state_dir

    def measure_floors(self, state_dir: Path) -> None:
        """Measure what HAProxy needs by itself, on what a router left."""
        floor, runs, workload = self._collected.floor, self._runs, self._workload
        self._collected.begin(FLOOR)
        last_port = workload.external_ports[workload.last]
        self._collected.add(RESTARTED, [restarted_ms(self._binary, state_dir, last_port) for _ in range(self._seldom)])
        started_ms = []
        for run in range(self._seldom):
            with bare_haproxy(self._binary, state_dir, workload, self._pool, last_port) as (bare, elapsed_ms):
                started_ms.append(elapsed_ms)
                if run:
                    continue
                floor(MOVED, bare.moved_ms(steps.spread(workload.routes, runs * _MOVES)))
                opened, closed = bare.opened_and_closed_ms(runs * _MORE)
                floor(OPENED, opened)
                floor(OPENED_FETCHED, opened)
                floor(CLOSED, closed)
                floor(AT_ONCE_POOL, [bare.all_opened_ms(bare.pool, each) for each in range(self._seldom)])
                floor(_gap(self._pool), bare.gaps_ms(runs))
        floor(START, started_ms)
        floor(RESTARTED, started_ms)
        floor(RELOADED_POOL, self._reload_ms(state_dir))

    def measure_stand(self, state_dir: Path, directory: Path) -> None:
        """Measure what changes take under a bare program, and single steps of them, on what a router left."""
        self._collected.begin(stand.OF_BARE)
        moves, news, ideal = self._runs * _MOVES, self._of_pool[: self._runs * _MORE], self._is_ideal
        with stand.stand(self._binary, state_dir, directory, self._workload, self._pool, is_ideal=ideal) as there:
            self._collected.add_stand(there.steps_ms(moves), there.under_bare_program(moves, news))

    def _reload_ms(self, state_dir: Path) -> list[float]:
        settings = RenderSettings(state_dir=state_dir)
        return haproxy.reload_ms(self._binary, state_dir / "haproxy.cfg", settings, self._seldom)

    def measure_first_start(self, directory: Path) -> None:
        """Measure moved endpoints while the router writes the statuses of a first start; leave it out if they are written too soon."""
        directory.mkdir()
        self._collected.begin(MOVED_WRITING)
        with self._running(directory / "router", is_first=True) as (live, _):
            samples = steps.moves(live, self._runs * _MOVES, lambda: live.statuses_written < self._workload.routes)
        if samples:
            self._collected.add(MOVED_WRITING, samples)

    def measure_given(self, directory: Path) -> None:
        """Measure Routes that ask for any port, on a router that leads and writes their PortClaims."""
        directory.mkdir()
        self._collected.begin(GIVEN)
        ports = PortRanges.of(*self._pool)
        options = ("--auto-ports", str(ports), "--auto-ports-cooldown", "0", "--claims", "required")
        with self._running(directory / "router", writes_claims=True, options=options) as (live, _):
            live.add_services(self._of_pool)
            self._collected.add(GIVEN, steps.given(live, self._of_pool[: self._runs * _MORE], ports))
            self._collected.begin(GIVEN_AT_ONCE)
            pairs = [steps.given_at_once(live, self._of_pool, ports) for _ in range(self._seldom)]
            routes = float(len(self._of_pool))
            self._collected.add(GIVEN_AT_ONCE, [elapsed_ms for elapsed_ms, _ in pairs], beside={"Routes": routes})
            self._collected.add(GIVEN_CLAIMED, [claimed_ms for _, claimed_ms in pairs])

    def break_down(self, directory: Path) -> None:
        """Measure the stages of changes, in a router that traces them: all that was measured before is of one that does not."""
        directory.mkdir()
        self._collected.begin(STAGES)
        numbers = self._of_pool[: self._runs * _MORE]
        with self._running(directory / "router", options=("--trace-changes",)) as (live, _):
            live.add_services(numbers)
            self._collected.add_stages(traced.stages_ms(live, self._runs * _MOVES, numbers))

    def measure_gap(self, directory: Path) -> None:
        """Measure the gap of this pool, and nothing else."""
        directory.mkdir()
        with self._running(directory / "router") as (live, _):
            self._gap(live)

    def measure_without_pool(self, directory: Path, at_once: int) -> None:
        """Measure what a router does by reloads that has no pool."""
        directory.mkdir()
        with self._running(directory / "router") as (live, _):
            self._reloaded(live, RELOADED)
            self._collected.begin(AT_ONCE)
            elapsed_ms, reloads = [], []
            for _run in range(self._seldom):
                numbers = [next(self._beyond) for _ in range(at_once)]
                live.add_services(numbers)
                one_ms, used = steps.at_once(live, numbers)
                elapsed_ms.append(one_ms)
                reloads.append(float(used))
            self._collected.add(AT_ONCE, elapsed_ms, beside={"Routes": float(at_once)})
            self._collected.add(AT_ONCE_RELOADS, reloads, "count")
            state_dir = live.process.state_dir
        self._collected.floor(RELOADED, self._reload_ms(state_dir))

    def _changes(self, live: Live) -> None:
        collected = self._collected
        collected.begin(MOVED)
        collected.add(MOVED, steps.moves(live, self._runs * _MOVES))
        collected.begin(OPENED)
        numbers = self._of_pool[: self._runs * _MORE]
        live.add_services(numbers)
        opened, closed = steps.opened_and_closed(live, numbers)
        collected.add(OPENED, opened)
        collected.add(CLOSED, closed)
        # Of a Service that nobody refers to any more nothing is kept.
        collected.begin(OPENED_FETCHED)
        collected.add(OPENED_FETCHED, steps.opened_and_closed(live, numbers)[0])
        live.add_services(self._of_pool[len(numbers) :])

    def _many(self, live: Live) -> None:
        collected = self._collected
        collected.begin(AT_ONCE_POOL)
        pairs = [steps.at_once(live, self._of_pool) for _ in range(self._seldom)]
        routes = float(len(self._of_pool))
        collected.add(AT_ONCE_POOL, [elapsed_ms for elapsed_ms, _ in pairs], beside={"Routes": routes})
        collected.add(AT_ONCE_POOL_RELOADS, [float(reloads) for _, reloads in pairs], "count")
        collected.begin(CHURN_CPU)
        churn = steps.churn(live, self._runs, _SECONDS_PER_RUN)
        collected.add(CHURN_CPU, churn.router_percent, "%", {"HAProxy's": churn.haproxy_percent})
        collected.add(CHURN_RELOADS, [churn.reloads], "count")
        collected.add(MEMORY_AFTER, [live.process.memory_mib()["VmRSS"]], "MiB")
        collected.add(CHURN_FAILED, [churn.failed], "count", {"connections made": churn.made})

    def _held(self, live: Live) -> None:
        self._collected.begin(HELD_PROCESSES)
        processes, alive = steps.held(live, self._of_pool)
        self._collected.add(HELD_PROCESSES, [processes], "count")
        self._collected.add(HELD_ALIVE, [alive], "count")

    def _through(self, live: Live, directory: Path, minimal: through.Ports) -> None:
        self._collected.begin(THROUGHPUT)
        rendered = steps.ports_to_compare(live)
        settings = RenderSettings(state_dir=directory)
        settings.stats_socket.parent.mkdir(parents=True)
        through.write_minimal(directory / "minimal.cfg", settings, self._workload, minimal)
        with haproxy.running(self._binary, directory / "minimal.cfg", settings):
            ours, bare = through.compare(rendered, minimal, self._runs * _ROUNDS_PER_RUN)
        self._compared(ROUND_TRIP, ours.round_trip_ms, bare.round_trip_ms, "ms")
        self._compared(CONNECTIONS, ours.connections_per_s, bare.connections_per_s, "1/s")
        self._compared(THROUGHPUT, ours.mib_per_s, bare.mib_per_s, "MiB/s")

    def _compared(self, name: str, ours: Sequence[float], minimal: Sequence[float], unit: Unit) -> None:
        # More is better, also of what is shorter. Of each round by itself: both sides had the machine as it was then.
        ratios = [bare / one if unit == "ms" else one / bare for one, bare in zip(ours, minimal, strict=True)]
        self._collected.add(name, ours, unit, {"a minimal HAProxy": statistics.median(minimal)})
        self._collected.add(f"{name}, {RATIO}", ratios, "ratio", _RATIO_TARGET)

    def _reloaded(self, live: Live, name: str) -> None:
        self._collected.begin(name)
        numbers = [next(self._beyond) for _ in range(self._runs)]
        self._collected.add(name, steps.created_by_reload(live, numbers))

    def _gap(self, live: Live) -> None:
        name = _gap(self._pool)
        self._collected.begin(name)
        numbers = [next(self._beyond) for _ in range(self._runs)]
        self._collected.add(name, steps.gaps(live, numbers, self._pool[-1]))

    @contextmanager
    def _running(
        self, directory: Path, *, is_first: bool = False, writes_claims: bool = False, options: Sequence[str] = ()
    ) -> Iterator[tuple[Live, float]]:
        """Start an API server and a router, for the first time ever if that is said; give them and the milliseconds to the last port.

        Where there are PortClaims, it leads and writes them.
        """
        pool = ("--port-pool", str(PortRanges.of(*self._pool))) if self._pool else ()
        options = (*options, "--reload-interval", "1s", *pool)
        workload = replace(self._workload, has_statuses=not is_first)
        objects = directory.with_name(f"{directory.name}-objects")
        with (
            Api(
                workload,
                objects,
                is_ideal=self._is_ideal,
                has_leases=is_first or writes_claims,
            ) as api,
            started(self._binary, api, directory, options) as process,
        ):
            served_s = wait_for_answer(workload.external_ports[workload.last], check=process.check)
            live = Live(api, process, workload)
            live.wait_for_reload()
            for port in workload.external_ports[: workload.routes]:
                if not answer(port):
                    raise BenchFailed(f"port {port} did not serve when the last port did")
            yield live, (served_s - process.started_s) * 1000


def _gap(pool: Sequence[int]) -> str:
    return f"{GAP} {len(pool):,}"
