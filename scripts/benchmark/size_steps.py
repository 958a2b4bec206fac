"""What is done to a router to find out what grows: many changes, Services with many endpoints; and what it has in use."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from router.haproxy.talk.cli_socket import command
from router.settings import RenderSettings
from scripts.benchmark.client import DEADLINE_S, LOOK_EVERY_S, wait_for_byte
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.live import Change, Live
from scripts.benchmark.objects import SLICES, objects_of
from scripts.benchmark.workload import Workload

SETTLED_S = 3.0
"""In which servers that leave are deleted, and haproxy.cfg is level."""
_CHANGES_PER_S = 200
_IN_SLICE = 100
"""Endpoints, as the controller of Kubernetes makes them."""
_LOOKED_AT = 20

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Used:
    """What a router has in use (MiB of memory), and how many sections and servers its HAProxy has."""

    memory: float
    files: float
    threads: float
    sections: float
    servers: float


def used(live: Live) -> Used:
    """Look."""
    process = Path(f"/proc/{live.process.pid}")
    socket = RenderSettings(state_dir=live.process.state_dir).stats_socket
    return Used(
        live.process.memory_mib()["VmRSS"],
        float(len(list((process / "fd").iterdir()))),
        float(len(list((process / "task").iterdir()))),
        float(len(command(socket, "show backend", DEADLINE_S).split())),
        float(len(command(socket, "show servers state", DEADLINE_S).splitlines())),
    )


def some(routes: int) -> list[int]:
    """Give numbers of Routes that lie far apart."""
    return [each * routes // _LOOKED_AT for each in range(min(_LOOKED_AT, routes))]


def change(live: Live, routes: int, of_pool: int, count: int) -> None:
    """Make so many changes, two hundred a second at most, and wait until nothing is left to do.

    Nine of ten are endpoints of the first ``routes`` that move, the others Routes that come to a pool of so many ports, or go.
    """
    chosen = random.Random(count)  # noqa: S311 - which Route changes is no secret
    is_there: set[int] = set()
    last: dict[int, bytes] = {}
    began_s = time.perf_counter()
    for each in range(count):
        if each % 10:
            number = chosen.randrange(routes)
            moved, last[number] = live.prepare_move(number)
            live.send(moved)
        else:
            number = routes + chosen.randrange(of_pool)
            live.send(live.deletion(number) if number in is_there else live.creation(number))
            is_there ^= {number}
        time.sleep(max(began_s + each / _CHANGES_PER_S - time.perf_counter(), 0))
        if each % _CHANGES_PER_S == 0:
            live.process.check()
    live.send(*(live.deletion(number) for number in sorted(is_there)))
    for number, byte in last.items():
        wait_for_byte(live.port(number), byte)
    time.sleep(SETTLED_S)


def more_slices(workload: Workload, endpoints: int) -> Iterator[Change]:
    """Give what adds slices of so many endpoints to the Service of Route 0: at addresses where nobody is, ready all the same."""
    first = objects_of(workload, 0)[SLICES][0]
    conditions = {"ready": True, "serving": True, "terminating": False}
    for number in range(1, endpoints // _IN_SLICE + 1):
        name = f"{first['metadata']['name']}-{number}"
        members = [
            {"addresses": [f"127.{100 + number // 250}.{number % 250}.{each + 1}"], "conditions": conditions}
            for each in range(_IN_SLICE)
        ]
        yield (
            "ADDED",
            SLICES,
            {**first, "metadata": {**first["metadata"], "name": name, "uid": name}, "endpoints": members},
        )


def traced_ms(live: Live, number: int) -> float:
    """Move endpoints of a Route under a router that traces changes; give the time from the event's bytes to HAProxy's reply, milliseconds."""
    for _ in live.process.new_events():
        pass
    live.send(live.prepare_move(number)[0])

    def traced() -> list[float]:
        return [each["total_ms"] for each in live.process.new_events() if each.get("event") == "change traced"]

    return awaited(traced, "a change to be traced")[0]


def awaited(look: Callable[[], list[_Found]], what: str, deadline_s: float = DEADLINE_S) -> list[_Found]:
    """Look until something is found, for so many seconds.

    Raises:
        BenchFailed: nothing is.
    """
    ends_s = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > ends_s:
            raise BenchFailed(f"waited in vain for {what}")
        time.sleep(LOOK_EVERY_S)
    return found
