"""Checks, reloads and what the worker says of itself, with a real HAProxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import HaproxyError, HaproxyUnreachable
from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.haproxy.process.bootstrap import small_config
from router.haproxy.process.check import check_config
from router.haproxy.process.ports import probe
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import master, stats
from router.haproxy.talk.alerts import BindFailure
from router.haproxy.talk.stats import ServerState
from router.model import Model
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.haproxy import write
from tests.support.haproxy_control import DEADLINE_S, Controlled, controlled, echoes, open_connection, serves
from tests.support.models import section, server
from tests.support.ports import free_port
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_MORE_THAN_BY_DEFAULT = 52
"""Reloads; HAProxy 3.3 ends a worker after 50."""


@pytest.fixture
def pod_port() -> Iterator[int]:
    """Give the port of an echo service."""
    with echo_server() as server:
        yield server.port


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Controlled]:
    """Give a HAProxy that is not started yet."""
    with controlled(tmp_path) as each:
        yield each


def test_a_good_reload_brings_the_new_ports(haproxy: Controlled, pod_port: int) -> None:
    """When a reload has succeeded, the new port serves, the removed one does not, and open connections go on."""
    kept, removed, added = free_port(), free_port(), free_port()
    haproxy.configure([kept, removed], pod_port)
    haproxy.process.start(DEADLINE_S)
    former = master.processes(haproxy.master_socket, DEADLINE_S)
    assert (former.master, former.old_workers) == (haproxy.pid, ())
    with open_connection(removed) as connection:
        haproxy.configure([kept, added], pod_port)
        result = master.reload(haproxy.master_socket, DEADLINE_S)
        assert (result.success, result.bind_failures) == (True, ())
        with open_connection(kept), open_connection(added):
            pass
        wait_for(lambda: not serves(removed), "the removed port to close")
        assert echoes(connection)
        now = master.processes(haproxy.master_socket, DEADLINE_S)
        assert now.old_workers == (former.worker,)
        assert now.worker == stats.info(haproxy.stats_socket, DEADLINE_S).pid
        # The port may be wanted again while connections through it go on.
        assert probe([removed], "v4v6") == {}
        assert set(probe([kept, added], "v4v6")) == {kept, added}
    wait_for(lambda: master.processes(haproxy.master_socket, DEADLINE_S).old_workers == (), "the old worker to end")


def test_a_bad_reload_leaves_the_worker(haproxy: Controlled, pod_port: int) -> None:
    """A configuration that HAProxy refuses is a result with its words, and what ran runs on."""
    port = free_port()
    haproxy.configure([port], pod_port)
    haproxy.process.start(DEADLINE_S)
    worker = stats.info(haproxy.stats_socket, DEADLINE_S).pid
    haproxy.configure([port, free_port()], pod_port, "  nonsense\n")
    result = master.reload(haproxy.master_socket, DEADLINE_S)
    assert not result.success
    assert "unknown keyword 'nonsense'" in result.log
    with open_connection(port):
        pass
    assert stats.info(haproxy.stats_socket, DEADLINE_S).pid == worker
    processes = master.processes(haproxy.master_socket, DEADLINE_S)
    assert (processes.worker, processes.old_workers) == (worker, ())


def test_a_reload_names_the_port_that_is_taken(haproxy: Controlled, pod_port: int) -> None:
    """A port that was taken between probe and reload is named, and what ran runs on."""
    port = free_port()
    haproxy.configure([port], pod_port)
    haproxy.process.start(DEADLINE_S)
    with socket.create_server(("127.0.0.1", 0)) as other:
        lost = other.getsockname()[1]
        haproxy.configure([port, lost], pod_port)
        result = master.reload(haproxy.master_socket, DEADLINE_S)
    assert not result.success
    assert result.bind_failures == (
        BindFailure(f"fe_tcp:{lost}", f"127.0.0.1:{lost}", "cannot bind socket (Address already in use)"),
    )
    with open_connection(port):
        pass


def test_the_worker_says_what_it_serves(haproxy: Controlled) -> None:
    """Frontends that listen and servers with their backends are read back by their names, disabled servers too."""
    ports = sorted({free_port() for _ in range(3)})
    haproxy.configure(ports, 1, "backend be_tcp:ns:empty\nbackend other\n  server a 127.0.0.1:1 disabled weight 0\n")
    haproxy.process.start(DEADLINE_S)
    assert stats.frontends(haproxy.stats_socket, DEADLINE_S).keys() == {f"fe_tcp:{port}" for port in ports}
    assert stats.servers(haproxy.stats_socket, DEADLINE_S) == {
        ("be_tcp:shop:db", "pod:db-0:db:pg:127.0.0.1:1"): ServerState(weight=1, is_ready=True),
        ("other", "a"): ServerState(weight=0, is_ready=False),
    }
    assert set(stats.server_limits(haproxy.stats_socket, ["other"], DEADLINE_S).items()) == {(("other", "a"), 0)}
    info = stats.info(haproxy.stats_socket, DEADLINE_S)
    assert info.version == find_binary().build
    assert (info.stopping, info.connections) == (False, 0)
    assert info.max_connections > 0


def test_a_large_answer_is_whole(haproxy: Controlled) -> None:
    """Thousands of servers come back without one missing."""
    backends = {
        f"be_tcp:ns-{n}:route-{n}": [f"pod:pod-{n}-{m}:svc:port:10.0.0.{m}:8080" for m in range(3)] for n in range(2000)
    }
    text = "".join(
        f"backend {backend}\n" + "".join(f"  server {server} 127.0.0.1:1\n" for server in servers)
        for backend, servers in backends.items()
    )
    haproxy.configure([free_port()], 1, text)
    haproxy.process.start(DEADLINE_S)
    expected = {(backend, server) for backend, servers in backends.items() for server in servers}
    usual = {("be_tcp:shop:db", "pod:db-0:db:pg:127.0.0.1:1")}
    assert stats.servers(haproxy.stats_socket, DEADLINE_S).keys() - usual == expected
    assert stats.server_limits(haproxy.stats_socket, backends, DEADLINE_S).keys() - usual == expected


def test_check_tells_good_from_bad(haproxy: Controlled) -> None:
    """A good file is accepted; of a bad one each alert comes with its line; a missing one is refused."""
    haproxy.configure([free_port()])
    good = check_config(find_binary(), haproxy.config, DEADLINE_S)
    assert good.accepted
    assert good.diagnostics == ()
    haproxy.configure([free_port()], further="  nonsense\n  server x 127.0.0.1:99999\n")
    last = len(haproxy.config.read_text(encoding="utf-8").splitlines())
    bad = check_config(find_binary(), haproxy.config, DEADLINE_S)
    assert not bad.accepted
    alerts = [each for each in bad.diagnostics if each.severity == "alert"]
    assert [each.line for each in alerts] == [last - 1, last]
    assert "invalid port '99999'" in alerts[1].message
    missing = check_config(find_binary(), haproxy.directory / "missing.cfg", DEADLINE_S)
    assert not missing.accepted
    assert "No such file" in missing.log


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        pytest.param("exec sleep 60", HaproxyUnreachable, "did not judge", id="hangs"),
        pytest.param(None, HaproxyError, "cannot be run: No such file", id="gone"),
    ],
)
def test_a_check_that_cannot_be_made_is_no_verdict(
    tmp_path: Path, script: str | None, error: type[HaproxyError], text: str
) -> None:
    """A HAProxy that hangs or disappeared says nothing about the configuration."""
    path = tmp_path / "haproxy"
    if script is not None:
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    with pytest.raises(error, match=text):
        check_config(HaproxyBinary(path, (3, 0, 0), "3.0.0"), tmp_path / "haproxy.cfg", 0.3)


def test_a_crash_is_a_refusal(tmp_path: Path) -> None:
    """A configuration on which HAProxy crashes is refused, and the log says why."""
    path = tmp_path / "haproxy"
    path.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="utf-8")
    path.chmod(0o755)
    result = check_config(HaproxyBinary(path, (3, 0, 0), "3.0.0"), tmp_path / "haproxy.cfg", DEADLINE_S)
    assert not result.accepted
    assert "ended by signal 11" in result.log


def test_a_worker_outlives_any_number_of_reloads(haproxy: Controlled, pod_port: int) -> None:
    """A connection goes on after more reloads than HAProxy 3.3 and newer let a worker live through by themselves."""
    port = free_port()
    settings = RenderSettings(state_dir=haproxy.directory, bind_addresses=("127.0.0.1",))
    rendered = Renderer(TemplateSet.load(), settings).render(Model((section("db", port, server(pod_port)),)))
    haproxy.process = HaproxyProcess(
        find_binary(),
        write(rendered, settings),
        master_socket=settings.master_socket,
        stats_socket=settings.stats_socket,
        on_line=haproxy.lines.append,
        on_exit=haproxy.exits.append,
    )
    haproxy.process.start(DEADLINE_S)
    with open_connection(port) as connection:
        for _ in range(_MORE_THAN_BY_DEFAULT):
            assert master.reload(settings.master_socket, DEADLINE_S).success
        assert echoes(connection)
        wait_for(
            lambda: len(master.processes(settings.master_socket, DEADLINE_S).old_workers) == 1,
            "the others to have ended",
        )


@pytest.mark.parametrize("which", ["the router's", "the small one"])
def test_the_number_of_reloads_is_unlimited_in_what_haproxy_reads(tmp_path: Path, which: str) -> None:
    """Every configuration that a HAProxy of ours is started with has the highest number, where its version has a limit of its own."""
    settings = RenderSettings(state_dir=tmp_path)
    text = (
        Renderer(TemplateSet.load(), settings).render(Model()).config
        if which == "the router's"
        else small_config(settings.stats_socket)
    ).decode()
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index(".if version_atleast(3.3)")
    assert lines[start + 1 : start + 3] == ["mworker-max-reloads 2147483647", ".endif"]
