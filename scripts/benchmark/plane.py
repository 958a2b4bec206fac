"""What connections cost in the HAProxy that the router configures, beside hand-written ones, in pieces that take turns."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from router.admission.certificates import Pair, judge_pair
from router.haproxy.process.binary import HaproxyBinary
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET_LEAST, Figure, Unit, summarize
from scripts.benchmark.live import running_pods
from scripts.benchmark.plane_client import MIB, Client, asked_s
from scripts.benchmark.plane_sides import Kind, Place, Side, handwritten, rendered
from scripts.benchmark.ports import free_ports
from scripts.benchmark.processes import cpu_ns, resident_b
from scripts.benchmark.tls import made_certificate
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

MINIMAL = "a minimal HAProxy"
SAME = "a minimal HAProxy with log and keepalive"
KINDS = ("plain", "TLS ended", "PROXY protocol", "all Routes, checks on")
COST = "HAProxy's CPU for a connection"
PER_CORE = "connections per second and core"
CONNECTIONS = "connections per second"
ROUND_TRIP = "round trip of 64 bytes"
TRIP_COST = "HAProxy's CPU for a round trip"
THROUGHPUT = "throughput"
PER_GIB = "HAProxy's CPU for a GiB"
HELD = "memory of HAProxy for a held connection"
CHECKS = "HAProxy's CPU for checks"

_ROUNDS_PER_RUN = 4
_CONNECTIONS = 48
"""In a piece."""
_QUESTIONS = 100
_WARM = 200
_SETTLES_S = 0.003
"""Until HAProxy has done what is left of the last connection of a piece."""
_IDLE_S, _IDLE_CHECKS_S = 1.0, 5.0
"""How long an HAProxy is watched to which nobody connects; where there are checks, as long as all of them take (``--check-interval``)."""
_HELD, _HELD_PER_RUN = 10_000, 1_000
_FILES_BESIDE = 300
_TARGET = {TARGET_LEAST: 0.98}


@dataclass(slots=True)
class _Samples:
    """Of one side; one value for each piece."""

    cost_us: list[float] = field(default_factory=list)
    connections_per_s: list[float] = field(default_factory=list)
    trip_ms: list[float] = field(default_factory=list)
    trip_us: list[float] = field(default_factory=list)
    mib_per_s: list[float] = field(default_factory=list)
    gib_ms: list[float] = field(default_factory=list)


_NAMES: tuple[tuple[str, Unit, Callable[[_Samples], Sequence[float]]], ...] = (
    (COST, "µs", lambda of: of.cost_us),
    (PER_CORE, "1/s", lambda of: [1e6 / each for each in of.cost_us]),
    (CONNECTIONS, "1/s", lambda of: of.connections_per_s),
    (ROUND_TRIP, "ms", lambda of: of.trip_ms),
    (TRIP_COST, "µs", lambda of: of.trip_us),
    (THROUGHPUT, "MiB/s", lambda of: of.mib_per_s),
    (PER_GIB, "ms", lambda of: of.gib_ms),
)
_RATIOS = frozenset({PER_CORE, CONNECTIONS, ROUND_TRIP, THROUGHPUT})


class _Measured:
    """A side with its samples, and what its HAProxy does while nobody connects."""

    def __init__(self, side: Side, client: Client, idle_s: float) -> None:
        self.side = side
        self.samples = _Samples()
        self._client = client
        client.connect(side.port, _WARM)
        began_ns = cpu_ns(side.worker)
        time.sleep(idle_s)
        self.idle_ns_per_s = (cpu_ns(side.worker) - began_ns) / idle_s

    def connections(self) -> None:
        elapsed_s, spent_us = self._timed(lambda: self._client.connect(self.side.port, _CONNECTIONS))
        self.samples.cost_us.append(spent_us / _CONNECTIONS)
        self.samples.connections_per_s.append(_CONNECTIONS / elapsed_s)

    def round_trips(self) -> None:
        with self._client.connected(self.side.port) as connection:
            asked_s(connection)
            times_s: list[float] = []
            # Many in a row: an HAProxy that sleeps between two is another thing to measure.
            _, spent_us = self._timed(lambda: times_s.extend(asked_s(connection) for _ in range(_QUESTIONS)))
        self.samples.trip_ms.append(statistics.median(times_s) * 1000)
        self.samples.trip_us.append(spent_us / _QUESTIONS)

    def throughput(self) -> None:
        elapsed_s, spent_us = self._timed(lambda: self._client.poured_s(self.side.bulk_port))
        self.samples.mib_per_s.append(MIB / elapsed_s)
        self.samples.gib_ms.append(spent_us / 1000 * 1024 / MIB)

    def _timed(self, work: Callable[[], object]) -> tuple[float, float]:
        """Give the seconds that work takes, and the microseconds of a core that HAProxy needs for it."""
        began_ns, began_s = cpu_ns(self.side.worker), time.perf_counter()
        work()
        elapsed_s = time.perf_counter() - began_s
        time.sleep(_SETTLES_S)
        idle_ns = self.idle_ns_per_s * (time.perf_counter() - began_s)
        return elapsed_s, (cpu_ns(self.side.worker) - began_ns - idle_ns) / 1000


def measure_plane(
    routes: int, runs: int, binary: HaproxyBinary, directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure each kind of port.

    Args:
        routes: how many there are in all where there are many, 2 at least.
        runs: each figure has four times as many pieces.
        binary: the HAProxy to run.
        directory: does not exist yet; its path is short enough for sockets.
        note: is told what is being measured.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    directory.mkdir()
    others = max(routes - 2, 0)
    echo, bulk, *ports = free_ports(others + 8, ENDPOINT_ADDRESSES)
    pair = judge_pair("spec.tls", *made_certificate("bench.example.com"), "")
    if not isinstance(pair, Pair):
        raise BenchFailed(f"the certificate is refused: {pair}")
    kinds = (Kind(), Kind(ends_tls=True), Kind(accepts_proxy=True), Kind(checks=True, others=others))
    figures: list[Figure] = []
    with _apart() as core, running_pods(Workload(0, (), echo, bulk), MIB):
        for number, (name, kind) in enumerate(zip(KINDS, kinds, strict=True)):
            note(f"{routes:,} Routes: data plane, {name}")
            place = Place(kind, pair, echo, bulk, binary, core)
            client = Client(ends_tls=kind.ends_tls, accepts_proxy=kind.accepts_proxy)
            with _sides(place, ports, directory / str(number)) as sides:
                idle_s = _IDLE_CHECKS_S if kind.checks else _IDLE_S
                measured = [_Measured(side, client, idle_s) for side in sides]
                _take_turns(measured, runs * _ROUNDS_PER_RUN)
                figures += _figures(routes, name, measured)
                if number == 0:
                    figures.append(_held(routes, name, measured, client, min(_HELD, runs * _HELD_PER_RUN)))
    return figures


@contextmanager
def _sides(place: Place, ports: Sequence[int], directory: Path) -> Iterator[tuple[Side, Side, Side]]:
    """Run the rendered one, the minimal one, and the minimal one with log and keepalive."""
    directory.mkdir()
    with ExitStack() as stack:
        minimal, same = (
            stack.enter_context(handwritten(place, of, directory / name, has_promises=name == "same"))
            for of, name in ((ports[:2], "minimal"), (ports[2:4], "same"))
        )
        yield stack.enter_context(rendered(place, ports[4:], directory / "rendered")), minimal, same


def _take_turns(sides: Sequence[_Measured], rounds: int) -> None:
    """Take a piece of each thing of each side, in another order each round: all of them have the machine as it is at that time."""
    for number in range(rounds):
        first = number % len(sides)
        in_turn = [*sides[first:], *sides[:first]]
        for take in (_Measured.connections, _Measured.round_trips, _Measured.throughput):
            for side in in_turn if number % 2 else reversed(in_turn):
                take(side)


def _figures(routes: int, kind: str, measured: Sequence[_Measured]) -> Iterator[Figure]:
    ours, minimal, same = (each.samples for each in measured)
    for name, unit, of in _NAMES:
        values, bare, careful = of(ours), of(minimal), of(same)
        beside = {MINIMAL: statistics.median(bare), SAME: statistics.median(careful)}
        yield summarize(routes, f"{kind}: {name}", values, beside, unit)
        if name in _RATIOS:
            for other, who in ((bare, MINIMAL), (careful, SAME)):
                # Of each round by itself. More is better, also of what is shorter.
                pairs = zip(values, other, strict=True)
                ratios = [one / its if unit in {"1/s", "MiB/s"} else its / one for one, its in pairs]
                yield summarize(routes, f"{kind}: {name}, ratio to {who}", ratios, _TARGET, "ratio")
    if kind == KINDS[-1]:
        idle = [each.idle_ns_per_s / 1e7 for each in measured]
        yield summarize(routes, f"{kind}: {CHECKS}", idle[:1], {MINIMAL: idle[1]}, "%")


def _held(routes: int, kind: str, measured: Sequence[_Measured], client: Client, wanted: int) -> Figure:
    """Hold so many connections, or as many as files allow, on each side; both ends and HAProxy are processes of their own, and HAProxy needs two files for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(wanted, (hard - _FILES_BESIDE) // 2)
    found = []
    try:
        for each in measured:
            before = resident_b(each.side.worker)
            with ExitStack() as stack:
                for _ in range(count):
                    client.hold(each.side.port, stack)
                found.append((resident_b(each.side.worker) - before) / count)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    beside = {"connections held": float(count), MINIMAL: found[1], SAME: found[2]}
    return summarize(routes, f"{kind}: {HELD}", found[:1], beside, "B")


@contextmanager
def _apart() -> Iterator[int]:
    """Keep the pods and the client off the core of the HAProxies, which is given, where there is another one."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {min(cores)})
    try:
        yield min(cores)
    finally:
        os.sched_setaffinity(0, cores)
