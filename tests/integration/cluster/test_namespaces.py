"""Namespaces seen through an API server: watched, read one by one, or not to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.cluster import namespaces
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.settings import KubeSettings
from tests.support.api_server import ApiServer
from tests.support.followed import Followed
from tests.support.objects import ANNOTATIONS, app, route
from tests.support.waiting import wait_for


def namespace(name: str, labels: dict[str, str] | None = None, **said: str) -> dict[str, Any]:
    """Make a Namespace with annotations of ours, and one of others."""
    annotations = {f"{ANNOTATIONS}{key.replace('_', '-')}": value for key, value in said.items()}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels or {}, "annotations": {**annotations, "openshift.io/requester": "x"}},
    }  # fmt: skip


class World(Followed):
    """A store, and what feeds it."""

    def said(self) -> dict[str, dict[str, str]]:
        """Give the annotations of the namespaces in the store, without our prefix."""
        self.store.take()
        return {
            key.name: {name.removeprefix(ANNOTATIONS): value for name, value in (each.metadata.annotations or {}).items()}
            for key, each in self.store.objects.namespaces.items()
        }  # fmt: skip


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with two teams."""
    with ApiServer() as server:
        server.apply(namespace("team", tcp_ports="5000-5009"), namespace("other", {"shard": "b"}), *app("db", 6620))
        yield server


@pytest.fixture
def start(api: ApiServer, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Give what starts an input, which is stopped at the end."""
    worlds: list[World] = []

    def begin(**settings: Any) -> World:
        world = World(KubeSettings(kubeconfig=api.kubeconfig(tmp_path), **settings))
        worlds.append(world)
        world.input.start()
        return world

    yield begin
    for world in worlds:
        world.input.stop()
        assert world.supervisor.deaths == {}


def test_all_are_watched(api: ApiServer, start: Callable[..., World]) -> None:
    """They are there when the store is synced, and come, change and go; of annotations only ours are kept."""
    world = start(reads_namespaces=True)
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert world.said() == {"team": {"tcp-ports": "5000-5009"}, "other": {}, "default": {}, "kube-system": {}}
    api.apply(namespace("team", tcp_ports="none"))
    wait_for(lambda: world.said()["team"] == {"tcp-ports": "none"}, "the change")
    api.apply(namespace("new", tcp_ports_max="3"))
    wait_for(lambda: world.said().get("new") == {"tcp-ports-max": "3"}, "the new one")
    api.delete("Namespace", "", "new")
    wait_for(lambda: "new" not in world.said(), "it to go")
    assert world.input.kinds["namespaces"].held == 4


def test_nobody_asks_where_nothing_is_said_of_them(api: ApiServer, start: Callable[..., World]) -> None:
    """Without a policy there is no watch, and no right is needed."""
    world = start()
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert not [request for request in api.requests if request.path == "/api/v1/namespaces"]


def test_a_shard_reads_its_own_one_by_one(
    api: ApiServer, start: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --namespace no right over all is needed; what changes is seen with the next look, what is gone is gone."""
    monkeypatch.setattr(namespaces, "READ_S", 0.2)
    monkeypatch.setattr(namespaces, "MISSING_S", 0.1)
    world = start(reads_namespaces=True, namespaces=("team", "missing"))
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert world.said() == {"team": {"tcp-ports": "5000-5009"}}
    api.apply(namespace("team", tcp_ports="7"), namespace("missing"))
    wait_for(lambda: world.said() == {"team": {"tcp-ports": "7"}, "missing": {}}, "both")
    assert {request.path for request in api.requests if "watch" not in request.query} >= {"/api/v1/namespaces/team"}
    assert not [request for request in api.requests if request.path == "/api/v1/namespaces"]
    api.delete("Namespace", "", "missing")
    wait_for(lambda: "missing" not in world.said(), "it to go")
    api.faults.forbid("get", "namespaces")
    wait_for(lambda: world.input.kinds["namespaces"].problem, "the problem")
    assert world.said() == {"team": {"tcp-ports": "7"}}
    assert not world.input.is_connected


def test_a_label_selector_brings_what_is_said_too(api: ApiServer, start: Callable[..., World]) -> None:
    """One watch for both; who is in a namespace comes after what it may have, and goes before."""
    world = start(reads_namespaces=True, namespace_selector="shard=b")
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert world.said() == {"other": {}}
    api.apply(namespace("team", {"shard": "b"}, tcp_ports="7"))
    key = ObjectKey("team", "db")
    wait_for(lambda: world.said() and key in world.store.objects.routes, "the Route")
    assert world.said()["team"] == {"tcp-ports": "7"}
    api.apply(namespace("team", {}, tcp_ports="7"))
    wait_for(lambda: "team" not in world.said(), "the namespace to leave")
    assert key not in world.store.objects.routes


@pytest.mark.parametrize("scoped", [False, True], ids=["watched", "one by one"])
def test_without_the_right_the_router_goes_on(api: ApiServer, start: Callable[..., World], *, scoped: bool) -> None:
    """The store does not wait for what it may not have; admission lets nobody claim anything new. The right given, all is as it should be."""
    api.faults.forbid("get" if scoped else "list", "namespaces")
    world = start(reads_namespaces=True, **({"namespaces": ("team",)} if scoped else {}))
    wait_for(lambda: world.store.is_synced, "all other kinds to be listed")
    assert world.said() == {}
    assert not world.input.is_connected
    wait_for(lambda: "namespaces" in world.input.kinds["namespaces"].problem, "the problem to be told")
    api.faults.clear()
    wait_for(lambda: world.said().get("team") == {"tcp-ports": "5000-5009"}, "the namespace")
    wait_for(lambda: world.input.is_connected, "it to be connected")
    api.apply(route("late", 6621))


def test_what_is_nearly_of_a_policy_is_kept() -> None:
    """It is told to its admin, and closes the namespace; what other annotations say is not."""
    annotations = {f"{ANNOTATIONS}tcp-port-max": "3", f"{ANNOTATIONS}timeout": "3s", "openshift.io/requester": "x"}
    kept = namespaces.kept_namespace(Namespace(ObjectMeta(name="team", namespace="", annotations=annotations)))
    assert kept.metadata.annotations == {f"{ANNOTATIONS}tcp-port-max": "3"}
