"""One child process and everything that it starts: tied to us, read, waited for, and cleaned up after."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.supervisor import SUPERVISOR, Pauses, Supervisor
from router.supervisor.way import Aside

_LAUNCH = Path(__file__).with_name("launch.py")
_LINES_KEPT = 200
_LONGEST_LINE = 16384  # bytes; more goes on as a line of its own
_GONE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.002
_PAUSES = Pauses(0.01, 1.0)
"""After a death of its threads: a full pipe that nobody reads halts HAProxy, and its end is to be noticed."""


class Child:
    """A program in a session of its own, from its start to the end of its last descendant.

    Being in another session, it does not get the Ctrl-C of our terminal. When the thread that creates the Child ends, be it
    by SIGKILL to us, the kernel sends SIGTERM to the program (PR_SET_PDEATHSIG of prctl(2); not so for a program file with
    capabilities or the set-user-ID bit: those lose the tie at exec).

    Args:
        command: absolute path and arguments.
        on_line: gets each line of its standard error, on a thread of ours.
        on_end: called once, on another thread of ours, after nothing is left of it; gets the Child and its exit code
            (negative: the signal that ended it).
        stdout: file descriptor for its standard output; None is our own.
        supervisor: owns these threads.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_line: Callable[[str], None],
        on_end: Callable[[Child, int], None],
        stdout: int | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._lock = threading.Lock()
        self._reaped = False
        self.exited = threading.Event()
        """Set when the program itself ended."""
        self.finished = threading.Event()
        """Set when, besides, nothing is left of its descendants and its standard error has been read to the end."""
        self._popen = subprocess.Popen(  # noqa: S603 - the program that our caller chose
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        """Also the id of its process group."""
        # Both end with the program.
        self._reader = supervisor.own("child's stderr", self._read, ask_to_end=None, restart=_PAUSES)
        self._waiter = supervisor.own("child's end", self._wait, ask_to_end=None, restart=_PAUSES)
        self._reader.start()
        self._waiter.start()

    @property
    def log(self) -> str:
        """The last lines of its standard error; ask when it has finished."""
        return "\n".join(self._lines)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program, unless it ended."""
        with self._lock:
            # Until it is reaped, its id belongs to nobody else.
            if not self._reaped:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program and its descendants at once."""
        with self._lock:
            if not self._reaped:
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        pipe = self._popen.stderr
        if pipe is None:
            return
        aside = Aside()
        while piece := pipe.readline(_LONGEST_LINE):
            # HAProxy says what it was told just before it answers.
            aside.step()
            line = piece.decode(errors="replace").rstrip("\n")
            self._lines.append(line)
            self._on_line(line)
        pipe.close()

    def _wait(self) -> None:
        if not self._reaped:
            # The zombie is left until its group is empty, so that the group's id cannot come to mean other processes.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.exited.set()
            self._clear_group()
            with self._lock:
                self._popen.wait()
                self._reaped = True
        self._reader.join(_GONE_WITHIN_S)
        self.finished.set()
        self._on_end(self, self._popen.returncode)

    def _clear_group(self) -> None:
        """Kill what the program left behind, and wait until it is gone.

        HAProxy's workers leave by themselves soon after their master, but cut their connections just the same; until then
        they would share the ports with a HAProxy that is started anew.
        """
        os.killpg(self.pid, signal.SIGKILL)
        ends_s = time.monotonic() + _GONE_WITHIN_S
        while any(member.alive for member in group_members(self.pid)) and time.monotonic() < ends_s:
            time.sleep(_LOOK_EVERY_S)
        # Where we are the init process of a container, orphans become our children.
        for member in group_members(self.pid):
            if member.pid != self.pid and member.parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(member.pid, os.WNOHANG)


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a group. One that is not ``alive`` ended, holds nothing and waits to be reaped."""

    pid: int
    parent: int
    alive: bool


def group_members(group: int) -> tuple[Member, ...]:
    """Give the processes of a process group (proc(5), /proc/pid/stat)."""
    return tuple(_members(group))


def _members(group: int) -> Iterator[Member]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of Path objects that nobody needs
        if not name.isdecimal():
            continue
        try:
            stat = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        # The program's name is in parentheses and may hold any character.
        state, parent, its_group = stat.rpartition(")")[2].split()[:3]
        if int(its_group) == group:
            yield Member(int(name), int(parent), alive=state not in "ZX")
