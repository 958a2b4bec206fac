"""A router that starts HAProxy itself has it serve what the router before it left, before anything is read; and says so where it may not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api_server import EVERY_ADDRESS, ApiServer
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

_LINE = "kept configuration not served"


@dataclass(slots=True)
class Scene:
    """A router that was killed, and left what it served: ``db`` and ``gone``; a port of the pool was nobody's. The API server is away."""

    api: ApiServer
    directory: Path
    echo: TcpServer
    ports: tuple[int, ...]
    router: ClusterRouter

    def again(self, *options: str) -> ClusterRouter:
        """Make the next router, with other options where they are given; not started yet."""
        self.router = _router(self.api, self.directory, self.ports[3], *options)
        return self.router

    def not_served(self) -> str:
        """Give why the kept configuration is not served, once that is said."""
        line = wait_for(lambda: self.router.events(_LINE), "it to be said")[0]
        assert line["consequence"] == "HAProxy starts when the first configuration is made"
        return str(line["problem"])


def _router(api: ApiServer, directory: Path, pool: int, *options: str) -> ClusterRouter:
    return ClusterRouter(
        directory, "--kubeconfig", str(api.kubeconfig(directory, "token")), "--lease-namespace", "team",
        "--port-pool", str(pool), *options,
    )  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, echo: TcpServer) -> Iterator[Scene]:
    """Give what a killed router left."""
    ports = free_ports(4)
    with ApiServer(tls=True, loopback=EVERY_ADDRESS) as api, contextlib.ExitStack() as stack:
        api.tokens.add("token")
        api.apply(*app("db", ports[0], (echo.address, echo.port)), *app("gone", ports[1], (echo.address, echo.port)))
        scene = Scene(api, tmp_path, echo, ports, _router(api, tmp_path, ports[3]))
        stack.callback(lambda: scene.router.stop())  # noqa: PLW0108 - the last one
        scene.router.start()
        scene.router.wait_admitted("team/db", "team/gone")
        wait_for((tmp_path / "state" / "haproxy.kept").exists, "it to be noted by what it was made")
        scene.router.stop(signal.SIGKILL)
        wait_for(lambda: not scene.router.haproxy_pids(), "HAProxy to end with it")
        api.faults.refuse_connections()
        yield scene


def test_it_is_served_before_anything_is_read_and_taken_over_as_it_is(scene: Scene) -> None:
    """Ready and stale while the API server is away; then level without a reload, for nothing has changed, and changed without one."""
    kept, other, new, idle = scene.ports
    router = scene.again()
    router.launch()
    wait_for(lambda: served(kept) and served(other), "it to be served")
    wait_for(lambda: is_refused(idle), "the port of the pool to be closed")
    wait_for(router.is_ready, "it to be ready")
    text = http_get(router.http_port, "/readyz")[1]
    assert "stale: HAProxy serves on 2 ports what it had before this router started" in text
    assert metric(router, "tcp_router_stale") == 1
    processes = router.haproxy_pids()
    with connect(kept) as held:
        scene.api.faults.refuse_connections(on=False)
        router.wait_admitted("team/db", "team/gone")
        wait_for(lambda: metric(router, "tcp_router_stale") == 0, "it to be stale no more")
        assert is_refused(idle)
        scene.api.apply(*app("new", idle, (scene.echo.address, scene.echo.port)))
        scene.api.delete("Route", "team", "gone")
        wait_for(lambda: served(idle) and is_refused(other), "changes to follow")
        assert router.haproxy_pids() == processes
        assert echoes(held)
    assert is_refused(new)


def test_what_has_changed_meanwhile_is_loaded(scene: Scene) -> None:
    """It takes a reload, which cuts nobody."""
    kept, gone, new, idle = scene.ports
    router = scene.again()
    router.launch()
    wait_for(lambda: served(kept), "it to be served")
    with connect(kept) as held, connect(gone) as held_gone:
        assert echoes(held)
        assert echoes(held_gone)
        scene.api.delete("Route", "team", "gone")
        scene.api.apply(*app("new", new, (scene.echo.address, scene.echo.port)))
        scene.api.faults.refuse_connections(on=False)
        wait_for(lambda: served(new) and is_refused(gone), "it to be level", 40)
        assert echoes(held)
        assert echoes(held_gone)
    wait_for(lambda: is_refused(idle), "the port of the pool to be closed")


def test_a_haproxy_that_ends_before_anything_is_read_is_started_by_what_is_read(scene: Scene) -> None:
    """What the router before left is not tried again and again."""
    router = scene.again()
    router.launch()
    wait_for(router.is_ready, "it to be ready")
    for process in router.haproxy_pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_for(lambda: not router.is_ready(), "it to be not ready")
    scene.api.faults.refuse_connections(on=False)
    wait_for(lambda: served(scene.ports[0]), "it to be served", 40)


def _rubbish(scene: Scene) -> None:
    config = scene.directory / "state" / "haproxy.cfg"
    config.write_text(config.read_text().replace("  mode tcp", "  mode of nobody", 1))


def _without_files(scene: Scene) -> None:
    for path in (scene.directory / "state" / "maps").iterdir():
        path.unlink()


def _other_haproxy(scene: Scene) -> None:
    note = scene.directory / "state" / "haproxy.kept"
    note.write_text(json.dumps({**json.loads(note.read_text()), "haproxy": "2.8.0-0"}))


def _no_note(scene: Scene) -> None:
    (scene.directory / "state" / "haproxy.kept").write_text("{")


def _other_sockets(scene: Scene) -> None:
    config = scene.directory / "state" / "haproxy.cfg"
    config.write_text(config.read_text().replace("haproxy.sock", "another.sock"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(_rubbish, "HAProxy ended while it started", id="HAProxy refuses it"),
        pytest.param(_without_files, "HAProxy ended while it started", id="certificates and maps are gone"),
        pytest.param(_other_haproxy, "it was made by another haproxy", id="another HAProxy"),
        pytest.param(_no_note, "it was made by another router", id="a note that cannot be read"),
        pytest.param(_other_sockets, "it has no stats socket", id="other sockets"),
    ],
)
def test_what_is_no_good_is_not_served_and_harms_nothing(
    scene: Scene, spoil: Callable[[Scene], None], why: str
) -> None:
    """The reason is in the log, the router is not ready, and serves as soon as it has read what there is."""
    spoil(scene)
    router = scene.again()
    router.launch()
    assert why in scene.not_served()
    assert is_refused(scene.ports[0])
    assert not router.is_ready()
    assert router.haproxy_pids() == ()
    scene.api.faults.refuse_connections(on=False)
    wait_for(lambda: served(scene.ports[0]) and served(scene.ports[1]), "it to be served", 40)


def test_other_options_may_allow_less(scene: Scene) -> None:
    """A port that is not to be had any more is not served for an instant; nor by a router after that one, started as the first was."""
    router = scene.again("--ports", f"{scene.ports[0]},{scene.ports[3]}")
    router.launch()
    assert scene.not_served() == "it was made by another set of options"
    assert is_refused(scene.ports[1])
    router.stop(signal.SIGKILL)
    router = scene.again()
    router.launch()
    wait_for(lambda: router.events("watch failed"), "the API server to be missed")
    assert router.events("kept configuration served") == []
    assert is_refused(scene.ports[1])


def test_other_templates_are_others(scene: Scene) -> None:
    """Those of the admin's count with what is in them."""
    templates = scene.directory / "templates"
    templates.mkdir()
    scene.api.faults.refuse_connections(on=False)
    router = scene.again("--template-dir", str(templates))
    router.start()
    wait_for(lambda: served(scene.ports[0]), "it to be served")
    router.stop(signal.SIGKILL)
    wait_for(lambda: not router.haproxy_pids(), "HAProxy to end with it")
    scene.api.faults.refuse_connections()
    (templates / "_note.j2").write_text("# nothing\n")
    scene.again("--template-dir", str(templates)).launch()
    assert scene.not_served() == "it was made by another set of templates"


def test_a_port_that_somebody_took_costs_itself_alone(scene: Scene) -> None:
    """All others are served; nobody shares a port with a stranger."""
    kept, taken, *_ = scene.ports
    with socket.create_server(("127.0.0.1", taken)) as stranger:
        router = scene.again()
        router.launch()
        wait_for(lambda: served(kept), "it to be served")
        wait_for(router.is_ready, "it to be ready")
        with socket.create_connection(("127.0.0.1", taken), 5):
            stranger.settimeout(5)
            stranger.accept()[0].close()
        with Stream(kept) as stream:
            scene.api.faults.refuse_connections(on=False)
            router.wait_for_row("team/gone", lambda row: row["reason"] == "PortUnavailable", "set aside")
        assert stream.bad == []
