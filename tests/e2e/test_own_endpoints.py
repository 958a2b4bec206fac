"""A Route that leads to the router itself takes nothing from anybody; real HAProxy, real connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.support.clients import served
from tests.support.cluster import Cluster, http_cluster
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.servers import echo_server
from tests.support.waiting import wait_for


def is_told_of(row: dict[str, object]) -> bool:
    """Whether the row says that an endpoint is the router."""
    return "(the router itself)" in str(row["warnings"])


@pytest.mark.parametrize(
    "bind", [("--bind-address", "127.0.0.1"), ("--ip-mode", "v4")], ids=["one address", "all addresses"]
)
def test_a_route_to_itself_takes_no_connections(make_router: Make, bind: tuple[str, str]) -> None:
    """One connection to it is closed at once, where it made all those that the process may have; another Route serves on."""
    loop, other = free_ports(2)
    router = make_router("--max-connections", "100", *bind)
    with echo_server(address="127.0.0.2") as pod:
        router.write("loop.yaml", *app("loop", loop, ("127.0.0.1", loop)))
        router.write("db.yaml", *app("db", other, ("127.0.0.2", pod.port)))
        router.start()
        router.wait_admitted("team/loop", "team/db")
        row = router.wait_for_row("team/loop", is_told_of, "told that it leads to the router")
        assert row["servers"] == []
        assert not served(loop)
        assert served(other)


def test_a_circle_that_is_closed_later(make_router: Make) -> None:
    """A Route whose endpoint becomes a port of the router loses that endpoint when it does, and has it again afterwards."""
    first, second = free_ports(2)
    router = make_router()
    router.write("first.yaml", *app("first", first, ("127.0.0.1", second)))
    router.start()
    router.wait_for_row("team/first", lambda row: len(row["servers"]) == 1, "led to a port that is nobody's")
    router.write("second.yaml", *app("second", second, ("127.0.0.1", first)))
    for name in ("first", "second"):
        router.wait_for_row(f"team/{name}", lambda row: is_told_of(row) and not row["servers"], "without its endpoint")
    assert not served(first)
    assert not served(second)
    (router.manifests / "second.yaml").unlink()
    router.wait_for_row("team/first", lambda row: len(row["servers"]) == 1, "led there again")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP: its pods need no node."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


def test_another_replica_is_the_router_too(cluster: Cluster) -> None:
    """An endpoint at the address of another router's pod, or of its node, is dropped from when the pod is there."""
    port = free_port()
    cluster.create(*app("db", port, ("192.0.2.3", port), ("192.0.2.4", port), ("192.0.2.5", port)))
    router = cluster.router("--pod-name", "router-a", "--check-interval", "0").start()
    row = router.wait_for_row(f"{cluster.namespace}/db", lambda row: row["verdict"] == "admitted", "admitted")
    assert len(row["servers"]) == 3
    assert cluster.server is not None
    cluster.server.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "router-b",
                "namespace": cluster.namespace,
                "labels": {"app.kubernetes.io/name": "tcp-router"},
            },
            "status": {"phase": "Running", "podIPs": [{"ip": "192.0.2.3"}], "hostIPs": [{"ip": "192.0.2.4"}]},
        }
    )
    router.wait_for_row(f"{cluster.namespace}/db", is_told_of, "told")
    wait_for(
        lambda: [each["address"] for each in router.ports()[f"{cluster.namespace}/db"]["servers"]] == ["192.0.2.5"],
        "the one that is no router to be left",
    )
