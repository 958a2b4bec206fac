"""The router as a user runs it: how long from its start, and from a change, to traffic."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import router
from router.haproxy.process import launch
from router.haproxy.process.binary import HaproxyBinary
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.haproxy import wait_for_old_workers
from scripts.benchmark.inputs import Input
from scripts.benchmark.services import HOST, answer, wait_for_answer
from scripts.benchmark.workload import Workload

BEFORE, AFTER = b"A", b"B"
"""What the services on the endpoints' port answer, and on the port that endpoints move to."""

_DEADLINE_S = 120.0
_STOP_S = 20.0
_LOOK_EVERY_S = 0.002
# Nothing else of the environment: variables of the router would change what is measured.
_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR")
_MEMORY = re.compile(r"^(VmRSS|VmHWM):\s*(\d+) kB$", re.MULTILINE)
_LAST_LINES = 10


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One start: milliseconds from the process's start until the last port served, and the router's memory then.

    ``synced_ms`` is until everything was listed; None where that cannot be seen.
    """

    elapsed_ms: float
    resident_mib: float
    peak_mib: float
    synced_ms: float | None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """One change that needs a reload: milliseconds from the change to traffic, and of the reload, as the router logs it."""

    elapsed_ms: float
    reload_ms: float


class RouterProcess:
    """``tcp-router run`` as a process of its own.

    Args:
        process: the process.
        started_s: when it was started (``time.perf_counter``).
        state_dir: its state directory.
        log: the file it logs to.
    """

    def __init__(self, process: subprocess.Popen[bytes], started_s: float, state_dir: Path, log: Path) -> None:
        self._process = process
        self.started_s = started_s
        self.state_dir = state_dir
        self.master_socket = state_dir / "run" / "master.sock"
        self._log = log
        self._log_read = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """See that the router runs.

        Raises:
            BenchFailed: it has ended; the text has the last lines of its log.
        """
        if self._process.poll() is not None:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise BenchFailed(f"the router ended with status {self._process.returncode}; it logged:\n{last}")

    def new_events(self) -> Iterator[dict[str, Any]]:
        """Give what it logged since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._log_read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._log_read += len(line)
                if line.startswith(b"{"):
                    yield json.loads(line)

    def memory_mib(self) -> dict[str, float]:
        """Give its resident memory (``VmRSS``) and the most that it had (``VmHWM``)."""
        found = _MEMORY.findall(Path(f"/proc/{self._process.pid}/status").read_text())
        memory = {name: int(kib) / 1024 for name, kib in found}
        if len(memory) != len(found) or not memory:
            raise BenchFailed("the kernel does not tell the router's memory")
        return memory


class RunningRouter:
    """A router that is measured by its traffic.

    Args:
        process: the process.
        workload: what it serves.
        source: what it reads.
    """

    def __init__(self, process: RouterProcess, workload: Workload, source: Input) -> None:
        self._process = process
        self._workload = workload
        self._source = source

    def wait_for_traffic(self) -> ColdStart:
        """Wait until every port leads to its endpoints.

        HAProxy binds all ports before it serves any, in the order of the configuration: the last one is waited for, and
        each of the others then tried once.
        """
        ports = self._workload.external_ports
        served_s = wait_for_answer(ports[self._workload.last], BEFORE, self._process.check, _DEADLINE_S)
        self._settle()
        for port in ports[: self._workload.routes]:
            if answer(port) != BEFORE:
                raise BenchFailed(f"port {port} did not serve when the last port did")
        synced_s, started_s = self._source.synced_s(), self._process.started_s
        memory = self._process.memory_mib()
        return ColdStart(
            (served_s - started_s) * 1000,
            memory["VmRSS"],
            memory["VmHWM"],
            (synced_s - started_s) * 1000 if synced_s is not None else None,
        )

    def move(self, number: int, letter: bytes) -> float:
        """Change one Route's endpoints and wait until its port leads to the service of this letter; milliseconds."""
        return self._change(number, letter)

    def add(self, number: int) -> Reloaded:
        """Add a Route, whose port no pool has, and wait until it serves."""
        return Reloaded(self._change(number, BEFORE), self._settle())

    def _change(self, number: int, letter: bytes) -> float:
        make_it_happen = self._source.prepare(number, moved=letter == AFTER)
        began_s = time.perf_counter()
        make_it_happen()
        served_s = wait_for_answer(self._workload.external_ports[number], letter, self._process.check, _DEADLINE_S)
        return (served_s - began_s) * 1000

    def _settle(self) -> float:
        """Wait until the router has finished its reload, and the former worker is gone; give what the reload took (ms)."""
        ends_s = time.monotonic() + _DEADLINE_S
        while True:
            for event in self._process.new_events():
                if event.get("event") == "reloaded":
                    wait_for_old_workers(self._process.master_socket)
                    return float(event["seconds"]) * 1000
            self._process.check()
            if time.monotonic() > ends_s:
                raise BenchFailed(f"the router did not log the end of a reload within {_DEADLINE_S:g} s")
            time.sleep(_LOOK_EVERY_S)


@contextmanager
def running(
    binary: HaproxyBinary, workload: Workload, source: Input, directory: Path
) -> Iterator[tuple[RunningRouter, ColdStart]]:
    """Start the router and wait for traffic; leaving the block ends it, and HAProxy with it.

    Args:
        binary: the HAProxy that it shall run.
        workload: the Routes.
        source: what it reads.
        directory: for the router's state and log; does not exist yet.

    Raises:
        BenchFailed: the router ends, or there is no traffic.
    """
    with started(binary, source, directory) as process:
        running_router = RunningRouter(process, workload, source)
        yield running_router, running_router.wait_for_traffic()


@contextmanager
def started(
    binary: HaproxyBinary, source: Input, directory: Path, options: Sequence[str] = ()
) -> Iterator[RouterProcess]:
    """Start the router; leaving the block ends it, and HAProxy with it.

    Args:
        binary: the HAProxy that it shall run.
        source: what it reads.
        directory: for the router's state and log; does not exist yet.
        options: further ones; of those that stand twice the last counts.
    """
    directory.mkdir()
    source.forget()
    state_dir, log = directory / "state", directory / "log"
    own = _command(binary, source, state_dir)
    # Tied to us: it ends even if we are killed.
    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *own, *options]
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    with log.open("wb") as errors:
        started_s = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            cwd=Path(router.__file__).parents[1],
            # Ctrl-C is for us alone; we end the router in order then.
            process_group=0,
        )
    try:
        yield RouterProcess(process, started_s, state_dir, log)
    finally:
        _stop(process)


def _command(binary: HaproxyBinary, source: Input, state_dir: Path) -> list[str]:
    return [
        sys.executable, "-m", "router", "run", *source.options, "--state-dir", str(state_dir),
        "--haproxy", str(binary.path.absolute()), "--listen", f"{HOST}:0", "--bind-address", HOST, "--ip-mode", "v4",
        "--sni-port", "0", "--log-format", "json", "--allow-loopback-endpoints", "--drain-timeout", "0",
        # Not the interval is to be measured, nor thousands of health checks of a handful of services.
        "--reload-interval", "0", "--check-interval", "0",
    ]  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        # HAProxy is tied to the router, and ends with it.
        process.kill()
        process.wait()
