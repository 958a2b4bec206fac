"""Changes without a reload: endpoints, pool ports, allowlists and SNI hosts, on a cluster and a real HAProxy."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, ClusterRouter
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.probing import Prober, exchange, is_open, is_refused
from tests.support.router_process import RouterProcess, http_get, processes_with
from tests.support.servers import tls_server
from tests.support.waiting import wait_for


def reloads(router: RouterProcess) -> int:
    """Give how often HAProxy was started or reloaded."""
    page = http_get(router.http_port, "/metrics")[1]
    return sum(int(float(line.split()[-1])) for line in page.splitlines() if line.startswith("tcp_router_reloads_total"))


def move(cluster: Cluster, name: str, *endpoints: tuple[str, int]) -> None:
    """Give the endpoints of a Service others."""
    (new,) = endpoint_slice(name, *endpoints)
    cluster.client.patch(
        "EndpointSlice", cluster.namespace, f"{name}-0", {key: new[key] for key in ("endpoints", "ports")}
    )


def test_moved_endpoint_needs_no_reload(cluster: Cluster) -> None:
    """Traffic follows a pod that is replaced; a connection to the former one goes on, and no connection fails."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(b"")))
    router = cluster.router().start()
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    with socket.create_connection(("127.0.0.1", port)) as held, Prober(port) as prober:
        assert is_open(held)
        for _ in range(5):
            new = cluster.pod(b"")
            move(cluster, "db", new)
            router.wait_for_row(
                f"{cluster.namespace}/db", lambda row, new=new: [s["port"] for s in row["servers"]] == [new[1]], "moved"
            )
        assert is_open(held)
    assert prober.failures == []
    assert reloads(router) == 1
    assert len(router.haproxy_pids()) == 2


def test_route_on_a_pool_port_needs_no_reload(cluster: Cluster) -> None:
    """A pool port is closed, open for the Route that claims it, and closed again; a reload keeps all of that."""
    port, other, outside = free_port(), free_port(), free_port()
    router = cluster.router("--port-pool", f"{port},{other}").start()
    wait_for(lambda: reloads(router) == 1, "the first configuration")
    assert is_refused(port)
    cluster.create(*app("db", port, cluster.pod(b"db ")))
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    assert exchange(port) == b"db ping"
    assert reloads(router) == 1
    assert is_refused(other)
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert is_open_with(held, b"db ")
        cluster.create(*app("web", outside, cluster.pod(b"web ")))
        cluster.wait_for_conditions("web", Admitted="True", PortClaimed="True")
        assert reloads(router) == 2
        assert (exchange(port), exchange(outside)) == (b"db ping", b"web ping")
        assert is_refused(other)
        cluster.client.delete("Route", cluster.namespace, "db")
        wait_for(lambda: is_refused(port), "the port to be closed")
        assert is_open_with(held, b"db ")
    assert reloads(router) == 2


def is_open_with(connection: socket.socket, prefix: bytes) -> bool:
    """Whether an echo with a prefix still comes over a connection."""
    connection.sendall(b"still there?")
    return connection.recv(100) == prefix + b"still there?"
