"""The benchmark's helpers for changes without a reload: its client, pods, API server, and what the kernel tells of processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark import pods, steps, through
from scripts.benchmark.client import (
    Held,
    Stream,
    is_open,
    open_for,
    wait_for_answer,
    wait_for_byte,
    wait_for_refusal,
    wait_until_open,
)
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.figures import TARGET, TARGET_LEAST, TARGET_MOST, TARGET_P99, summarize
from scripts.benchmark.inputs import Api
from scripts.benchmark.live import running_pods
from scripts.benchmark.objects import ROUTES, SERVICES, SLICES, objects_of
from scripts.benchmark.ports import free_ports
from scripts.benchmark.processes import cpu_s, haproxy_below
from scripts.benchmark.workload import SLICES_IDEAL, Workload
from tests.support.waiting import wait_for

_HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("samples", "targets", "expected"),
    [
        pytest.param([5.0], {TARGET_MOST: 5.0}, True, id="at most"),
        pytest.param([5.1], {TARGET_MOST: 5.0}, False, id="more"),
        pytest.param([0.97], {TARGET_LEAST: 0.97}, True, id="at least"),
        pytest.param([0.96], {TARGET_LEAST: 0.97}, False, id="less"),
        pytest.param([1.0] * 99 + [30.0], {TARGET_P99: 20.0}, True, id="p99 is not the largest of a hundred"),
        pytest.param([1.0, 30.0], {TARGET_P99: 20.0}, False, id="of few the largest counts as p99"),
        pytest.param([1.0] * 90 + [30.0] * 10, {TARGET_MOST: 3.5, TARGET_P99: 20.0}, False, id="one of two missed"),
        pytest.param([1.0] * 100, {TARGET_MOST: 3.5, TARGET_P99: 20.0, TARGET: 2.0}, True, id="all met"),
        pytest.param([1.0], {"HAProxy's own": 0.5}, None, id="no target"),
    ],
)
def test_all_targets_must_be_met(samples: list[float], targets: dict[str, float], expected: bool | None) -> None:  # noqa: FBT001 - a table's column
    """A figure with several targets meets them all, or it does not meet its target."""
    assert summarize(1, "thing", samples, targets).meets_target is expected


@pytest.mark.parametrize(
    ("routes", "count", "expected"),
    [
        pytest.param(2, 5, [0, 1, 0, 1, 0], id="fewer than are used"),
        pytest.param(100, 3, [0, 5, 10], id="far apart"),
        pytest.param(20, 21, [*range(20), 0], id="in turn"),
    ],
)
def test_spread(routes: int, count: int, expected: list[int]) -> None:
    """Routes that are changed lie all over the configuration, and each comes as often as any other."""
    assert steps.spread(routes, count) == expected


@pytest.fixture
def workload() -> Workload:
    """Four Routes, and ports that are free for pods."""
    behind, other, *external = free_ports(7, pods.ADDRESSES)
    return Workload(4, tuple(external), behind, other)


@pytest.fixture
def running(workload: Workload) -> Iterator[Workload]:
    """The same with its pods."""
    with running_pods(workload, through.MIB):
        yield workload


def test_pods_tell_their_number_and_end_with_the_block(workload: Workload) -> None:
    """Each address has another first byte; what is sent comes back; nobody listens afterwards."""
    with running_pods(workload, 1):
        for address in pods.ADDRESSES:
            with socket.create_connection((address, workload.endpoint_port), 10) as connection:
                assert connection.recv(1) == pods.number_of(address)
                connection.sendall(b"hello")
                assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
        with socket.create_connection((_HOST, workload.other_endpoint_port), 10) as connection:
            received = 0
            while piece := connection.recv(1 << 20):
                received += len(piece)
        assert received == 1 + (1 << 20)
    assert not is_open(workload.endpoint_port)


def test_pods_that_do_not_start_are_told(workload: Workload) -> None:
    """A port that somebody has ends the benchmark."""
    with (
        socket.create_server((pods.ADDRESSES[3], workload.endpoint_port)),
        pytest.raises(BenchFailed, match="pods do not start"),
        running_pods(workload, 1),
    ):
        pass


def test_client_waits_for_a_byte_an_answer_and_a_refusal(running: Workload) -> None:
    """The client tells pods from each other and from nobody, and gives up in time."""
    port, (nobody,) = running.endpoint_port, free_ports(1, (_HOST,))
    assert wait_for_byte(port, pods.number_of(_HOST)) <= wait_for_answer(port)
    wait_for_refusal(nobody)
    for wait in (
        lambda: wait_for_byte(port, b"?", 0.01),
        lambda: wait_for_answer(nobody, 0.01),
        lambda: wait_for_refusal(port, 0.01),
        lambda: wait_until_open([port, nobody], 0.01),
    ):
        with pytest.raises(BenchFailed, match=r"0\.01 s"):
            wait()


def test_all_ports_are_waited_for() -> None:
    """The last port that was opened is named, in whatever order they are tried."""
    first, last = free_ports(2, (_HOST,))
    with socket.create_server((_HOST, first)):
        timer = threading.Timer(0.05, lambda: late.append(socket.create_server((_HOST, last))))
        late: list[socket.socket] = []
        timer.start()
        try:
            assert wait_until_open([last, first])[1] == last
        finally:
            timer.join()
            late[0].close()


def test_time_that_a_port_is_open() -> None:
    """A port that is never open was open for no time; one that is open has a time; a byte through it ends the benchmark."""
    (port,) = free_ports(1, (_HOST,))
    looks = iter([False, True])
    assert open_for(port, lambda: next(looks)) == 0.0
    with socket.create_server((_HOST, port), backlog=200) as listener:

        def close_all() -> None:
            for _ in range(128):
                listener.accept()[0].close()

        closing = threading.Thread(target=close_all)
        closing.start()
        looks = iter([False, True])
        assert open_for(port, lambda: next(looks)) > 0
        closing.join()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"!")

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(BenchFailed, match=f"port {port} is of the pool"):
            open_for(port, lambda: True)
        serving.join()


def test_stream_counts_what_fails(running: Workload) -> None:
    """A stream over two ports, behind one of which there is nobody, fails every other time."""
    (nobody,) = free_ports(1, (_HOST,))
    with Stream([running.endpoint_port, nobody]) as stream:
        wait_for(lambda: stream.made >= 10, "ten connections")
    assert stream.failed == stream.made // 2


def test_held_connections_are_counted(running: Workload) -> None:
    """A connection is alive while what is sent comes back over it."""
    held = Held.open([running.endpoint_port] * 3)
    assert held.alive() == 3
    held.connections[1].shutdown(socket.SHUT_RDWR)
    assert held.alive() == 2
    held.close()


def test_both_sides_of_a_comparison_are_measured_in_turn(running: Workload) -> None:
    """Each round gives a value of each kind for each side."""
    ports = through.Ports(running.endpoint_port, running.other_endpoint_port)
    for samples in through.compare(ports, ports, 2):
        for values in (samples.round_trip_ms, samples.connections_per_s, samples.mib_per_s):
            assert len(values) == 2
            assert min(values) > 0


def test_processes(tmp_path: Path) -> None:
    """Time on a core grows with work, and a child named haproxy is found, however deep."""
    before_s = cpu_s(os.getpid(), with_children=False)
    wait_for(lambda: sum(range(300_000)) > 0 and cpu_s(os.getpid(), with_children=False) > before_s, "some work")
    named = tmp_path / "haproxy"
    named.write_bytes(Path("/bin/sleep").read_bytes())
    named.chmod(0o755)
    with subprocess.Popen(["/bin/sh", "-c", f"{named} 60 & wait"], stdout=subprocess.DEVNULL) as shell:
        try:
            wait_for(lambda: len(haproxy_below(os.getpid())) == 1, "the child of the child")
            (found,) = haproxy_below(shell.pid)
            os.kill(found, 9)
        finally:
            shell.kill()
    assert haproxy_below(os.getpid()) == []


def test_api_server_deletes_and_tells_when_it_sends(workload: Workload, tmp_path: Path) -> None:
    """An object that is deleted is in no list, its event is on the watch, and the time of sending is told."""
    workload = replace(workload, slices=SLICES_IDEAL)
    with Api(workload, tmp_path / "objects", is_ideal=True) as api:
        url = json.loads((tmp_path / "objects" / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
        assert len(_items(f"{url}/apis/route.openshift.io/v1/routes")) == 4
        services = f"{url}/api/v1/namespaces/{workload.namespace(2)}/services"
        assert len(_items(f"{services}?fieldSelector=metadata.name%3D{workload.name(2)}")) == 1
        assert _items(f"{services}?fieldSelector=metadata.name%3D{workload.name(3)}") == []
        watch = f"{url}/apis/route.openshift.io/v1/routes?watch=true&resourceVersion=16&timeoutSeconds=30"
        with urllib.request.urlopen(watch, timeout=20) as stream:
            assert api.sent_s(ROUTES) == []
            objects = objects_of(workload, 2)
            api.prepare_changes(
                [("DELETED", ROUTES, objects[ROUTES][0]), ("DELETED", SERVICES, objects[SERVICES][0])]
            )()
            event = json.loads(stream.readline())
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", workload.name(2))
        wait_for(lambda: len(api.sent_s(ROUTES)) == 1, "the time of sending")
        assert api.sent_s(SLICES) == []
        assert len(_items(f"{url}/apis/route.openshift.io/v1/routes")) == 3
        assert _items(f"{services}?fieldSelector=metadata.name%3D{workload.name(2)}") == []
        api.forget_sent()
        assert api.sent_s(ROUTES) == []


def _items(url: str) -> list[Any]:
    with urllib.request.urlopen(url, timeout=20) as answered:
        items: list[Any] = json.load(answered)["items"]
    return items
