"""What HAProxy 3.4 and newer take without a reload, beside older ones in the same run: new hosts without a pool, Routes balanced otherwise on ports of a pool, and what such Routes leave."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk.cli_socket import command
from router.settings import PortRanges, RenderSettings
from scripts.benchmark import steps
from scripts.benchmark.by_host import first_byte
from scripts.benchmark.client import DEADLINE_S, wait_for_answer
from scripts.benchmark.figures import Figure, Unit, summarize
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import Change, Live, running_pods
from scripts.benchmark.ports import free_ports
from scripts.benchmark.router import started
from scripts.benchmark.size_steps import SETTLED_S, awaited
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

HOST_NEW = "new host, no pool, to first byte"
HOST_RELOADS = "new hosts: reloads"
OTHERWISE = "new Route, balance source, port of the pool, to first byte"
OTHERWISE_RELOADS = "new Routes, balance source: reloads"
DELETED = "these deleted, to their sections gone"
LEFT = "these deleted: sections left"

_BALANCE = "haproxy.router.openshift.io/balance"
_GONE_WITHIN_S = 10.0
"""Servers go some two seconds after their last connection, and sections after them; later only a reload takes them away."""
_TESTED = ("127.0.0.1", *ENDPOINT_ADDRESSES)
_UNITS: Mapping[str, Unit] = {HOST_RELOADS: "count", OTHERWISE_RELOADS: "count", LEFT: "count"}

Samples = dict[str, list[float]]
"""What was measured, by the figure's name, in its unit."""


def measure_backends(
    routes: int, runs: int, binaries: Sequence[HaproxyBinary], directory: Path, note: Callable[[str], None]
) -> list[Figure]:
    """Measure on an API server, with so many Routes that are there already.

    Args:
        routes: how many, 1 at least.
        runs: how many Routes of each kind come.
        binaries: the HAProxies to run, one after the other: the first is measured, others are what it is compared with.
        directory: does not exist yet; its path is short enough for sockets.
        note: is told what is being measured.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    directory.mkdir()
    # One Route by its host is there from the beginning: the first of a shared port, and with it the port, takes a reload everywhere.
    there = routes + 1
    behind, other, shared, *ports = free_ports(routes + runs + 3, _TESTED)
    external = (*ports[:routes], *[shared] * (runs + 1), *ports[routes:])
    workload = Workload(there, external, behind, other, by_host=range(routes, there + runs))
    of_each = []
    for number, binary in enumerate(binaries):
        note(f"{routes:,} Routes: backends, HAProxy {binary.build}")
        with _running(workload, binary, directory / f"{number}", ports[routes:]) as live:
            within_s = _GONE_WITHIN_S if binary.adds_backends else SETTLED_S
            of_each.append((binary.build, _Measuring(live, there, runs, within_s).samples()))
    (_, own), *others = of_each
    return [
        summarize(
            routes,
            name,
            samples,
            {f"HAProxy {build}": statistics.median(of[name]) for build, of in others if name in of},
            _UNITS.get(name, "ms"),
        )
        for name, samples in own.items()
    ]


class _Measuring:
    """One HAProxy.

    Args:
        live: its router.
        there: how many Routes there are; those by host come next, then those on ports of the pool.
        runs: how many of each.
        gone_within_s: how long to wait for sections to be gone.
    """

    def __init__(self, live: Live, there: int, runs: int, gone_within_s: float) -> None:
        self._live = live
        self._by_host = range(there, there + runs)
        self._gone_within_s = gone_within_s
        self._otherwise = range(there + runs, there + 2 * runs)
        self._socket = RenderSettings(state_dir=live.process.state_dir).stats_socket

    def samples(self) -> Samples:
        """Measure."""
        live = self._live
        live.add_services((*self._by_host, *self._otherwise))
        time.sleep(SETTLED_S)
        live.reloads()
        before = self._sections()
        found: Samples = {HOST_NEW: [self._new_host_ms(number) for number in self._by_host]}
        found[HOST_RELOADS] = [self._reloads()]
        found[OTHERWISE] = [self._otherwise_ms(number) for number in self._otherwise]
        found[OTHERWISE_RELOADS] = [self._reloads()]
        # What a deleted Route leaves is deleted when its clients are gone.
        live.send(*map(live.deletion, self._by_host), *map(self._deletion, self._otherwise))
        began_s = time.perf_counter()
        while (left := self._sections() - before) > 0 and time.perf_counter() - began_s < self._gone_within_s:
            live.process.check()
            time.sleep(0.05)
        if left <= 0:
            found[DELETED] = [(time.perf_counter() - began_s) * 1000]
        found[LEFT] = [float(max(left, 0))]
        return found

    def _new_host_ms(self, number: int) -> float:
        live = self._live
        self._send(live.creation(number))
        return (_host_served_s(live, number) - live.last_sent_s()) * 1000

    def _otherwise_ms(self, number: int) -> float:
        live = self._live
        self._send(_balanced(live.creation(number)))
        return (wait_for_answer(live.port(number), check=live.process.check) - live.last_sent_s()) * 1000

    def _deletion(self, number: int) -> Change:
        return _balanced(self._live.deletion(number))

    def _send(self, change: Change) -> None:
        steps.rest()
        self._live.forget_sent()
        self._live.send(change)

    def _reloads(self) -> float:
        """Count them; the last one is logged after its Route is served."""
        time.sleep(SETTLED_S)
        return float(self._live.reloads())

    def _sections(self) -> int:
        """Count HAProxy's backends of Routes; it is asked anew each time, since a reload puts another worker there."""
        said = awaited(lambda: command(self._socket, "show backend", DEADLINE_S).split(), "HAProxy's backends")
        return sum(name.startswith("be_tcp:") for name in said)


def _balanced(change: Change) -> Change:
    """Give a change of a Route that asks for another balance than the router's."""
    kind, resource, obj = change
    metadata = obj["metadata"]
    annotations = {**metadata["annotations"], _BALANCE: "source"}
    return kind, resource, {**obj, "metadata": {**metadata, "annotations": annotations}}


def _host_served_s(live: Live, number: int) -> float:
    """Wait until a Route by its host serves; give when it did."""
    workload = live.workload
    port, host = live.port(number), workload.host(number)

    def served_s() -> list[float]:
        live.process.check()
        return [time.perf_counter()] if first_byte(port, host, ends_tls=False) else []

    return awaited(served_s, f"{host} to serve")[0]


@contextmanager
def _running(workload: Workload, binary: HaproxyBinary, directory: Path, pool: Sequence[int]) -> Iterator[Live]:
    """Start pods, an API server and a router on a HAProxy; give them when all Routes are served."""
    with (
        running_pods(workload, 1),
        Api(workload, directory.with_name(f"{directory.name}-objects")) as api,
        started(binary, api, directory, ("--port-pool", str(PortRanges.of(*pool)))) as process,
    ):
        live = Live(api, process, workload)
        _host_served_s(live, workload.last)
        live.wait_for_reload()
        yield live
