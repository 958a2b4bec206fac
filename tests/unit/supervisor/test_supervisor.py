"""Threads with an owner: their deaths are told, counted and mended."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from router.observe.health import alive
from router.observe.metrics.threads import show_threads
from router.reconcile.snapshot import Snapshot
from router.supervisor import OwnedThread, Pauses, Pool, Supervisor
from tests.support.waiting import wait_for

_AT_ONCE = Pauses(0.0, 0.0)
_NEVER = Pauses(1e6, 1e6)


class _Work:
    """Runs until it is asked to end, or told to raise."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        """By the ids of the threads (of the operating system) that ran it."""
        self.raises: BaseException | None = None
        self.returns = False
        self._wake = threading.Event()
        self._is_ending = False

    def __call__(self) -> None:
        self.runs.append(threading.get_native_id())
        self._wake.wait()
        self._wake.clear()
        error, self.raises = self.raises, None
        if error is not None:
            raise error

    def end(self) -> None:
        """Make it return."""
        self._wake.set()

    def die(self, error: BaseException) -> None:
        """Make it raise."""
        self.raises = error
        self._wake.set()


def _owned(supervisor: Supervisor, work: _Work, restart: Pauses | None = _AT_ONCE) -> OwnedThread:
    thread = supervisor.own("worker", work, ask_to_end=work.end, restart=restart)
    thread.start()
    wait_for(lambda: work.runs, "the beginning")
    return thread


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero"), RecursionError(), MemoryError(), SystemExit(3)], ids=repr
)
def test_death_is_a_line_with_its_traceback_and_a_failing_health(error: BaseException) -> None:
    """Whatever ends a thread is told with its name, and its name is in /healthz and in the metrics as long as it is dead."""
    supervisor, work, registry = Supervisor(), _Work(), CollectorRegistry()
    show_threads(registry, supervisor)
    with capture_logs() as lines:
        thread = _owned(supervisor, work, _NEVER)
        assert not supervisor.problems
        assert 'tcp_router_thread_up{thread="worker"} 1.0' in generate_latest(registry).decode()
        work.die(error)
        (problem,) = wait_for(lambda: supervisor.problems, "the death")
        assert problem.startswith(f"the thread worker died: {type(error).__name__}")
        assert not thread.is_running
        health = alive(Snapshot(), turned_ago_s=0, answered_ago_s=0, dead_threads=supervisor.problems)
        assert health.problems == (problem,)
        text = generate_latest(registry).decode()
        assert 'tcp_router_thread_up{thread="worker"} 0.0' in text
        assert 'tcp_router_thread_deaths_total{thread="worker"} 1.0' in text
        assert thread.stop(20)
    (line,) = lines
    assert (line["event"], line["thread"], line["exc_info"]) == ("thread died", "worker", error)
    assert not supervisor.problems


def test_dead_thread_begins_again_on_the_same_thread_of_the_system() -> None:
    """What is tied to the thread that started it, as a child process is, outlives a death."""
    supervisor, work = Supervisor(), _Work()
    with capture_logs():
        thread = _owned(supervisor, work)
        work.die(ValueError())
        wait_for(lambda: len(work.runs) == 2, "the second beginning")
        wait_for(lambda: not supervisor.problems and thread.is_running, "health")
        assert len(set(work.runs)) == 1
        assert supervisor.deaths == {"worker": 1}
        assert thread.stop(20)


def test_return_without_being_asked_is_a_death() -> None:
    """A loop that ends by itself is missed as one that raises is."""
    supervisor, work = Supervisor(), _Work()
    with capture_logs() as lines:
        thread = _owned(supervisor, work)
        work.end()
        wait_for(lambda: len(work.runs) == 2, "the second beginning")
        assert thread.stop(20)
    assert lines[0]["problem"] == "it returned without having been asked to"


def test_work_with_an_end_of_its_own_may_return() -> None:
    """A thread that waits for a child process, say, is no death when it has come to its end."""
    supervisor, done = Supervisor(), threading.Event()
    with capture_logs() as lines:
        thread = supervisor.own("waiter", done.wait, ask_to_end=None)
        thread.start()
        assert supervisor.running == {"waiter": True}
        done.set()
        assert thread.join(20)
    assert not lines
    assert not supervisor.running


def test_one_that_does_not_begin_again_stays_dead_and_told() -> None:
    """Without pauses a death is for good, and /healthz goes on to name it."""
    supervisor, work = Supervisor(), _Work()
    with capture_logs():
        thread = _owned(supervisor, work, None)
        work.die(ValueError())
        wait_for(lambda: thread.has_ended, "the end")
        assert supervisor.problems == ("the thread worker died: ValueError",)
        assert thread.stop(20)
    assert not supervisor.problems


def test_stop_before_start_and_twice() -> None:
    """Whoever ends everything need not know what has begun."""
    supervisor, work = Supervisor(), _Work()
    thread = supervisor.own("worker", work, ask_to_end=work.end)
    assert thread.stop(0.0)
    with capture_logs():
        started = _owned(supervisor, _Work())
        assert started.stop(20)
        assert started.stop(20)


def test_pool_keeps_its_threads_whatever_a_job_raises() -> None:
    """What a job raises is its caller's to see; the next job finds a thread."""
    supervisor = Supervisor()
    pool = Pool("fetch", 1, supervisor=supervisor)

    def job(error: BaseException | None) -> str:
        if error is not None:
            raise error
        return threading.current_thread().name

    failed = pool.submit(job, RecursionError())
    assert isinstance(failed.exception(20), RecursionError)
    assert pool.submit(job, None).result(20) == "fetch"
    assert pool.stop(20)
    assert not supervisor.deaths
    with pytest.raises(RuntimeError, match="takes no job"):
        pool.submit(job, None)


def test_pool_does_what_it_took_and_takes_no_more_than_it_may() -> None:
    """A queue has an end where one was asked for; what was taken is done, also when the pool is to stop."""
    go_on, done = threading.Event(), list[int]()
    pool = Pool("requests", 1, supervisor=Supervisor(), longest_queue=2)

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            go_on.wait()
            done.append(number)

        return run

    assert pool.offer(job(0))
    wait_for(lambda: pool.offer(job(1)), "the first one is under way")
    wait_for(lambda: pool.offer(job(2)), "room for a second")
    assert not pool.offer(job(3))
    assert not pool.stop(0.0)
    go_on.set()
    assert pool.stop(20)
    assert done == [0, 1, 2]


def test_a_pool_ends_without_a_death() -> None:
    """Threads that wait for jobs end because they were asked to, all of them, however soon after each other."""
    supervisor = Supervisor()
    for _ in range(50):
        pool = Pool("pages", 8, supervisor=supervisor)
        pool.submit(lambda: None).result(10)
        assert pool.stop(10)
    assert supervisor.deaths == {}
