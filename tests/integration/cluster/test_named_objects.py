"""Secrets that Routes name, over a real HTTP API server: in the store while they may be, and asked for by that one name alone."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from structlog.testing import capture_logs

from router.cluster import Pace
from router.cluster.named import NamedObjects
from router.cluster.named_kinds import kinds
from router.cluster.named_object import NamedPace
from router.kube.connection import Connection, Deadlines
from router.objects.config_map import config_map_key
from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.settings import KubeSettings
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer, Request
from tests.support.followed import Nobody
from tests.support.objects import ROUTER_ACCOUNT, may_read_secret, tls_secret
from tests.support.scripted_api import write_kubeconfig
from tests.support.waiting import wait_for

KEY = ObjectKey("team", "web-tls")
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
OWN = "openshift-ingress:tcp-router"
ROUTER = "openshift-ingress:router"
COMPONENT = Path(__file__).parents[3] / "manifests" / "components" / "external-certificates" / "rbac.yaml"


class World:
    """What follows Secrets by name, and where it tells."""

    def __init__(self, kubeconfig: Path, pace: NamedPace) -> None:
        settings = KubeSettings(kubeconfig=kubeconfig)
        self.store = Store()
        self.known: list[ObjectKey] = []
        self.supervisor = Supervisor()
        self.connection = Connection.open(
            settings, deadlines=Deadlines(connect_s=1.0, read_s=1.0, total_s=2.0), environ={}
        )
        self.named = NamedObjects(
            self.connection,
            self.store,
            kinds(ROUTER_ACCOUNT),
            self.known.append,
            Nobody(),
            pace=pace,
            watch_pace=Pace(pauses_s=(0.05, 0.2), streams_lists=False),
            supervisor=self.supervisor,
        )

    def found(self, key: ObjectKey = KEY) -> Credential | None:
        """Give what the store has."""
        self.store.take()
        return self.store.objects.credentials.get(key)

    def lack(self, key: ObjectKey = KEY) -> Lack | None:
        """Give what of it is lacking; None while nothing is known."""
        found = self.found(key)
        return found.lack if found is not None else None

    def has(self, text: str, key: ObjectKey = KEY) -> bool:
        """Whether the store has this certificate."""
        found = self.found(key)
        return found is not None and found.certificate == text


Start = Callable[..., World]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Give an API server with a Secret that both routers may read, and another that nobody names."""
    with ApiServer() as server:
        server.apply(
            tls_secret("web-tls", "one", "key one"),
            tls_secret("other", "none of ours", "none of ours"),
            *may_read_secret("web-tls", ROUTER, OWN),
            *yaml.safe_load_all(COMPONENT.read_text()),
        )
        yield server


@pytest.fixture
def start(api: ApiServer, tmp_path: Path) -> Iterator[Start]:
    """Give a maker of followers with no other rights than those that were granted."""
    worlds: list[World] = []

    def made(**pace: Any) -> World:
        token = api.access.issue("openshift-ingress", "tcp-router")
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", api.url, user={"token": token})
        worlds.append(World(kubeconfig, replace(NamedPace(again_s=0.1, retry_s=0.05, patience_s=0.3), **pace)))
        return worlds[-1]

    yield made
    for world in worlds:
        world.connection.close()
        world.named.stop()
        assert world.supervisor.deaths == {}
        # Watches of what was left before end in their own time.
        wait_for(lambda world=world: not world.supervisor.running, "all threads to end")  # type: ignore[misc]


def asked(api: ApiServer, plural: str) -> list[Request]:
    """Give what was asked about a kind."""
    return [request for request in api.requests if f"/{plural}" in request.path]


def test_secret_is_read_and_watched_by_its_name_alone(api: ApiServer, start: Start) -> None:
    """It is there at once, changes as it changes, and of no other Secret anything is asked."""
    world = start()
    world.named.follow([KEY])
    wait_for(lambda: world.has("one"), "the Secret")
    assert world.known == [KEY]
    wait_for(lambda: api.open_watches == 1, "the watch")
    api.update(tls_secret("web-tls", "two", "key two"))
    wait_for(lambda: world.has("two"), "its change")
    world.named.leave([KEY])
    wait_for(lambda: api.open_watches == 0, "the end of the watch")
    assert world.found() is None
    for request in asked(api, "secrets"):
        assert (
            request.path.endswith("/team/secrets/web-tls") or request.query["fieldSelector"] == "metadata.name=web-tls"
        )
        assert request.status == 200
    assert world.named.held == 0


def test_deleted_secret_lacks_until_it_is_there_again(api: ApiServer, start: Start) -> None:
    """That is known at once, by the watch."""
    world = start(again_s=60.0)
    world.named.follow([KEY])
    wait_for(lambda: api.open_watches == 1, "the watch")
    api.delete("Secret", "team", "web-tls")
    wait_for(lambda: world.lack() is Lack.ABSENT, "its end to be known")
    api.apply(tls_secret("web-tls", "two", "key two"))
    wait_for(lambda: world.has("two"), "the new one")


def test_secret_that_comes_after_its_route_is_waited_for_by_a_watch(api: ApiServer, start: Start) -> None:
    """Those who renew certificates make the Secret when the Route is there."""
    api.delete("Secret", "team", "web-tls")
    world = start(again_s=60.0)
    world.named.follow([KEY])
    wait_for(lambda: world.lack() is Lack.ABSENT and api.open_watches == 1, "it to be known that it is not there")
    api.apply(tls_secret("web-tls", "late", "key"))
    wait_for(lambda: world.has("late"), "it to come")


def test_no_right_of_the_router_is_lent(api: ApiServer, start: Start) -> None:
    """The router could read it. The account that is asked about may not, so it is not even read; when it may, it is."""
    api.apply(*may_read_secret("web-tls", OWN))
    world = start()
    world.named.follow([KEY])
    wait_for(lambda: world.lack() is Lack.NOT_GRANTED, "the review")
    assert asked(api, "secrets") == []
    found = world.found()
    assert found is not None
    assert found.problem == ROUTER_ACCOUNT
    api.apply(*may_read_secret("web-tls", ROUTER, OWN))
    wait_for(lambda: world.has("one"), "the right to be noticed")


def test_withdrawn_right_of_the_account_is_noticed(api: ApiServer, start: Start) -> None:
    """Nobody tells of it, so it is asked again; then what was read counts no more, and the watch ends."""
    world = start(review_s=0.2)
    world.named.follow([KEY])
    wait_for(lambda: world.has("one") and api.open_watches == 1, "the Secret")
    api.apply(*may_read_secret("web-tls", OWN))
    wait_for(lambda: world.lack() is Lack.NOT_GRANTED, "the withdrawal to be noticed")
    wait_for(lambda: api.open_watches == 0, "the end of the watch")


def test_router_that_may_not_read_it_says_so(api: ApiServer, start: Start) -> None:
    """The account may, this router may not: that is another thing to mend."""
    api.apply(*may_read_secret("web-tls", ROUTER))
    world = start()
    world.named.follow([KEY])
    wait_for(lambda: world.lack() is Lack.FORBIDDEN, "the refusal")
    api.apply(*may_read_secret("web-tls", ROUTER, OWN))
    wait_for(lambda: world.has("one"), "the right to be noticed")


def test_withdrawn_right_of_the_router_is_noticed(api: ApiServer, start: Start) -> None:
    """A watch that is open goes on without the right; a request says that it is gone."""
    world = start(review_s=0.2)
    world.named.follow([KEY])
    wait_for(lambda: world.has("one") and api.open_watches == 1, "the Secret")
    api.apply(*may_read_secret("web-tls", ROUTER))
    wait_for(lambda: world.lack() is Lack.FORBIDDEN, "the withdrawal to be noticed")
    wait_for(lambda: api.open_watches == 0, "the end of the watch")


def test_secret_that_may_be_read_and_not_watched_is_looked_at_again(api: ApiServer, start: Start) -> None:
    """The right to get it is enough, if slower; the watch is not tried again and again."""
    api.apply(*may_read_secret("web-tls", ROUTER, OWN, verbs=("get",)))
    world = start()
    world.named.follow([KEY])
    wait_for(lambda: world.has("one"), "the Secret")
    api.update(tls_secret("web-tls", "two", "key two"))
    wait_for(lambda: world.has("two"), "its change")
    before = len(asked(api, "secrets"))
    wait_for(lambda: len(asked(api, "secrets")) > before + 6, "more looks")
    refused = [request for request in asked(api, "secrets") if request.status == 403]
    granted = [request for request in asked(api, "secrets") if request.status == 200]
    assert len(refused) <= len(granted)


def test_other_kinds_of_secrets_are_not_kept(api: ApiServer, start: Start) -> None:
    """A token, or a password, is no certificate; nothing of it is in the store."""
    api.delete("Secret", "team", "web-tls")
    api.apply(tls_secret("web-tls", "hunter2", "hunter2", kind="Opaque"))
    world = start()
    world.named.follow([KEY])
    wait_for(lambda: world.lack() is Lack.UNREADABLE, "the Secret")
    found = world.found()
    assert found is not None
    assert (found.certificate, found.key_pem) == ("", "")
    assert "kubernetes.io/tls" in found.problem


def test_no_answer_is_told_after_a_while_and_mended_without_a_word(api: ApiServer, start: Start) -> None:
    """Who waits is told that the API server says nothing; it is asked on."""
    api.faults.fail("POST", REVIEWS, 500, times=1_000)
    world = start()
    with capture_logs() as logs:
        world.named.follow([KEY])
        wait_for(lambda: world.lack() is Lack.UNKNOWN, "it to be told")
    assert world.known == [KEY]
    assert len([line for line in logs if line["event"] == "object not read"]) == 1
    api.faults.clear()
    wait_for(lambda: world.has("one"), "the Secret")


def test_outage_takes_nothing_away(api: ApiServer, start: Start) -> None:
    """What was said last holds while reviews, lists and watches fail."""
    world = start(review_s=0.1)
    world.named.follow([KEY])
    wait_for(lambda: world.has("one") and api.open_watches == 1, "the Secret")
    api.faults.fail("POST", REVIEWS, 503, times=5)
    api.faults.cut_streams()
    before = len(asked(api, "subjectaccessreviews"))
    wait_for(lambda: len(asked(api, "subjectaccessreviews")) > before + 6, "reviews to go well again")
    assert world.has("one")
    api.update(tls_secret("web-tls", "two", "key two"))
    wait_for(lambda: world.has("two"), "its change")


def test_router_that_may_not_ask_says_so_at_once(api: ApiServer, start: Start) -> None:
    """Without the right to review no Secret is read; what was known before holds."""
    api.faults.forbid("create", "subjectaccessreviews")
    world = start(patience_s=1_000.0)
    world.named.follow([KEY])
    wait_for(lambda: world.lack() is Lack.UNKNOWN, "it to be told")
    assert asked(api, "secrets") == []
    api.faults.allow("create", "subjectaccessreviews")
    wait_for(lambda: world.has("one"), "the Secret")


def test_watches_are_few_however_many_names_there_are(api: ApiServer, start: Start) -> None:
    """Of a namespace some are watched, and the rest is looked at again; all are known."""
    names = [f"many-{number}" for number in range(12)]
    for name in names:
        api.apply(tls_secret(name, "one", "key"), *may_read_secret(name, ROUTER, OWN))
    world = start(watched_of_namespace=3)
    keys = [ObjectKey("team", name) for name in names]
    world.named.follow(keys)
    wait_for(lambda: all(world.has("one", key) for key in keys), "all of them")
    assert api.open_watches <= 3
    for name in names:
        api.update(tls_secret(name, "two", "key"))
    wait_for(lambda: all(world.has("two", key) for key in keys), "their changes")
    world.named.leave(keys)
    assert all(world.found(key) is None for key in keys)


def test_who_is_followed_twice_is_left_twice(api: ApiServer, start: Start) -> None:
    """Two Routes have one Secret: it stays until neither has."""
    world = start()
    world.named.follow([KEY])
    world.named.follow([KEY])
    wait_for(lambda: world.has("one") and api.open_watches == 1, "the Secret")
    world.named.leave([KEY])
    assert world.has("one")
    world.named.leave([KEY])
    assert world.found() is None
    world.named.follow([KEY])
    wait_for(lambda: world.has("one"), "it to be read anew")


CLIENTS = config_map_key("team", "clients")
CLIENTS_COMPONENT = COMPONENT.parents[1] / "client-certificates" / "rbac.yaml"


def clients(bundle: str, lists: str = "") -> dict[str, Any]:
    """Make a ConfigMap of authorities of clients, with other things in it."""
    data = {"ca-bundle.crt": bundle, "crl.pem": lists, "other": "x" * 10_000}
    metadata = {"name": "clients", "namespace": "team"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, "binaryData": {"b": "AAEC"}}


def test_config_map_is_read_and_watched_by_its_name_alone(api: ApiServer, start: Start) -> None:
    """By the rights of the component; nobody is asked about it, and what is in it beside is not kept. A Secret of its name is another object."""
    api.apply(clients("one", "two"), *yaml.safe_load_all(CLIENTS_COMPONENT.read_text()))
    world = start(again_s=60.0)
    world.named.follow([CLIENTS, ObjectKey("team", "clients")])

    def says() -> tuple[str, str, Lack] | None:
        found = world.found(CLIENTS)
        return (found.clients, found.revoked, found.lack) if found is not None else None

    wait_for(lambda: says() == ("one", "two", Lack.NOTHING), "the ConfigMap")
    wait_for(lambda: world.lack(ObjectKey("team", "clients")) is Lack.NOT_GRANTED, "the Secret of that name")
    wait_for(lambda: api.open_watches == 1, "the watch")
    api.update(clients("three"))
    wait_for(lambda: says() == ("three", "", Lack.NOTHING), "its change")
    api.delete("ConfigMap", "team", "clients")
    wait_for(lambda: world.lack(CLIENTS) is Lack.ABSENT, "its end")
    for request in asked(api, "configmaps"):
        by_name = request.path.endswith("/team/configmaps/clients")
        assert by_name or request.query["fieldSelector"] == "metadata.name=clients"
    found = world.found(CLIENTS)
    assert found is not None
    assert "x" * 100 not in str(msgspec.to_builtins(found))


def test_config_map_that_may_not_be_read(api: ApiServer, start: Start) -> None:
    """It says so; a Role for that one object is enough."""
    api.apply(clients("one"))
    world = start()
    world.named.follow([CLIENTS])
    wait_for(lambda: world.lack(CLIENTS) is Lack.FORBIDDEN, "the refusal")
    role, binding = may_read_secret("clients", OWN)
    role["rules"][0]["resources"] = ["configmaps"]
    api.apply(role, binding)
    wait_for(lambda: world.lack(CLIENTS) is Lack.NOTHING, "the ConfigMap")
    wait_for(lambda: api.open_watches == 1, "the watch")


def test_config_map_of_another_form(api: ApiServer, start: Start) -> None:
    """It cannot be used, and says nothing of what is in it."""
    api.apply(
        {**clients("one"), "data": {"ca-bundle.crt": ["secret"]}}, *yaml.safe_load_all(CLIENTS_COMPONENT.read_text())
    )
    world = start()
    world.named.follow([CLIENTS])
    wait_for(lambda: world.lack(CLIENTS) is Lack.UNREADABLE, "the refusal")
    found = world.found(CLIENTS)
    assert found is not None
    assert "secret" not in found.problem


@pytest.mark.parametrize("seed", range(5))
def test_random_lives(  # noqa: C901 - a life has many things in it
    api: ApiServer, start: Start, seed: int
) -> None:
    """Secrets, rights and references come and go while requests fail and streams are cut: in the end the store has what is so."""
    chance = random.Random(seed)  # noqa: S311 - to be the same each time
    world = start(review_s=0.2, watched_of_namespace=3)
    names = ["web-tls", "a", "b", "c", "d"]
    followed: Counter[str] = Counter()
    rights: dict[str, tuple[str, ...]] = {"web-tls": (ROUTER, OWN)}
    texts: dict[str, str] = {"web-tls": "one"}

    def follow(name: str) -> None:
        followed[name] += 1
        world.named.follow([ObjectKey("team", name)])

    def leave(name: str) -> None:
        if followed[name]:
            followed[name] -= 1
            world.named.leave([ObjectKey("team", name)])

    def write(name: str) -> None:
        texts[name] = f"text {chance.random()}"
        api.apply(tls_secret(name, texts[name], "key"))

    def delete(name: str) -> None:
        if texts.pop(name, None) is not None:
            api.delete("Secret", "team", name)

    def grant(name: str) -> None:
        rights[name] = chance.choice([(ROUTER, OWN), (ROUTER, OWN), (ROUTER,), (OWN,)])
        api.apply(*may_read_secret(name, *rights[name]))

    def trouble(name: str) -> None:  # noqa: ARG001 - of all names
        if chance.random() < 0.5:
            api.faults.cut_streams()
        else:
            api.faults.fail("", chance.choice([REVIEWS, "/api/v1/namespaces/team/secrets"]), 503, times=2)

    for _ in range(60):
        chance.choice([follow, follow, follow, leave, write, write, delete, grant, grant, trouble])(
            chance.choice(names)
        )
        if chance.random() < 0.3:
            # Not to wait for anything: what comes together, and one after another, are different things.
            time.sleep(chance.choice((0.01, 0.05, 0.2)))
    api.faults.clear()

    def wanted(name: str) -> Lack | str | None:
        if not followed[name]:
            return None
        if ROUTER not in rights.get(name, ()):
            return Lack.NOT_GRANTED
        if OWN not in rights[name]:
            return Lack.FORBIDDEN
        return texts.get(name, Lack.ABSENT)

    def found(name: str) -> Lack | str | None:
        credential = world.found(ObjectKey("team", name))
        return None if credential is None else credential.certificate or credential.lack

    wait_for(lambda: all(found(name) == wanted(name) for name in names), "the store to have what is so", 30)
    for name in names:
        world.named.leave([ObjectKey("team", name)] * followed[name])
    wait_for(lambda: api.open_watches == 0, "all watches to end")
    assert [name for name in names if found(name) is not None] == []
