"""The watch on the worker: it notices losses, follows reloads, and pins nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from router.haproxy.process.liveness import WorkerWatch
from router.haproxy.talk import master, stats
from tests.support.haproxy_control import DEADLINE_S, Controlled, controlled
from tests.support.ports import free_port
from tests.support.waiting import wait_for


@dataclass(slots=True)
class _Watched:
    haproxy: Controlled
    watch: WorkerWatch
    losses: list[float] = field(default_factory=list)

    def answers(self) -> bool:
        answered_s = self.watch.last_answer_s
        return answered_s is not None and answered_s > self.asked_s

    asked_s: float = 0.0

    def follow(self) -> None:
        self.asked_s = time.monotonic()
        self.watch.follow()
        wait_for(self.answers, "an answer")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[_Watched]:
    """Give a HAProxy that runs, and a watch on it."""
    with controlled(tmp_path) as haproxy:
        haproxy.configure([free_port()])
        losses: list[float] = []
        watch = WorkerWatch(haproxy.stats_socket, on_gone=lambda: losses.append(time.monotonic()))
        watch.start()
        try:
            haproxy.process.start(DEADLINE_S)
            each = _Watched(haproxy, watch, losses)
            each.follow()
            yield each
        finally:
            began_s = time.monotonic()
            watch.stop()
            assert time.monotonic() - began_s < 1


def test_answers_go_on(watched: _Watched) -> None:
    """The watch hears from the worker again and again, on one connection."""
    watched.asked_s = time.monotonic()
    wait_for(watched.answers, "another answer")
    assert watched.losses == []
    assert stats.info(watched.haproxy.stats_socket, DEADLINE_S).pid


def test_a_killed_worker_is_noticed_at_once_and_once(watched: _Watched) -> None:
    """The end of the connection tells, long before the next question."""
    os.kill(stats.info(watched.haproxy.stats_socket, DEADLINE_S).pid, signal.SIGKILL)
    killed_s = time.monotonic()
    wait_for(lambda: watched.losses, "the loss to be told")
    assert watched.losses[0] - killed_s < 0.5
    wait_for(lambda: watched.haproxy.exits, "the exit")
    watched.haproxy.process.start(DEADLINE_S)
    watched.follow()
    assert len(watched.losses) == 1


def test_a_restart_is_found_without_being_told(watched: _Watched) -> None:
    """After a loss the watch looks for the new worker by itself, as it must where others restart HAProxy."""
    os.kill(watched.haproxy.pid, signal.SIGKILL)
    wait_for(lambda: watched.haproxy.exits, "the exit")
    wait_for(lambda: watched.losses, "the loss to be told")
    watched.asked_s = time.monotonic()
    watched.haproxy.process.start(DEADLINE_S)
    wait_for(watched.answers, "an answer of the new worker")
    assert len(watched.losses) == 1


def test_following_a_reload_lets_the_old_worker_go(watched: _Watched) -> None:
    """After reload and follow no old worker is left, and nothing counts as lost."""
    for _ in range(3):
        assert master.reload(watched.haproxy.master_socket, DEADLINE_S).success
        watched.follow()
    wait_for(
        lambda: master.processes(watched.haproxy.master_socket, DEADLINE_S).old_workers == (), "old workers to end"
    )
    assert watched.losses == []


def test_a_reload_by_somebody_else_is_noticed(watched: _Watched) -> None:
    """A worker that was replaced without follow counts as lost, and is let go."""
    assert master.reload(watched.haproxy.master_socket, DEADLINE_S).success
    wait_for(lambda: watched.losses, "the loss to be told")
    wait_for(
        lambda: master.processes(watched.haproxy.master_socket, DEADLINE_S).old_workers == (), "the old worker to end"
    )
    watched.asked_s = time.monotonic()
    wait_for(watched.answers, "an answer of the new worker")
    assert len(watched.losses) == 1


def test_a_worker_that_hangs_does_not_answer(watched: _Watched) -> None:
    """A frozen worker is no loss, but its silence shows; and the watch can be stopped meanwhile."""
    worker = stats.info(watched.haproxy.stats_socket, DEADLINE_S).pid
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_for(lambda: time.monotonic() - (watched.watch.last_answer_s or 0) > 2.5, "silence")
        assert watched.losses == []
    finally:
        os.kill(worker, signal.SIGCONT)


def test_nothing_is_watched_before_follow(tmp_path: Path) -> None:
    """A watch that was never told to follow asks nobody and loses nobody."""
    lost = threading.Event()
    watch = WorkerWatch(tmp_path / "nobody.sock", on_gone=lost.set)
    watch.start()
    assert watch.last_answer_s is None
    watch.follow()  # nobody listens, and nobody did: no loss
    assert not lost.wait(0.5)
    watch.stop()
    watch.follow()  # too late, and harmless
