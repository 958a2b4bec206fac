"""What the stand itself takes of a change: the same changes under a bare program in the router's place, and single steps of them alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from router.haproxy.process import launch
from router.haproxy.process.binary import HaproxyBinary
from router.model import Asker, backend_name, frontend_name
from scripts.benchmark import bare, steps, traced
from scripts.benchmark.client import DEADLINE_S, LOOK_EVERY_S
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.floor import BareHaproxy, bare_haproxy
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import Live
from scripts.benchmark.objects import ROUTES, SLICES, objects_of
from scripts.benchmark.router import RouterProcess
from scripts.benchmark.services import answer
from scripts.benchmark.workload import Workload

MOVED, OPENED, CLOSED = "moved", "opened", "closed"
OF_BARE = "bare program"
WHOLE = "whole"
"""The stage that is all of them together."""
FRESH = "HAProxy's reply, a connection for it"
KEPT = "HAProxy's reply, on a connection that is kept"
FIRST_BYTE = "connect to first byte"
_PATHS = {SLICES: "/apis/discovery.k8s.io/v1/endpointslices", ROUTES: "/apis/route.openshift.io/v1/routes"}
_PROMPT = b"> "
_PIECE = 1 << 16
_ONE = "set server {server} weight 1"
"""Changes nothing, and takes HAProxy as long as another address."""


class Stand:
    """An API server, and HAProxy on what a router left; no router.

    Args:
        haproxy: the HAProxy.
        api: the API server.
        directory: for files.
        workload: what the API server has.
    """

    def __init__(self, haproxy: BareHaproxy, api: Api, directory: Path, workload: Workload) -> None:
        self._haproxy = haproxy
        self._api = api
        self._directory = directory
        self._workload = workload

    def under_bare_program(self, runs: int, numbers: Sequence[int]) -> dict[tuple[str, str], list[float]]:
        """Make changes as for the router's figures, under a program that does the least for each.

        Args:
            runs: so many endpoints are moved.
            numbers: Routes that come to ports of the pool, and go.

        Returns:
            Milliseconds, by what happened and the stage, as ``traced.stages_ms`` gives them; ``WHOLE`` is from the change to the first byte,
            or to the refusal.

        Raises:
            BenchFailed: the program ended, or did not do it.
        """
        samples: dict[tuple[str, str], list[float]] = defaultdict(list)

        def seen(live: Live, what: str) -> None:
            samples[what, WHOLE].append((live.last.end_s - live.last.begin_s) * 1000)
            for stage, stage_ms in traced.taken_apart(traced.next_traced(live), live.last).items():
                samples[what, stage].append(stage_ms)

        with self._following(SLICES, self._to_move(steps.spread(self._workload.routes, runs))) as live:
            steps.moves(live, runs, seen=lambda: seen(live, MOVED))
        with self._following(ROUTES, self._to_open_and_close(numbers)) as live:
            for number in numbers:
                steps.rest()
                live.create(number)
                seen(live, OPENED)
                steps.rest()
                live.delete(number)
                seen(live, CLOSED)
                self._haproxy.empty(live.port(number))
        return samples

    def steps_ms(self, runs: int) -> Mapping[str, list[float]]:
        """Time single steps with nothing else around them, each after a pause as between two changes; milliseconds."""
        fresh, kept, first_byte = [], [], []
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(bytes(self._haproxy.settings.stats_socket))
            _ask(connection, "prompt")
            for number in steps.spread(self._workload.routes, runs):
                backend = backend_name(Asker.route(self._workload.namespace(number), self._workload.name(number)))
                text = _ONE.format(server=f"{backend}/{self._haproxy.servers(backend)[0]}")
                fresh.append(_timed(self._haproxy.do, text))
                kept.append(_timed(_ask, connection, text))
                first_byte.append(_timed(answer, self._workload.external_ports[number]))
        return {FRESH: fresh, KEPT: kept, FIRST_BYTE: first_byte}

    def _to_move(self, numbers: Iterable[int]) -> dict[str, str]:
        moved = f" addr {{address}} port {self._workload.endpoint_port}"
        return {
            _order("MODIFIED", objects_of(self._workload, number)[SLICES][0]): self._haproxy.alone(number) + moved
            for number in sorted(set(numbers))
        }

    def _to_open_and_close(self, numbers: Iterable[int]) -> dict[str, str]:
        orders = {}
        for number in numbers:
            port, route = self._workload.external_ports[number], objects_of(self._workload, number)[ROUTES][0]
            orders[_order("ADDED", route)] = self._haproxy.opening(port, "bare")
            orders[_order("DELETED", route)] = f"disable frontend {frontend_name(port)}"
        return orders

    @contextmanager
    def _following(self, resource: str, orders: Mapping[str, str]) -> Iterator[Live]:
        """Run the program until the block is left."""
        directory = self._directory / f"bare-{resource}"
        directory.mkdir()
        file, log = directory / "orders", directory / "log"
        file.write_text(json.dumps(orders))
        arguments = [*self._api.place, _PATHS[resource], str(self._haproxy.settings.stats_socket), str(file)]
        # Tied to us: it ends even if we are killed.
        tied = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        command = [*tied, sys.executable, "-P", "-m", bare.__name__, *arguments]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors, process_group=0)  # noqa: S603 - our own command
        try:
            running = RouterProcess(process, time.perf_counter(), directory, log)
            ends_s = time.monotonic() + DEADLINE_S
            while not any(event.get("event") == bare.WATCHES for event in running.new_events()):
                running.check()
                if time.monotonic() > ends_s:
                    raise BenchFailed("the bare program does not watch")
                time.sleep(LOOK_EVERY_S)
            yield Live(self._api, running, self._workload)
        finally:
            process.kill()
            process.wait()


@contextmanager
def stand(  # noqa: PLR0913 - what is on it
    binary: HaproxyBinary, state_dir: Path, directory: Path, workload: Workload, pool: Sequence[int], *, is_ideal: bool
) -> Iterator[Stand]:
    """Run an API server, and HAProxy on what a router left, until the block is left.

    Args:
        binary: the HAProxy.
        state_dir: of a router that has ended.
        directory: for files; does not exist yet.
        workload: what the router served.
        pool: the ports of its pool that are nobody's, in order.
        is_ideal: the API server answers at once and without TLS.

    Raises:
        BenchFailed: they do not start.
    """
    directory.mkdir()
    last_port = workload.external_ports[workload.last]
    with (
        Api(workload, directory / "objects", is_ideal=is_ideal) as api,
        bare_haproxy(binary, state_dir, workload, pool, last_port) as (haproxy, _),
    ):
        yield Stand(haproxy, api, directory, workload)


def _timed(step: Callable[..., object], *arguments: object) -> float:
    steps.rest()
    began_s = time.perf_counter()
    step(*arguments)
    return (time.perf_counter() - began_s) * 1000


def _order(kind: str, obj: Mapping[str, Mapping[str, str]]) -> str:
    return f"{kind} {obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _ask(connection: socket.socket, text: str) -> None:
    connection.sendall(f"{text}\n".encode())
    reply = b""
    while not reply.endswith(_PROMPT):
        piece = connection.recv(_PIECE)
        if not piece:
            raise BenchFailed(f"HAProxy ended the connection on which it was asked {text!r}")
        reply += piece
