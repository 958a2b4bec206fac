"""The pod's form: HAProxy in a container of its own, started and restarted by somebody else."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.attached_pod import AttachedPod
from tests.support.clients import connect, echoes, ended, served
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.router_process import http_get
from tests.support.servers import TcpServer
from tests.support.stream import Stream
from tests.support.waiting import wait_for


@pytest.fixture
def make_pod(tmp_path: Path) -> Iterator[Callable[..., AttachedPod]]:
    """Make pods that are ended after the test, with all that they started."""
    made: list[AttachedPod] = []

    def make(*options: str) -> AttachedPod:
        directory = tmp_path / f"pod-{len(made)}"
        directory.mkdir()
        made.append(AttachedPod(directory, *options))
        return made[-1]

    with contextlib.ExitStack() as stack:
        yield make
        for pod in made:
            stack.callback(pod.end)


@pytest.fixture
def pod(make_pod: Callable[..., AttachedPod]) -> AttachedPod:
    """A pod, not started yet."""
    return make_pod()


def publish(pod: AttachedPod, name: str, port: int, echo: TcpServer) -> None:
    """Put a Route into the pod's manifests that leads to the echo server."""
    pod.router.write(f"{name}.yaml", *app(name, port, (echo.address, echo.port)))


def refused(port: int, to: str = "127.0.0.1") -> bool:
    """Whether a port refuses connections."""
    try:
        connect(port, to=to).close()
    except ConnectionRefusedError:
        return True
    return False


def test_serves_and_reloads_and_leaves_haproxy_running(pod: AttachedPod, echo: TcpServer) -> None:
    """Changes are loaded by the master socket, held connections survive them, and the router's end ends nothing."""
    first, second = free_ports(2)
    publish(pod, "db", first, echo)
    pod.start()
    assert pod.haproxy is not None
    pod.router.wait_admitted("team/db")
    with connect(first) as held:
        assert echoes(held)
        publish(pod, "web", second, echo)
        pod.router.wait_admitted("team/web")
        assert served(second)
        assert echoes(held)
        assert pod.router.stop() == 0
        assert pod.haproxy.poll() is None
        assert echoes(held)
        assert served(first)
        pod.signal_haproxy(signal.SIGUSR1)
        wait_for(lambda: refused(first), "HAProxy to stop listening")
        assert echoes(held)
    pod.wait_haproxy_ended()


def test_sockets_are_for_one_user_alone(pod: AttachedPod, echo: TcpServer) -> None:
    """Whoever can write to a socket owns HAProxy, before and after the first configuration of the router."""
    sockets = [pod.state / "run" / name for name in ("master.sock", "haproxy.sock")]
    pod.start_haproxy()
    assert [path.stat().st_mode & 0o777 for path in sockets] == [0o600, 0o600]
    publish(pod, "db", free_port(), echo)
    pod.router.start()
    assert [path.stat().st_mode & 0o777 for path in sockets] == [0o600, 0o600]


def test_a_restarted_haproxy_is_brought_level(pod: AttachedPod, echo: TcpServer) -> None:
    """What changed while HAProxy was down is served after it came back, and the router was not ready meanwhile."""
    first, second = free_ports(2)
    publish(pod, "db", first, echo)
    pod.start()
    pod.router.wait_admitted("team/db")
    for name, port in (("web", second), ("more", free_port())):
        pod.kill_haproxy()
        wait_for(lambda: not pod.router.is_ready(), "the router to be not ready")
        assert http_get(pod.router.http_port, "/healthz")[0] == 200
        publish(pod, name, port, echo)
        pod.start_haproxy()
        wait_for(lambda p=port: served(p), "the change to be served")  # type: ignore[misc]
        wait_for(pod.router.is_ready, "the router to be ready again")
        assert served(first)
    assert pod.router.events("haproxy ended")


def test_a_restart_without_change_is_noticed(pod: AttachedPod, echo: TcpServer) -> None:
    """A HAProxy that comes back on what it had is known to serve it; nothing is loaded twice."""
    port = free_port()
    publish(pod, "db", port, echo)
    pod.start()
    loads = len(pod.router.events("reloaded"))
    pod.kill_haproxy()
    pod.start_haproxy()
    assert served(port)
    wait_for(lambda: pod.router.events("haproxy restarted"), "the restart to be noticed")
    wait_for(pod.router.is_ready, "the router to be ready again")
    assert len(pod.router.events("reloaded")) == loads


def test_haproxy_serves_without_router(pod: AttachedPod, echo: TcpServer) -> None:
    """Killed routers cost no connection; a HAProxy that is restarted meanwhile has its last configuration at once."""
    port = free_port()
    publish(pod, "db", port, echo)
    pod.start()
    with connect(port) as held:
        assert echoes(held)
        pod.router.stop(signal.SIGKILL)
        assert served(port)
        assert echoes(held)
    pod.kill_haproxy()
    pod.start_haproxy()
    assert served(port)
    assert "configuration kept" in pod.haproxy_log()


def test_a_restarted_router_disturbs_nobody(pod: AttachedPod, echo: TcpServer) -> None:
    """It finds a HAProxy that serves: ports in use are HAProxy's own, no connection is refused, none is cut."""
    port = free_port()
    publish(pod, "db", port, echo)
    pod.start()
    with connect(port) as held, Stream(port) as stream:
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1):
            pod.router.stop(how)
            pod.router.start()
            pod.router.wait_admitted("team/db")
            assert echoes(held)
    assert stream.bad == []
    assert pod.router.events("port set aside") == []


def test_idle_ports_of_a_pool_are_no_conflict(make_pod: Callable[..., AttachedPod], echo: TcpServer) -> None:
    """HAProxy has them, closed or not, when a router starts anew or HAProxy does: none is set aside, all are closed."""
    pool = free_ports(3)
    pod = make_pod("--port-pool", ",".join(map(str, pool)))
    publish(pod, "db", pool[0], echo)
    pod.start()
    pod.router.stop(signal.SIGKILL)
    pod.router.start()
    wait_for(lambda: served(pool[0]) and refused(pool[1]) and refused(pool[2]), "idle ports to be closed")
    pod.kill_haproxy()
    pod.start_haproxy()
    wait_for(lambda: served(pool[0]) and refused(pool[1]) and refused(pool[2]), "idle ports to be closed again")
    publish(pod, "web", pool[1], echo)
    wait_for(lambda: served(pool[1]), "one of them to be taken")
    assert pod.router.events("port set aside") == []


def test_a_corrupt_configuration_is_put_aside(pod: AttachedPod, echo: TcpServer) -> None:
    """HAProxy refuses its file: it comes up with its sockets alone, says so, and the router brings it level."""
    port = free_port()
    publish(pod, "db", port, echo)
    pod.start()
    pod.kill_haproxy()
    (pod.state / "haproxy.cfg").write_text("nonsense\n")
    pod.start_haproxy()
    wait_for(lambda: served(port), "the Route to be served again")
    assert (pod.state / "haproxy.cfg.refused").read_text() == "nonsense\n"
    assert "configuration put aside" in pod.haproxy_log()


def test_a_port_that_was_taken_meanwhile_does_not_keep_haproxy_down(pod: AttachedPod, echo: TcpServer) -> None:
    """A port of the kept configuration has another owner: HAProxy comes up all the same, and the other Routes are served."""
    lost, kept = free_ports(2)
    publish(pod, "lost", lost, echo)
    publish(pod, "kept", kept, echo)
    pod.start()
    pod.router.wait_admitted("team/lost", "team/kept")
    pod.kill_haproxy()
    # A worker that ends is no process any more a little before its sockets are closed.
    with wait_for(lambda: socket.create_server(("127.0.0.1", lost)), "the port to be free"):
        pod.start_haproxy()
        wait_for(lambda: served(kept), "the other Route to be served")
        row = pod.router.wait_for_row("team/lost", lambda row: row["verdict"] == "rejected", "rejected")
        assert row["reason"] == "PortUnavailable"
    pod.router.wait_admitted("team/lost")
    assert served(lost)


def test_a_router_waits_for_haproxy(pod: AttachedPod, echo: TcpServer) -> None:
    """Started first, it is not ready, goes on looking, and serves as soon as HAProxy is there."""
    port = free_port()
    publish(pod, "db", port, echo)
    pod.router.launch()
    assert not pod.router.is_ready()
    pod.start_haproxy()
    wait_for(pod.router.is_ready, "the router to be ready")
    assert served(port)


def test_the_health_port_is_open_while_ready(make_pod: Callable[..., AttachedPod], echo: TcpServer) -> None:
    """Refused before HAProxy is there and while it is gone, open while ready, refused during the shutdown delay."""
    port, health = free_ports(2)
    pod = make_pod("--tcp-health-port", str(health), "--shutdown-delay", "1h")
    publish(pod, "db", port, echo)
    pod.router.launch()
    assert refused(health)
    pod.start_haproxy()
    wait_for(lambda: not refused(health), "the health port to open")
    with connect(health) as check:
        assert ended(check)
    pod.kill_haproxy()
    wait_for(lambda: refused(health), "the health port to close")
    pod.start_haproxy()
    wait_for(lambda: not refused(health), "the health port to open again")
    process = pod.router.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: refused(health), "the health port to close for good")
    assert served(port)
    second = free_port()
    publish(pod, "late", second, echo)
    wait_for(lambda: served(second), "changes to be followed during the delay")
    assert refused(health)
    assert pod.hurry_router() == 0
    assert served(port)


def test_no_route_gets_the_health_port(make_pod: Callable[..., AttachedPod], echo: TcpServer) -> None:
    """It is the router's own."""
    health = free_port()
    pod = make_pod("--tcp-health-port", str(health))
    publish(pod, "db", health, echo)
    pod.start()
    row = pod.router.wait_for_row("team/db", lambda row: row["verdict"] == "rejected", "rejected")
    assert row["reason"] == "PortReserved"
