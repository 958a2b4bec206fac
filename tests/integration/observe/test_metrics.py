"""What HAProxy's metrics count, with a real HAProxy that is reloaded, killed and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from router.haproxy.process.process import StopResult
from router.haproxy.talk import master, stats
from router.haproxy.talk.tables import BACKEND, FRONTEND, SERVER
from router.haproxy.talk.workers import Workers
from router.model import Spot
from router.observe.metrics.haproxy import HaproxyMetrics, Owners
from tests.support.exposition import Exposition, promtool_complaints
from tests.support.haproxy_control import DEADLINE_S, Controlled, controlled
from tests.support.ports import free_port
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

ROUTE = "be_tcp:shop:db"
OF_ROUTE = {"namespace": "shop", "route": "db"}
KINDS = ("frontend", "backend", "server")


class Traffic:
    """Connections to one port, and how many bytes went through them each way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._random = random.Random(4)  # noqa: S311 - no secret
        self.bytes = 0
        self.connections = 0

    def open(self) -> socket.socket:
        """Open a connection and use it."""
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE_S)
        self.connections += 1
        self.use(connection)
        return connection

    def use(self, connection: socket.socket) -> None:
        """Send some bytes, and get them back."""
        data = self._random.randbytes(self._random.randint(1, 30_000))
        connection.sendall(data)
        left = len(data)
        while left:
            left -= len(connection.recv(left))
        self.bytes += len(data)


class Watched:
    """A HAProxy with one port, and its metrics."""

    def __init__(self, haproxy: Controlled, port: int, pod_port: int) -> None:
        self.haproxy = haproxy
        self.port = port
        self.traffic = Traffic(port)
        self.owners = Owners({f"fe_tcp:{port}": ROUTE}, {}, {ROUTE: Spot(port)}, servers=1)
        self._pod_port = pod_port
        self.metrics = HaproxyMetrics(
            Workers(haproxy.stats_socket, haproxy.master_socket, DEADLINE_S), lambda: self.owners
        )

    def start(self) -> None:
        """Start HAProxy."""
        self.haproxy.configure([self.port], self._pod_port)
        self.haproxy.process.start(DEADLINE_S)

    def reload(self) -> None:
        """Have a new worker, and tell the metrics as the router does."""
        assert master.reload(self.haproxy.master_socket, DEADLINE_S).success
        self.metrics.reloaded()

    def scrape(self) -> Exposition:
        """Read the metrics."""
        return Exposition(self.metrics.exposition())

    def until(self, condition: Callable[[Exposition], object], what: str) -> Exposition:
        """Scrape until the condition is true, and give that scrape."""

        def look() -> Exposition | None:
            scraped = self.scrape()
            return scraped if condition(scraped) else None

        found = wait_for(look, what)
        assert found is not None
        return found

    def is_held(self) -> bool:
        """Whether the worker that listens now is held by the metrics."""
        return stats.info(self.haproxy.stats_socket, DEADLINE_S).pid in {
            worker.pid for worker in self.metrics.held_workers
        }


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Give a HAProxy that runs, with metrics."""
    with echo_server() as pod, controlled(tmp_path) as haproxy:
        watched = Watched(haproxy, free_port(), pod.port)
        watched.start()
        watched.metrics.start()
        try:
            yield watched
        finally:
            watched.metrics.stop()


def bytes_are(expected: int) -> Callable[[Exposition], bool]:
    """Give what says whether frontend, backend and server counted so many bytes each way."""
    return lambda scraped: all(
        scraped.values(f"haproxy_{kind}_bytes_{way}_total", **OF_ROUTE) == [expected]
        for kind in KINDS
        for way in ("in", "out")
    )


def test_counters_across_ten_reloads(watched: Watched) -> None:
    """With connections held over ten reloads, counters never fall, and in the end are what was really sent."""
    traffic, held = watched.traffic, []
    with ExitStack() as stack:
        former = watched.scrape()
        for _ in range(10):
            held.append(stack.enter_context(traffic.open()))
            traffic.open().close()
            wait_for(watched.is_held, "the worker to be held")
            watched.reload()
            for connection in held:
                traffic.use(connection)
            scraped = watched.scrape()
            assert scraped.fallen_since(former) == {}
            former = scraped
        scraped = watched.until(lambda seen: seen.value("tcp_router_old_workers") == 10, "ten old workers")
        assert scraped.value("tcp_router_old_worker_sessions") == 10
        for kind in KINDS:
            assert scraped.value(f"haproxy_{kind}_current_sessions", **OF_ROUTE) == 10
            assert scraped.value(f"haproxy_{kind}_connections_total", **OF_ROUTE) == traffic.connections
    scraped = watched.until(lambda seen: seen.value("tcp_router_old_workers") == 0, "the old workers to end")
    assert scraped.fallen_since(former) == {}
    assert bytes_are(traffic.bytes)(scraped), (traffic.bytes, scraped.text)
    for kind in KINDS:
        assert scraped.value(f"haproxy_{kind}_current_sessions", **OF_ROUTE) == 0
        assert scraped.value(f"haproxy_{kind}_connections_total", **OF_ROUTE) == traffic.connections
    wait_for(
        lambda: master.processes(watched.haproxy.master_socket, DEADLINE_S).old_workers == (),
        "the processes of old workers to end",
    )


@pytest.mark.parametrize("who", ["master and worker", "worker"])
def test_counters_across_a_kill(watched: Watched, who: str) -> None:
    """HAProxy that is killed and started again takes nothing away from counters; meanwhile it is told to be down."""
    watched.traffic.open().close()
    watched.until(bytes_are(watched.traffic.bytes), "the bytes to be counted")
    before = watched.scrape()
    pid = watched.haproxy.pid
    if who == "worker":
        os.kill(stats.info(watched.haproxy.stats_socket, DEADLINE_S).pid, signal.SIGKILL)
    else:
        os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: watched.haproxy.exits, "the end of HAProxy")
    down = watched.until(lambda seen: seen.value("haproxy_up") == 0, "HAProxy to be down")
    assert down.fallen_since(before) == {}
    assert down.values("haproxy_server_up") == []
    watched.start()
    watched.traffic.open().close()
    scraped = watched.until(bytes_are(watched.traffic.bytes), "the bytes of both lives to be counted")
    assert scraped.fallen_since(before) == {}
    assert scraped.value("haproxy_up") == 1


def test_old_workers_that_nobody_held(watched: Watched) -> None:
    """Workers that were replaced before the metrics began are read through the master, and end by themselves."""
    with watched.traffic.open() as connection:
        watched.metrics.stop()
        watched.reload()
        later = Watched(watched.haproxy, watched.port, 1)
        scraped = later.until(lambda seen: seen.value("tcp_router_old_workers") == 1, "the old worker")
        assert scraped.value("haproxy_backend_current_sessions", **OF_ROUTE) == 1
        watched.traffic.use(connection)
    wait_for(
        lambda: master.processes(watched.haproxy.master_socket, DEADLINE_S).old_workers == (), "the old worker to end"
    )
    later.metrics.stop()
    later.until(lambda seen: seen.value("tcp_router_old_workers") == 0, "no old worker")


def test_a_stopped_haproxy_is_not_kept(watched: Watched) -> None:
    """When the metrics have stopped, HAProxy ends as soon as it has no client, however often it is scraped."""
    wait_for(watched.is_held, "the worker to be held")
    watched.metrics.stop()
    watched.scrape()
    assert watched.metrics.held_workers == frozenset()
    assert watched.haproxy.process.stop(DEADLINE_S, threading.Event()) is StopResult.DRAINED


def test_servers_above_the_limit_are_counted_by_route_only(watched: Watched) -> None:
    """More servers than the limit have no metrics of their own; backends have, and the limit is told."""
    watched.traffic.open().close()
    watched.owners = Owners(watched.owners.frontends, {}, watched.owners.ports, servers=501)
    scraped = watched.until(
        lambda seen: seen.values("haproxy_backend_bytes_in_total", **OF_ROUTE) == [watched.traffic.bytes], "bytes"
    )
    assert [name for name, _ in scraped.samples if name.startswith("haproxy_server")] == []
    assert scraped.value("haproxy_exporter_server_threshold", type="current") == 501
    assert scraped.value("haproxy_exporter_server_threshold", type="limit") == 500


@pytest.mark.parametrize("wanted", [True, False])
def test_of_a_replaced_worker_servers_are_read_where_they_are_wanted(tmp_path: Path, *, wanted: bool) -> None:
    """With them the last values of thousands of Routes would take several times the memory of all others, after each reload."""
    with echo_server() as pod, controlled(tmp_path) as haproxy:
        haproxy.configure([free_port()], pod.port)
        haproxy.process.start(DEADLINE_S)
        workers = Workers(haproxy.stats_socket, haproxy.master_socket, DEADLINE_S)
        workers.hold()
        assert master.reload(haproxy.master_socket, DEADLINE_S).success
        readings = wait_for(lambda: workers.look(servers=lambda: wanted), "the last values of the worker")
        workers.release()
    assert readings is not None
    (last,) = readings
    kinds = {table.picker("type", "svname")(row)[0] for table in last.tables for row in table.rows}
    assert kinds == ({FRONTEND, BACKEND, SERVER} if wanted else {FRONTEND, BACKEND})
    assert last.has_servers is wanted


def test_promtool_accepts_a_real_scrape(watched: Watched) -> None:
    """Prometheus' own linter has nothing to say about what comes of a real HAProxy."""
    watched.traffic.open().close()
    assert promtool_complaints(watched.scrape().text) == ""
