"""Threads with an owner.

    thread = SUPERVISOR.own("worker watch", self._run, ask_to_end=self._ask_to_end)
    thread.start()
    ...
    thread.stop(within_s=5.0)

A thread that ends by an exception, or returns without having been asked to, has died: a line in the log has the traceback, a
metric counts it, ``Supervisor.problems`` names it (and so /healthz fails) until it runs again. It runs again after a pause that
grows from death to death, on the same thread of the operating system: what is tied to that (PR_SET_PDEATHSIG) stays.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_STABLE_S = 60.0
"""One that ran this long counts as well again: the pause after its next death is the first one."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """The first and the longest pause between a death and the next beginning; seconds."""

    first_s: float = 1.0
    longest_s: float = 30.0


_PAUSES = Pauses()


class OwnedThread:
    """One thread of a ``Supervisor``, which makes it (``own``).

    It is a daemon: one that cannot be ended in time does not keep the process from ending.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        name: str,
        run: Callable[[], object],
        ask_to_end: Callable[[], None] | None,
        pauses: Pauses | None,
    ) -> None:
        self.name = name
        self._supervisor = supervisor
        self._run = run
        self._ask_to_end = ask_to_end
        self._backoff = Backoff(pauses.first_s, pauses.longest_s) if pauses is not None else None
        self._is_stopping = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)  # noqa: TID251 - the one place
        self._is_running = False
        self._problem = ""

    @property
    def is_running(self) -> bool:
        """Whether its work is under way: it was started, and is neither dead nor at its end; any thread."""
        return self._is_running

    @property
    def has_ended(self) -> bool:
        """Whether it will never run again; any thread."""
        return self._has_ended.is_set()

    @property
    def problem(self) -> str:
        """What it died of, from its death until it runs again; empty while all is well; any thread."""
        return self._problem if not self._is_stopping.is_set() else ""

    def start(self) -> None:
        """Begin; once."""
        self._is_running = True
        self._supervisor._took_up(self)  # noqa: SLF001 - two halves of one thing
        try:
            self._thread.start()
        except RuntimeError:
            self._is_running = False
            self._supervisor._left(self)  # noqa: SLF001 - likewise
            raise

    def stop(self, within_s: float) -> bool:
        """Ask it to end, and wait for that so many seconds at most; any thread, any number of times.

        Returns:
            Whether it has ended, or never began.
        """
        self._is_stopping.set()
        if self._ask_to_end is not None:
            self._ask_to_end()
        if self._thread.ident is None:
            return True
        has_ended = self.join(within_s)
        if has_ended:
            self._supervisor._left(self)  # noqa: SLF001 - likewise
        return has_ended

    def join(self, within_s: float) -> bool:
        """Wait for its end so many seconds at most; say whether it came. At once on the thread itself."""
        if threading.current_thread() is self._thread:
            return False
        self._thread.join(min(within_s, threading.TIMEOUT_MAX))
        return not self._thread.is_alive()

    def _live(self) -> None:
        try:
            while not self._has_come_to_its_end():
                self._is_stopping.wait(self._backoff.pause_s() if self._backoff is not None else 0.0)
                if self._is_stopping.is_set() or self._backoff is None:
                    break
                self._problem = ""
                self._is_running = True
                log.info("thread begins again", thread=self.name)
        finally:
            self._has_ended.set()
            self._supervisor._left(self)  # noqa: SLF001 - likewise

    def _has_come_to_its_end(self) -> bool:
        """Run once; say whether the end was as it should be. If not, everything is told."""
        began_s = time.monotonic()
        error: BaseException | None = None
        try:
            self._run()
        # Whatever it is: this is where it would be lost, and the thread with it. There is nobody above.
        except BaseException as raised:  # noqa: BLE001
            error = raised
        self._is_running = False
        if error is None and (self._ask_to_end is None or self._is_stopping.is_set()):
            return True
        self._problem = _said(error)
        if self._backoff is not None and time.monotonic() - began_s > _STABLE_S:
            self._backoff.reset()
        self._supervisor._died(self.name)  # noqa: SLF001 - likewise
        log.critical("thread died", thread=self.name, problem=self._problem, exc_info=error)
        return self._is_stopping.is_set()


class Supervisor:
    """Owns threads; everything may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[OwnedThread] = []
        self._deaths: Counter[str] = Counter()

    def own(
        self,
        name: str,
        run: Callable[[], object],
        *,
        ask_to_end: Callable[[], None] | None,
        restart: Pauses | None = _PAUSES,
    ) -> OwnedThread:
        """Make a thread; its ``start`` starts it.

        Args:
            name: for the log, metrics and /healthz; a constant, or of the configuration, since metrics have it for a label.
            run: what it does. Called again after a death, so it begins from what is there, not from what it remembers.
            ask_to_end: makes ``run`` return soon; called by ``stop``, also before ``start``, more than once too. None where the
                work has an end of its own (a child process to wait for, say): then to return is no death.
            restart: pauses before it begins again; None where that cannot help.
        """
        return OwnedThread(self, name, run, ask_to_end, restart)

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each thread that is dead, sorted."""
        dead = {thread.name: thread.problem for thread in self._known() if thread.problem}
        return tuple(f"the thread {name} died: {problem}" for name, problem in sorted(dead.items()))

    @property
    def running(self) -> Mapping[str, bool]:
        """By name, whether all threads of that name that should run do."""
        known = self._known()
        return {name: not any(each.problem for each in known if each.name == name) for name in {t.name for t in known}}

    @property
    def deaths(self) -> Mapping[str, int]:
        """By name, how often a thread died."""
        with self._lock:
            return dict(self._deaths)

    def stranger_died(self, name: str) -> None:
        """Count the death of a thread that a library started."""
        self._died(name)

    def _known(self) -> tuple[OwnedThread, ...]:
        with self._lock:
            return tuple(self._threads)

    def _took_up(self, thread: OwnedThread) -> None:
        with self._lock:
            self._threads.append(thread)

    def _left(self, thread: OwnedThread) -> None:
        """Forget a thread that came to its end; one that is dead for good stays, to be told of."""
        with self._lock:
            self._threads = [each for each in self._threads if each is not thread or each.problem]

    def _died(self, name: str) -> None:
        with self._lock:
            self._deaths[name] += 1


SUPERVISOR = Supervisor()
"""That of the process, which owns what lives long in it."""


def _said(error: BaseException | None) -> str:
    if error is None:
        return "it returned without having been asked to"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
