"""The pod's form in processes: a HAProxy that the test starts, as a kubelet does, and a router attached to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from router.errors import HaproxyError
from router.haproxy.talk.master import processes
from tests.support.router_process import RouterProcess, processes_with
from tests.support.waiting import wait_for


class AttachedPod:
    """One HAProxy container and one router container, without containers.

    Args:
        directory: an empty folder.
        options: further options of ``tcp-router run``.
        launcher: what both are started by.
    """

    def __init__(self, directory: Path, *options: str, launcher: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.router = RouterProcess(directory, "--haproxy-mode", "attached", *options, launcher=launcher)
        self._launcher = launcher
        self.haproxy: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        """The directory that both share."""
        return self.router.state

    def start(self) -> AttachedPod:
        """Start HAProxy, then the router, and wait until it is ready."""
        self.start_haproxy()
        self.router.start()
        return self

    def start_haproxy(self) -> None:
        """Start HAProxy, and wait until it answers; as bare as a container, whose user has no home."""
        environment = {name: value for name, value in os.environ.items() if name != "HOME"}
        command = [
            *self._launcher, sys.executable, "-m", "router", "haproxy", "--state-dir", str(self.state), "--log-format", "json",
        ]  # fmt: skip
        with (self.directory / "haproxy-log").open("ab") as log:
            self.haproxy = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        started = self.haproxy
        wait_for(lambda: started.poll() is not None or self._master() is not None, "HAProxy to answer")
        assert started.poll() is None, self.haproxy_log()

    def hurry_router(self) -> int:
        """End a router that is in its shutdown delay, by further signals, and give its exit code."""
        process = self.router.process
        assert process is not None

        def has_ended() -> bool:
            # A signal that follows at once is taken for the same as the first.
            process.send_signal(signal.SIGUSR1)
            return process.poll() is not None

        wait_for(has_ended, "the router to end")
        return process.wait()

    def signal_haproxy(self, number: signal.Signals) -> None:
        """Send a signal to HAProxy's master, as an engine does to the first process of a container."""
        assert self.haproxy is not None
        self.haproxy.send_signal(number)

    def wait_haproxy_ended(self) -> int:
        """Wait until nothing is left of HAProxy, and give its exit code."""
        assert self.haproxy is not None
        code = self.haproxy.wait(timeout=30)
        wait_for(lambda: not self.haproxy_pids(), "HAProxy's workers to leave")
        return code

    def kill_haproxy(self) -> None:
        """End HAProxy at once, with its workers."""
        self.signal_haproxy(signal.SIGKILL)
        self.wait_haproxy_ended()

    def haproxy_pids(self) -> tuple[int, ...]:
        """Give the process ids of master and workers."""
        return processes_with(str(self.state / "haproxy.cfg"))

    def haproxy_log(self) -> str:
        """Give what HAProxy, and the command that became it, printed."""
        return (self.directory / "haproxy-log").read_text(errors="replace")

    def end(self) -> None:
        """End both by force where they still run."""
        if self.router.process is not None and self.router.process.poll() is None:
            self.router.process.kill()
            self.router.process.wait()
        if self.haproxy is not None and self.haproxy.poll() is None:
            self.kill_haproxy()

    def _master(self) -> int | None:
        if not (self.state / "run" / "master.sock").exists():
            return None
        try:
            return processes(self.state / "run" / "master.sock", 5).master
        except HaproxyError:
            return None
