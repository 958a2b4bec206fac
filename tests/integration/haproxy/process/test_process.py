"""HAProxy as our child: its start, its end by itself and by us, and what is left then."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.errors import HaproxyStartFailed
from router.haproxy.process.process import StopResult
from router.haproxy.talk import master, stats
from router.haproxy.talk.alerts import bind_failures
from tests.support.haproxy_control import (
    DEADLINE_S,
    Controlled,
    alive_in_group,
    configuration,
    controlled,
    echoes,
    is_closed,
    open_connection,
    serves,
    wait_until_gone,
)
from tests.support.ports import free_port
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """Give an echo service."""
    with echo_server() as server:
        yield server


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Controlled]:
    """Give a HAProxy that is not started yet, and see that it leaves no thread and no file descriptor."""
    threads, descriptors = threading.active_count(), _descriptors()
    with controlled(tmp_path) as each:
        yield each
    wait_for(lambda: threading.active_count() <= threads, "our threads to end")
    assert _descriptors() <= descriptors


def _started(haproxy: Controlled, pod: TcpServer) -> int:
    port = free_port()
    haproxy.configure([port], pod.port)
    haproxy.process.start(DEADLINE_S)
    return port


def test_when_start_returns_it_serves(haproxy: Controlled, pod: TcpServer) -> None:
    """After a start connections get through, and HAProxy's own lines have come."""
    port = _started(haproxy, pod)
    assert haproxy.process.is_running
    with open_connection(port):
        pass
    wait_for(lambda: any("Loading success" in line for line in haproxy.lines), "HAProxy's lines")
    assert haproxy.process.stop(DEADLINE_S, threading.Event()) is StopResult.DRAINED
    assert not haproxy.process.is_running
    assert haproxy.process.pid is None
    assert haproxy.exits == []


def test_it_is_in_a_session_of_its_own_with_signals_as_new(haproxy: Controlled, pod: TcpServer) -> None:
    """Ctrl-C on our terminal does not reach HAProxy, and signals that we block reach it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT})
    try:
        _started(haproxy, pod)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert os.getsid(haproxy.pid) == haproxy.pid != os.getsid(0)
    for line in Path(f"/proc/{haproxy.pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("SigBlk:"):
            assert int(line.split()[1], 16) == 0


def test_a_template_cannot_send_it_into_the_background(haproxy: Controlled, pod: TcpServer) -> None:
    """With ``daemon`` and ``quiet`` in the configuration HAProxy is our child all the same, and tells what it does."""
    port = free_port()
    haproxy.configure([port], pod.port, "global\n  daemon\n  quiet\n")
    haproxy.process.start(DEADLINE_S)
    with open_connection(port):
        pass
    assert haproxy.process.stop(DEADLINE_S, threading.Event()) is StopResult.DRAINED
    assert not serves(port)
    assert any("Loading success" in line for line in haproxy.lines)


def test_a_second_start_is_a_mistake(haproxy: Controlled, pod: TcpServer) -> None:
    """There is one HAProxy at a time."""
    _started(haproxy, pod)
    with pytest.raises(RuntimeError, match="runs already"):
        haproxy.process.start(DEADLINE_S)


def test_a_refused_configuration_fails_the_start(haproxy: Controlled) -> None:
    """A start on a configuration that HAProxy refuses gives its words, and is no exit."""
    haproxy.configure([free_port()], further="  nonsense\n")
    with pytest.raises(HaproxyStartFailed, match="ended while it started") as caught:
        haproxy.process.start(DEADLINE_S)
    assert "unknown keyword 'nonsense'" in caught.value.log
    assert not haproxy.process.is_running
    assert haproxy.exits == []


def test_a_port_in_use_fails_the_start_and_is_named(haproxy: Controlled, pod: TcpServer) -> None:
    """The log of such a start tells which port of which frontend it was; freed, a start succeeds."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        haproxy.configure([port], pod.port)
        with pytest.raises(HaproxyStartFailed) as caught:
            haproxy.process.start(DEADLINE_S)
    (failure,) = bind_failures(caught.value.log)
    assert (failure.frontend, failure.address) == (f"fe_tcp:{port}", f"127.0.0.1:{port}")
    haproxy.process.start(DEADLINE_S)
    with open_connection(port):
        pass


def test_a_start_that_takes_too_long_is_given_up(haproxy: Controlled) -> None:
    """Where no worker answers within the deadline, nothing is left running."""
    haproxy.configure([free_port()])
    # It serves, though its stats socket is not where it should be.
    text = haproxy.config.read_text(encoding="utf-8").replace("haproxy.sock", "elsewhere.sock")
    haproxy.config.write_text(text, encoding="utf-8")
    began_s = time.monotonic()
    with pytest.raises(HaproxyStartFailed, match=r"did not serve in time.*(haproxy|master)\.sock"):
        haproxy.process.start(0.7)
    assert time.monotonic() - began_s < 5
    assert not haproxy.process.is_running


def test_a_soft_stop_lets_a_connection_finish(haproxy: Controlled, pod: TcpServer) -> None:
    """While HAProxy drains, new connections are refused, an open one goes on, and its end is the end."""
    port = _started(haproxy, pod)
    group = haproxy.pid
    results: list[StopResult] = []
    with open_connection(port) as connection:
        stopping = threading.Thread(
            target=lambda: results.append(haproxy.process.stop(DEADLINE_S, threading.Event())), name="stop"
        )
        stopping.start()
        wait_for(lambda: not serves(port), "new connections to be refused")
        assert echoes(connection)
        assert stopping.is_alive()
    stopping.join(DEADLINE_S)
    assert results == [StopResult.DRAINED]
    assert alive_in_group(group) == []


def test_when_the_drain_timeout_is_over_connections_are_cut(haproxy: Controlled, pod: TcpServer) -> None:
    """A connection that does not end is waited for until the timeout, and not longer."""
    port = _started(haproxy, pod)
    group = haproxy.pid
    with open_connection(port) as connection:
        began_s = time.monotonic()
        assert haproxy.process.stop(0.5, threading.Event()) is StopResult.CUT
        assert 0.5 <= time.monotonic() - began_s < 3
        assert is_closed(connection)
    assert alive_in_group(group) == []
    assert haproxy.exits == []


@pytest.mark.parametrize("beforehand", [pytest.param(True, id="beforehand"), pytest.param(False, id="meanwhile")])
def test_in_a_hurry_connections_are_cut_at_once(haproxy: Controlled, pod: TcpServer, *, beforehand: bool) -> None:
    """A second signal to the router ends the wait for connections, whenever it comes."""
    port = _started(haproxy, pod)
    hurry = threading.Event()
    later = threading.Timer(0 if beforehand else 0.2, hurry.set)
    with open_connection(port):
        later.start()
        if beforehand:
            hurry.wait(DEADLINE_S)
        began_s = time.monotonic()
        assert haproxy.process.stop(60, hurry) is StopResult.CUT
        assert time.monotonic() - began_s < 3
    later.join()


def test_a_master_that_does_not_listen_is_killed(haproxy: Controlled, pod: TcpServer) -> None:
    """Where neither the soft stop nor SIGTERM has an effect, the whole group is killed."""
    port = _started(haproxy, pod)
    group = haproxy.pid
    os.kill(group, signal.SIGSTOP)
    with open_connection(port):
        assert haproxy.process.stop(0, threading.Event()) is StopResult.KILLED
    assert alive_in_group(group) == []


def test_stopping_what_does_not_run_is_nothing(haproxy: Controlled, pod: TcpServer) -> None:
    """A stop before any start, and a second one, do nothing."""
    assert haproxy.process.stop(1, threading.Event()) is StopResult.NOT_RUNNING
    _started(haproxy, pod)
    haproxy.process.stop(1, threading.Event())
    assert haproxy.process.stop(1, threading.Event()) is StopResult.NOT_RUNNING


def _worker_of(haproxy: Controlled) -> int:
    return stats.info(haproxy.stats_socket, DEADLINE_S).pid


@pytest.mark.parametrize(
    ("victim", "code"),
    [pytest.param(_worker_of, 137, id="worker"), pytest.param(lambda haproxy: haproxy.pid, -9, id="master")],
)
def test_a_kill_is_told_once_and_leaves_nothing(
    haproxy: Controlled, pod: TcpServer, victim: Callable[[Controlled], int], code: int
) -> None:
    """After kill -9 of the worker or the master, with an old worker pinned, all are gone and a restart serves at once."""
    port = _started(haproxy, pod)
    group = haproxy.pid
    with open_connection(port):
        assert master.reload(haproxy.master_socket, DEADLINE_S).success
        assert len(alive_in_group(group)) == 3
        os.kill(victim(haproxy), signal.SIGKILL)
        wait_for(lambda: haproxy.exits, "the exit to be told")
        assert alive_in_group(group) == []
    assert haproxy.exits == [code]
    assert not haproxy.process.is_running
    began_s = time.monotonic()
    haproxy.process.start(DEADLINE_S)
    took_s = time.monotonic() - began_s
    with open_connection(port):
        pass
    assert took_s < 2
    assert haproxy.process.stop(DEADLINE_S, threading.Event()) is StopResult.DRAINED
    assert haproxy.exits == [code]


def test_a_stopped_haproxy_that_fell_is_no_news(haproxy: Controlled, pod: TcpServer) -> None:
    """An end that we asked for is not told, whatever its manner."""
    port = _started(haproxy, pod)
    pid = haproxy.pid
    with open_connection(port):
        stopping = threading.Thread(target=lambda: haproxy.process.stop(60, threading.Event()), name="stop")
        stopping.start()
        wait_for(lambda: not serves(port), "new connections to be refused")
        os.kill(pid, signal.SIGKILL)
        stopping.join(DEADLINE_S)
    assert not stopping.is_alive()
    assert haproxy.exits == []


_ROUTER = """
import sys, threading
from pathlib import Path
from router.haproxy.process.binary import find_binary
from router.haproxy.process.process import HaproxyProcess

d = Path(sys.argv[1])
def run():
    haproxy = HaproxyProcess(find_binary(), d / "haproxy.cfg", master_socket=d / "master.sock",
                             stats_socket=d / "haproxy.sock", on_line=lambda line: None, on_exit=lambda code: None)
    haproxy.start(20)
    print(haproxy.pid, flush=True)
    threading.Event().wait()
threading.Thread(target=run).start()
"""


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize("reloads", [0, 2])
def test_haproxy_does_not_outlive_a_killed_router(tmp_path: Path, pod: TcpServer, reloads: int) -> None:
    """After kill -9 of the router, master and workers end, also old ones with an open connection."""
    port = free_port()
    text = configuration(tmp_path / "haproxy.sock", [port], pod.port)
    (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", _ROUTER, tmp_path], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(router.kill)
        assert router.stdout is not None
        group = int(router.stdout.readline())
        stack.callback(_kill_group, group)
        for _ in range(reloads):
            stack.enter_context(open_connection(port))
            assert master.reload(tmp_path / "master.sock", DEADLINE_S).success
        assert len(alive_in_group(group)) == 2 + reloads
        router.kill()
        wait_until_gone(group)
        assert not serves(port)
