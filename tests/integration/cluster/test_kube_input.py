"""The input over a real HTTP API server: at the end the store says what the server has, whatever went wrong between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.cluster import KubeInput, Pace, sources_of
from router.kube.connection import Connection, Deadlines
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.settings import KubeSettings
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer
from tests.support.objects import endpoint_slice, route, service
from tests.support.scripted_api import Asked, Reply, ScriptedApi, write_kubeconfig
from tests.support.waiting import wait_for

PACE = Pace(pauses_s=(0.05, 0.4), well_after_s=0.5)
QUICK = Deadlines(connect_s=1.0, read_s=1.0, total_s=2.0)
NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
"""JSON that is deeper than Python's stack."""
OURS = "haproxy.router.openshift.io/router-name"


def is_ours(found: AskingObject) -> bool:
    """Whether the Route has the name of the router of these tests."""
    return (found.metadata.annotations or {}).get(OURS) == "tcp-router"


class Restarts:
    """Counts what the observer is told."""

    def __init__(self) -> None:
        self.raises = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count; or be what nobody foresaw, on the thread of the watch."""
        if self.raises:
            raise ZeroDivisionError
        with self._lock:
            self.counts[kind, cause] += 1

    def causes(self, kind: str) -> set[str]:
        """Give the causes seen for a kind."""
        with self._lock:
            return {cause for name, cause in self.counts if name == kind}


class World:
    """A store, what feeds it, and from where."""

    def __init__(self, kubeconfig: Path, settings: dict[str, Any], pace: Pace) -> None:
        chosen = KubeSettings(kubeconfig=kubeconfig, **settings)
        self.store = Store(sources_of(chosen))
        self.restarts = Restarts()
        self.supervisor = Supervisor()
        self.expected_deaths: dict[str, int] = {}
        self.connection = Connection.open(chosen, deadlines=QUICK, environ={})
        self.input = KubeInput(
            self.connection, self.store, chosen, is_ours, self.restarts, pace=pace, supervisor=self.supervisor
        )

    def routes(self) -> set[str]:
        """Give the Routes of the store."""
        self.store.take()
        return {str(key) for key in self.store.objects.routes}

    def services(self) -> set[str]:
        """Give the Services of the store."""
        self.store.take()
        return {str(key) for key in self.store.objects.services}

    def addresses(self, name: str, namespace: str = "team") -> set[str]:
        """Give the endpoints' addresses of a Service."""
        self.store.take()
        slices = self.store.objects.slices.get(ObjectKey(namespace, name), {})
        return {endpoint.addresses[0] for found in slices.values() for endpoint in found.endpoints or ()}

    def synced(self) -> World:
        """Wait until everything was listed."""
        wait_for(lambda: self.store.is_synced, "all kinds to be listed")
        return self


Watch = Callable[..., World]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Give an API server with one application of ours."""
    with ApiServer() as server:
        server.apply(*application("db", 6620, "10.0.0.1"))
        yield server


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Give a maker of inputs that are started, and stopped at the end."""
    worlds: list[World] = []

    def make(server: Any, *, pace: Pace = PACE, token_file: Path | None = None, **settings: Any) -> World:
        if isinstance(server, ApiServer):
            path = server.kubeconfig(tmp_path, token_file=token_file)
        else:
            path = write_kubeconfig(tmp_path / "kubeconfig", server.url)
        world = World(path, settings, pace)
        worlds.append(world)
        world.input.start()
        return world

    yield make
    for world in worlds:
        world.input.stop()
        assert world.supervisor.deaths == world.expected_deaths


def application(name: str, port: int, *addresses: str, namespace: str = "team") -> list[dict[str, Any]]:
    """Make Route, Service and slices."""
    return [
        route(name, port, namespace=namespace),
        service(name, namespace=namespace),
        *endpoint_slice(name, *((address, 5432) for address in addresses), namespace=namespace),
    ]


def test_objects_arrive_and_changes_follow(api: ApiServer, watch: Watch) -> None:
    """What is there when it starts is in the store when it says synced; changes come after."""
    world = watch(api).synced()
    assert world.routes() == {"team/db"}
    assert world.services() == {"team/db"}
    assert world.addresses("db") == {"10.0.0.1"}

    api.apply(*endpoint_slice("db", ("10.0.0.2", 5432)))
    wait_for(lambda: world.addresses("db") == {"10.0.0.2"}, "the endpoint to move")
    api.delete("Route", "team", "db")
    wait_for(lambda: not world.routes(), "the Route to go")
    wait_for(lambda: not world.services() and not world.addresses("db"), "what it referred to to go")
    assert world.input.is_connected
    assert world.input.kinds["endpointslices"].held == 0


def test_a_new_route_comes_with_what_it_refers_to(api: ApiServer, watch: Watch) -> None:
    """When a Route appears in the store, its Service and endpoints are there already, though they were passed over before."""
    world = watch(api).synced()
    api.apply(service("web"), *endpoint_slice("web", ("10.0.0.7", 5432)))
    api.apply(route("web", 6621))
    wait_for(lambda: "team/web" in world.routes(), "the Route")

    assert ObjectKey("team", "web") in world.store.objects.services
    assert ObjectKey("team", "web") in world.store.objects.slices


def test_a_route_after_its_service_needs_no_request(api: ApiServer, watch: Watch) -> None:
    """What the watches brought is all that there is. Of a Route that comes again nothing was kept, and it is asked for."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")
    seen = {name: kind.last_event_s for name, kind in world.input.kinds.items()}
    api.apply(service("web"), *endpoint_slice("web", ("10.0.0.7", 5432)))
    wait_for(
        lambda: all(world.input.kinds[name].last_event_s != seen[name] for name in ("services", "endpointslices")),
        "both to be brought",
    )

    def lists() -> int:
        return sum("watch" not in request.query for request in api.requests)

    before = lists()
    api.apply(route("web", 6621))
    wait_for(lambda: world.addresses("web") == {"10.0.0.7"} and "team/web" in world.routes(), "the Route")
    api.apply(*endpoint_slice("web", ("10.0.0.8", 5432)))
    wait_for(lambda: world.addresses("web") == {"10.0.0.8"}, "the endpoint to move")
    assert lists() == before

    api.delete("Route", "team", "web")
    wait_for(lambda: "team/web" not in world.services(), "the Route to go")
    api.apply(route("web", 6621))
    wait_for(lambda: world.addresses("web") == {"10.0.0.8"} and "team/web" in world.routes(), "the Route again")
    assert lists() == before + 2


def test_a_route_that_becomes_ours_is_followed(api: ApiServer, watch: Watch) -> None:
    """Foreign Routes are in the store, what they refer to is not; an edit of the annotation brings it, and another takes it."""
    world = watch(api).synced()
    api.apply(service("web"), *endpoint_slice("web", ("10.0.0.7", 5432)), route("web", 6621, router_name="other"))
    wait_for(lambda: "team/web" in world.routes(), "the Route")
    assert world.services() == {"team/db"}

    api.apply(route("web", 6621))
    wait_for(lambda: world.addresses("web") == {"10.0.0.7"}, "the endpoints to come")
    api.apply(route("web", 6621, router_name="other"))
    wait_for(lambda: world.services() == {"team/db"} and not world.addresses("web"), "them to go")


def test_lists_come_in_pages(api: ApiServer, watch: Watch) -> None:
    """More objects than a page has are all there."""
    for number in range(25):
        api.apply(route(f"r{number}", 7000 + number))
    world = watch(api, pace=Pace(page_size=10, asks_for_all=False)).synced()

    assert len(world.routes()) == 26
    assert any(request.query.get("continue") for request in api.requests)


def test_a_list_is_one_answer(api: ApiServer, watch: Watch) -> None:
    """The API server is asked once for all that there is of a kind, and what it has is all there."""
    for number in range(25):
        api.apply(route(f"r{number}", 7000 + number))
    world = watch(api, pace=Pace(page_size=10)).synced()

    assert len(world.routes()) == 26
    lists = [
        request
        for request in api.requests
        if request.path.endswith("/routes") and "resourceVersion" not in request.query
    ]
    assert [dict(request.query) for request in lists] == [{}]


def test_foreign_events_leave_nothing(api: ApiServer, watch: Watch) -> None:
    """Of Services and slices that no Route of ours refers to nothing is kept when they change."""
    world = watch(api).synced()
    for number in range(50):
        api.apply(service(f"s{number}"), *endpoint_slice(f"s{number}", ("10.1.0.1", 80)))
    api.apply(service("late"), *endpoint_slice("late", ("10.1.0.2", 80)), *endpoint_slice("db", ("10.0.0.3", 1)))
    wait_for(lambda: world.addresses("db") == {"10.0.0.3"}, "a later event")

    kinds = world.input.kinds
    assert (kinds["services"].held, kinds["endpointslices"].held) == (1, 1)


def _ten_thousand(asked: Asked, reply: Reply) -> None:
    """Answer with 10,000 Services, a slice for each, and one Route."""
    if asked.is_watch:
        reply.begin_stream()
        reply.stay()
        return
    if asked.path.endswith("/routes"):
        reply.json({"metadata": {"resourceVersion": "1"}, "items": [route("s7", 6620)]})
        return
    first, size = int(asked.query.get("continue", "0")), int(asked.query.get("limit", "10000"))
    names = [f"s{number}" for number in range(first, first + size)]
    if asked.path.endswith("/services"):
        items = [service(name) for name in names]
    else:
        items = [found for name in names for found in endpoint_slice(name, ("10.1.0.1", 80))]
    rest = str(first + size) if first + size < 10_000 else ""
    reply.json({"metadata": {"resourceVersion": "1", "continue": rest}, "items": items})


def test_ten_thousand_foreign_services_leave_memory_small(watch: Watch) -> None:
    """Of them nothing is kept, in the input or in the store."""
    with ScriptedApi(_ten_thousand) as server:
        world = watch(server).synced()
        kinds = world.input.kinds
        assert (kinds["services"].held, kinds["endpointslices"].held) == (1, 1)
        assert world.services() == {"team/s7"}
        assert world.addresses("s7") == {"10.1.0.1"}
        world.input.stop()


def _outage(api: ApiServer) -> None:
    api.faults.refuse_connections()


def _expired(api: ApiServer) -> None:
    api.faults.refuse_connections()
    api.expire_history()


@pytest.mark.parametrize("fault", [_outage, _expired])
def test_what_is_deleted_during_an_outage_disappears(
    api: ApiServer, watch: Watch, fault: Callable[[ApiServer], None]
) -> None:
    """While the server is away the last known state stands; after it the store says what the server has."""
    world = watch(api).synced()
    # A stream that is not open yet cannot be cut.
    wait_for(lambda: api.open_watches == 3, "all watches")
    fault(api)
    wait_for(lambda: not world.input.is_connected, "the outage to be noticed")
    assert world.routes() == {"team/db"}
    assert world.store.is_synced
    api.delete("Route", "team", "db")
    api.apply(*application("web", 6621, "10.0.0.9"))
    if fault is _expired:
        api.expire_history()
    api.faults.refuse_connections(on=False)

    wait_for(lambda: world.routes() == {"team/web"}, "the store to follow")
    wait_for(lambda: world.addresses("web") == {"10.0.0.9"} and not world.addresses("db"), "endpoints to follow")
    wait_for(lambda: world.input.is_connected, "the connection")


FAULTS: dict[str, tuple[Callable[[ApiServer], None], str]] = {
    "410 in the stream": (lambda api: _gone(api, as_status=False), "gone"),
    "410 as a status": (lambda api: _gone(api, as_status=True), "gone"),
    "ERROR 500": (lambda api: api.faults.error_event("Route", 500), "error_event"),
    "cut": (lambda api: api.faults.cut_streams(), "unreachable"),
    "cut in the middle of an object": (lambda api: api.faults.cut_mid_object("Route"), "unreachable"),
    "429": (lambda api: _failing(api, 429), "busy"),
    "500": (lambda api: _failing(api, 500), "busy"),
    "401": (lambda api: _failing(api, 401), "unauthorized"),
    "403": (lambda api: _failing(api, 403), "forbidden"),
    "404": (lambda api: _failing(api, 404), "absent"),
    "502, nested deeply": (lambda api: _failing(api, 502, NESTED), "busy"),
}


def _gone(api: ApiServer, *, as_status: bool) -> None:
    api.faults.gone_next_watch("Route", as_status=as_status)
    api.faults.cut_streams()


def _failing(api: ApiServer, status: int, raw: bytes | None = None) -> None:
    api.faults.fail("GET", "/apis/route", status, times=3, raw=raw)
    api.faults.cut_streams()


@pytest.mark.parametrize(("fault", "cause"), FAULTS.values(), ids=FAULTS)
def test_faults_are_got_over(api: ApiServer, watch: Watch, fault: Callable[[ApiServer], None], cause: str) -> None:
    """Whatever the fault, the watch begins again, its cause is counted, and changes go on arriving."""
    world = watch(api).synced()
    fault(api)
    api.apply(*application("web", 6621, "10.0.0.9"))
    api.delete("Route", "team", "db")

    wait_for(lambda: cause in world.restarts.causes("routes"), "the cause to be counted")
    wait_for(lambda: world.routes() == {"team/web"}, "the store to follow")
    wait_for(lambda: world.addresses("web") == {"10.0.0.9"}, "endpoints to follow")


def test_a_stream_that_ends_is_resumed_without_a_list(api: ApiServer, watch: Watch) -> None:
    """A cut costs one new watch, from where the last one was."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")
    lists = [request for request in api.requests if "watch" not in request.query]
    api.faults.cut_streams()
    api.apply(route("web", 6621, router_name="other"))
    wait_for(lambda: "team/web" in world.routes(), "a change after the cut")

    assert [request for request in api.requests if "watch" not in request.query] == lists


def test_what_a_route_names_that_is_no_service_is_never_asked_for(api: ApiServer, watch: Watch) -> None:
    """Such a name would go into a selector, which the server refuses; then all that there is was listed again."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")
    before = lists_of_everything(api)
    names = ["a b", "a,b", "a=b", "A", "a.b", "../../x", "a" * 300, "a\n", "%2e", "&limit=1", "\u00e9", "-", "a-"]
    for number, name in enumerate(names):
        api.apply(route(f"bad{number}", 6700 + number, service=name))
        spare = {"alternateBackends": [{"kind": "Service", "name": name}]}
        api.apply(route(f"spare{number}", 6800 + number, service="db", spec=spare))
    api.apply(*application("web", 6621, "10.0.0.9"))

    wait_for(lambda: world.addresses("web") == {"10.0.0.9"}, "the others to follow")
    assert len(world.routes()) == 2 * len(names) + 2
    assert {request.status for request in api.requests if "sendInitialEvents" not in request.query} == {200}
    assert lists_of_everything(api) == before
    asked = {request.query.get("labelSelector", "") for request in api.requests}
    assert asked <= {"", "kubernetes.io/service-name=web", "kubernetes.io/service-name=db"}


@pytest.mark.parametrize("status", [429, 500, 503, 403])
def test_what_cannot_be_fetched_is_fetched_again_and_nothing_else(api: ApiServer, watch: Watch, status: int) -> None:
    """A Route whose Service and slices the server will not give now gets them later, without a list of all there is."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")
    api.apply(*application("web", 6621, "10.0.0.9"))
    wait_for(lambda: world.addresses("web") == {"10.0.0.9"}, "the Route")
    # Of a Service that was dropped nothing is kept: when its Route comes again, it is asked for.
    api.delete("Route", "team", "web")
    wait_for(lambda: "team/web" not in world.services(), "the Route to go")
    before = lists_of_everything(api)
    for path in ("/api/v1/namespaces/team/services", "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"):
        api.faults.fail("GET", path, status, times=4)
    api.apply(route("web", 6621))
    api.apply(*endpoint_slice("db", ("10.0.0.2", 5432)))
    wait_for(lambda: world.addresses("web") == {"10.0.0.9"} and "team/web" in world.services(), "them to be fetched")
    wait_for(lambda: world.addresses("db") == {"10.0.0.2"}, "the watch to go on")
    wait_for(lambda: world.input.is_connected, "the connection")
    assert lists_of_everything(api) == before


def lists_of_everything(api: ApiServer) -> int:
    """Count lists of all namespaces."""
    return sum("watch" not in request.query and "/namespaces/" not in request.path for request in api.requests)


def _refusing(api: ApiServer, restarts: Restarts) -> None:
    """Refuse connections until each kind has failed more often than any bound that there could be."""
    api.faults.refuse_connections()
    kinds = ("routes", "services", "endpointslices")
    wait_for(lambda: all(restarts.counts[kind, "unreachable"] >= 6 for kind in kinds), "six failures of each")
    api.faults.refuse_connections(on=False)


def _answering(status: int) -> Callable[[ApiServer, Restarts], None]:
    def order(api: ApiServer, restarts: Restarts) -> None:
        before = sum(restarts.counts.values())
        api.faults.fail("GET", "/api", status, times=18)
        api.faults.cut_streams()
        # The connection may meet a 401 twice in one call, the second time with credentials that it has read again.
        failures = 9 if status == 401 else 18
        wait_for(lambda: sum(restarts.counts.values()) >= before + 3 + failures, "three cuts and the refusals")

    return order


@pytest.mark.parametrize(
    "fail",
    [_refusing, *(_answering(status) for status in (429, 500, 503, 401, 403, 404))],
    ids=["refused connections", "429", "500", "503", "401", "403", "404"],
)
def test_nothing_is_listed_again_after_failures_that_say_nothing_of_the_place(
    api: ApiServer, watch: Watch, fail: Callable[[ApiServer, Restarts], None]
) -> None:
    """A resourceVersion that is still good is watched on from, however many failures there were in a row."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")

    def lists() -> int:
        return sum("watch" not in request.query for request in api.requests)

    # Routes of another, whose Services are asked for by nobody.
    api.apply(route("before", 6700, router_name="other"))
    wait_for(lambda: "team/before" in world.routes(), "a change before")
    before = lists()
    fail(api, world.restarts)
    refused = sum("watch" not in request.query for request in api.requests) - before
    api.apply(route("after", 6701, router_name="other"))
    api.delete("Route", "team", "before")
    wait_for(lambda: world.routes() == {"team/db", "team/after"}, "changes after it")
    wait_for(lambda: world.input.is_connected, "the connection")
    assert (refused, lists() - before) == (0, 0)


def test_a_database_that_was_restored_is_listed_after_two_silent_streams(watch: Watch) -> None:
    """A server that is behind what was read of it sends nothing on streams from there, and is not waited for without end."""
    is_restored = threading.Event()

    def script(asked: Asked, reply: Reply) -> None:
        version = "5" if is_restored.is_set() else "70"
        if asked.is_watch and not is_restored.is_set():
            followed.add(asked.path)
        if not asked.is_watch:
            items = [route("restored")] if is_restored.is_set() and asked.path.endswith("/routes") else []
            reply.json({"metadata": {"resourceVersion": version}, "items": items})
            return
        reply.begin_stream()
        if asked.query["resourceVersion"] == version:
            reply.event("BOOKMARK", {"metadata": {"resourceVersion": version}})
            if len(followed) == 3:
                is_restored.set()
        reply.stay()

    followed: set[str] = set()
    pace = Pace(pauses_s=(0.05, 0.1), unproven_watch_s=(0.2, 0.3), grace_s=0.1, bookmark_silence_s=0.3)
    with ScriptedApi(script) as server:
        world = watch(server, pace=pace)
        wait_for(lambda: world.routes() == {"team/restored"}, "what is in the restored database")
        watches = [
            asked.query["resourceVersion"] for asked in server.asked if asked.is_watch and "routes" in asked.path
        ]
        assert watches.count("70") >= 3, watches
        world.input.stop()


def test_bookmarks_move_the_place_to_resume_at(api: ApiServer, watch: Watch) -> None:
    """After a bookmark a watch resumes from it, so that history before it may go."""
    world = watch(api).synced()
    wait_for(lambda: api.open_watches == 3, "all watches")
    for number in range(5):
        api.apply(service(f"s{number}"))
    seen = [kind.last_event_s for kind in world.input.kinds.values()]
    api.bookmark()
    wait_for(lambda: all(k.last_event_s not in seen for k in world.input.kinds.values()), "bookmarks")
    api.expire_history()
    api.bookmark()
    wait_for(lambda: api.bookmarks_asked == 2, "bookmarks")
    api.faults.cut_streams()
    api.apply(route("web", 6621))
    wait_for(lambda: "team/web" in world.routes(), "a change")


def test_403_says_what_is_missing_and_what_grants_it(api: ApiServer, watch: Watch) -> None:
    """The problem names verb, resource and file; when the permission comes, the router goes on by itself."""
    api.faults.forbid("watch", "services")
    api.faults.forbid("list", "routes")
    world = watch(api)
    problem = wait_for(lambda: world.input.kinds["routes"].problem, "the problem")
    assert "list routes.route.openshift.io" in problem
    assert "manifests/base/rbac.yaml" in problem
    assert not world.store.is_synced

    api.faults.allow("list", "routes")
    problem = wait_for(lambda: world.input.kinds["services"].problem, "the second problem")
    assert "watch services" in problem
    api.faults.allow("watch", "services")
    wait_for(lambda: world.input.is_connected, "the permission to take effect")


def test_an_absent_route_api_is_waited_for(api: ApiServer, watch: Watch) -> None:
    """Without the CRD the problem says what to do; when it is installed, the Routes come."""
    api.has_routes = False
    world = watch(api)
    problem = wait_for(lambda: world.input.kinds["routes"].problem, "the problem")
    assert "Route CRD" in problem
    assert "docs/kubernetes.md" in problem

    api.has_routes = True
    assert world.synced().routes() == {"team/db"}


def test_a_rotated_token_is_taken_up(api: ApiServer, watch: Watch, tmp_path: Path) -> None:
    """When the server stops accepting the old token, the new one is read from its file, and no watch counts that as a failure."""
    token = tmp_path / "token"
    token.write_text("one")
    api.tokens.add("one")
    world = watch(api, token_file=token).synced()
    token.write_text("two")
    api.tokens.clear()
    api.tokens.add("two")
    api.faults.cut_streams()
    api.apply(route("web", 6621))

    wait_for(lambda: "team/web" in world.routes(), "the change with the new token")
    assert 401 in {request.status for request in api.requests}
    assert "unauthorized" not in {cause for _, cause in world.restarts.counts}


def test_tls_with_a_private_ca(watch: Watch) -> None:
    """The CA of the kubeconfig is what the server is verified against."""
    with ApiServer(tls=True) as server:
        server.apply(*application("db", 6620, "10.0.0.1"))
        world = watch(server).synced()
        assert world.addresses("db") == {"10.0.0.1"}
        world.input.stop()


def test_namespaces_are_asked_one_by_one(api: ApiServer, watch: Watch) -> None:
    """With --namespace only these are asked for: a Role in each of them is enough."""
    for namespace in ("red", "blue"):
        api.apply(*application("app", 6700 if namespace == "red" else 6701, "10.0.0.4", namespace=namespace))
    world = watch(api, namespaces=("red", "blue")).synced()

    assert world.routes() == {"red/app", "blue/app"}
    assert world.addresses("app", "red") == {"10.0.0.4"}
    assert all("/namespaces/" in request.path for request in api.requests)


def test_a_namespace_comes_and_goes_with_its_label(api: ApiServer, watch: Watch) -> None:
    """With --namespace-selector the Routes of a namespace are there while it has the label, and as they are."""

    def label(namespace: str, *, shard: str) -> None:
        api.update(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"shard": shard}}}
        )

    api.apply(*application("app", 6700, "10.0.0.4", namespace="red"))
    world = watch(api, namespace_selector="shard=a").synced()
    assert world.routes() == set()

    label("red", shard="a")
    wait_for(lambda: world.routes() == {"red/app"} and world.addresses("app", "red") == {"10.0.0.4"}, "the namespace")
    label("red", shard="b")
    wait_for(lambda: not world.routes() and not world.services() and not world.addresses("app", "red"), "it to go")
    api.delete("Route", "red", "app")
    api.apply(route("new", 6701, namespace="red"))
    label("red", shard="a")
    wait_for(lambda: world.routes() == {"red/new"}, "the namespace as it is now")


def test_a_route_comes_and_goes_with_its_label(api: ApiServer, watch: Watch) -> None:
    """With --route-selector the server gives only Routes that match, and tells when one does no longer."""
    world = watch(api, route_selector="shard=a").synced()
    assert world.routes() == set()

    labelled = route("db", 6620)
    labelled["metadata"]["labels"] = {"shard": "a"}
    api.update(labelled)
    wait_for(lambda: world.routes() == {"team/db"}, "the Route")
    api.update(route("db", 6620))
    wait_for(lambda: not world.routes(), "it to go")


def test_endpoints_in_the_place_of_slices(api: ApiServer, watch: Watch) -> None:
    """With --endpoints endpoints the same addresses come from the older kind."""
    subset = {"addresses": [{"ip": "10.0.0.5"}], "ports": [{"name": "tcp", "port": 5432}]}
    api.apply(
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": "team"}, "subsets": [subset]}
    )
    world = watch(api, endpoints="endpoints").synced()

    assert world.addresses("db") == {"10.0.0.5"}


def _requests_in_a_second(count: Callable[[], int]) -> int:
    """Count from now for a second."""
    before, ends_s = count(), time.monotonic() + 1.0
    wait_for(lambda: time.monotonic() >= ends_s, "a second")
    return count() - before


def _end_at_once(asked: Asked, reply: Reply) -> None:
    if asked.is_watch:
        reply.begin_stream()
        reply.end_stream()
    else:
        reply.json({"metadata": {"resourceVersion": "1"}, "items": []})


def _gone_at_once(asked: Asked, reply: Reply) -> None:
    if asked.is_watch:
        reply.begin_stream()
        reply.event("ERROR", {"kind": "Status", "code": 410, "message": "too old"})
        reply.end_stream()
    else:
        reply.json({"metadata": {"resourceVersion": "1"}, "items": []})


def _garbage(_asked: Asked, reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")


@pytest.mark.parametrize(
    "script",
    [
        _end_at_once,
        _gone_at_once,
        _garbage,
        lambda _, reply: reply.json({}, 403),
        lambda _, reply: reply.json({}, 401),
        lambda _, reply: reply.json({}, 500),
    ],
    ids=["ends at once", "gone at once", "garbage", "403", "401", "500"],
)
def test_there_is_no_hot_loop(watch: Watch, script: Callable[[Asked, Reply], None]) -> None:
    """A server that answers every request at once, and never well, is not asked more and more."""
    with ScriptedApi(script) as server:
        world = watch(server, pace=Pace())
        wait_for(lambda: len(server.asked) >= 3, "the first requests")
        asked = _requests_in_a_second(lambda: len(server.asked))
        world.input.stop()

    # Three kinds, and for each a list and a watch at the second 0.2, 0.6 and 1.4, at most.
    assert asked <= 24


def test_retry_after_is_kept(watch: Watch) -> None:
    """A server that asks to wait is not asked meanwhile."""
    with ScriptedApi(lambda _, reply: reply.json({}, 429, Retry_After="60")) as server:
        world = watch(server)
        wait_for(lambda: world.input.kinds["routes"].problem, "the first answer")
        assert _requests_in_a_second(lambda: len(server.asked)) == 0
        world.input.stop()


def test_silence_is_noticed(watch: Watch) -> None:
    """A stream that says nothing for longer than it may is begun again, from where it was."""

    def script(asked: Asked, reply: Reply) -> None:
        if asked.is_watch:
            reply.begin_stream()
            reply.event("BOOKMARK", {"metadata": {"resourceVersion": "7"}})
            reply.stay()
        reply.json({"metadata": {"resourceVersion": "1"}, "items": []})

    pace = Pace(unproven_watch_s=(0.2, 0.3), grace_s=0.1, bookmark_silence_s=0.3)
    with ScriptedApi(script) as server:
        world = watch(server, pace=pace).synced()
        wait_for(lambda: "unreachable" in world.restarts.causes("routes"), "the silence to be noticed")
        wait_for(lambda: any(asked.query.get("resourceVersion") == "7" for asked in server.asked), "it to be resumed")
        world.input.stop()


def test_slow_bytes_are_no_cut(api: ApiServer, watch: Watch) -> None:
    """A server that sends slowly is followed all the same."""
    world = watch(api).synced()
    api.faults.slow(2000)
    api.apply(route("web", 6621, router_name="other"))
    wait_for(lambda: "team/web" in world.routes(), "the change")


def _mute(_asked: Asked, reply: Reply) -> None:
    reply.stay()


def _mute_stream(asked: Asked, reply: Reply) -> None:
    if asked.is_watch:
        reply.begin_stream()
        reply.stay()
    reply.json({"metadata": {"resourceVersion": "1"}, "items": []})


def _mute_watch(asked: Asked, reply: Reply) -> None:
    if asked.is_watch:
        reply.stay()
    reply.json({"metadata": {"resourceVersion": "1"}, "items": []})


def _busy(_asked: Asked, reply: Reply) -> None:
    reply.json({}, 500, Retry_After="100")


@pytest.mark.parametrize("script", [_mute, _mute_stream, _mute_watch, _busy])
def test_it_stops_within_a_second(tmp_path: Path, script: Callable[[Asked, Reply], None]) -> None:
    """In a list, in a stream, before a stream and in a pause: all threads are gone a second after ``stop``."""
    before = set(threading.enumerate())
    with ScriptedApi(script) as server:
        known = set(threading.enumerate())
        world = World(write_kubeconfig(tmp_path / "kubeconfig", server.url), {}, Pace(pauses_s=(10, 10)))
        world.input.start()
        wait_for(lambda: server.asked, "the first request")
        began_s = time.monotonic()
        world.input.stop()
        took_s = time.monotonic() - began_s
        left = [t.name for t in set(threading.enumerate()) - known - before if t.name.startswith(("watch ", "kube "))]

    assert took_s < 1
    assert left == []


def test_an_undecodable_object_costs_only_itself(watch: Watch) -> None:
    """A Route that is none is reported and passed over; the others are there."""

    def script(asked: Asked, reply: Reply) -> None:
        if asked.is_watch:
            reply.begin_stream()
            if asked.path.endswith("/routes"):
                for obj in ({"metadata": {"name": 7}}, {**route("bad"), "spec": []}, route("good")):
                    reply.event("ADDED", obj)
            reply.stay()
        items = [{**route("worse"), "spec": 7}, route("better")] if asked.path.endswith("/routes") else []
        reply.json({"metadata": {"resourceVersion": "1"}, "items": items})

    with ScriptedApi(script) as server:
        world = watch(server).synced()
        wait_for(lambda: world.routes() == {"team/better", "team/good"}, "the good ones")
        world.input.stop()


def _nested_event(reply: Reply, kind: bytes) -> None:
    reply.begin_stream()
    reply.chunk(b'{"type":"' + kind + b'","object":' + NESTED + b"}\n")
    reply.end_stream()


def _nested_page(reply: Reply) -> None:
    body = b'{"metadata":{"resourceVersion":"1"},"more":' + NESTED + b',"items":[]}'
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(
    ("break_list", "break_watch"),
    [
        (_nested_page, None),
        (None, lambda reply: _nested_event(reply, b"ADDED")),
        (None, lambda reply: _nested_event(reply, b"ERROR")),
        (None, lambda reply: _nested_event(reply, b"BOOKMARK")),
    ],
    ids=["list", "event", "error", "bookmark"],
)
def test_depth_is_an_answer_that_cannot_be_read(
    watch: Watch, break_list: Callable[[Reply], None] | None, break_watch: Callable[[Reply], None] | None
) -> None:
    """Whatever is nested deeper than Python's stack, the watches go on, and say what is wrong as long as it is."""
    is_broken = True

    def script(asked: Asked, reply: Reply) -> None:
        is_routes = asked.path.endswith("/routes")
        if is_broken and (break_ := break_watch if asked.is_watch else break_list) is not None:
            break_(reply)
        elif asked.is_watch:
            reply.begin_stream()
            reply.stay()
        else:
            reply.json({"metadata": {"resourceVersion": "1"}, "items": [route("good")] if is_routes else []})

    with ScriptedApi(script) as server:
        world = watch(server)
        wait_for(lambda: "undecodable" in world.restarts.causes("routes"), "the cause to be counted")
        is_broken = False
        wait_for(lambda: world.synced().input.is_connected and world.routes() == {"team/good"}, "all to be well")
        world.input.stop()


def test_a_dead_watch_is_no_connection(api: ApiServer, watch: Watch) -> None:
    """A watch whose thread died says that nothing is connected, why, and begins again with a list."""
    world = watch(api).synced()
    wait_for(lambda: world.input.is_connected, "all to be well")
    with capture_logs() as lines:
        world.restarts.raises = True

        def are_dead() -> bool:
            # Again and again: one that is not open yet cannot be cut.
            api.faults.cut_streams()
            return len(world.supervisor.problems) == 3

        wait_for(are_dead, "all to be dead")
        kinds = world.input.kinds
        assert [kind.is_connected for kind in kinds.values()] == [False] * 3
        assert {kind.problem for kind in kinds.values()} == {"ZeroDivisionError"}
        assert not world.input.is_connected
        world.restarts.raises = False
        api.apply(*application("web", 6621, "10.0.0.9"))
        wait_for(lambda: world.input.is_connected and world.routes() == {"team/db", "team/web"}, "all to be well")
    assert not world.supervisor.problems
    assert {line["thread"] for line in lines if line["event"] == "thread died"} == {
        "watch endpointslices",
        "watch routes",
        "watch services",
    }
    world.expected_deaths = dict(world.supervisor.deaths)


class Log:
    """What was logged about Routes."""

    def __init__(self, lines: list[MutableMapping[str, Any]]) -> None:
        self._lines = lines

    def count(self, event: str) -> int:
        """Say how often this was logged."""
        return sum(line["event"] == event and line.get("kind") == "routes" for line in tuple(self._lines))


def _listing(asked: Asked, reply: Reply) -> bool:
    """Answer lists, with no objects; say whether that was one."""
    if not asked.is_watch:
        reply.json({"metadata": {"resourceVersion": "7"}, "items": []})
    return not asked.is_watch


def _watches(server: ScriptedApi) -> int:
    return sum(asked.is_watch and asked.path.endswith("/routes") for asked in tuple(server.asked))


def test_a_forbidden_watch_is_one_outage_though_lists_are_allowed(watch: Watch) -> None:
    """Nothing is listed meanwhile, and the watch goes on from where it was when it is granted."""
    is_granted = threading.Event()

    def script(asked: Asked, reply: Reply) -> None:
        if _listing(asked, reply):
            return
        if asked.path.endswith("/routes") and not is_granted.is_set():
            reply.json({"kind": "Status", "code": 403, "message": "no"}, 403)
            return
        reply.begin_stream()
        reply.stay()

    with capture_logs() as lines, ScriptedApi(script) as server:
        logged = Log(lines)
        world = watch(server)
        wait_for(lambda: _watches(server) > 8, "several refusals")
        assert sum(asked.path.endswith("/routes") and not asked.is_watch for asked in server.asked) == 1
        assert not world.input.kinds["routes"].is_connected
        assert "permission to watch routes" in world.input.kinds["routes"].problem
        assert (logged.count("watch failed"), logged.count("watch recovered")) == (1, 0)

        is_granted.set()
        wait_for(lambda: world.input.is_connected, "the watch")
        assert logged.count("watch recovered") == 1
        world.input.stop()


def test_gone_as_a_status_is_no_outage(watch: Watch) -> None:
    """A server that says that a resourceVersion is too old is there: a list, and no more ado."""
    asked_before = threading.Event()

    def script(asked: Asked, reply: Reply) -> None:
        if _listing(asked, reply):
            return
        if asked.path.endswith("/routes") and not asked_before.is_set():
            asked_before.set()
            reply.json({"kind": "Status", "code": 410, "message": "too old"}, 410)
            return
        reply.begin_stream()
        reply.stay()

    with capture_logs() as lines, ScriptedApi(script) as server:
        world = watch(server)
        wait_for(lambda: _watches(server) == 2, "a second watch")
        wait_for(lambda: world.input.is_connected, "the streams")
        assert world.restarts.counts["routes", "gone"] == 1
        assert (Log(lines).count("watch failed"), Log(lines).count("watch restarts")) == (0, 1)
        world.input.stop()


def test_gone_again_and_again_is_an_outage(watch: Watch) -> None:
    """A server that finds every resourceVersion too old never lets the router follow it."""

    def script(asked: Asked, reply: Reply) -> None:
        if not _listing(asked, reply):
            reply.json({"kind": "Status", "code": 410, "message": "too old"}, 410)

    with capture_logs() as lines, ScriptedApi(script) as server:
        world = watch(server)
        wait_for(lambda: not world.input.kinds["routes"].is_connected and _watches(server) > 6, "the outage")
        assert Log(lines).count("watch failed") == 1
        world.input.stop()
