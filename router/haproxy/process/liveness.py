"""Know that the worker is alive: hold one connection to it and ask something every second.

The end of the connection tells of the worker's death at once, and needs neither its process id nor a common PID namespace;
the answers tell that it does not hang.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from router.errors import HaproxySilent, HaproxyUnreachable, UnexpectedReply
from router.haproxy.talk.prompt import Prompt
from router.haproxy.talk.stats import WorkerId, read_info
from router.haproxy.talk.tables import parse_info_fields
from router.supervisor import SUPERVISOR, Supervisor

_ASK_EVERY_S = 1.0
_ANSWER_WITHIN_S = 5.0
_CONNECT_WITHIN_S = 0.5
_CONNECT_EVERY_S = 0.2
_STOPS_WITHIN_S = 5.0


class _Interrupted(Exception):
    """The wait for an answer was ended by ``_wake``."""


class _Seen(Enum):
    """What an attempt to hear from the worker came to."""

    SERVING = auto()
    STOPPING = auto()
    """It answers, but was replaced or is on its way out."""
    SILENT = auto()
    GONE = auto()
    INTERRUPTED = auto()


class WorkerWatch:
    """Watches one worker after another, on a thread of its own.

    It stays with a worker until that ends or ``follow`` is called. A worker that was replaced lives on as long as we are
    connected to it, so call ``follow`` after each reload and start. Nothing is watched before the first ``follow``.

    Args:
        stats_socket: where workers listen.
        on_gone: called on the watch's thread when the worker ended, or was replaced by somebody else's doing. Once per loss;
            the watch then looks for a new worker by itself, and goes on with that.
        supervisor: owns the thread.
    """

    def __init__(self, stats_socket: Path, on_gone: Callable[[], None], supervisor: Supervisor = SUPERVISOR) -> None:
        self._stats_socket = stats_socket
        self._on_gone = on_gone
        self._stopping = False
        self._follow = False
        self._follow_known = False
        self._following = False
        self._known = False
        """Whether the worker answered since we follow it, or is known to have; only then its loss is news."""
        self._last_answer_s: float | None = None
        self._worker: WorkerId | None = None
        self._lock = threading.Lock()
        self._connection: Prompt | None = None
        self._waker, self._woken = socket.socketpair()
        self._waker.settimeout(0)
        self._woken.settimeout(0)
        self._thread = supervisor.own("worker watch", self._run, ask_to_end=self._ask_to_end)

    @property
    def last_answer_s(self) -> float | None:
        """When a worker last answered (``time.monotonic``); None if none ever did."""
        return self._last_answer_s

    @property
    def worker(self) -> WorkerId | None:
        """The worker that answered last, since ``follow`` was called; None if none has yet."""
        return self._worker

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def follow(self, *, is_known: bool = False) -> None:
        """Let go of the worker that was watched, and watch the one that listens now.

        Args:
            is_known: it has answered the caller, so that its loss is news even before it answers here.
        """
        with self._lock:
            self._follow = True
            self._follow_known = is_known
            self._worker = None
        self._wake()

    def stop(self) -> None:
        """Let go of the worker and end the thread; takes less than a second."""
        if self._thread.stop(_STOPS_WITHIN_S):
            self._waker.close()
            self._woken.close()

    def _ask_to_end(self) -> None:
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        # A full socket has woken the thread already, and after stop there is none to wake.
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    def _run(self) -> None:
        suspected = False
        # A thread that died may have left one in the middle of an answer.
        self._let_go()
        while not self._stopping:
            if self._follow:
                with self._lock:
                    self._follow = False
                    self._known = self._follow_known
                self._following = True
                suspected = False
                self._let_go()
            seen = self._ask() if self._following else _Seen.INTERRUPTED
            match seen:
                case _Seen.SERVING:
                    self._known, suspected = True, False
                    self._last_answer_s = time.monotonic()
                case _Seen.STOPPING if self._known and not suspected:
                    # During a reload of our own: follow is about to be called. If it is not, this was not our reload.
                    suspected = True
                case _Seen.SILENT:
                    self._let_go()
                case _Seen.STOPPING | _Seen.GONE:
                    suspected = False
                    self._lose()
            # Where a wake-up was taken while reading, its reason is dealt with first.
            if not self._follow and not self._stopping:
                self._pause()
        self._let_go()

    def _lose(self) -> None:
        self._let_go()
        if self._known and not self._follow and not self._stopping:
            self._known = False
            self._on_gone()

    def _pause(self) -> None:
        """Wait for the next time to ask; less if there is news."""
        pause_s = _ASK_EVERY_S if self._connection is not None or not self._following else _CONNECT_EVERY_S
        # What comes unasked is the end of the connection.
        self._wait(pause_s, self._connection)

    def _ask(self) -> _Seen:
        try:
            if self._connection is None:
                self._connection = Prompt(
                    self._stats_socket, _ANSWER_WITHIN_S, connect_s=_CONNECT_WITHIN_S, wait=self._wait_to_read
                )
            told = read_info(parse_info_fields(self._connection.ask("show info")))
        except _Interrupted:
            # Half an answer is of no use, and the connection is out of step.
            self._let_go()
            return _Seen.INTERRUPTED
        except (HaproxySilent, UnexpectedReply):
            return _Seen.SILENT
        except HaproxyUnreachable:
            return _Seen.GONE
        if told.stopping:
            return _Seen.STOPPING
        with self._lock:
            # Asked to follow meanwhile, it may have heard from the former one.
            if not self._follow:
                self._worker = told.worker
        return _Seen.SERVING

    def _wait_to_read(self, connection: socket.socket, timeout_s: float) -> None:
        if self._wait(timeout_s, connection):
            raise _Interrupted

    def _wait(self, timeout_s: float, connection: socket.socket | Prompt | None) -> bool:
        """Wait for something to read, or to be woken; say whether it was the latter."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if connection is not None:
            poll.register(connection, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(timeout_s * 1000)}
        if self._woken.fileno() not in ready:
            return False
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        return True

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
