"""A fleet as docs/sizing.md cuts it: three shards of two replicas each. Routes move from one to another, and a shard that is lost is taken over."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.clients import connect, echoes, served
from tests.support.cluster import Cluster
from tests.support.kube.rbac import placed
from tests.support.kustomize import SHARD, render
from tests.support.objects import app, route
from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

OF_OVERLAY = "tcp-router-shard"
EAST, WEST, NORTH = NAMES = ("tcp-router-east", "tcp-router-west", "tcp-router-north")
ADDRESSES = {EAST: ("127.0.1.1", "127.0.1.2"), WEST: ("127.0.1.3", "127.0.1.4"), NORTH: ("127.0.1.5", "127.0.1.6")}
_READY_S = 120.0
"""Six start at a time, on machines with two cores."""
_AT_LEAST = 20
"""Connections during two moves, of which none may fail: fewer would show little."""
SERVED = {"Admitted": "True", "PortClaimed": "True"}


class Shard:
    """Two replicas of one name, each at an address of its own."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.addresses = ADDRESSES[name]
        rights = _rights(cluster, name)
        account = next(each["metadata"]["name"] for each in rights if each["kind"] == "ServiceAccount")
        self.replicas: tuple[RouterProcess, ...] = tuple(
            cluster.router("--bind-address", address, name=name, rights=rights, account=account)
            for address in self.addresses
        )

    def launch(self) -> None:
        """Start both, and wait for neither."""
        for each in self.replicas:
            each.begin()

    def wait_until_ready(self) -> None:
        """Wait for both."""
        for each in self.replicas:
            each.wait_until_started(_READY_S)
            wait_for(each.is_ready, f"a replica of {self.name} to be ready", _READY_S)

    def wait_until_served(self, cluster: Cluster, name: str, port: int) -> None:
        """Wait until both replicas serve a Route, and its status says so."""
        cluster.wait_for_conditions(name, self.name, **SERVED)
        for address in self.addresses:
            wait_for(lambda at=address: _is_served(port, at), f"{self.name} to serve {name} at {address}")  # type: ignore[misc]


class Clients:
    """Clients who look up a name again and again, and connect to what it leads to: to each address in turn. Each must be served."""

    def __init__(self, port: int, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        """What the name leads to; a change is that of a record in the DNS."""
        self.good = 0
        self.bad: list[str] = []
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clients")

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def lead_to(self, addresses: Sequence[str]) -> None:
        """Lead the name elsewhere, and wait until clients who looked it up before are gone."""
        self.addresses = tuple(addresses)
        self.wait_for_more()

    def wait_for_more(self) -> None:
        """Wait for some more connections."""
        enough = self.good + 6
        wait_for(lambda: self.bad or self.good >= enough, "connections")

    def _run(self) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            address = self.addresses[number % len(self.addresses)]
            try:
                if served(self._port, to=address):
                    self.good += 1
                else:
                    self.bad.append(f"{address} ended without an echo")
            except OSError as error:
                self.bad.append(f"{address}: {error!r}")


@pytest.mark.timeout(300)
def test_a_fleet(cluster: Cluster) -> None:
    """One fleet for all of it, since to start six routers takes longer than all that they are to show."""
    shards = {name: Shard(cluster, name) for name in NAMES}
    for shard in shards.values():
        shard.launch()
    for shard in shards.values():
        shard.wait_until_ready()
    _routes_move_and_nobody_is_refused(cluster, shards)
    _a_shard_that_is_lost_is_taken_over(cluster, shards)


def _routes_move_and_nobody_is_refused(cluster: Cluster, shards: dict[str, Shard]) -> None:
    """A second Route names the new shard; both say that they are served, then the name is led there, then the first Route goes."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(), router_name=EAST))
    shards[EAST].wait_until_served(cluster, "db", port)
    former = "db"
    with Clients(port, ADDRESSES[EAST]) as clients:
        for before, after in itertools.pairwise((EAST, WEST, NORTH)):
            with connect(port, to=ADDRESSES[before][0]) as held:
                assert echoes(held)
                current = f"db-{after}"
                cluster.create(route(current, port, router_name=after, service="db"))
                shards[after].wait_until_served(cluster, current, port)
                # Make before break: both serve at the same time, and the status of both Routes says where each is.
                cluster.wait_for_conditions(former, before, **SERVED)
                assert all(_is_served(port, address) for address in (*ADDRESSES[before], *ADDRESSES[after]))
                clients.lead_to(ADDRESSES[after])
                cluster.client.delete("Route", cluster.namespace, former)
                for address in ADDRESSES[before]:
                    wait_for(lambda at=address: is_refused(port, at), f"{before} to have closed the port")  # type: ignore[misc]
                # Who connected before the move goes on where he is.
                assert echoes(held)
                clients.wait_for_more()
                former = current
        moved = clients.good
    assert clients.bad == []
    assert moved >= _AT_LEAST
    cluster.client.delete("Route", cluster.namespace, former)


def _a_shard_that_is_lost_is_taken_over(cluster: Cluster, shards: dict[str, Shard]) -> None:
    """First one replica goes, and the other serves on; then the shard is gone. Routers of its name, started elsewhere, serve its Routes at its addresses; the other shards notice nothing."""
    ports = {name: free_port() for name in NAMES}
    for name, port in ports.items():
        cluster.create(*app(f"of-{name}", port, cluster.pod(), router_name=name))
    for name, shard in shards.items():
        shard.wait_until_served(cluster, f"of-{name}", ports[name])
    first, second = shards[WEST].replicas
    with Clients(ports[EAST], ADDRESSES[EAST]) as east, Clients(ports[NORTH], ADDRESSES[NORTH]) as north:
        with Clients(ports[WEST], ADDRESSES[WEST][1:]) as west:
            first.stop(signal.SIGKILL)
            wait_for(lambda: is_refused(ports[WEST], ADDRESSES[WEST][0]), "the first replica to be gone")
            west.wait_for_more()
        assert west.bad == []
        second.stop(signal.SIGKILL)
        wait_for(lambda: is_refused(ports[WEST], ADDRESSES[WEST][1]), "the shard to be gone")
        # A Route that came meanwhile is served too: what counts is what is there then, not what was served last.
        cluster.create(route("late", (late := free_port()), router_name=WEST, service=f"of-{WEST}"))
        # The addresses come to another node (VRRP, anycast), where routers of this name begin. They have nothing of the former ones' disks.
        taken_over = Shard(cluster, WEST)
        taken_over.launch()
        taken_over.wait_until_ready()
        taken_over.wait_until_served(cluster, f"of-{WEST}", ports[WEST])
        taken_over.wait_until_served(cluster, "late", late)
        for clients in (east, north):
            clients.wait_for_more()
    assert (east.bad, north.bad) == ([], [])
    served_by = {name: set(shard.replicas[0].ports()) for name, shard in {**shards, WEST: taken_over}.items()}
    own = {name: {f"{cluster.namespace}/of-{name}"} for name in NAMES}
    assert served_by == {**own, WEST: own[WEST] | {f"{cluster.namespace}/late"}}


def _rights(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Give those of the second router's overlay under another name, as docs/install.md says."""
    rights = json.dumps(placed(render(SHARD), cluster.namespace, OF_OVERLAY))
    # All that the overlay makes ends alike.
    made: list[dict[str, Any]] = json.loads(rights.replace("-shard", name.removeprefix("tcp-router")))
    return made


def _is_served(port: int, address: str) -> bool:
    try:
        return served(port, to=address)
    except OSError:
        return False
