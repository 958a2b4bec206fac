"""HAProxy as the controller sees it: what it is told of an end that came in the middle of something."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from router.haproxy.newest_worker import Deadlines
from router.haproxy.process.binary import find_binary
from router.haproxy.standalone import StandaloneHaproxy
from router.haproxy.talk.master import processes
from router.settings import RenderSettings
from tests.support.haproxy_control import configuration, serves
from tests.support.ports import free_port
from tests.support.waiting import wait_for


@pytest.fixture
def settings(tmp_path: Path) -> RenderSettings:
    """Settings whose sockets are in a folder of the test's own."""
    settings = RenderSettings(state_dir=tmp_path)
    settings.master_socket.parent.mkdir(exist_ok=True)
    return settings


@pytest.fixture
def haproxy(tmp_path: Path, settings: RenderSettings) -> Iterator[StandaloneHaproxy]:
    """A HAProxy that is not started yet; taken down after the test."""
    haproxy = StandaloneHaproxy(
        find_binary(), tmp_path / "haproxy.cfg", settings, Deadlines(drain_s=0), wake=lambda: None
    )
    yield haproxy
    haproxy.stop()


def kill_master(settings: RenderSettings) -> None:
    """Kill it, by what its socket says it is."""
    os.kill(processes(settings.master_socket, 5).master, signal.SIGKILL)


def test_an_end_that_a_load_made_good_is_no_end(
    tmp_path: Path, haproxy: StandaloneHaproxy, settings: RenderSettings
) -> None:
    """HAProxy dies while a change is being applied and the load starts it: nobody is to start it a second time."""
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(configuration(settings.stats_socket, [port], 1))
    assert haproxy.load().success
    wait_for(lambda: haproxy.is_up, "HAProxy to answer")
    kill_master(settings)
    wait_for(lambda: not haproxy.is_up, "the end to be noticed")
    assert haproxy.load().success
    assert haproxy.ended() is None
    assert serves(port)
    kill_master(settings)
    assert wait_for(haproxy.ended, "the second end to be told") == -signal.SIGKILL
    assert haproxy.ended() is None


def test_a_replaced_worker_does_not_fill_the_log(
    tmp_path: Path, haproxy: StandaloneHaproxy, settings: RenderSettings
) -> None:
    """Of start, reload and stop HAProxy's lines say no more than how it ended, and nothing of it is a warning."""
    config = configuration(settings.stats_socket, [free_port()], 1)
    (tmp_path / "haproxy.cfg").write_text(config)
    with structlog.testing.capture_logs() as logged:
        assert haproxy.load().success
        assert haproxy.load().success
        wait_for(lambda: not processes(settings.master_socket, 5).old_workers, "the former worker to end")
        haproxy.stop()
    # It is ended, so all lines are here.
    assert {line["event"] for line in logged} == {"haproxy", "haproxy stopped"}
    assert not [
        line for line in logged if line["log_level"] != "info" or "exited" not in str(line.get("line", "exited"))
    ]
