"""What HAProxy needs by itself for changes without a reload: the bare commands on its socket, with nothing of ours in between."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.talk import master, runtime
from router.haproxy.talk.cli_socket import command
from router.model import Asker, backend_name, frontend_name, pool_backend_name
from router.plan.commands import close_frontend
from router.settings import RenderSettings
from scripts.benchmark import haproxy, pods
from scripts.benchmark.client import open_for, wait_for_answer, wait_for_byte, wait_for_refusal, wait_until_open
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.workload import ENDPOINT_ADDRESSES, Workload

_DEADLINE_S = 60.0
_AT_ONCE = 60
"""Ports that one line of commands opens: HAProxy takes a line of some 16 KiB."""
_SERVER_NAME = 3
_FRONTEND = re.compile(r"^frontend fe_tcp:([0-9]+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BareHaproxy:
    """An HAProxy on the configuration that a router left, which nobody else changes."""

    settings: RenderSettings
    workload: Workload
    pool: Sequence[int]
    """The ports of the pool that are nobody's, in order."""

    def close_pool(self) -> None:
        """Close the ports of the pool, as the router does after a reload."""
        closing = [close_frontend(frontend_name(port)) for port in self.pool]
        runtime.run(self.settings.stats_socket, closing, _DEADLINE_S)

    def moved_ms(self, numbers: Iterable[int]) -> list[float]:
        """Put a new server in the place of all servers of a Route, and time it to the first byte from there."""
        samples = []
        for run, number in enumerate(numbers):
            address = pods.ADDRESSES[run % len(pods.ADDRESSES)]
            backend = backend_name(Asker.route(self.workload.namespace(number), self.workload.name(number)))
            former = self.servers(backend)
            text = ";".join(
                [
                    *self._added(backend, f"moved-{run}", address),
                    *(f"set server {backend}/{each} state maint" for each in former),
                ]
            )
            began_s = time.perf_counter()
            self.do(text)
            served_s = wait_for_byte(self.workload.external_ports[number], pods.number_of(address))
            samples.append((served_s - began_s) * 1000)
            # In maintenance, and without connections: gone before it is this Route's turn again.
            self.do(";".join(f"del server {backend}/{each}" for each in former))
        return samples

    def opened_and_closed_ms(self, runs: int) -> tuple[list[float], list[float]]:
        """Open ports of the pool, timed to the first byte, and close them, timed to the first refusal."""
        opened, closed = [], []
        for run in range(runs):
            port = self.pool[run % len(self.pool)]
            began_s = time.perf_counter()
            self.do(self.opening(port, f"{run}"))
            opened.append((wait_for_answer(port) - began_s) * 1000)
            began_s = time.perf_counter()
            self.do(f"disable frontend {frontend_name(port)}")
            closed.append((wait_for_refusal(port) - began_s) * 1000)
            self.empty(port)
        return opened, closed

    def all_opened_ms(self, ports: Sequence[int], run: int) -> float:
        """Open all of these ports as fast as HAProxy takes the commands; give the time to the last of them."""
        began_s = time.perf_counter()
        for start in range(0, len(ports), _AT_ONCE):
            self.do(";".join(self.opening(port, f"all-{run}") for port in ports[start : start + _AT_ONCE]))
        elapsed_ms = (wait_until_open(ports)[0] - began_s) * 1000
        for port in ports:
            self.do(f"disable frontend {frontend_name(port)}")
            self.empty(port)
        return elapsed_ms

    def gaps_ms(self, runs: int) -> list[float]:
        """Reload, close the ports of the pool at once, and time how long the last of them was open."""
        samples = []
        for _ in range(runs):
            done = threading.Event()
            thread = threading.Thread(target=self._reload, args=(done,))
            thread.start()
            samples.append(open_for(self.pool[-1], done.is_set))
            thread.join()
            haproxy.wait_for_old_workers(self.settings.master_socket)
        return samples

    def _reload(self, done: threading.Event) -> None:
        try:
            master.reload(self.settings.master_socket, _DEADLINE_S)
            self.close_pool()
        finally:
            done.set()

    def alone(self, number: int) -> str:
        """Lead all clients of a Route to one of its servers; give the beginning of commands that set this one."""
        backend = backend_name(Asker.route(self.workload.namespace(number), self.workload.name(number)))
        first, *others = self.servers(backend)
        states = [f"set server {backend}/{each} state maint" for each in others]
        self.do(";".join([*states, f"set server {backend}/{first} state ready"]))
        return f"set server {backend}/{first}"

    def opening(self, port: int, name: str) -> str:
        """Give what opens a port of the pool, with servers of this name."""
        backend = pool_backend_name(port)
        added = (
            each
            for number, address in enumerate(ENDPOINT_ADDRESSES)
            for each in self._added(backend, f"{name}-{number}", address)
        )
        return ";".join([*added, f"enable frontend {frontend_name(port)}"])

    def _added(self, backend: str, name: str, address: str) -> Iterator[str]:
        server = f"{backend}/{name}"
        yield f"add server {server} {address}:{self.workload.endpoint_port} weight 1"
        yield f"enable server {server}"

    def empty(self, port: int) -> None:
        """Take a closed port's servers away."""
        backend = pool_backend_name(port)
        servers = self.servers(backend)
        self.do(";".join(f"set server {backend}/{each} state maint" for each in servers))
        self.do(";".join(f"del server {backend}/{each}" for each in servers))

    def servers(self, backend: str) -> list[str]:
        """Give the names of a backend's servers."""
        lines = self.do(f"show servers state {backend}").splitlines()
        return [words[_SERVER_NAME] for line in lines if len(words := line.split()) > _SERVER_NAME and words[0] != "#"]

    def do(self, text: str) -> str:
        """Have commands carried out; give the answer."""
        return command(self.settings.stats_socket, text, _DEADLINE_S)


@contextmanager
def bare_haproxy(
    binary: HaproxyBinary, state_dir: Path, workload: Workload, pool: Sequence[int], last_port: int
) -> Iterator[tuple[BareHaproxy, float]]:
    """Run HAProxy on what a router left in its state directory, until the block is left.

    Args:
        binary: the HAProxy.
        state_dir: of a router that has ended.
        workload: what it served.
        pool: the ports of its pool that are nobody's, in order.
        last_port: a port that serves when all do.

    Returns:
        It, with the pool closed, and the milliseconds from its start to a byte through the last port.

    Raises:
        BenchFailed: it does not start.
    """
    settings = RenderSettings(state_dir=state_dir)
    config = state_dir / "haproxy.cfg"
    if not config.is_file():
        raise BenchFailed(f"the router left no {config}")
    declared = frozenset(map(int, _FRONTEND.findall(config.read_text())))
    began_s = time.perf_counter()
    with haproxy.running(binary, config, settings):
        started_ms = (wait_for_answer(last_port) - began_s) * 1000
        # The router leaves out what somebody else had when it reloaded.
        bare = BareHaproxy(settings, workload, [port for port in pool if port in declared])
        bare.close_pool()
        yield bare, started_ms
