"""What is done to a router to take each figure of changes without a reload."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from router.settings import PortRanges
from scripts.benchmark import through
from scripts.benchmark.client import Held, Stream, open_for, wait_for_byte, wait_for_refusal, wait_until_open
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.haproxy import wait_for_old_workers
from scripts.benchmark.live import Live
from scripts.benchmark.objects import ROUTES, SLICES, auto_route, objects_of
from scripts.benchmark.processes import cpu_s, haproxy_below
from scripts.benchmark.services import answer

HELD = 8
"""Connections that stay open while other things change."""

_MOVED = 20
"""So many Routes' endpoints are moved in turn."""
_CHANGED = 100
_CHANGES_PER_S = 100
_MIXED = 100
_IN_ONE = 10
"""Routes that come at once are told to the API server so many at a time."""
_REST_S = (0.02, 0.12)
"""Between two changes, so that they meet the router's other work, such as writing haproxy.cfg, by chance."""
_BETWEEN_RELOADS_S = 1.2
"""More than the router's interval, which is not what is measured."""
_SETTLED_S = 1.5
"""In which what a change leaves to do is done: haproxy.cfg is level, for one."""
_random = random.Random(5)  # noqa: S311 - when a change comes is no secret


@dataclass(frozen=True, slots=True)
class Churn:
    """What many changes cost: percent of a core, of the router in each slice of time, and counts."""

    router_percent: list[float]
    haproxy_percent: float
    reloads: float
    made: float
    failed: float


def spread(routes: int, count: int) -> list[int]:
    """Give numbers of Routes, some that lie far apart, in turn."""
    some = min(_MOVED, routes)
    return [run % some * routes // some for run in range(count)]


def moves(
    live: Live,
    runs: int,
    goes_on: Callable[[], bool] = lambda: True,
    seen: Callable[[], None] = lambda: None,
    among: int = 0,
) -> list[float]:
    """Time moved endpoints, milliseconds each; a Route's first move, from three endpoints to one, is not counted.

    Args:
        live: where.
        runs: so many, or fewer if it does not go on.
        goes_on: asked before each.
        seen: is called after each, the first moves too.
        among: only the first so many Routes; 0 is all.
    """
    numbers = spread(among or live.workload.routes, runs)
    for number in sorted(set(numbers)):
        live.move(number)
        seen()
    samples = []
    for number in numbers:
        if not goes_on():
            break
        rest()
        samples.append(live.move(number))
        seen()
    return samples


def opened_and_closed(live: Live, numbers: Iterable[int]) -> tuple[list[float], list[float]]:
    """Time Routes that come to ports of the pool, and that go, milliseconds each."""
    opened, closed = [], []
    for number in numbers:
        rest()
        opened.append(live.create(number))
        rest()
        closed.append(live.delete(number))
    return opened, closed


def at_once(live: Live, numbers: Sequence[int]) -> tuple[float, int]:
    """Create many Routes as fast as the API server takes them, and delete them.

    Returns:
        Milliseconds from the last event to the last port that serves, and the reloads meanwhile.
    """
    _settle(live)
    ports = [live.port(number) for number in numbers]
    live.forget_sent()
    for start in range(0, len(numbers), _IN_ONE):
        live.send(*(live.creation(number) for number in numbers[start : start + _IN_ONE]))
    opened_s, _ = wait_until_open(ports)
    elapsed_ms = (opened_s - live.last_sent_s()) * 1000
    for port in ports:
        if not answer(port):
            raise BenchFailed(f"port {port} did not serve when it was open")
    time.sleep(_SETTLED_S)
    reloads = live.reloads()
    for start in range(0, len(numbers), _IN_ONE):
        live.send(*(live.deletion(number) for number in numbers[start : start + _IN_ONE]))
    for port in ports:
        wait_for_refusal(port)
    return elapsed_ms, reloads


def given(live: Live, numbers: Iterable[int], ports: PortRanges) -> list[float]:
    """Time Routes that come and ask for any port, one after the other, milliseconds each; with the write of the PortClaim."""
    samples = []
    for number in numbers:
        rest()
        samples.append(live.create_auto(number, ports))
        live.delete_auto(number)
    return samples


def given_at_once(live: Live, numbers: Sequence[int], ports: PortRanges) -> tuple[float, float]:
    """Create as many Routes as there are ports, all of which ask for any, as fast as the API server takes them.

    Returns:
        Milliseconds from the last event, and from the last PortClaim, to the last port that serves.
    """
    _settle(live)
    routes = [auto_route(live.workload, number) for number in numbers]
    live.forget_sent()
    made_s = live.send_all([("ADDED", ROUTES, route) for route in routes], _IN_ONE)
    opened_s, _ = wait_until_open(ports)
    elapsed_ms, claimed_ms = (opened_s - made_s) * 1000, (opened_s - live.last_claimed_s()) * 1000
    for port in ports:
        if not answer(port):
            raise BenchFailed(f"port {port} did not serve when it was open")
    live.send_all([("DELETED", ROUTES, route) for route in routes], _IN_ONE)
    live.wait_for_claims(0)
    return elapsed_ms, claimed_ms


def churn(live: Live, slices: int, slice_s: float) -> Churn:
    """Move endpoints a hundred times per second, under a stream of new connections to their Routes.

    Args:
        live: where.
        slices: for so many slices of time.
        slice_s: seconds of each.
    """
    _settle(live)
    routes = live.workload.routes
    numbers = [each * routes // min(_CHANGED, routes) for each in range(min(_CHANGED, routes))]
    last: dict[int, bytes] = {}
    with Stream([live.port(number) for number in numbers]) as stream:
        in_slice = int(slice_s * _CHANGES_PER_S)
        router_percent = []
        began_s, haproxy_before_s = time.perf_counter(), _haproxy_cpu_s(live)
        slice_began_s, before_s = began_s, _cpu_s(live)
        for change in range(1, slices * in_slice + 1):
            number = numbers[change % len(numbers)]
            moved, last[number] = live.prepare_move(number)
            live.send(moved)
            time.sleep(max(began_s + change / _CHANGES_PER_S - time.perf_counter(), 0))
            if change % in_slice == 0:
                now_s, after_s = time.perf_counter(), _cpu_s(live)
                router_percent.append((after_s - before_s) / (now_s - slice_began_s) * 100)
                slice_began_s, before_s = now_s, after_s
        elapsed_s = time.perf_counter() - began_s
        haproxy_s = _haproxy_cpu_s(live) - haproxy_before_s
        for number, byte in last.items():
            wait_for_byte(live.port(number), byte)
    time.sleep(_SETTLED_S)
    return Churn(
        router_percent,
        haproxy_s / elapsed_s * 100,
        float(live.reloads()),
        float(stream.made),
        float(stream.failed),
    )


def held(live: Live, of_pool: Sequence[int]) -> tuple[float, float]:
    """Hold connections over changes of all kinds that need no reload.

    Returns:
        How many HAProxy processes there are afterwards, and how many of the connections are alive.
    """
    _settle(live)
    numbers = spread(live.workload.routes, HELD)
    connections = Held.open(live.port(number) for number in numbers)
    try:
        for change in range(0, _MIXED, 4):
            new = of_pool[change % len(of_pool)]
            # One that has a connection, a new one, perhaps another one, and the new one goes again.
            live.move(numbers[change // 4 % len(numbers)])
            live.create(new)
            live.move(spread(live.workload.routes, _MIXED)[change])
            live.delete(new)
        time.sleep(_SETTLED_S)
        return float(len(haproxy_below(live.process.pid))), float(connections.alive())
    finally:
        connections.close()


def ports_to_compare(live: Live) -> through.Ports:
    """Have one Route with all its endpoints, and one whose pods send without end; give their ports."""
    echo, bulk = live.workload.routes - 1, live.workload.routes - 2
    live.send(("MODIFIED", SLICES, objects_of(live.workload, echo)[SLICES][0]))
    live.pour_from(bulk)
    _settle(live)
    return through.Ports(live.port(echo), live.port(bulk))


def created_by_reload(live: Live, numbers: Sequence[int]) -> list[float]:
    """Time Routes that come to ports that no pool has, milliseconds each."""
    live.add_services(numbers)
    samples = []
    for number in numbers:
        _settle(live)
        samples.append(live.create(number))
        live.wait_for_reload()
    return samples


def gaps(live: Live, numbers: Sequence[int], port: int) -> list[float]:
    """Have reloads, and time for how long this port of the pool, which is nobody's, is open after each; milliseconds."""
    live.add_services(numbers)
    samples = []
    for number in numbers:
        _settle(live)
        live.send(live.creation(number))
        samples.append(open_for(port, lambda: live.reloads() > 0))
    return samples


def _settle(live: Live) -> None:
    """Wait until nothing is left to do of what was before."""
    time.sleep(max(_SETTLED_S, _BETWEEN_RELOADS_S))
    live.reloads()
    wait_for_old_workers(live.process.master_socket)


def rest() -> None:
    """Wait for a while by chance, as between two changes of a cluster."""
    time.sleep(_random.uniform(*_REST_S))


def _cpu_s(live: Live) -> float:
    # HAProxy is a child that has not ended; ``haproxy -c`` is one that has.
    return cpu_s(live.process.pid, with_children=True)


def _haproxy_cpu_s(live: Live) -> float:
    return sum(cpu_s(pid, with_children=False) for pid in haproxy_below(live.process.pid))
