"""Services that ask to be served themselves, as the input brings them from an API server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.admission.options import EXTERNAL_TCP_PORT, ROUTER_NAME
from router.cluster import KubeInput, Pace, sources_of
from router.cluster.asking import asks_of
from router.kube.connection import Connection, Deadlines
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.settings import KubeSettings
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer
from tests.support.objects import endpoint_slice, service
from tests.support.scripted_api import Asked, Reply, ScriptedApi, write_kubeconfig
from tests.support.waiting import wait_for

PACE = Pace(pauses_s=(0.02, 0.1), absent_s=0.2)


def asking(name: str, port: str = "6620", *, namespace: str = "team", **labels: str) -> list[dict[str, Any]]:
    """Make a Service that asks, and its slice."""
    made = service(name, namespace=namespace)
    made["metadata"] |= {"annotations": {ROUTER_NAME: "tcp-router", EXTERNAL_TCP_PORT: port}, "labels": labels}
    return [made, *endpoint_slice(name, ("10.0.0.1", 5432), namespace=namespace)]


class World:
    """A store, and the input that feeds it."""

    def __init__(self, kubeconfig: Path, settings: dict[str, Any]) -> None:
        chosen = KubeSettings(kubeconfig=kubeconfig, **settings)
        self.store = Store(sources_of(chosen))
        self.input = KubeInput(
            Connection.open(chosen, deadlines=Deadlines(total_s=5.0), environ={}),
            self.store,
            chosen,
            lambda route: bool(route.metadata.annotations),
            self,
            asks=asks_of("tcp-router", chosen.route_selector),
            pace=PACE,
            supervisor=Supervisor(),
        )

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Take no notice."""

    def services(self) -> dict[str, tuple[bool, int]]:
        """Give the Services of the store: whether they ask, and how many slices they have."""
        self.store.take()
        return {
            str(key): (bool(found.metadata.annotations), len(self.store.objects.slices.get(key, ())))
            for key, found in self.store.objects.services.items()
        }

    def synced(self) -> World:
        """Wait until everything was listed."""
        wait_for(lambda: self.store.is_synced, "all kinds to be listed")
        return self


Watch = Callable[..., World]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Give an API server with a Service that asks, and one that does not."""
    with ApiServer() as server:
        server.apply(*asking("db"), service("web"), *endpoint_slice("web", ("10.0.0.2", 80)))
        yield server


@pytest.fixture
def watch(api: ApiServer, tmp_path: Path) -> Iterator[Watch]:
    """Give a maker of inputs that are started, and stopped at the end."""
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        worlds.append(World(api.kubeconfig(tmp_path), settings))
        worlds[-1].input.start()
        return worlds[-1]

    yield make
    for world in worlds:
        world.input.stop()


def test_those_that_ask_are_there_with_their_endpoints_when_it_is_synced(watch: Watch) -> None:
    """Others are not: nobody leads to them."""
    assert watch().synced().services() == {"team/db": (True, 1)}


def test_endpoints_are_listed_along_with_services(tmp_path: Path) -> None:
    """Two lists of thousands take as long as one; endpoints of who asks are taken of that list, whichever of both is first."""
    slices_asked = threading.Event()
    (db, slice_of_db) = asking("db")

    def script(asked: Asked, reply: Reply) -> None:
        if asked.is_watch:
            reply.begin_stream()
            reply.stay()
            return
        items: list[dict[str, Any]] = []
        if asked.path.endswith("/services"):
            # What a server that is asked for one after the other would wait for in vain.
            items = [db] if slices_asked.wait(20) else []
        elif asked.path.endswith("/endpointslices"):
            items = [slice_of_db]
            slices_asked.set()
        reply.json({"kind": "List", "metadata": {"resourceVersion": "5"}, "items": items})

    with ScriptedApi(script) as server:
        world = World(write_kubeconfig(tmp_path / "kubeconfig", server.url), {})
        world.input.start()
        assert world.synced().services() == {"team/db": (True, 1)}
        assert sum(asked.path.endswith("/endpointslices") and not asked.is_watch for asked in server.asked) == 1
        world.input.stop()


def test_asking_later_and_no_more(api: ApiServer, watch: Watch) -> None:
    """An annotation brings the Service and its endpoints, and what wakes the router; without it both go."""
    world = watch().synced()
    world.services()
    (asks, *_) = asking("web", "6621")
    api.apply(asks)
    wait_for(lambda: world.services() == {"team/db": (True, 1), "team/web": (True, 1)}, "the Service to ask")
    api.apply(service("web"))
    wait_for(lambda: world.services() == {"team/db": (True, 1)}, "it to go")
    api.delete("Service", "team", "db")
    wait_for(lambda: world.services() == {}, "the other to go")


def test_what_was_said_to_one_keeps_it_in_sight(api: ApiServer, watch: Watch) -> None:
    """A Service that asked while no router ran, and does not now, is brought for as long as its status says that it does."""
    told = service("web")
    said = {
        "type": "tcp-router.openshift.io/Admitted",
        "status": "True",
        "reason": "Admitted",
        "message": "tcp-router: has 1",
    }
    told["status"] = {"conditions": [said]}
    api.apply(told)
    world = watch().synced()
    assert set(world.services()) == {"team/db", "team/web"}
    assert world.store.objects.services[ObjectKey("team", "web")].status.conditions is not None


def test_shards_hold_for_services_too(api: ApiServer, watch: Watch) -> None:
    """The labels of a Service, as those of a Route, and those of its namespace."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "labels": {"team": "blue"}}})
    api.apply(*asking("gold", "6622", namespace="blue", tier="gold"), *asking("tin", "6623", namespace="blue"))
    assert watch(route_selector="tier=gold").synced().services() == {"blue/gold": (True, 1)}
    assert set(watch(namespace_selector="team=blue").synced().services()) == {"blue/gold", "blue/tin"}
    assert set(watch(namespaces=("team",)).synced().services()) == {"team/db"}


def test_without_the_route_api_services_are_enough(api: ApiServer, watch: Watch) -> None:
    """Where a Service asks, the router does not wait for Routes that cannot be; where none does, it waits for them, as before."""
    api.has_routes = False
    world = watch().synced()
    assert world.services() == {"team/db": (True, 1)}
    assert "routes" not in world.input.kinds
    api.delete("Service", "team", "db")
    waiting = watch()
    wait_for(lambda: waiting.store.lacking == {"routes"}, "all else to be listed")
    assert "no Route API" in waiting.input.kinds["routes"].problem
