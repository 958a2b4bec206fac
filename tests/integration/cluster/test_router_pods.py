"""The routers' own pods, seen through an API server; and a router that may not see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.cluster.machine import MACHINE, Machine
from router.objects.meta import ObjectKey
from router.settings import KubeSettings, RouterPodSettings
from tests.support.api_server import ApiServer
from tests.support.followed import Followed
from tests.support.objects import route
from tests.support.waiting import wait_for

PODS = RouterPodSettings(namespace="openshift-ingress", selector="app=tcp-router", own_name="router-a")
MACHINES_OWN = "10.9.9.9"


def pod(
    name: str, *addresses: str, node: str = "192.168.0.1", phase: str = "Running", app: str = "tcp-router"
) -> dict[str, Any]:
    """Make a pod with a status."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "openshift-ingress", "labels": {"app": app}},
        "status": {
            "phase": phase,
            "hostIP": node,
            "hostIPs": [{"ip": node}],
            **({"podIP": addresses[0], "podIPs": [{"ip": each} for each in addresses]} if addresses else {}),
        },
    }


class World(Followed):
    """A store, and what feeds it."""

    def __init__(self, kubeconfig: Path) -> None:
        settings = KubeSettings(kubeconfig=kubeconfig, router_pods=PODS)
        super().__init__(settings, Machine([MACHINES_OWN], listens_everywhere=False).look)

    def addresses(self) -> set[str]:
        """Give the addresses that count as the routers'."""
        self.store.take()
        return {address for each in self.store.objects.routers.values() for address in each.addresses}

    def wait_for(self, *addresses: str) -> None:
        """Wait until these are the routers' addresses."""
        wait_for(lambda: self.addresses() == set(addresses), f"{addresses}")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with a Route, and a pod of ours beside a stranger."""
    with ApiServer() as server:
        server.apply(route("db", 6620), pod("router-a", "10.0.0.1", "fd00::1"), pod("other", "10.0.0.7", app="other"))
        yield server


@pytest.fixture
def start(api: ApiServer, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Give what starts an input, which is stopped at the end."""
    worlds: list[World] = []

    def begin() -> World:
        world = World(api.kubeconfig(tmp_path))
        worlds.append(world)
        world.input.start()
        return world

    yield begin
    for world in worlds:
        world.input.stop()
        assert world.supervisor.deaths == {}


def test_pods_of_the_selector_are_followed(api: ApiServer, start: Callable[[], World]) -> None:
    """Addresses of pods and nodes are known when the store is synced, and follow pods that come, change, end and go."""
    world = start()
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert world.addresses() == {"10.0.0.1", "fd00::1", "192.168.0.1"}
    assert world.input.kinds["pods"].held == 1
    api.apply(pod("router-b", node="192.168.0.2"))
    world.wait_for("10.0.0.1", "fd00::1", "192.168.0.1", "192.168.0.2")
    api.apply(pod("router-b", "10.0.0.2", node="192.168.0.2"))
    world.wait_for("10.0.0.1", "fd00::1", "192.168.0.1", "192.168.0.2", "10.0.0.2")
    api.apply(pod("router-b", "10.0.0.2", node="192.168.0.2", phase="Succeeded"))
    world.wait_for("10.0.0.1", "fd00::1", "192.168.0.1")
    api.delete("Pod", "openshift-ingress", "router-a")
    # This process is in none of them now.
    world.wait_for(MACHINES_OWN)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_router_that_may_not_see_pods_serves(api: ApiServer, start: Callable[[], World], verb: str) -> None:
    """Where pods are forbidden nothing waits for them, what the process knows of itself counts, and it is said once."""
    api.faults.forbid(verb, "pods")
    with capture_logs() as logs:
        world = start()
        wait_for(lambda: world.store.is_synced, "the store not to wait")
        if verb == "list":
            world.wait_for(MACHINES_OWN)
            asked = len(pod_lists(api))
            wait_for(lambda: len(pod_lists(api)) > asked + 2, "pods to be asked for again")
            assert "pods" not in world.input.kinds
            assert len([line for line in logs if line["event"] == "pods of the routers cannot be seen"]) == 1
    wait_for(lambda: world.store.objects.routes or world.store.take(), "the Route")
    assert ObjectKey("team", "db") in world.store.objects.routes
    if verb == "list":
        wait_for(lambda: world.input.is_connected, "the watches that matter to be connected")
    api.faults.allow(verb, "pods")
    world.wait_for("10.0.0.1", "fd00::1", "192.168.0.1")
    assert MACHINE not in world.store.objects.routers


def pod_lists(api: ApiServer) -> list[str]:
    """Give the requests for pods so far."""
    return [request.path for request in api.requests if request.path.endswith("/pods")]


def test_a_process_that_is_no_pod_counts_too(api: ApiServer, start: Callable[[], World]) -> None:
    """A router beside the cluster knows the pods of others, and its own machine."""
    api.delete("Pod", "openshift-ingress", "router-a")
    api.apply(pod("router-b", "10.0.0.2"))
    world = start()
    world.wait_for("10.0.0.2", "192.168.0.1", MACHINES_OWN)
