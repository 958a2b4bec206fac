"""``--port-pool auto``: ports that are given open without a reload, and what a reload finds used up is filled again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.admission.spare_ports import FEWEST
from tests.e2e.test_auto_ports import given, reloads
from tests.support.cluster import Cluster, http_cluster
from tests.support.commands import run_process
from tests.support.level import metric
from tests.support.objects import app, route
from tests.support.ports import free_ports
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP, with the CRD of PortClaims."""
    with http_cluster(tmp_path) as made:
        yield made


def told(router: RouterProcess) -> list[dict[str, Any]]:
    """Give the lines of the log that say what the pool was filled with."""
    return router.events("port pool filled")


def pool_of(router: RouterProcess) -> tuple[float | None, ...]:
    """Give its size, what of it is free, and what the busiest hour took, by the metrics."""
    names = ("tcp_router_port_pool", "tcp_router_port_pool_free", "tcp_router_port_pool_busiest_hour")
    return tuple(metric(router, name) for name in names)


def test_a_pool_that_sizes_itself(cluster: Cluster) -> None:
    """As many as were needed at once are ready from the next reload on, also after a restart."""
    ports = free_ports(3 * FEWEST)
    options = ("--claims", "required", "--auto-ports", ",".join(map(str, ports)), "--port-pool", "auto")
    router = cluster.router(*options).start()
    assert pool_of(router) == (FEWEST, FEWEST, 0)
    assert all(map(is_refused, ports))
    cluster.create(*app("db", None, cluster.pod(b"db:")))
    names = [f"r{number}" for number in range(FEWEST)]
    cluster.create(*(route(name, "auto", service="db") for name in names))
    of_pool = [given(cluster, name) for name in names]
    assert sorted(of_pool) == sorted(ports)[:FEWEST]
    assert {exchange(port) for port in of_pool} == {b"db:ping"}
    assert reloads(router) == 1
    assert pool_of(router) == (FEWEST, 0, FEWEST)

    # One more takes a reload, which fills the pool for the hour that this was.
    cluster.create(route("more", "auto", service="db"))
    assert exchange(given(cluster, "more")) == b"db:ping"
    assert reloads(router) == 2
    assert pool_of(router) == (FEWEST + 1, FEWEST + 1, FEWEST + 1)
    assert [(each["ports"], each["wanted"], each["busiest_hour"]) for each in told(router)] == [
        (FEWEST, FEWEST, 0),
        (FEWEST + 1, FEWEST + 1, FEWEST + 1),
    ]
    cluster.create(*(route(f"s{number}", "auto", service="db") for number in range(FEWEST)))
    assert {exchange(given(cluster, f"s{number}")) for number in range(FEWEST)} == {b"db:ping"}
    assert reloads(router) == 2
    samples = {each[0]: each[2] for each in json.loads(http_get(router.http_port, "/page/router")[1])["samples"]}
    assert samples["tcp_router_port_pool_busiest_hour"] == 2 * FEWEST + 1

    # It knows what it was told before: all that are left are ready.
    router.stop()
    router.start()
    wait_for(lambda: pool_of(router) == (FEWEST - 1, FEWEST - 1, 2 * FEWEST + 1), "the pool after a restart")


def test_a_pool_without_ports_to_size_itself_from(tmp_path: Path) -> None:
    """There is nothing to take them from; the router says what would be right, and does not start."""
    ended = run_process("run", "--manifests", tmp_path, "--state-dir", tmp_path / "s", "--port-pool", "auto")
    assert ended.exit_code == 2
    assert "--port-pool auto takes its ports from --auto-ports, which has none" in ended.stderr
