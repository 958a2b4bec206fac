"""A router that starts while the API server is away, beside a HAProxy that serves what the router before it left."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api_server import EVERY_ADDRESS, ApiServer
from tests.support.attached_pod import AttachedPod
from tests.support.clients import connect, echoes, served
from tests.support.cluster import ClusterRouter
from tests.support.level import metric
from tests.support.objects import app
from tests.support.ports import free_ports
from tests.support.probing import is_refused
from tests.support.router_process import http_get
from tests.support.servers import TcpServer
from tests.support.stream import Stream
from tests.support.waiting import wait_for


@dataclass(slots=True)
class Scene:
    """A pod of two containers, and the API server that its router follows."""

    api: ApiServer
    pod: AttachedPod
    health_port: int
    ports: tuple[int, ...]

    def says_stale(self) -> bool:
        """Whether the router is ready, and says that it is stale in text and metric."""
        code, text = http_get(self.pod.router.http_port, "/readyz")
        is_stale = "stale: HAProxy serves on " in text
        assert is_stale == ("the inputs have not synced yet" in text and code == 200)
        return is_stale and metric(self.pod.router, "tcp_router_stale") == 1 == metric(
            self.pod.router, "tcp_router_ready"
        )


@pytest.fixture
def scene(tmp_path: Path, echo: TcpServer) -> Iterator[Scene]:
    """Give a pod that serves one Route of an API server."""
    health_port, *ports = free_ports(4)
    with ApiServer(tls=True, loopback=EVERY_ADDRESS) as api, contextlib.ExitStack() as stack:
        api.tokens.add("token")
        api.apply(*app("db", ports[0], (echo.address, echo.port)), *app("gone", ports[1], (echo.address, echo.port)))
        pod = AttachedPod(tmp_path)
        pod.router = ClusterRouter(
            tmp_path, "--haproxy-mode", "attached", "--kubeconfig", str(api.kubeconfig(tmp_path, "token")),
            "--lease-namespace", "team", "--tcp-health-port", str(health_port),
        )  # fmt: skip
        stack.callback(pod.end)
        pod.start()
        pod.router.wait_admitted("team/db", "team/gone")
        yield Scene(api, pod, health_port, tuple(ports))


def test_it_is_ready_with_what_haproxy_has_and_says_that_it_is_stale(scene: Scene, echo: TcpServer) -> None:
    """Ready and stale until the API server is back; then level, with no connection lost or refused on the way."""
    api, pod = scene.api, scene.pod
    kept, gone, new = scene.ports
    assert metric(pod.router, "tcp_router_stale") == 0
    with connect(kept) as held, Stream(kept) as stream:
        api.faults.refuse_connections()
        pod.router.stop(signal.SIGKILL)
        api.delete("Route", "team", "gone")
        api.apply(*app("new", new, (echo.address, echo.port)))
        pod.router.launch()
        wait_for(scene.says_stale, "it to be ready and stale")
        wait_for(lambda: not is_refused(scene.health_port), "the health port to open")
        assert http_get(pod.router.http_port, "/healthz")[0] == 200
        assert echoes(held)
        assert served(gone)
        assert is_refused(new)

        api.faults.refuse_connections(on=False)
        wait_for(lambda: is_refused(gone) and served(new), "it to be level", 40)
        wait_for(lambda: metric(pod.router, "tcp_router_stale") == 0, "it to be stale no more")
        assert http_get(pod.router.http_port, "/readyz") == (200, "ok\n")
        assert echoes(held)
    assert stream.bad == []


def test_it_is_stale_as_often_as_haproxy_is_restarted(scene: Scene) -> None:
    """A HAProxy that starts again on the file that it kept serves, and counts; while it is away the router is not ready."""
    api, pod = scene.api, scene.pod
    api.faults.refuse_connections()
    pod.router.stop(signal.SIGKILL)
    pod.router.launch()
    wait_for(scene.says_stale, "it to be ready and stale")
    pod.kill_haproxy()
    wait_for(lambda: not pod.router.is_ready(), "it to be not ready")
    pod.start_haproxy()
    wait_for(scene.says_stale, "it to be ready and stale again")
    assert served(scene.ports[0])


def test_a_haproxy_that_serves_nothing_is_not_enough(scene: Scene) -> None:
    """With the small configuration of a first start there is nobody to serve, and the router is not ready."""
    api, pod = scene.api, scene.pod
    api.faults.refuse_connections()
    pod.router.stop(signal.SIGKILL)
    pod.kill_haproxy()
    (pod.state / "haproxy.cfg").unlink()
    pod.start_haproxy()
    pod.router.launch()
    wait_for(lambda: metric(pod.router, "tcp_router_haproxy_up") == 1, "HAProxy to be found")
    wait_for(lambda: pod.router.events("watch failed"), "the API server to be missed")
    code, text = http_get(pod.router.http_port, "/readyz")
    assert (code, text.splitlines()[0]) == (503, "the inputs have not synced yet")
    assert metric(pod.router, "tcp_router_stale") == 0
    api.faults.refuse_connections(on=False)
    wait_for(pod.router.is_ready, "it to be ready", 40)


def test_a_port_that_a_stranger_took_meanwhile_costs_itself_alone(scene: Scene) -> None:
    """HAProxy was started without it, and is not made to try for it: for as long nobody would be accepted on any port."""
    api, pod = scene.api, scene.pod
    kept, taken, _ = scene.ports
    api.faults.refuse_connections()
    pod.router.stop(signal.SIGKILL)
    pod.kill_haproxy()
    with socket.create_server(("127.0.0.1", taken)):
        pod.start_haproxy()
        pod.router.launch()
        wait_for(lambda: served(kept), "it to be served")
        with Stream(kept) as stream:
            api.faults.refuse_connections(on=False)
            pod.router.wait_for_row("team/gone", lambda row: row["reason"] == "PortUnavailable", "set aside")
        assert stream.bad == []
