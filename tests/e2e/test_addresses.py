"""Ports of named addresses: each is bound there alone, wherever the address is, as soon as it is there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.attached_pod import AttachedPod
from tests.support.clients import connect
from tests.support.exposition import Exposition
from tests.support.network import bind_nonlocal, ip, own_network
from tests.support.nodes import Node, nodes
from tests.support.objects import app
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import greeting_server
from tests.support.waiting import wait_for

PG, MY, DUAL_4, DUAL_6 = "10.9.0.5", "10.9.0.6", "10.9.0.7", "fd00:9::7"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a network of the test's own
OPTIONS = (
    "--bind-address", EVERYWHERE, "--address", f"pg={PG}", "--address", f"my={MY}", "--address", f"dual={DUAL_4},{DUAL_6}",
    "--address-default-allowed", "pg", "--address-default-allowed", "my", "--address-default-allowed", "dual",
)  # fmt: skip
ADDRESS = "haproxy.router.openshift.io/external-address"
Make = Callable[..., RouterProcess]
Pods = tuple[tuple[str, int], ...]


@pytest.fixture
def network() -> Iterator[None]:
    """A network of the test's own."""
    with own_network():
        yield


@pytest.fixture
def make(network: None, tmp_path: Path) -> Iterator[Make]:  # noqa: ARG001 - it is in it
    """Make routers in that network; all are ended after the test."""
    made: list[RouterProcess] = []

    def router(*options: str) -> RouterProcess:
        directory = tmp_path / f"r{len(made)}"
        directory.mkdir()
        one = RouterProcess(directory, *OPTIONS, *options)
        made.append(one)
        return one

    yield router
    for one in made:
        one.stop()


def at(address: str | None, name: str, port: int, *pods: tuple[str, int], **more: Any) -> list[dict[str, Any]]:
    """Give an app whose Route asks for a port of an address."""
    said = {ADDRESS: address} if address is not None else {}
    return app(name, port, *pods, annotations=said, **more)


def names(ip_address: str, port: int) -> bytes:
    """Give what the pod says that is reached there; nothing where nobody is."""
    try:
        with connect(port, to=ip_address) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def is_reached(ip_address: str, pod: bytes) -> bool:
    """Whether this pod is what clients of an address reach."""
    return names(ip_address, 5432) == pod


def metric(router: RouterProcess, name: str, **labels: str) -> float:
    """Give a metric's value."""
    return Exposition(http_get(router.http_port, "/metrics")[1].encode()).value(name, **labels)


@pytest.fixture
def pods(network: None) -> Iterator[tuple[tuple[str, int], ...]]:  # noqa: ARG001 - in it
    """Two pods, which say who they are."""
    with greeting_server(b"pg") as pg, greeting_server(b"my") as my:
        yield (pg.address, pg.port), (my.address, my.port)


def test_one_number_on_each_address(make: Make, pods: Pods) -> None:
    """Two databases have their own port, each on an address; who wants it on all of them is told who has it there, and gets it when they left."""
    ip("addr", "add", f"{PG}/32", "dev", "lo")
    ip("addr", "add", f"{MY}/32", "dev", "lo")
    router = make()
    of_pg = router.write("a.yaml", *at("pg", "pg", 5432, pods[0]))
    of_my = router.write("b.yaml", *at("my", "my", 5432, pods[1]))
    router.write("c.yaml", *at(None, "z", 5432, pods[0]))
    router.write("d.yaml", *at("nowhere", "unknown", 5433, pods[0]))
    router.start()
    router.wait_admitted("team/pg", "team/my")
    assert (names(PG, 5432), names(MY, 5432), names("127.0.0.1", 5432)) == (b"pg", b"my", b"")
    rows = router.ports()
    assert rows["team/z"]["reason"] == "PortAlreadyClaimed"
    assert "Route team/my" in rows["team/z"]["message"]
    assert rows["team/unknown"]["reason"] == "InvalidAnnotation"
    assert (rows["team/pg"]["external_address"], rows["team/pg"]["on_this_node"]) == ("pg", True)
    assert rows["team/pg"]["address"] == f"{PG}:5432"
    assert f"bind {PG}:5432 " in (router.state / "haproxy.cfg").read_text()
    of_pg.unlink()
    of_my.unlink()
    router.wait_admitted("team/z")
    assert {names(each, 5432) for each in (PG, MY, "127.0.0.1")} == {b"pg"}
    # Back to one address: it is the same port, and nobody in between.
    router.write("c.yaml", *at("pg", "z", 5432, pods[0]))
    while names("127.0.0.1", 5432):
        assert names(PG, 5432) == b"pg"
    assert names(PG, 5432) == b"pg"


def test_an_address_that_comes_and_leaves(make: Make, pods: Pods) -> None:
    """It is bound when it comes, whatever --reload-interval says; until then that is told, and nothing is wrong."""
    router = make("--reload-interval", "60s")
    router.write("a.yaml", *at("pg", "pg", 5432, pods[0]), *at("dual", "dual", 5432, pods[1]))
    router.start()
    router.wait_admitted("team/pg", "team/dual")
    assert router.ports()["team/pg"]["on_this_node"] is False
    assert (
        f"address pg ({PG}) is not on this node: its ports are not open here"
        in http_get(router.http_port, "/readyz")[1]
    )
    assert metric(router, "tcp_router_address_present", address="pg", ip=PG) == 0
    for address, pod in ((PG, b"pg"), (DUAL_4, b"my"), (DUAL_6, b"my")):
        width = "128" if ":" in address else "32"
        ip("addr", "add", f"{address}/{width}", "dev", "lo")
        came_s = time.monotonic()
        wait_for(partial(is_reached, address, pod), f"{address} to be served")
        # Without word from the kernel it is looked every five seconds.
        assert time.monotonic() - came_s < 3
    assert metric(router, "tcp_router_address_present", address="pg", ip=PG) == 1
    assert "address pg" not in http_get(router.http_port, "/readyz")[1]
    ip("addr", "del", f"{PG}/32", "dev", "lo")
    wait_for(
        lambda: metric(router, "tcp_router_address_present", address="pg", ip=PG) == 0, "it to be seen that it left"
    )
    assert router.ports()["team/pg"]["verdict"] == "admitted"
    assert names(DUAL_6, 5432) == b"my"


def test_what_may_be_bound_anywhere_is_bound_in_advance(make: Make, pods: Pods) -> None:
    """With ip_nonlocal_bind an address that comes needs no reload; a pool of its ports takes new Routes without one, too."""
    bind_nonlocal(on=True)
    router = make("--address-port-pool", "pg=5432-5433", "--address-port-pool", "my=5432")
    router.write("a.yaml", *at("pg", "pg", 5432, pods[0]))
    router.start()
    reloads = len(router.events("reloaded"))
    assert "its ports are open here all the same" in http_get(router.http_port, "/readyz")[1]
    router.write("b.yaml", *at("pg", "new", 5433, pods[1]), *at("my", "my", 5432, pods[1]))
    router.wait_admitted("team/pg", "team/new", "team/my")
    ip("addr", "add", f"{PG}/32", "dev", "lo")
    ip("addr", "add", f"{MY}/32", "dev", "lo")
    assert (names(PG, 5432), names(PG, 5433), names(MY, 5432)) == (b"pg", b"my", b"my")
    assert len(router.events("reloaded")) == reloads


def test_a_port_that_somebody_has_on_one_address(make: Make, pods: Pods) -> None:
    """Another process there costs those of that address; the same port of another address is served."""
    ip("addr", "add", f"{PG}/32", "dev", "lo")
    ip("addr", "add", f"{MY}/32", "dev", "lo")
    router = make()
    router.write("a.yaml", *at("pg", "pg", 5432, pods[0]), *at("my", "my", 5432, pods[1]))
    with greeting_server(b"stranger", PG, 5432):
        router.start()
        router.wait_admitted("team/my")
        row = router.wait_for_row("team/pg", lambda row: row["reason"] == "PortUnavailable", "taken")
        assert "port 5432 on address pg" in row["message"]
        assert names(MY, 5432) == b"my"
    router.wait_admitted("team/pg")
    assert names(PG, 5432) == b"pg"


def test_haproxy_starts_without_an_address_that_left(network: None, tmp_path: Path, pods: Pods) -> None:  # noqa: ARG001 - in it
    """A HAProxy that is restarted without any router serves all ports but those of the address; where that is there again, those too."""
    ip("addr", "add", f"{PG}/32", "dev", "lo")
    pod = AttachedPod(tmp_path, *OPTIONS)
    with contextlib.ExitStack() as stack:
        stack.callback(pod.end)
        pod.router.write("a.yaml", *at("pg", "pg", 5432, pods[0]), *at(None, "all", 5433, pods[1]))
        pod.start()
        pod.router.wait_admitted("team/pg", "team/all")
        assert (names(PG, 5432), names(PG, 5433)) == (b"pg", b"my")
        pod.router.stop()
        pod.kill_haproxy()
        ip("addr", "del", f"{PG}/32", "dev", "lo")
        pod.start_haproxy()
        wait_for(lambda: names("127.0.0.1", 5433) == b"my", "the other port to be served")
        assert f"port 5432 on {PG}" in pod.haproxy_log()
        ip("addr", "add", f"{PG}/32", "dev", "lo")
        pod.kill_haproxy()
        pod.start_haproxy()
        wait_for(lambda: names(PG, 5432) == b"pg", "the port of the address to be served")
        assert names(PG, 5433) == b"my"
        # A router that comes finds all as it shall be.
        pod.router.start()
        pod.router.wait_admitted("team/pg", "team/all")
        assert names(PG, 5432) == b"pg"
        pod.router.stop()


@pytest.mark.timeout(180)
def test_an_address_that_moves_between_two_routers(make: Make, tmp_path: Path) -> None:
    """Keepalived moves it from one node to the other and back: connections to it work on the new node within a second."""
    with contextlib.ExitStack() as stack:
        both = stack.enter_context(nodes(2, tmp_path))
        for node in both:
            with node.entered():
                pod = stack.enter_context(greeting_server(str(node.number).encode()))
                # Nothing but its own message brings what came to a router that waits so long between reloads.
                router = make("--reload-interval", "60s")
                router.write("a.yaml", *at("pg", "pg", 5432, (pod.address, pod.port)))
                router.start()
                stack.callback(end_in, node, router)
                router.wait_admitted("team/pg")
        first, second = both
        first.start_keepalived(PG, 150)
        wait_for(partial(is_reached, PG, b"1"), "the first node to have the address")
        second.start_keepalived(PG, 100)
        for ends, comes in ((first, second), (second, first)):
            if comes is first:
                # It takes the address over, as it has the higher priority.
                first.start_keepalived(PG, 150)
            else:
                ends.stop_keepalived()
            wait_for(partial(comes.has, PG), "the address to move")
            came_s = time.monotonic()
            wait_for(partial(is_reached, PG, str(comes.number).encode()), "the new node to serve it")
            assert time.monotonic() - came_s < 1
            wait_for(partial(lacks, ends, PG), "the former one to let go of it")


def lacks(node: Node, address: str) -> bool:
    """Whether a node does not have an address."""
    return not node.has(address)


def end_in(node: Node, router: RouterProcess) -> None:
    """End a router, whose HTTP port is in its node's network."""
    with node.entered():
        router.stop()
