"""Routes that name Secrets, on their way into the store: when something is known of these, and nobody else waits for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.cluster import KubeInput, Pace, sources_of
from router.kube.connection import Connection, Deadlines
from router.objects.credential import Lack
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.settings import KubeSettings
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer
from tests.support.followed import Nobody
from tests.support.objects import app, may_read_secret, route, tls_secret
from tests.support.waiting import wait_for

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def secure(name: str, secret: str, *, namespace: str = "team", port: int = 8443) -> list[dict[str, Any]]:
    """Make an application whose Route names a Secret."""
    tls = {"termination": "edge", "externalCertificate": {"name": secret}}
    return app(name, port, ("10.0.0.1", 5432), namespace=namespace, spec={"tls": tls})


class World:
    """A store, and the input that feeds it."""

    def __init__(self, kubeconfig: Path, **settings: Any) -> None:
        chosen = KubeSettings(kubeconfig=kubeconfig, **settings)
        self.store = Store(sources_of(chosen))
        self.supervisor = Supervisor()
        self.input = KubeInput(
            Connection.open(chosen, deadlines=Deadlines(connect_s=1.0, read_s=1.0, total_s=2.0), environ={}),
            self.store,
            chosen,
            lambda route: bool(route.metadata.annotations),
            Nobody(),
            pace=Pace(pauses_s=(0.05, 0.2), well_after_s=0.5),
            supervisor=self.supervisor,
        )

    def secret_of(self, name: str, namespace: str = "team") -> str | None:
        """Give the Secret that a Route of the store names; None if it is not there."""
        self.store.take()
        found = self.store.objects.routes.get(ObjectKey(namespace, name))
        if found is None or found.spec.tls is None or found.spec.tls.external_certificate is None:
            return None
        return found.spec.tls.external_certificate.name

    def secrets(self) -> dict[str, str]:
        """Give the certificates of the store, or what is lacking of them."""
        self.store.take()
        return {str(key): each.certificate or each.lack for key, each in self.store.objects.credentials.items()}


Start = Callable[..., World]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Give an API server with two Secrets that may be read."""
    with ApiServer() as server:
        for name in ("one", "two"):
            server.apply(tls_secret(name, f"certificate {name}", "key"), *may_read_secret(name))
        yield server


@pytest.fixture
def start(api: ApiServer, tmp_path: Path) -> Iterator[Start]:
    """Give a maker of inputs that are started, and stopped at the end."""
    worlds: list[World] = []

    def made(**settings: Any) -> World:
        worlds.append(World(api.kubeconfig(tmp_path), **settings))
        worlds[-1].input.start()
        wait_for(lambda: worlds[-1].store.is_synced, "all kinds to be listed")
        return worlds[-1]

    yield made
    for world in worlds:
        world.input.stop()
        assert world.supervisor.deaths == {}
        wait_for(lambda world=world: not world.supervisor.running, "all threads to end")  # type: ignore[misc]


def test_whoever_starts_has_certificates_when_it_is_synced(api: ApiServer, start: Start) -> None:
    """What was served before the router began is not closed for a moment because a review took a second attempt."""
    api.apply(*secure("web", "one"), *app("db", 6620, ("10.0.0.1", 5432)))
    api.faults.fail("POST", REVIEWS, 503)
    world = start()
    assert world.secret_of("web") == "one"
    assert world.secrets() == {"team/one": "certificate one"}


def test_route_waits_for_its_secret_and_others_do_not_wait(api: ApiServer, start: Start) -> None:
    """It comes when something is known; with a Secret that is new to it, it stays as it was until then."""
    world = start()
    api.faults.fail("POST", REVIEWS, 503)
    api.apply(*secure("web", "one"))
    api.apply(*app("db", 6620, ("10.0.0.1", 5432)))
    wait_for(lambda: world.store.take()[0] and ObjectKey("team", "db") in world.store.objects.routes, "the other Route")
    assert world.secret_of("web") is None
    wait_for(lambda: world.secret_of("web") == "one", "the Route")
    assert world.secrets() == {"team/one": "certificate one"}

    api.faults.fail("POST", REVIEWS, 503)
    api.update(secure("web", "two")[0])
    api.apply(route("late", 6621))
    wait_for(lambda: world.store.take()[0] and ObjectKey("team", "late") in world.store.objects.routes, "a later Route")
    assert world.secret_of("web") == "one"
    assert world.secrets() == {"team/one": "certificate one"}
    wait_for(lambda: world.secret_of("web") == "two", "the Route to change")
    wait_for(lambda: world.secrets() == {"team/two": "certificate two"}, "the former Secret to go")


def test_deleted_route_takes_its_secret_along(api: ApiServer, start: Start) -> None:
    """Also one that still waited."""
    api.apply(*secure("web", "one"))
    world = start()
    api.faults.fail("POST", REVIEWS, 503, times=3)
    api.apply(*secure("other", "two", port=8444))
    wait_for(lambda: [each for each in api.requests if each.path == REVIEWS and each.status == 503], "a review")
    api.delete("Route", "team", "other")
    api.delete("Route", "team", "web")
    wait_for(lambda: world.secrets() == {} and api.open_watches == 3, "its Secret to go")
    api.faults.clear()
    api.apply(*secure("web", "one"))
    wait_for(lambda: world.secrets() == {"team/one": "certificate one"}, "it to come again")
    assert world.secret_of("other") is None


def test_without_references_nothing_is_asked(api: ApiServer, start: Start) -> None:
    """Neither for Routes with certificates of their own, nor for passthrough, nor for those of other routers."""
    passthrough = {"tls": {"termination": "passthrough", "externalCertificate": {"name": "one"}}}
    foreign = secure("foreign", "two")
    del foreign[0]["metadata"]["annotations"]
    api.apply(
        *app("db", 6620, ("10.0.0.1", 5432)),
        *app("own", 6621, ("10.0.0.1", 5432), spec={"tls": {"termination": "edge", "certificate": "x"}}),
        *app("through", 6622, ("10.0.0.1", 5432), spec=passthrough),
        *foreign,
    )
    world = start()
    assert len(world.store.take()[0].askers) == 4
    assert world.secrets() == {}
    assert not {"named objects", "watch named object"} & world.supervisor.running.keys()
    assert not [each for each in api.requests if "secrets" in each.path or each.path == REVIEWS]


def test_secrets_of_namespaces_of_another_shard_are_not_read(api: ApiServer, start: Start) -> None:
    """With a selector of namespaces: not before the namespace has the label, and no longer than that."""
    api.apply(*secure("web", "one"))
    world = start(namespace_selector="shard=b")
    assert not [each for each in api.requests if "secrets" in each.path or each.path == REVIEWS]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {"shard": "b"}}}
    api.update(namespace)
    wait_for(lambda: world.secret_of("web") == "one", "the Route")
    assert world.secrets() == {"team/one": "certificate one"}
    namespace["metadata"]["labels"] = {"shard": "a"}  # type: ignore[index]
    api.update(namespace)
    wait_for(lambda: world.secret_of("web") is None and world.secrets() == {}, "it to go")


@pytest.mark.parametrize("name", ["../../kube-system/secrets/one", "one?watch=true", "One", "a/b", "." * 3, "x" * 254])
def test_names_that_no_secret_has_are_never_asked_for(api: ApiServer, start: Start, name: str) -> None:
    """A name goes into a path, and a path could lead elsewhere."""
    api.apply(*app("db", 6620, ("10.0.0.1", 5432)))
    world = start()
    api.apply(*secure("web", name))
    wait_for(lambda: world.secret_of("web") == name, "the Route")
    assert world.secrets() == {}
    assert not [each for each in api.requests if "secrets" in each.path or each.path == REVIEWS]


def test_many_routes_of_one_secret_wait_for_it_once(api: ApiServer, start: Start) -> None:
    """A wildcard's Secret is read once, whoever names it; and what is missing is said of all."""
    for number in range(30):
        api.apply(*secure(f"web-{number}", "one" if number % 2 else "none", port=7000 + number))
    api.apply(*may_read_secret("none"))
    world = start()
    assert {world.secret_of(f"web-{number}") for number in range(30)} == {"one", "none"}
    assert world.secrets() == {"team/one": "certificate one", "team/none": Lack.ABSENT}
    assert len([each for each in api.requests if each.path == REVIEWS]) == 2
