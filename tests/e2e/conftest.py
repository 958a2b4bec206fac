"""The router as a user runs it, for each test its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import write_manifests
from tests.support.objects import app, endpoint_slice, route, service
from tests.support.router_process import RouterProcess, processes_with
from tests.support.servers import TcpServer, echo_server
from tests.support.waiting import wait_for

Make = Callable[..., RouterProcess]


@pytest.fixture
def make_router(tmp_path: Path) -> Iterator[Make]:
    """Make routers that are stopped, with all that they started, after the test; nothing of them may be left then."""
    made: list[RouterProcess] = []

    def make(
        *options: str, sni_port: int = 0, launcher: Iterable[str] = (), kind: type[RouterProcess] = RouterProcess
    ) -> RouterProcess:
        directory = tmp_path / f"router-{len(made)}"
        directory.mkdir()
        made.append(kind(directory, *options, sni_port=sni_port, launcher=launcher))
        return made[-1]

    yield make
    for router in made:
        if router.process is not None:
            router.stop()
            wait_for(lambda r=router: not r.haproxy_pids(), "every HAProxy process to be gone")  # type: ignore[misc]
            assert processes_with(str(router.state)) == ()


@pytest.fixture
def router(make_router: Make) -> RouterProcess:
    """One router with the options of tests, not started yet."""
    return make_router()


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    """A pod that echoes."""
    with echo_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one Route ``team/db`` that is served, and one ``team/web`` on the SNI port."""
    web = route("web", host="web.example.com", passthrough=True)
    return write_manifests(
        tmp_path / "manifests",
        *app("db", 6620, ("10.1.0.1", 5432)),
        web,
        service("web", 443),
        *endpoint_slice("web", ("10.1.0.2", 443)),
    )
