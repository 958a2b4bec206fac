"""A router that is told to stop gives the Lease up at once, whatever its connections do."""

from __future__ import annotations

import socket

from tests.support.cluster import Cluster
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.waiting import wait_for


def test_the_lease_is_released_while_connections_drain(cluster: Cluster) -> None:
    """Another replica may write before the last connection of this one has ended."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod()))
    router = cluster.router("--drain-timeout", "1m").start()
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"before")
        assert client.recv(16) == b"before"
        assert router.process is not None
        router.process.terminate()
        wait_for(lambda: not _holder(cluster), "the Lease to be released")
        client.sendall(b"after")
        assert client.recv(16) == b"after"
        assert router.process.poll() is None, "it waits for the connection"
    assert router.process.wait(timeout=20) == 0


def _holder(cluster: Cluster) -> str | None:
    lease = cluster.client.get("Lease", cluster.namespace, "tcp-router")
    assert lease is not None
    holder: str | None = lease["spec"].get("holderIdentity")
    return holder
