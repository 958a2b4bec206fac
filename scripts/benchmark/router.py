"""The router as a user runs it: how long from its start, and from a changed file, to traffic."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import router
from router.haproxy import launch
from router.haproxy.binary import HaproxyBinary
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.haproxy import wait_for_old_workers
from scripts.benchmark.services import HOST, answer, wait_for_answer
from scripts.benchmark.workload import Workload

BEFORE, AFTER = b"A", b"B"
"""What the services on the endpoints' port answer, and on the port that endpoints move to."""

_DEADLINE_S = 120.0
_STOP_S = 20.0
_LOOK_EVERY_S = 0.002
# Nothing else of the environment: variables of the router would change what is measured.
_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR")
_RESIDENT = re.compile(r"^VmRSS:\s*(\d+) kB$", re.MULTILINE)
_LAST_LINES = 10


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One start: milliseconds from the process's start until the last port served, and the router's memory then."""

    elapsed_ms: float
    resident_mib: float


@dataclass(frozen=True, slots=True)
class Change:
    """One change: milliseconds from the changed file to traffic, and of the router's reload, as it logs it."""

    elapsed_ms: float
    reload_ms: float


class RunningRouter:
    """``tcp-router run`` as a process of its own.

    Args:
        process: the process.
        workload: what it serves.
        folder: of the manifests.
        state_dir: its state directory.
        log: the file it logs to.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], workload: Workload, folder: Path, state_dir: Path, log: Path
    ) -> None:
        self._process = process
        self._workload = workload
        self._folder = folder
        self._master_socket = state_dir / "run" / "master.sock"
        self._log = log
        self._log_read = 0

    def wait_for_traffic(self, started_s: float) -> ColdStart:
        """Wait until every port leads to its endpoints.

        HAProxy binds all ports before it serves any, in the order of the configuration: the last one is waited for, and
        each of the others then tried once.
        """
        ports = self._workload.external_ports
        served_s = wait_for_answer(ports[self._workload.last], BEFORE, self.check, _DEADLINE_S)
        self._settle()
        for port in ports[: self._workload.routes]:
            if answer(port) != BEFORE:
                raise BenchFailed(f"port {port} did not serve when the last port did")
        return ColdStart((served_s - started_s) * 1000, self._resident_mib())

    def change(self, number: int, letter: bytes) -> Change:
        """Write one Route's manifests and wait for traffic: from then on its port leads to the service of this letter."""
        prepared, path = self._workload.prepare(self._folder, number, moved=letter == AFTER)
        began_s = time.perf_counter()
        prepared.rename(path)
        served_s = wait_for_answer(self._workload.external_ports[number], letter, self.check, _DEADLINE_S)
        return Change((served_s - began_s) * 1000, self._settle())

    def check(self) -> None:
        """See that the router runs.

        Raises:
            BenchFailed: it has ended; the text has the last lines of its log.
        """
        if self._process.poll() is not None:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise BenchFailed(f"the router ended with status {self._process.returncode}; it logged:\n{last}")

    def _settle(self) -> float:
        """Wait until the router has finished its reload, and the former worker is gone; give what the reload took (ms)."""
        ends_s = time.monotonic() + _DEADLINE_S
        while True:
            for event in self._new_events():
                if event.get("event") == "reloaded":
                    wait_for_old_workers(self._master_socket)
                    return float(event["seconds"]) * 1000
            self.check()
            if time.monotonic() > ends_s:
                raise BenchFailed(f"the router did not log the end of a reload within {_DEADLINE_S:g} s")
            time.sleep(_LOOK_EVERY_S)

    def _new_events(self) -> Iterator[dict[str, Any]]:
        with self._log.open("rb") as file:
            file.seek(self._log_read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._log_read += len(line)
                if line.startswith(b"{"):
                    yield json.loads(line)

    def _resident_mib(self) -> float:
        found = _RESIDENT.search(Path(f"/proc/{self._process.pid}/status").read_text())
        if found is None:
            raise BenchFailed("the kernel does not tell the router's memory")
        return int(found[1]) / 1024


@contextmanager
def running(
    binary: HaproxyBinary, workload: Workload, folder: Path, directory: Path
) -> Iterator[tuple[RunningRouter, ColdStart]]:
    """Start the router on the manifests and wait for traffic; leaving the block ends it, and HAProxy with it.

    Args:
        binary: the HAProxy that it shall run.
        workload: what is in the manifests.
        folder: of the manifests.
        directory: for the router's state and log; does not exist yet.

    Raises:
        BenchFailed: the router ends, or there is no traffic.
    """
    directory.mkdir()
    state_dir, log = directory / "state", directory / "log"
    # Tied to us: it ends even if we are killed.
    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *_command(binary, folder, state_dir)]
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
        running_router = RunningRouter(process, workload, folder, state_dir, log)
        yield running_router, running_router.wait_for_traffic(started_s)
    finally:
        _stop(process)


def _command(binary: HaproxyBinary, folder: Path, state_dir: Path) -> list[str]:
    return [
        sys.executable, "-m", "router", "run", "--manifests", str(folder), "--state-dir", str(state_dir),
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
