"""The router, and what else the demo starts, as its child processes: started as a user starts them, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from router.errors import DemoFailed
from router.haproxy.process import launch

ROUTER = (sys.executable, "-m", "router")
_STOP_S = 20.0
"""How long one may take to end when told to, before it is killed."""
_LAST_LINES = 20
_ROUTER_VARIABLES = ("RELOAD_INTERVAL", "ROUTER_", "STATS_PORT", "TCP_ROUTER_", "WZH_ROUTER_NAME")


class Child:
    """A command, as a context manager; what it prints goes to ``log_file``.

    Args:
        command: the program and its arguments.
        log_file: made anew.
        name: what it is, for people.
    """

    def __init__(self, command: Sequence[str], log_file: Path, name: str) -> None:
        self._command = command
        self._log_file = log_file
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        tied_to_us = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        with self._log_file.open("wb") as log:
            # A process group of its own, so that Ctrl-C reaches the demo alone, which then ends all in order.
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are the demo's own
                [*tied_to_us, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=own_environment(),
                process_group=0,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check(self) -> None:
        """See that it still runs.

        Raises:
            DemoFailed: it has ended; the text has the last lines of its log.
        """
        status = self._process.poll() if self._process is not None else None
        if status is not None:
            raise DemoFailed(f"{self._name} ended with status {status}; the last lines of its log:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Give the last lines that it logged."""
        lines = self._log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])


class RouterProcess(Child):
    """``tcp-router run`` with these arguments."""

    def __init__(self, arguments: Sequence[str], log_file: Path) -> None:
        super().__init__([*ROUTER, "run", *arguments], log_file, "the router")


def own_environment() -> dict[str, str]:
    """Give the environment without what the router takes options from: the demo's router has those of the demo alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_ROUTER_VARIABLES)}
