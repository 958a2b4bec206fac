"""The router as a user runs it: ``tcp-router run`` as a process, on a folder of manifests, with sockets of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from tests.support.waiting import wait_for

_STARTS_WITHIN_S = 60.0
"""Not a property of the router: beside other tests an interpreter alone takes its time."""


def http_get(port: int, path: str) -> tuple[int, str]:
    """Ask the router's HTTP port; give status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class RouterProcess:
    """One running router.

    Args:
        directory: an empty folder; gets ``manifests/``, ``state/`` and the logs.
        options: further options of ``tcp-router run``.
    """

    def __init__(self, directory: Path, *options: str, sni_port: int = 0, launcher: Iterable[str] = ()) -> None:
        self.directory = directory
        self.manifests = directory / "manifests"
        self.state = directory / "state"
        self.manifests.mkdir(exist_ok=True)
        self._options = options
        self._sni_port = sni_port
        self._launcher = tuple(launcher)
        self.process: subprocess.Popen[bytes] | None = None
        self.http_port = 0
        self.log_format = "json"
        self._log_start = 0

    def start(self) -> RouterProcess:
        """Start it, and wait until it is ready."""
        self.launch()
        wait_for(self.is_ready, "the router to be ready")
        return self

    def command(self) -> list[str]:
        """Give the command line."""
        bind_address = () if "--bind-address" in self._options else ("--bind-address", "127.0.0.1")
        return [
            *self._launcher, sys.executable, "-m", "router", "run",
            "--manifests", str(self.manifests), "--state-dir", str(self.state), "--listen", "127.0.0.1:0",
            "--sni-port", str(self._sni_port), "--log-format", self.log_format, "--allow-loopback-endpoints",
            "--allow-wildcard-routes", "--ports", "1-65535", *bind_address, "--reload-interval", "100ms", "--drain-timeout", "2s",
            *self._options,
        ]  # fmt: skip

    def launch(self) -> None:
        """Start it, and wait until its HTTP port is known."""
        self.begin()
        self.wait_until_started()

    def begin(self) -> None:
        """Start it, and wait for nothing: several that are to run together start together."""
        command = self.command()
        with self.open_log() as log, (self.directory / "traffic").open("ab") as traffic:
            path = self.directory / "log"
            self._log_start = path.stat().st_size if path.exists() else 0
            self.process = subprocess.Popen(command, stderr=log, stdout=traffic, stdin=subprocess.DEVNULL)

    def wait_until_started(self, within_s: float = _STARTS_WITHIN_S) -> None:
        """Wait until its HTTP port is known."""
        process = self.process
        assert process is not None
        wait_for(
            lambda: process.poll() is not None or "router started" in self.log(),
            "the router to start",
            within_s,
        )
        assert process.poll() is None, f"the router ended: {self.log()}"
        told = re.search(r"""http["']?[=:] ?["']?127\.0\.0\.1:(\d+)""", self.log())
        assert told is not None, self.log()
        self.http_port = int(told[1])

    def open_log(self) -> BinaryIO:
        """Give where it is to write its log, which is read from the file of that name."""
        return (self.directory / "log").open("ab")

    def launch_with_log(self, stderr: int | None, http_port: int) -> None:
        """Start it with its log to a file descriptor, or (None) with standard error closed, and wait until it is ready.

        Nothing is read of the log, so the HTTP port is given.
        """
        self.http_port = http_port
        command = [*self.command(), "--listen", f"127.0.0.1:{http_port}"]
        if stderr is None:
            command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
        with (self.directory / "traffic").open("ab") as traffic:
            self.process = subprocess.Popen(command, stderr=stderr, stdout=traffic, stdin=subprocess.DEVNULL)
        process = self.process
        wait_for(lambda: process.poll() is not None or self.is_ready(), "the router to be ready")
        assert process.poll() is None, "the router ended"

    @property
    def pid(self) -> int:
        """The router's process id."""
        assert self.process is not None
        return self.process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code; safe to call again."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        return http_get(self.http_port, "/readyz")[0] == 200

    def ports(self) -> dict[str, dict[str, Any]]:
        """Give the rows of /ports by ``namespace/name``."""
        rows = json.loads(http_get(self.http_port, "/ports")[1])
        return {f"{row['namespace']}/{row['name']}": row for row in rows}

    def wait_for_row(self, route: str, condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Wait until the row of a Route (``namespace/name``) is as the condition wants it, and give it."""

        def found() -> dict[str, Any] | None:
            row = self.ports().get(route)
            return row if row is not None and condition(row) else None

        row = wait_for(found, f"{route}: {what}")
        assert row is not None
        return row

    def wait_admitted(self, *routes: str) -> None:
        """Wait until these Routes are admitted."""
        for route in routes:
            self.wait_for_row(route, lambda row: row["verdict"] == "admitted", "admitted")

    def log(self) -> str:
        """Give what the router logged since its last start."""
        with (self.directory / "log").open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the log lines of this event."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    def traffic(self) -> str:
        """Give what HAProxy logged of connections."""
        return (self.directory / "traffic").read_text(errors="replace")

    def haproxy_pids(self) -> tuple[int, ...]:
        """Give the process ids of the HAProxy that this router runs, and of its workers, master first."""
        return processes_with(str(self.state / "haproxy.cfg"))

    def write(self, name: str, *objects: dict[str, Any]) -> Path:
        """Put manifests into the folder, as a user's tool would: beside and renamed."""
        path = self.manifests / name
        beside = self.manifests / f".{name}.new"
        beside.write_text(yaml.safe_dump_all(objects, sort_keys=False))
        beside.rename(path)
        return path


def processes_with(argument: str) -> tuple[int, ...]:
    """Give the ids of living processes that have this argument on their command line, the oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in arguments:
            found.append(int(entry.name))
    return tuple(sorted(found))
