"""PortClaims seen through an API server, with the kind there, not there yet, or gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.objects.meta import ObjectKey
from router.settings import ClaimSettings, KubeSettings
from tests.support.api_server import ApiServer
from tests.support.followed import Followed
from tests.support.kube.resources import PORT_CLAIMS
from tests.support.objects import port_claim, route
from tests.support.waiting import wait_for

NAMESPACE = "openshift-ingress"


class World(Followed):
    """A store, and what feeds it."""

    def __init__(self, kubeconfig: Path, *, required: bool) -> None:
        settings = KubeSettings(kubeconfig=kubeconfig, claims=ClaimSettings(namespace=NAMESPACE, required=required))
        super().__init__(settings)

    def claims(self) -> set[str]:
        """Give the names of the claims in the store."""
        self.store.take()
        return {key.name for key in self.store.objects.claims}

    def wait_for(self, *names: str) -> None:
        """Wait until these are the claims in the store."""
        wait_for(lambda: self.claims() == set(names), f"{names}")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with a Route, and two claims, one of them in a namespace of a team's."""
    with ApiServer() as server:
        server.apply(route("db", 6620), port_claim("a", 6620), port_claim("forged", 6620, namespace="team"))
        yield server


@pytest.fixture
def start(api: ApiServer, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Give what starts an input, which is stopped at the end."""
    worlds: list[World] = []

    def begin(*, required: bool = True) -> World:
        world = World(api.kubeconfig(tmp_path), required=required)
        worlds.append(world)
        world.input.start()
        return world

    yield begin
    for world in worlds:
        world.input.stop()
        assert world.supervisor.deaths == {}


def test_claims_are_followed_in_the_routers_namespace_alone(api: ApiServer, start: Callable[..., World]) -> None:
    """They are there when the store is synced, come, change and go; what teams make in their own namespaces is not read."""
    world = start()
    wait_for(lambda: world.store.is_synced, "all kinds to be listed")
    assert world.claims() == {"a"}
    assert world.input.kinds["portclaims"].held == 1
    api.apply(port_claim("b", 6621))
    world.wait_for("a", "b")
    api.apply(port_claim("b", 6621, holder=("Route", "shop", "db")))
    key = ObjectKey(NAMESPACE, "b")
    wait_for(lambda: world.claims() and world.store.objects.claims[key].spec.origin == "Won", "the change")
    api.delete("PortClaim", NAMESPACE, "a")
    world.wait_for("b")


def test_a_required_kind_is_waited_for(api: ApiServer, start: Callable[..., World]) -> None:
    """Nothing is served before PortClaims were read once; what is missing is said in words that tell the way out."""
    api.has_port_claims = False
    world = start()
    wait_for(lambda: "apply manifests/crds" in world.input.kinds["portclaims"].problem, "the problem to be told")
    wait_for(lambda: world.input.kinds["routes"].is_synced, "Routes to be listed")
    assert not world.store.is_synced
    api.install(PORT_CLAIMS)
    wait_for(lambda: world.store.is_synced, "the store to be synced")
    assert world.claims() == {"a"}


def test_a_kind_that_nobody_requires_is_done_without(api: ApiServer, start: Callable[..., World]) -> None:
    """Where the API has it not throughout the start, nothing waits for it; when it comes, it counts."""
    api.has_port_claims = False
    world = start(required=False)
    wait_for(lambda: world.store.is_synced, "the store not to wait")
    assert "portclaims" not in world.input.kinds
    wait_for(lambda: world.input.is_connected, "the watches that matter to be connected")
    api.install(PORT_CLAIMS)
    world.wait_for("a")


@pytest.mark.parametrize("required", [True, False])
def test_claims_that_may_not_be_read_are_waited_for(
    api: ApiServer, start: Callable[..., World], *, required: bool
) -> None:
    """The kind is there, so there may be claims: a router that cannot know them does not decide without."""
    api.faults.forbid("list", "portclaims")
    world = start(required=required)
    wait_for(
        lambda: sum(request.path.endswith("/portclaims") for request in api.requests) > 4,
        "claims to be asked for often",
    )
    wait_for(lambda: world.input.kinds["routes"].is_synced, "Routes to be listed")
    assert not world.store.is_synced
    api.faults.allow("list", "portclaims")
    wait_for(lambda: world.store.is_synced, "the store to be synced")


def test_claims_stay_as_they_are_known(api: ApiServer, start: Callable[..., World]) -> None:
    """Once read, a 403, a deleted kind and an object that cannot be read take nothing away."""
    world = start()
    world.wait_for("a")
    api.faults.forbid("list", "portclaims")
    api.faults.forbid("watch", "portclaims")
    api.expire_history()
    api.faults.cut_streams()
    wait_for(lambda: not world.input.kinds["portclaims"].is_connected, "the 403 to be noticed")
    assert world.claims() == {"a"}
    api.faults.allow("list", "portclaims")
    api.faults.allow("watch", "portclaims")
    wait_for(lambda: world.input.kinds["portclaims"].is_connected, "the watch to be well")

    with capture_logs() as logs:
        # As a real server does it: the objects go first, then the kind.
        api.delete("PortClaim", NAMESPACE, "a")
        world.wait_for()
        api.has_port_claims = False
        world.wait_for("a")
    assert [line["claims"] for line in logs if line["event"] == "portclaims went with their kind"] == [1]
    api.install(PORT_CLAIMS)
    world.wait_for()
