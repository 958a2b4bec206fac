"""HAProxy's lines about itself: which are told, how grave, and of which Route."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.haproxy.process.messages import Message, RoutesOfBackends, as_json, as_text, message

_POD = "pod:db-1:db:tcp:10.0.0.7:5432"
_FAILED = (
    '[WARNING]  (7) : Server {}/{} is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. '
    "1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
)


def _nobody(backend: str) -> None:
    assert backend


@pytest.mark.parametrize(
    "line",
    [
        "[WARNING]  (7) : Proxy fe_tcp:30000 stopped (cumulated conns: FE: 0, BE: 0).",
        "[WARNING]  (7) : Paused frontend fe_tcp:30000.",
        "[WARNING]  (7) : Resumed frontend fe_tcp:30000.",
        "[NOTICE]   (7) : Server deleted.",
        f"[NOTICE]   (7) : CLI : 'server pool:30000/{_POD}' : New server registered.",
        f"[WARNING]  (7) : Server pool:30000/{_POD} is UP/READY (leaving forced maintenance).",
        f"[WARNING]  (7) : Server be_tcp:team:db/{_POD} is going DOWN for maintenance. 0 active and 0 backup servers left.",
        f"[WARNING]  (7) : Server be_tcp:team:db/{_POD} is DOWN, changed from server-state after a reload. 0 active",
        f"[WARNING]  (7) : config : Server be_tcp:team:db/{_POD} is DOWN, changed from server-state after a reload. 0 active",
        "[ALERT]    (7) : backend 'be_tcp:team:db' has no server available!",
        "[NOTICE]   (7) : New worker (8) forked",
        "[NOTICE]   (7) : Loading success.",
        "[NOTICE]   (7) : Reloading HAProxy",
        "[NOTICE]   (7) : Initializing new worker (8)",
        "[NOTICE]   (7) : haproxy version is 2.8.25-5cf5d0683",
        "[NOTICE]   (7) : path to executable is /usr/sbin/haproxy",
        "[WARNING]  (7) : Former worker (8) exited with code 0 (Exit)",
        "[WARNING]  (7) : Exiting Master process...",
    ],
)
def test_what_follows_from_what_the_router_does_is_not_told(line: str) -> None:
    """Lines for each port, each endpoint and each reload."""
    assert message(line, _nobody) is None


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("[ALERT]    (7) : Current worker (8) exited with code 139 (Segmentation fault)", "error"),
        ("[ALERT]    (7) : Current worker (8) exited with code 143 (Terminated)", "info"),
        ("[WARNING]  (7) : All workers exited. Exiting... (0)", "info"),
        ("[WARNING]  (7) : All workers exited. Exiting... (139)", "warning"),
        ("[WARNING]  (7) : Former worker (8) exited with code 137 (Killed)", "warning"),
        ("[ALERT]    (7) : config : no such file", "error"),
        ("[NOTICE]   (7) : something new", "info"),
        ("no form at all", "info"),
    ],
)
def test_all_else_is_told_as_it_is(line: str, level: str) -> None:
    """As grave as HAProxy means it, but an end that was asked for is nothing grave."""
    assert message(line, _nobody) == Message("haproxy", level, {"line": line})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A haproxy.cfg in which the Route team/late has the port 30001 of the pool."""
    path = tmp_path / "haproxy.cfg"
    path.write_text(
        "frontend fe_tcp:30000 from ports\n  default_backend pool:30000\n"
        "frontend fe_tcp:30001 from ports\n  bind 0.0.0.0:30001\n  default_backend be_tcp:team:late\n"
    )
    return path


@pytest.mark.parametrize(
    ("backend", "namespace", "route"),
    [
        ("be_tcp:team:db", "team", "db"),
        ("pool:30001", "team", "late"),
        ("pool:30000", "", ""),
        ("pool:sni:1", "", ""),
        ("other", "", ""),
    ],
)
def test_a_failed_check_names_the_route(config: Path, backend: str, namespace: str, route: str) -> None:
    """By the backend's name, or by whose its port is."""
    told = message(_FAILED.format(backend, _POD), RoutesOfBackends(config.parent))
    keys: dict[str, str | int] = {
        "namespace": namespace,
        "route": route,
        "backend": backend,
        "server": _POD,
        "reason": 'Layer4 connection problem, info: "Connection refused"',
        "servers_left": 1,
    }
    assert told == Message("server down", "warning", keys)


def test_a_server_that_came_back_is_told() -> None:
    """With what the check said."""
    line = (
        f"[WARNING]  (7) : Server be_tcp:team:db/{_POD} is UP, reason: Layer4 check passed, check duration: 0ms. "
        "2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
    )
    told = message(line, RoutesOfBackends(Path("nowhere")))
    assert told is not None
    assert (told.event, told.level) == ("server up", "info")
    assert (told.keys["namespace"], told.keys["route"], told.keys["servers_up"]) == ("team", "db", 2)
    assert told.keys["reason"] == "Layer4 check passed"


def test_the_file_is_read_again_when_it_is_another(config: Path) -> None:
    """A Route that came without a reload is known once the file is level; none is known while there is no file."""
    route_of = RoutesOfBackends(config.parent)
    assert route_of("pool:30000") is None
    beside = config.with_name("new")
    beside.write_text("frontend fe_tcp:30000 from ports\n  default_backend be_tcp:team:new\n")
    beside.rename(config)
    assert route_of("pool:30000") == ("team", "new")
    config.unlink()
    assert route_of("pool:30000") is None


def test_lines_have_the_form_of_the_routers_own() -> None:
    """One line each, whatever stands in it."""
    told = Message("haproxy", "error", {"line": 'a "b"\x1b\n'})
    assert json.loads(as_json(told, "now")) == {
        "line": 'a "b"\x1b\n',
        "event": "haproxy",
        "level": "error",
        "timestamp": "now",
    }
    for line in (as_json(told, "now"), as_text(told, "now")):
        assert line.isprintable()
