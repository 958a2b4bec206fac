"""The router whose log cannot be written: it serves as if nothing were, and counts the lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import serves
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for


@contextmanager
def _pipe_without_reader() -> Iterator[tuple[int | None, Callable[[], None]]]:
    reading, writing = os.pipe()
    with contextlib.suppress(OSError), os.fdopen(writing, "wb"):
        yield writing, lambda: os.close(reading)


@contextmanager
def _pipe_that_nobody_reads() -> Iterator[tuple[int | None, Callable[[], None]]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 16_384)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb"):
        yield writing, lambda: None


@contextmanager
def _full_disk() -> Iterator[tuple[int | None, Callable[[], None]]]:
    with Path("/dev/full").open("wb") as file:
        yield file.fileno(), lambda: None


@contextmanager
def _closed() -> Iterator[tuple[int | None, Callable[[], None]]]:
    yield None, lambda: None


def _lost(router: RouterProcess) -> int:
    found = re.search(
        r"^tcp_router_log_lines_lost_total ([0-9.]+)$", http_get(router.http_port, "/metrics")[1], re.MULTILINE
    )
    assert found is not None
    return round(float(found[1]))


@pytest.mark.parametrize("log", [_pipe_without_reader, _pipe_that_nobody_reads, _full_disk, _closed])
def test_router_serves_on_without_a_log(
    make_router: Make,
    echo: TcpServer,
    log: Callable[[], contextlib.AbstractContextManager[tuple[int | None, Callable[[], None]]]],
) -> None:
    """Changes are applied and a HAProxy that is killed comes back, whose lines have nowhere to go either."""
    router, port = make_router(), free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    with log() as (stderr, break_it):
        router.launch_with_log(stderr, free_port())
        break_it()
        wait_for(lambda: serves(port), "the port to be served")
        pid = router.pid
        for number in range(30):
            router.write("more.yaml", *app(f"more-{number}", free_port(), ("127.0.0.1", echo.port)))
            router.wait_admitted(f"team/more-{number}")
        os.kill(router.haproxy_pids()[0], signal.SIGKILL)
        wait_for(lambda: len(router.haproxy_pids()) == 2 and serves(port), "HAProxy to be back")
        wait_for(lambda: http_get(router.http_port, "/healthz")[0] == 200, "health")
        assert router.pid == pid
        # A closed one was led to nowhere, which takes all.
        assert (_lost(router) > 0) == (log is not _closed)
        assert router.stop() == 0


def test_each_line_of_the_log_is_an_object_and_none_warns_of_what_is_as_it_should_be(make_router: Make) -> None:
    """HAProxy has lines of text for each port of the pool and each server, at each reload, and calls them warnings."""
    pool = free_port()
    router = make_router("--port-pool", str(pool))
    with echo_server() as echo:
        router.write("db.yaml", *app("db", port := free_port(), ("127.0.0.1", echo.port)))
        router.start()
        router.wait_admitted("team/db")
        for name, wanted in (("more", free_port()), ("pooled", pool)):
            path = router.write(f"{name}.yaml", *app(name, wanted, ("127.0.0.1", echo.port)))
            router.wait_admitted(f"team/{name}")
            path.unlink()
            wait_for(lambda name=name: f"team/{name}" not in router.ports(), "the Route to be gone")  # type: ignore[misc]
        assert serves(port)
        wait_for(lambda: '"route":"db"' in router.traffic(), "the line of the connection")
    # With its only pod gone.
    wait_for(lambda: [event["route"] for event in router.events("server down")] == ["db"], "the pod to be missed")
    router.stop()
    assert [line for line in router.traffic().splitlines() if not line.startswith("{")] == []
    assert [event for event in router.events("haproxy") if event["level"] != "info"] == []
