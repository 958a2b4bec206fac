"""A fixed number of owned threads that do jobs in turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from router.supervisor.threads import SUPERVISOR, Supervisor

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Pool(Executor):
    """Does jobs on threads of a supervisor; what a job raises is in its Future, and no thread dies of it.

    Args:
        name: of each thread.
        threads: how many there are; started with the first job.
        supervisor: owns them.
        longest_queue: how many jobs may wait, at most; None is any number. See ``offer``.
    """

    def __init__(
        self, name: str, threads: int, *, supervisor: Supervisor = SUPERVISOR, longest_queue: int | None = None
    ) -> None:
        self._condition = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._longest_queue = longest_queue
        self._is_closed = False
        self._has_begun = False
        # Asked one by one, they would end all at the first word: ``stop`` closes when each has been told.
        self._threads = [supervisor.own(name, self._run, ask_to_end=lambda: None) for _ in range(threads)]

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have this called.

        Raises:
            RuntimeError: the pool was shut down, or as many jobs wait as may.
        """
        future: Future[_T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            # Whatever it is: it is raised again where the result is asked for.
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
            else:
                future.set_result(result)

        if not self.offer(job):
            raise RuntimeError("the pool takes no job")
        return future

    def offer(self, job: Callable[[], None]) -> bool:
        """Have this called, and say so; False if too many jobs wait already, or the pool was shut down.

        What the job raises is the death of its thread, which begins again: let it raise nothing.
        """
        with self._condition:
            if self._is_closed or (self._longest_queue is not None and len(self._jobs) >= self._longest_queue):
                return False
            if not self._has_begun:
                self._has_begun = True
                for thread in self._threads:
                    thread.start()
            self._jobs.append(job)
            self._condition.notify()
        return True

    def stop(self, within_s: float) -> bool:
        """Take no more jobs, and wait until those that were taken are done; say whether that came in time."""
        for thread in self._threads:
            thread.stop(0.0)
        self._close()
        ends_s = time.monotonic() + within_s
        have_ended = [thread.stop(max(0.0, ends_s - time.monotonic())) for thread in self._threads]
        return all(have_ended)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's
        """Take no more jobs; those that were taken are done."""
        self.stop(within_s=float("inf") if wait else 0.0)

    def _close(self) -> None:
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._jobs or self._is_closed)
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job()
