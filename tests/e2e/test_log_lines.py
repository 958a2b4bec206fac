"""The log of whole lives: what is in it, in both modes, and what is not."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.attached_pod import AttachedPod
from tests.support.clients import served
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.router_process import RouterProcess
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_Pod = AttachedPod | None


@pytest.fixture(params=["standalone", "attached"])
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RouterProcess, _Pod, list[int]]]:
    """A router that is not started yet, its HAProxy container in attached mode, and the ports of its pool."""
    pool = sorted(free_ports(5))
    options = ("--port-pool", ",".join(map(str, pool)), "--check-interval", "200ms")
    pod = AttachedPod(tmp_path, *options) if request.param == "attached" else None
    router = pod.router if pod is not None else RouterProcess(tmp_path, *options)
    yield router, pod, pool
    if pod is not None:
        pod.end()
    elif router.process is not None:
        router.stop()


def start(router: RouterProcess, pod: _Pod) -> None:
    """Start HAProxy where it is a container of its own, and the router."""
    if pod is not None:
        pod.start()
    else:
        router.start()


def stop(router: RouterProcess, pod: _Pod) -> None:
    """End both in order."""
    assert router.stop() == 0
    if pod is not None:
        pod.signal_haproxy(signal.SIGUSR1)
        assert pod.wait_haproxy_ended() == 0


def entries(directory: Path) -> list[dict[str, Any]]:
    """Give all lines of standard output and standard error of all processes; each must be a JSON object."""
    names = ("log", "traffic", "haproxy-log")
    texts = [(directory / name).read_text() for name in names if (directory / name).exists()]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def about(directory: Path, event: str) -> list[dict[str, Any]]:
    """Give the lines of an event that are there so far."""
    text = "".join((directory / name).read_text() for name in ("log", "haproxy-log") if (directory / name).exists())
    whole = [line for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in map(json.loads, whole) if line.get("event") == event]


def test_a_life_in_which_all_is_as_it_should_be(life: tuple[RouterProcess, _Pod, list[int]], tmp_path: Path) -> None:
    """Starts, reloads, changes without one and the end: each line is JSON, none is a warning, none names a port that nobody has."""
    router, pod, pool = life
    own = free_port()
    with echo_server() as first, echo_server() as second:
        router.write("pool.yaml", *app("pooled", pool[1], (first.address, first.port)))
        start(router, pod)
        router.wait_admitted("team/pooled")
        for name, port in (("own", own), ("late", pool[2]), ("more", free_port())):
            router.write(f"{name}.yaml", *app(name, port, (first.address, first.port)))
            router.wait_admitted(f"team/{name}")
            wait_for(lambda port=port: served(port), f"{name} to be served")  # type: ignore[misc]
        router.write("own.yaml", *app("own", own, (second.address, second.port)))
        wait_for(lambda: served(own) and second.accepted, "the endpoint to have moved")
        (router.manifests / "late.yaml").unlink()
        wait_for(lambda: "team/late" not in router.ports(), "late to be gone")
        stop(router, pod)
    lines = entries(tmp_path)
    assert [line for line in lines if line.get("level", "info") != "info"] == []
    assert len([line for line in lines if "termination_state" in line]) >= 4
    unclaimed = re.compile(rf"\b(?:{pool[0]}|{pool[3]}|{pool[4]})\b")
    assert [line for line in lines if unclaimed.search(json.dumps({**line, "client_port": 0, "timestamp": ""}))] == []
    # The router tells of its reloads; of its end HAProxy tells in two lines.
    assert len([line for line in lines if line.get("event") == "haproxy"]) <= 2


def test_connections_on_standard_error_are_among_the_lines(
    life: tuple[RouterProcess, _Pod, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --log-address stderr they go through the filter as the objects that they are."""
    router, pod, pool = life
    monkeypatch.setenv("ROUTER_SYSLOG_ADDRESS", "stderr")
    with echo_server() as echo:
        router.write("db.yaml", *app("db", pool[1], (echo.address, echo.port)))
        start(router, pod)
        router.wait_admitted("team/db")
        wait_for(lambda: served(pool[1]), "the Route to be served")
        stop(router, pod)
    assert [line["port"] for line in entries(tmp_path) if line.get("route") == "db" and "bytes_in" in line] == [pool[1]]


def test_a_server_that_fails_and_comes_back_is_told_once(
    life: tuple[RouterProcess, _Pod, list[int]], tmp_path: Path
) -> None:
    """By its Route, on a port of the pool that was opened without a reload too; a reload does not tell it again."""
    router, pod, pool = life
    dead = free_port()
    with echo_server() as good:
        router.write("first.yaml", *app("first", free_port(), (good.address, good.port), (good.address, dead)))
        start(router, pod)
        router.wait_admitted("team/first")
        router.write("late.yaml", *app("late", pool[0], (good.address, dead)))
        router.wait_admitted("team/late")
        wait_for(lambda: len(about(tmp_path, "server down")) == 2, "both to be told")
        router.write("more.yaml", *app("more", free_port(), (good.address, good.port)))
        router.wait_admitted("team/more")
        with socket.create_server((good.address, dead)):
            wait_for(lambda: len(about(tmp_path, "server up")) == 2, "both to be told to be back")
            stop(router, pod)
    lines = entries(tmp_path)
    for event, count in (("server down", "servers_left"), ("server up", "servers_up")):
        told = [line for line in lines if line.get("event") == event]
        found = sorted((line["namespace"], line["route"], line[count]) for line in told)
        is_up = event == "server up"
        assert found == [("team", "first", 1 + is_up), ("team", "late", 0 + is_up)]
        assert all(line["server"].endswith(f":{dead}") for line in told)
