"""A HAProxy that somebody else starts, as the controller sees it."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from router.errors import HaproxyUnreachable
from router.haproxy.attached import AttachedHaproxy
from router.haproxy.newest_worker import Deadlines
from router.haproxy.process.binary import find_binary
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.master import processes
from router.model import Bind
from router.settings import RenderSettings
from tests.support.haproxy_control import Controlled, controlled, echoes, open_connection
from tests.support.ports import free_port, free_ports
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for


@dataclasses.dataclass(slots=True)
class Pod:
    """The HAProxy of somebody else, and the router's hold on it."""

    theirs: Controlled
    ours: AttachedHaproxy
    woken: threading.Event

    def wait_lost(self) -> int:
        """Wait until the end of HAProxy is told."""
        return wait_for(lambda: [code for code in [self.ours.ended()] if code is not None], "the end to be told")[0]


class InRun(Controlled):
    """Sockets where the router looks for them."""

    @property
    def master_socket(self) -> Path:
        """The master's command socket."""
        return self.directory / "run" / "master.sock"

    @property
    def stats_socket(self) -> Path:
        """The worker's stats socket."""
        return self.directory / "run" / "haproxy.sock"


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    """A pod."""
    with echo_server() as server:
        yield server


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Neither started nor attached yet."""
    (tmp_path / "run").mkdir()
    woken = threading.Event()
    with controlled(tmp_path, InRun) as theirs:
        settings = RenderSettings(state_dir=tmp_path, bind_addresses=("127.0.0.1",))
        ours = AttachedHaproxy(find_binary(), settings, Deadlines(), wake=woken.set)
        yield Pod(theirs, ours, woken)
        ours.stop()


def test_loads_into_what_runs(pod: Pod, echo: TcpServer) -> None:
    """A load keeps what is held, and the new port serves."""
    first, second = free_ports(2)
    pod.theirs.configure([first], echo.port)
    pod.theirs.process.start(20)
    assert pod.ours.ended() is None
    assert not pod.ours.is_awaited
    with open_connection(first) as held:
        pod.theirs.configure([first, second], echo.port)
        assert pod.ours.load().success
        with open_connection(second):
            assert echoes(held)
    wait_for(lambda: pod.ours.is_up and pod.ours.takes_traffic, "to hear from it")
    assert pod.ours.ended() is None
    assert pod.ours.serving().frontends.keys() == {f"fe_tcp:{first}", f"fe_tcp:{second}"}


def test_what_haproxy_has_is_not_taken(pod: Pod) -> None:
    """Its ports are in use, by itself; those of others are taken, and low ones are for HAProxy to try."""
    own, free = free_ports(2)
    pod.theirs.configure([own])
    pod.theirs.process.start(20)
    with echo_server() as other:
        assert set(pod.ours.taken(map(Bind, [own, free, other.port]))) == {Bind(other.port)}


def test_a_restart_on_the_same_file_is_the_same(pod: Pod) -> None:
    """The end is told once; until HAProxy is back it is awaited, then it serves what it served."""
    pod.theirs.configure([free_port()])
    pod.theirs.process.start(20)
    assert pod.ours.ended() is None
    assert pod.ours.load().success
    os.kill(pod.theirs.pid, signal.SIGKILL)
    assert pod.wait_lost() == 0
    assert pod.woken.is_set()
    assert pod.ours.is_awaited
    assert not pod.ours.takes_traffic
    with pytest.raises(HaproxyUnreachable):
        pod.ours.restart()
    assert pod.ours.is_awaited
    wait_for(lambda: not pod.theirs.process.is_running, "the former one to be gone")
    pod.theirs.process.start(20)
    wait_for(lambda: returned(pod), "it to be found")
    assert not pod.ours.is_awaited
    assert pod.ours.ended() is None


def returned(pod: Pod) -> bool:
    """Whether ``restart`` finds HAProxy."""
    try:
        pod.ours.restart()
    except HaproxyUnreachable:
        return False
    return True


def test_somebody_elses_reload_is_noticed(pod: Pod) -> None:
    """A worker that we did not load is a HAProxy that must be looked at."""
    pod.theirs.configure([free_port()])
    pod.theirs.process.start(20)
    assert pod.ours.ended() is None
    wait_for(lambda: pod.ours.is_up, "to hear from it")
    former = processes(pod.theirs.master_socket, 5).worker
    assert command(pod.theirs.master_socket, "reload", 20).startswith("Success=1")
    pod.wait_lost()
    pod.ours.restart()
    assert processes(pod.theirs.master_socket, 5).worker != former
    assert pod.ours.ended() is None


def test_a_haproxy_that_is_not_there_yet_is_no_end(pod: Pod) -> None:
    """Before anything was loaded there is nothing to be lost."""
    assert pod.ours.ended() is None
    assert pod.ours.is_awaited
    pod.theirs.configure([free_port()])
    pod.theirs.process.start(20)
    wait_for(lambda: returned(pod), "it to be found")
    assert pod.ours.ended() is None


def test_another_version_is_told_once(pod: Pod, tmp_path: Path) -> None:
    """Both are named in one warning, however often HAProxy is met."""
    other = dataclasses.replace(find_binary(), build="9.9.9-other")
    settings = RenderSettings(state_dir=tmp_path)
    pod.theirs.configure([free_port()])
    pod.theirs.process.start(20)
    ours = AttachedHaproxy(other, settings, Deadlines(), wake=lambda: None)
    with structlog.testing.capture_logs() as lines:
        assert ours.ended() is None
        assert ours.load().success
        ours.stop()
    (told,) = [line for line in lines if line["event"] == "haproxy versions differ"]
    assert told["checking"] == "9.9.9-other"
    assert told["running"] == ours.other_version == find_binary().build
    assert pod.ours.other_version == ""


def test_letting_go_leaves_it_running(pod: Pod, echo: TcpServer) -> None:
    """The end of the router is not the end of HAProxy, nor of what is open through it."""
    port = free_port()
    pod.theirs.configure([port], echo.port)
    pod.theirs.process.start(20)
    assert pod.ours.ended() is None
    assert pod.ours.load().success
    with open_connection(port) as held:
        pod.ours.stop()
        assert echoes(held)
        assert pod.theirs.process.is_running
