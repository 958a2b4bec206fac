"""A whole router in which threads die and turns of its loop fail: HAProxy serves on, and the router is whole again afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import connect
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused, serves
from tests.support.router_process import RouterProcess, http_get
from tests.support.sabotage import Sabotage
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for


class _Broken:
    """A router with one Route, and the means to break it."""

    def __init__(self, directory: Path, echo: TcpServer, *options: str) -> None:
        self.sabotage = Sabotage(directory)
        self.router = RouterProcess(directory, *options, launcher=self.sabotage.launcher)
        self.port = free_port()
        self.router.write("db.yaml", *app("db", self.port, ("127.0.0.1", echo.port)))
        self.router.start()
        self.router.wait_admitted("team/db")

    def metric(self, name: str) -> float:
        """Give a value of /metrics, 0 where there is none."""
        found = re.search(
            rf"^{re.escape(name)} ([0-9.e+]+)$", http_get(self.router.http_port, "/metrics")[1], re.MULTILINE
        )
        return float(found[1]) if found is not None else 0.0

    def health(self) -> str:
        """Give what /healthz says."""
        return http_get(self.router.http_port, "/healthz")[1]


@pytest.fixture
def broken(tmp_path: Path, echo: TcpServer) -> Iterator[_Broken]:
    """A router that can be broken."""
    made = _Broken(tmp_path, echo)
    yield made
    made.router.stop()
    wait_for(lambda: not made.router.haproxy_pids(), "every HAProxy process to be gone")


def test_turns_that_fail_leave_haproxy_alone(broken: _Broken, echo: TcpServer) -> None:
    """Three failed turns in a row fail /healthz; the same HAProxy serves all the while, and what changed is served afterwards."""
    haproxy = broken.router.haproxy_pids()
    added = free_port()
    broken.sabotage.order("fail 3")
    broken.router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    wait_for(lambda: "3 turns of the reconcile loop in a row failed: Unforeseen" in broken.health(), "a failing health")
    assert serves(broken.port)
    wait_for(lambda: serves(added), "the new port")
    wait_for(lambda: broken.health() == "ok\n", "health")
    assert haproxy[0] in broken.router.haproxy_pids()
    assert broken.metric("tcp_router_turn_failures_total") == 3
    (first, *_) = broken.router.events("turn failed")
    assert "Unforeseen" in first["exception"]
    assert broken.router.stop() == 0


@pytest.mark.parametrize(
    "thread", ["watch manifests", "haproxy metrics", "worker watch", "child's stderr", "reconcile"]
)
def test_dead_thread_is_told_and_begins_again(broken: _Broken, echo: TcpServer, thread: str) -> None:
    """Whatever thread dies, the log and a metric say so, and a change that comes afterwards is served."""
    name = f"watch {broken.router.manifests}" if thread == "watch manifests" else thread
    added = free_port()
    broken.sabotage.order(f"kill {name}")
    # Some sit in a call until something happens.
    broken.router.write("more.yaml", *app("more", added, ("127.0.0.1", echo.port)))
    event = "turn failed" if thread == "reconcile" else "thread died"
    if thread == "child's stderr":
        # It waits for HAProxy's next line, and there is one for each reload.
        broken.router.write("again.yaml", *app("again", free_port(), ("127.0.0.1", echo.port)))
    wait_for(lambda: broken.router.events(event), "the death to be told")
    wait_for(lambda: serves(added), "the new port")
    wait_for(lambda: broken.health() == "ok\n", "health")
    told = broken.router.events(event)[0]
    assert "Unforeseen" in told["exception"]
    if thread != "reconcile":
        assert told["thread"] == name
        assert broken.metric(f'tcp_router_thread_deaths_total{{thread="{name}"}}') == 1
        assert broken.metric(f'tcp_router_thread_up{{thread="{name}"}}') == 1
    assert exchange(broken.port) == b"ping"


@pytest.mark.parametrize("is_held", [False, True], ids=["no client", "a client"])
def test_router_that_must_end_waits_for_clients_alone(tmp_path: Path, echo: TcpServer, *, is_held: bool) -> None:
    """Where the loop ends all the same, ports are closed only as long as a connection is there to be waited for."""
    broken = _Broken(tmp_path, echo, "--drain-timeout", "1h")
    held = connect(broken.port) if is_held else None
    if held is not None:
        held.sendall(b"ping")
        assert held.recv(4) == b"ping"
    broken.sabotage.order("end")
    broken.router.write("more.yaml", *app("more", free_port(), ("127.0.0.1", echo.port)))
    wait_for(lambda: is_refused(broken.port), "the port to be closed")
    process = broken.router.process
    assert process is not None
    if held is not None:
        assert process.poll() is None
        held.sendall(b"ping")
        assert held.recv(4) == b"ping"
        held.close()
    assert process.wait(60) == 1
    assert broken.router.haproxy_pids() == ()
    assert broken.router.events("thread died")
