"""Connects to the other side again and again, as pods here would, and says what came of it."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.pair.model import Probe, Reach
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.bell import Bell

_MOST_AT_A_TIME = 256
_STOPS_WITHIN_S = 1.0
_TICK_S = 0.05
_IDLE_S = 5.0
_IN_PROGRESS = frozenset({0, errno.EINPROGRESS, errno.EAGAIN})

Claim = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class _Member:
    probe: Probe
    due_s: float
    failing_since_s: float | None = None
    told: Reach | None = None


@dataclass(frozen=True, slots=True)
class _Try:
    claim: Claim
    probe: Probe
    ends_s: float


class Prober:
    """Probes what it is told to, from ``start`` to ``stop``.

    What was reachable counts as down when it was not for the monitor's timeout, as with F5; a first try counts at once.

    Args:
        changed: is told of a claim's namespace when it is otherwise than before.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        changed: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._changed = changed
        self._clock = clock
        self._lock = threading.RLock()
        self._bell = Bell()
        self._members: dict[Claim, _Member] = {}
        self._is_stopping = False
        self.tries = 0
        """How many have come to their end; any thread."""
        self._thread = supervisor.own("pair probes", self._run, ask_to_end=self._ask_to_end)

    # Any thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._thread.stop(_STOPS_WITHIN_S)

    def want(self, namespace: str, probes: Mapping[str, Probe]) -> None:
        """Probe these for the claims of a namespace, and nothing else for them."""
        with self._lock:
            for claim in [each for each in self._members if each[0] == namespace and each[1] not in probes]:
                del self._members[claim]
            for name, probe in probes.items():
                known = self._members.get((namespace, name))
                if known is not None and (known.probe.address, known.probe.port) == (probe.address, probe.port):
                    known.probe = probe
                else:
                    self._members[namespace, name] = _Member(probe, self._clock())
        self._bell.ring()

    def clear(self) -> None:
        """Probe nothing."""
        with self._lock:
            self._members.clear()

    def reach(self, namespace: str) -> Mapping[str, Reach]:
        """Give what came of it, for the claims of a namespace."""
        with self._lock:
            return {
                claim[1]: member.told
                for claim, member in self._members.items()
                if claim[0] == namespace and member.told is not None
            }

    def counts(self) -> tuple[int, int]:
        """Give how many can be reached, and how many cannot."""
        with self._lock:
            told = [member.told for member in self._members.values() if member.told is not None]
        failing = sum(bool(each.problem) for each in told)
        return len(told) - failing, failing

    # The probing thread

    def _ask_to_end(self) -> None:
        self._is_stopping = True
        self._bell.ring()

    def _run(self) -> None:
        tries: dict[socket.socket, _Try] = {}
        with selectors.DefaultSelector() as selector:
            try:
                while not self._is_stopping:
                    wait_s = self._begin(selector, tries)
                    if tries:
                        self._collect(selector, tries)
                    else:
                        self._bell.wait(wait_s)
            finally:
                for sock in tries:
                    sock.close()

    def _begin(self, selector: selectors.BaseSelector, tries: dict[socket.socket, _Try]) -> float:
        """Begin what is due; give the seconds until the next is."""
        now_s = self._clock()
        due: list[tuple[Claim, Probe]] = []
        next_s = now_s + _IDLE_S
        with self._lock:
            for claim, member in self._members.items():
                if member.due_s <= now_s and len(tries) + len(due) < _MOST_AT_A_TIME:
                    due.append((claim, member.probe))
                    member.due_s = now_s + member.probe.interval_s
                next_s = min(next_s, member.due_s)
        for claim, probe in due:
            attempt = _Try(claim, probe, now_s + min(probe.timeout_s, probe.interval_s))
            family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                code = sock.connect_ex((probe.address, probe.port))
            except OSError as error:  # an address with a zone that is not here, say
                code = error.errno or errno.EINVAL
            if code in _IN_PROGRESS:
                tries[sock] = attempt
                selector.register(sock, selectors.EVENT_WRITE)
            else:
                sock.close()
                self._note(attempt, os.strerror(code))
        return max(next_s - now_s, 0.0)

    def _collect(self, selector: selectors.BaseSelector, tries: dict[socket.socket, _Try]) -> None:
        done: list[tuple[socket.socket, str]] = []
        for key, _ in selector.select(_TICK_S):
            sock = key.fileobj
            if isinstance(sock, socket.socket):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                done.append((sock, os.strerror(code) if code else ""))
        finished = {sock for sock, _ in done}
        now_s = self._clock()
        done += [
            (sock, f"no answer within {min(each.probe.timeout_s, each.probe.interval_s)} s")
            for sock, each in tries.items()
            if each.ends_s <= now_s and sock not in finished
        ]
        for sock, problem in done:
            selector.unregister(sock)
            sock.close()
            self._note(tries.pop(sock), problem)

    def _note(self, attempt: _Try, problem: str) -> None:
        now_s = self._clock()
        self.tries += 1
        with self._lock:
            member = self._members.get(attempt.claim)
            if member is None or (member.probe.address, member.probe.port) != (
                attempt.probe.address,
                attempt.probe.port,
            ):
                return
            if not problem:
                member.failing_since_s = None
            elif member.failing_since_s is None:
                member.failing_since_s = now_s
            is_young = member.failing_since_s is not None and now_s - member.failing_since_s < member.probe.timeout_s
            if problem and is_young and member.told is not None and not member.told.problem:
                return
            told = Reach(attempt.probe.address, attempt.probe.port, problem)
            if told == member.told:
                return
            member.told = told
        self._changed(attempt.claim[0])
