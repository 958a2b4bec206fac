"""HAProxy as our child, in master-worker mode: start it, know when it serves, notice its end, stop it softly or by force."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from router.errors import HaproxyStartFailed, HaproxyUnreachable, UnexpectedReply
from router.haproxy.process.arguments import master_worker
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.child import Child
from router.haproxy.talk.master import processes
from router.haproxy.talk.stats import info

_LOOK_EVERY_S = 0.002
_LOOK_AT_HURRY_EVERY_S = 0.05
_ANSWER_WITHIN_S = 1.0
_TERMINATED_WITHIN_S = 5.0
_CLEARED_WITHIN_S = 15.0


class StopResult(StrEnum):
    """How HAProxy ended."""

    NOT_RUNNING = "it did not run"
    DRAINED = "all connections had ended"
    CUT = "connections were cut"
    KILLED = "killed, for it did not end by itself"


class HaproxyProcess:
    """One HAProxy at a time: a master, its workers, and the old workers that still have connections.

    None of them outlives us, not even when we are killed (see ``Child``). Tied to the thread that calls ``start``: let it be
    one that lives as long as HAProxy shall. When to start it again after it ended is for the caller to decide.

    Args:
        binary: the HAProxy to run.
        config: its configuration file, which declares ``stats_socket``.
        master_socket: where the master shall listen.
        stats_socket: where the worker listens.
        on_line: gets each line that HAProxy prints about itself; called on another thread.
        on_exit: gets the exit code (negative: a signal) when HAProxy ended that had started well and was not told to stop;
            once for each such start, after the last of its processes is gone. A start that fails raises instead. Called on
            another thread, which ends afterwards, so do not call ``start`` from it.
        stdout: file descriptor for the lines about connections that go to ``log stdout``; None is our own standard output.
    """

    def __init__(  # noqa: PLR0913 - what a process needs
        self,
        binary: HaproxyBinary,
        config: Path,
        *,
        master_socket: Path,
        stats_socket: Path,
        on_line: Callable[[str], None],
        on_exit: Callable[[int], None],
        stdout: int | None = None,
    ) -> None:
        self._command = master_worker(binary, config, master_socket)
        self._master_socket = master_socket
        self._stats_socket = stats_socket
        self._on_line = on_line
        self._on_exit = on_exit
        self._stdout = stdout
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._watched: set[Child] = set()
        """Children whose end is to be told: they started well and were not told to stop."""

    @property
    def is_running(self) -> bool:
        """Whether the master runs, serving already or not yet."""
        child = self._child
        return child is not None and not child.exited.is_set()

    @property
    def pid(self) -> int | None:
        """The master's process id, which is that of its process group too; None while it does not run."""
        child = self._child
        return child.pid if child is not None and not child.exited.is_set() else None

    def start(self, timeout_s: float) -> None:
        """Start HAProxy and wait until its worker serves.

        Args:
            timeout_s: seconds that it may take.

        Raises:
            HaproxyStartFailed: it ended, or its worker did not answer in time; nothing of it is left. ``log`` is what it said.
            RuntimeError: it runs already.
        """
        ends_s = time.monotonic() + timeout_s
        self.begin(timeout_s)
        self.wait(max(0.0, ends_s - time.monotonic()))

    def begin(self, timeout_s: float = 0.0) -> None:
        """Start HAProxy; ``wait`` says what became of it. The thread that calls this must live as long as HAProxy shall.

        Args:
            timeout_s: seconds that what is left of a former one may take to end.

        Raises:
            HaproxyStartFailed: it cannot be started.
            RuntimeError: it runs already.
        """
        if self.is_running:
            raise RuntimeError("HAProxy runs already")
        if self._child is not None:
            self._child.finished.wait(timeout_s)
        try:
            with self._lock:
                self._child = Child(self._command, self._on_line, self._ended, self._stdout)
        except OSError as error:
            raise HaproxyStartFailed(f"HAProxy cannot be started: {error.strerror}", log="") from error

    def wait(self, timeout_s: float) -> None:
        """Wait until the worker of a HAProxy that was begun serves.

        Args:
            timeout_s: seconds that it may take.

        Raises:
            HaproxyStartFailed: as of ``start``.
        """
        child = self._child
        if child is None:
            raise HaproxyStartFailed("HAProxy was not started", log="")
        problem = self._wait_for_worker(child, time.monotonic() + timeout_s)
        if problem is None:
            with self._lock:
                if not child.exited.is_set():
                    self._watched.add(child)
                    return
            problem = "HAProxy ended as soon as it had started"
        child.kill()
        child.finished.wait(_CLEARED_WITHIN_S)
        raise HaproxyStartFailed(problem, child.log)

    def stop(self, drain_timeout_s: float, hurry: threading.Event) -> StopResult:
        """Take HAProxy down; nothing of it is left afterwards. Any thread may call this, also while ``start`` waits.

        New connections are refused from the beginning. Those that are open may go on, until they end or it is time.

        Args:
            drain_timeout_s: seconds that connections have to end.
            hurry: set, before or meanwhile, it ends the wait for connections.
        """
        with self._lock:
            child = self._child
            self._watched.clear()
        if child is None:
            return StopResult.NOT_RUNNING
        if child.exited.is_set():
            child.finished.wait(_CLEARED_WITHIN_S)
            return StopResult.NOT_RUNNING
        if not hurry.is_set():
            child.signal(signal.SIGUSR1)
            if _finishes(child, drain_timeout_s, hurry):
                return StopResult.DRAINED
        child.signal(signal.SIGTERM)
        if child.finished.wait(_TERMINATED_WITHIN_S):
            return StopResult.CUT
        child.kill()
        child.finished.wait(_CLEARED_WITHIN_S)
        return StopResult.KILLED

    def _wait_for_worker(self, child: Child, ends_s: float) -> str | None:
        """Wait until the worker of this child answers; give what is wrong if it does not."""
        seen = "it did not listen on its master socket"
        while not child.exited.is_set():
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                return f"HAProxy did not serve in time: {seen}"
            try:
                if self._is_worker_of(child, min(left_s, _ANSWER_WITHIN_S)):
                    return None
                seen = "another process than its worker answered"
            except (HaproxyUnreachable, UnexpectedReply) as error:
                seen = str(error)
            child.exited.wait(_LOOK_EVERY_S)
        return "HAProxy ended while it started"

    def _is_worker_of(self, child: Child, timeout_s: float) -> bool:
        # A HAProxy that was not ours could have left its sockets, or still listen on them.
        ours = processes(self._master_socket, timeout_s)
        return ours.master == child.pid and ours.worker == info(self._stats_socket, timeout_s).pid

    def _ended(self, child: Child, code: int) -> None:
        with self._lock:
            unasked = child in self._watched
            self._watched.discard(child)
        if unasked:
            self._on_exit(code)


def _finishes(child: Child, timeout_s: float, hurry: threading.Event) -> bool:
    """Wait for its end, at most so long, and not if there is a hurry; say whether it came."""
    ends_s = time.monotonic() + timeout_s
    while not hurry.is_set():
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            break
        if child.finished.wait(min(left_s, _LOOK_AT_HURRY_EVERY_S)):
            return True
    return child.finished.is_set()
