"""What the router does when something breaks: HAProxy, the router itself, a port, a template, a manifest."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from router.render import default_template_dir
from tests.e2e.conftest import Make
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.probing import Prober, exchange, is_open, is_refused, serves
from tests.support.router_process import RouterProcess, http_get, processes_with
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for


@pytest.fixture
def port(router: RouterProcess, echo: TcpServer) -> int:
    """The port of a Route ``team/db`` that is served."""
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    assert exchange(port) == b"ping"
    return port


def gone(*pids: int) -> bool:
    """Whether none of these processes is alive (a zombie is not)."""
    return not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


@pytest.mark.parametrize("victim", ["master", "worker"])
def test_killed_haproxy_comes_back(router: RouterProcess, port: int, victim: str) -> None:
    """Kill -9 of the master or the worker: the port is served again by new processes, and none of the old is left."""
    former = router.haproxy_pids()
    assert len(former) == 2
    os.kill(former[0] if victim == "master" else former[1], signal.SIGKILL)
    wait_for(lambda: gone(*former), "the former processes to be gone")
    wait_for(lambda: serves(port), "the port to be served again")
    assert wait_for(lambda: len(router.haproxy_pids()) == 2, "one master and one worker")
    assert router.events("haproxy ended")
    wait_for(lambda: router.events("haproxy restarted"), "the restart to be told")
    wait_for(lambda: http_get(router.http_port, "/healthz")[0] == 200, "to be healthy again")


def test_killed_haproxy_comes_back_with_changes_made_meanwhile(
    router: RouterProcess, port: int, echo: TcpServer
) -> None:
    """A Route added in the moment HAProxy dies is served too."""
    added = free_port()
    os.kill(router.haproxy_pids()[0], signal.SIGKILL)
    router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    wait_for(lambda: serves(port) and serves(added), "both ports to be served")


def test_killed_router_leaves_nothing_running(router: RouterProcess, port: int) -> None:
    """Kill -9 of the router takes HAProxy down, with a replaced worker that still holds a connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        assert is_open(held)
        router.write("more.yaml", *app("more", free_port(), ("127.0.0.1", port)))
        router.wait_admitted("team/more")
        pids = router.haproxy_pids()
        assert len(pids) == 3
        router.stop(signal.SIGKILL)
        wait_for(lambda: gone(*pids), "HAProxy to go with the router")
    assert is_refused(port)
    router.start()
    router.wait_admitted("team/db", "team/more")
    assert exchange(port) == b"ping"


def test_soft_stop_lets_connections_end(router: RouterProcess, port: int) -> None:
    """After SIGTERM new connections are refused, an open one may end on its own, and then the router is gone."""
    assert router.process is not None
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        assert is_open(held)
        router.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(port), "new connections to be refused")
        assert is_open(held)
    assert router.stop() == 0
    assert router.events("stopped")


def test_drain_timeout_ends_what_does_not_end(router: RouterProcess, port: int) -> None:
    """A connection that stays open is cut when the drain timeout is over; nothing is left."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        assert is_open(held)
        assert router.stop() == 0
        assert not is_open(held)
    assert router.haproxy_pids() == ()


def test_second_signal_hurries(make_router: Make, echo: TcpServer) -> None:
    """With a long drain timeout and a connection that stays, a second SIGINT ends the router all the same."""
    router = make_router("--drain-timeout", "1h")
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    assert router.process is not None
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        assert is_open(held)
        router.process.send_signal(signal.SIGINT)
        wait_for(lambda: is_refused(port), "new connections to be refused")
        assert router.stop(signal.SIGINT) == 0


def test_shutdown_delay_goes_on_serving_while_not_ready(make_router: Make, echo: TcpServer) -> None:
    """During the shutdown delay the router is not ready, and still follows changes and serves."""
    router = make_router("--shutdown-delay", "1h")
    port, added = free_port(), free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    assert router.process is not None
    router.process.send_signal(signal.SIGTERM)
    wait_for(lambda: http_get(router.http_port, "/readyz") == (503, "the router is shutting down\n"), "not to be ready")
    assert http_get(router.http_port, "/healthz")[0] == 200
    router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    wait_for(lambda: serves(added), "a change to be followed")
    assert serves(port)
    assert router.stop() == 0


def test_taken_port_costs_only_its_route(router: RouterProcess, port: int, echo: TcpServer) -> None:
    """A port that another process has is told on its Route; nobody else notices; freed, it is served."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with Prober(port) as prober:
            router.write("taken.yaml", *app("taken", taken, ("127.0.0.1", echo.port)))
            row = router.wait_for_row("team/taken", lambda row: row["verdict"] == "rejected", "rejected")
            added = free_port()
            router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
            router.wait_admitted("team/more")
        assert prober.failures == []
        assert prober.succeeded
        assert row["reason"] == "PortUnavailable"
        assert str(taken) in row["message"]
        assert serves(added)
    router.wait_admitted("team/taken")
    assert serves(taken)


BUG_FOR_ONE = """\
{% if route.route == "bad" %}
  this is no keyword
{% endif %}
"""


def test_route_that_haproxy_refuses_costs_only_itself(make_router: Make, tmp_path: Path, echo: TcpServer) -> None:
    """A template bug for one Route: that Route is set aside with HAProxy's own words; all others change as asked."""
    templates = tmp_path / "templates"
    templates.mkdir()
    packaged = (default_template_dir() / "route.cfg.j2").read_text()
    (templates / "route.cfg.j2").write_text(packaged + BUG_FOR_ONE)
    router = make_router("--template-dir", str(templates))
    good, bad, added = free_port(), free_port(), free_port()
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    router.write("bad.yaml", *app("bad", bad, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/good")
    row = router.wait_for_row("team/bad", lambda row: row["verdict"] == "rejected", "rejected")
    assert row["reason"] == "ConfigRejected"
    assert "unknown keyword 'this'" in row["message"]
    assert str(templates / "route.cfg.j2") in row["message"]
    assert serves(good)
    assert is_refused(bad)
    router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    router.wait_admitted("team/more")
    assert serves(added)
    # Mended, it is served without a restart.
    (templates / "route.cfg.j2").write_text(packaged)
    router.wait_admitted("team/bad")
    assert serves(bad)


def test_route_that_haproxy_refuses_beside_others_costs_only_itself(
    make_router: Make, tmp_path: Path, echo: TcpServer
) -> None:
    """A template that gives each Route a section of one name: the second one is fine by itself, and left out beside the first."""
    templates = tmp_path / "templates"
    templates.mkdir()
    packaged = (default_template_dir() / "route.cfg.j2").read_text()
    section = '{% if route.route in ("second", "third") %}backend same{% endif %}\n'
    (templates / "route.cfg.j2").write_text(f"{packaged}{section}")
    router = make_router("--template-dir", str(templates))
    others = [f"other-{number}" for number in range(24)]
    names = (*others, "second", "third", "fourth")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    for name in (*others, "second"):
        router.write(f"{name}.yaml", *app(name, ports[name], ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/second")
    with socket.create_connection(("127.0.0.1", ports["second"])) as held:
        router.write("third.yaml", *app("third", ports["third"], ("127.0.0.1", echo.port)))
        row = router.wait_for_row("team/third", lambda row: row["verdict"] == "rejected", "rejected")
        assert row["reason"] == "ConfigRejected"
        assert "'same'" in row["message"]
        assert [event for event in router.events("haproxy") if "'same'" in event["line"]], (
            "only the load could find out"
        )
        router.write("fourth.yaml", *app("fourth", ports["fourth"], ("127.0.0.1", echo.port)))
        router.wait_admitted("team/fourth")
        assert {name: serves(port) for name, port in ports.items()} == {**dict.fromkeys(ports, True), "third": False}
        held.sendall(b"ping")
        assert held.recv(4) == b"ping"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        pytest.param("{% if %}", "route.cfg.j2:1", id="syntax"),
        pytest.param("\n{{ nonsense }}", "route.cfg.j2:2", id="undefined"),
        pytest.param("{% for a in b %}\n" * 25 + "{% endfor %}" * 25, "route.cfg.j2:21", id="nothing for Python"),
        pytest.param("\n{{ " + "(" * 3000 + ")" * 3000 + "}}", "route.cfg.j2:2", id="too deep"),
        pytest.param("{{ range(2 ** 62) | list }}", "route.cfg.j2:1", id="too large"),
        pytest.param("no such keyword\n", "route.cfg.j2:1", id="refused by HAProxy"),
    ],
)
def test_broken_template_leaves_what_runs(
    make_router: Make, tmp_path: Path, echo: TcpServer, broken: str, told: str
) -> None:
    """A template that breaks while the router runs is told with file and line; traffic and changes go on."""
    templates = tmp_path / "templates"
    templates.mkdir()
    router = make_router("--template-dir", str(templates))
    port, added = free_port(), free_port()
    router.write(
        "db.yaml", *app("db", port, ("127.0.0.1", echo.port)), *app("web", free_port(), ("127.0.0.1", echo.port))
    )
    router.start()
    router.wait_admitted("team/db", "team/web")
    (templates / "route.cfg.j2").write_text(broken)
    wait_for(lambda: router.events("templates not taken up"), "the broken template to be told")
    problem = router.events("templates not taken up")[-1]["problem"]
    assert problem.count(told) == 1
    assert ("HAProxy refuses" in problem) == (broken == "no such keyword\n")
    assert serves(port)
    router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    router.wait_admitted("team/more")
    assert serves(added)


def test_templates_from_a_mounted_config_map(make_router: Make, tmp_path: Path, echo: TcpServer) -> None:
    """Kubernetes swaps the ..data link of a mounted ConfigMap: the new template is taken up."""
    mounted = tmp_path / "mounted"
    packaged = (default_template_dir() / "route.cfg.j2").read_text()
    for version in ("1", "2"):
        (mounted / f"..{version}").mkdir(parents=True)
        (mounted / f"..{version}" / "route.cfg.j2").write_text(f"{packaged}  # version {version}\n")
    (mounted / "..data").symlink_to("..1")
    (mounted / "route.cfg.j2").symlink_to("..data/route.cfg.j2")
    router = make_router("--template-dir", str(mounted))
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    config = router.state / "haproxy.cfg"
    assert "# version 1" in config.read_text()
    (mounted / "..data_tmp").symlink_to("..2")
    (mounted / "..data_tmp").rename(mounted / "..data")
    wait_for(lambda: "# version 2" in config.read_text(), "the swapped template to be taken up")
    assert serves(port)


def test_half_written_manifest_does_no_harm(router: RouterProcess, port: int) -> None:
    """A file that does not parse keeps its last good objects and is told with line and column; mended, it counts."""
    path = router.manifests / "db.yaml"
    good = path.read_text()
    half = good[: len(good) // 2]
    path.write_text(f"{half}\n  - [")
    told = wait_for(lambda: router.events("manifest problem"), "the half-written file to be told")[-1]
    assert told["path"] == str(path)
    assert told["line"] > half.count("\n")
    assert told["column"] >= 1
    assert serves(port)
    assert "tcp_router_input_problems 1.0" in http_get(router.http_port, "/metrics")[1]
    path.write_text(good)
    wait_for(
        lambda: "tcp_router_input_problems 0.0" in http_get(router.http_port, "/metrics")[1], "the file to be good"
    )
    assert serves(port)


def test_second_router_on_the_same_state_is_refused(router: RouterProcess, port: int) -> None:
    """Another router with the same state directory ends with a clear error; the first is not disturbed."""
    second = RouterProcess(router.directory, sni_port=0)
    with pytest.raises(AssertionError, match=r"in use by another router.*--state-dir"):
        second.launch()
    assert second.process is not None
    assert second.process.returncode == 2
    assert serves(port)


def test_nothing_is_left_when_the_start_fails(router: RouterProcess) -> None:
    """A router that cannot bind its HTTP port says so, exits 2 and leaves no process."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = RouterProcess(router.directory, "--listen", f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(AssertionError, match=r"cannot listen on.*--listen"):
            taken.launch()
    assert taken.process is not None
    assert taken.process.returncode == 2
    assert processes_with(str(router.state)) == ()
