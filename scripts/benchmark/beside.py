"""TCPRoutes beside Routes: the same changes of both in turn, under one router, so that both have the machine as it is; and the first start of Gateways."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.settings import PortRanges
from scripts.benchmark import gateways, steps, through
from scripts.benchmark.client import (
    DEADLINE_S,
    wait_for_answer,
    wait_for_refusal,
    wait_for_silence,
)
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET_MOST, Figure, Unit, summarize
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import Change, Live, running_pods
from scripts.benchmark.ports import free_ports
from scripts.benchmark.router import started
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, SLICES_IDEAL, Workload

MOVED, OPENED, CLOSED = (
    "endpoint moved to first byte",
    "new on a pool port to first byte",
    "deleted to refused",
)
IN_ONE_MOMENT = ", both written in one moment"
ROUTE, TCP_ROUTE = "Routes beside TCPRoutes", "TCPRoutes beside Routes"
ATTACHED = f"{TCP_ROUTE}: new at a listener to first byte"
START = "Gateways: first start to last port"
PACE = "Gateways: statuses a second, first start"
MOVED_WRITING = "Gateways: endpoint moved to first byte, statuses written"
OF_ROUTE = "a Route's in turn"
_MOST = 1.1
"""What a figure of a TCPRoute may be, in those of a Route."""
_MOVES, _MORE = 20, 10
_KINDS = 4
"""Of what comes and goes in turn."""
_LOOK_S = 0.05


def measure_beside(  # noqa: PLR0913 - what there is to choose
    routes: int,
    runs: int,
    binary: HaproxyBinary,
    directory: Path,
    note: Callable[[str], None],
    *,
    is_ideal: bool = False,
) -> list[Figure]:
    """Measure changes of TCPRoutes and of Routes in turn, where there are half as many of each; and a start where all are TCPRoutes.

    Args:
        routes: how many of both together, 2 at least.
        runs: how often what takes seconds is measured; of a start a third.
        binary: the HAProxy to run.
        directory: does not exist yet; its path is short enough for sockets.
        note: is told what is being measured.
        is_ideal: the API server answers at once and without TLS; the start is not measured then.

    Raises:
        BenchFailed, RouterError: something did not work.
    """
    directory.mkdir()
    beside = _Beside(routes, runs, binary, directory, note, is_ideal=is_ideal)
    beside.in_turn()
    if not is_ideal:
        beside.first_start()
    return beside.figures


class _Beside:
    """The figures so far."""

    def __init__(  # noqa: PLR0913 - what there is to choose
        self,
        routes: int,
        runs: int,
        binary: HaproxyBinary,
        directory: Path,
        note: Callable[[str], None],
        *,
        is_ideal: bool,
    ) -> None:
        self.figures: list[Figure] = []
        self._routes, self._runs, self._binary = routes, runs, binary
        self._directory = directory
        self._note = note
        self._is_ideal = is_ideal
        self._of_pool = range(routes, routes + _KINDS * runs * _MORE)

    def in_turn(self) -> None:
        """Change one Route, and one TCPRoute, and so on."""
        workload = self._workload(range(self._routes // 2))
        self._begin(MOVED)
        with (
            running_pods(workload, through.MIB),
            self._running(workload, "turns") as (live, _),
        ):
            both = moved_in_turn(live, self._runs * _MOVES)
            self._compared(MOVED, *both)
            self._begin(OPENED)
            live.add_services(self._of_pool)
            samples = changed_in_turn(live, self._of_pool)
            self._compared(OPENED, samples.opened, samples.by_gateway_opened)
            self._compared(CLOSED, samples.closed, samples.by_gateway_closed)
            for name, at_once, of_routes in (
                (OPENED, samples.opened_at_once, samples.opened),
                (CLOSED, samples.closed_at_once, samples.closed),
            ):
                self._add(f"{TCP_ROUTE}: {name}{IN_ONE_MOMENT}", at_once, beside=_beside(of_routes))
            self._add(ATTACHED, samples.attached, beside=_beside(samples.opened))
            if live.reloads():
                raise BenchFailed("a change of a Gateway or of a Route on a pool port took a reload")

    def first_start(self) -> None:
        """Start where no router has been before, with as many Gateways as the TCPRoutes take: until the last port serves, then until all statuses are written."""
        workload = self._workload(range(self._routes))
        self._begin(START)
        started_ms, pace, moved = [], [], []
        statuses = self._routes + gateways.count(workload)
        with running_pods(workload, through.MIB):
            for run in range(max(self._runs // 3, 1)):
                with self._running(workload, f"start-{run}", has_leases=True) as (
                    live,
                    elapsed_ms,
                ):
                    started_ms.append(elapsed_ms)
                    began_s, before = time.monotonic(), live.statuses_written
                    moved += steps.moves(
                        live,
                        self._runs * _MOVES,
                        lambda: live.statuses_written < statuses,
                    )
                    pace.append(_pace(live, statuses, began_s, before))
        self._add(START, started_ms)
        self._add(PACE, pace, "1/s")
        if moved:
            self._add(MOVED_WRITING, moved)

    def _workload(self, by_gateway: range) -> Workload:
        behind, other, *ports = free_ports(self._routes + len(self._of_pool) + 2, ENDPOINT_ADDRESSES)
        slices = SLICES_IDEAL if self._is_ideal else 1
        return Workload(
            self._routes,
            tuple(ports),
            behind,
            other,
            slices=slices,
            has_statuses=False,
            by_gateway=by_gateway,
        )

    @contextmanager
    def _running(self, workload: Workload, name: str, *, has_leases: bool = False) -> Iterator[tuple[Live, float]]:
        pool = PortRanges.of(*(workload.external_ports[number] for number in self._of_pool))
        directory = self._directory / name
        with (
            Api(
                workload,
                directory.with_name(f"{name}-objects"),
                is_ideal=self._is_ideal,
                has_leases=has_leases,
            ) as api,
            started(
                self._binary,
                api,
                directory,
                (
                    "--reload-interval",
                    "1s",
                    "--port-pool",
                    str(pool),
                    "--gateway-api",
                    "on",
                ),
            ) as process,
        ):
            last = max(workload.external_ports[number] for number in range(workload.routes))
            wait_for_answer(last, check=process.check)
            live = Live(api, process, workload)
            live.wait_for_reload()
            served_s = max(
                wait_for_answer(port, check=process.check) for port in workload.external_ports[: workload.routes]
            )
            yield live, (served_s - process.started_s) * 1000

    def _begin(self, name: str) -> None:
        self._note(f"{self._routes:,} Routes: TCPRoutes beside Routes, {name}")

    def _compared(self, name: str, of_routes: Sequence[float], of_tcp_routes: Sequence[float]) -> None:
        self._add(f"{ROUTE}: {name}", of_routes)
        self._add(f"{TCP_ROUTE}: {name}", of_tcp_routes, beside=_beside(of_routes))

    def _add(
        self,
        name: str,
        samples: Sequence[float],
        unit: Unit = "ms",
        beside: Mapping[str, float] | None = None,
    ) -> None:
        self.figures.append(summarize(self._routes, name, samples, beside or {}, unit))


def _beside(of_routes: Sequence[float]) -> dict[str, float]:
    median = statistics.median(of_routes)
    return {TARGET_MOST: median * _MOST, OF_ROUTE: median}


def _pace(live: Live, statuses: int, began_s: float, before: int) -> float:
    ends_s = began_s + DEADLINE_S + statuses / 10
    while live.statuses_written < statuses:
        live.process.check()
        if time.monotonic() > ends_s:
            raise BenchFailed(f"{live.statuses_written} of {statuses} statuses were written")
        time.sleep(_LOOK_S)
    return (statuses - before) / (time.monotonic() - began_s)


def moved_in_turn(live: Live, runs: int) -> tuple[list[float], list[float]]:
    """Time moved endpoints of Routes and of TCPRoutes, milliseconds each."""
    workload = live.workload
    by_gateway = len(workload.by_gateway)
    pairs = [
        (by_gateway + number, number) for number in steps.spread(min(by_gateway, workload.routes - by_gateway), runs)
    ]
    for number in {number for pair in pairs for number in pair}:
        live.move(number)
    of_routes, of_tcp_routes = [], []
    for route, tcp_route in pairs:
        steps.rest()
        of_routes.append(live.move(route))
        steps.rest()
        of_tcp_routes.append(live.move(tcp_route))
    return of_routes, of_tcp_routes


class Changed:
    """Milliseconds of each change."""

    def __init__(self) -> None:
        self.opened: list[float] = []
        self.closed: list[float] = []
        self.by_gateway_opened: list[float] = []
        self.by_gateway_closed: list[float] = []
        self.opened_at_once: list[float] = []
        self.closed_at_once: list[float] = []
        self.attached: list[float] = []


def changed_in_turn(live: Live, numbers: Sequence[int]) -> Changed:
    """Time Routes, and listeners with their TCPRoutes, that come to ports of the pool and go; and TCPRoutes that come to listeners that are there.

    A listener and its TCPRoute are written one after the other, as a client does, and timed from the event of the last one; then both in one moment,
    as two clients may, and timed from that.

    Each number is used once: of a Service that nobody leads to any more nothing is kept, so that it would be fetched.
    """
    found, workload = Changed(), live.workload
    each_kind = (numbers[start::_KINDS] for start in range(_KINDS))
    for route, both, at_once, alone in zip(*each_kind, strict=False):
        steps.rest()
        found.opened.append(live.create(route))
        steps.rest()
        found.by_gateway_opened.append(_in_a_row(live, both, gateways.with_listener(workload, both), wait_for_answer))
        steps.rest()
        found.opened_at_once.append(_sent(live, at_once, gateways.with_listener(workload, at_once), wait_for_answer))
        steps.rest()
        found.closed.append(live.delete(route))
        steps.rest()
        gone = gateways.without_listener(workload, both)
        found.by_gateway_closed.append(_in_a_row(live, both, gone, wait_for_refusal))
        steps.rest()
        gone = gateways.without_listener(workload, at_once)
        found.closed_at_once.append(_sent(live, at_once, gone, wait_for_refusal))
        listener, tcp_route = gateways.with_listener(workload, alone)
        live.send(listener)
        wait_for_silence(live.port(alone))
        steps.rest()
        found.attached.append(_sent(live, alone, [tcp_route], wait_for_answer))
        _sent(live, alone, gateways.without_listener(workload, alone), wait_for_refusal)
    return found


def _in_a_row(live: Live, number: int, changes: Sequence[Change], wait: Callable[[int], float]) -> float:
    """Make changes of one number, each when the one before is answered; give the time from the event of the last one, milliseconds."""
    live.forget_sent()
    live.send_all(changes, 1)
    return live.timed(changes[-1][1], wait(live.port(number)))


def _sent(live: Live, number: int, changes: Sequence[Change], wait: Callable[[int], float]) -> float:
    """Make changes of one number, and wait for what they lead to; give the time from the event of the first one, milliseconds."""
    live.forget_sent()
    live.send(*changes)
    return live.timed(changes[0][1], wait(live.port(number)))
