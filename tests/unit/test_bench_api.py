"""The benchmark's API server is like a real one: it is asked over TLS, tells what real ones tell, and spends what they spend."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.errors import ApiConflict, ApiError, ApiNotFound
from router.kube.connection import Connection
from router.settings import KubeSettings
from scripts.benchmark import calibration
from scripts.benchmark.api_load import spend
from scripts.benchmark.inputs import Api
from scripts.benchmark.objects import CLAIMS, ROUTES, SLICES, objects_of
from scripts.benchmark.server import NAMES, measure_server
from scripts.benchmark.stored import as_json, stored
from scripts.benchmark.workload import Workload

_ROUTES = "/apis/route.openshift.io/v1/routes"
_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_CLAIMS = "/apis/tcp-router.openshift.io/v1alpha1/namespaces/openshift-ingress/portclaims"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/team/leases/lead"
_WATCH_LIST = {
    "watch": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": "60",
}
_END = "k8s.io/initial-events-end"
_SILENCE_S = 30.0

Connect = Callable[[Api], Connection]


def _workload(*, has_statuses: bool = True) -> Workload:
    return Workload(3, (6620, 6621, 6622, 6623), 8000, 8001, has_statuses=has_statuses)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A server with three Routes without a status, and Leases that can be had."""
    with Api(_workload(has_statuses=False), tmp_path / "objects", has_leases=True) as api:
        yield api


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect as the router does."""
    with ExitStack() as ending:

        def connect(api: Api) -> Connection:
            return ending.enter_context(closing(Connection.open(KubeSettings(kubeconfig=Path(api.options[1])))))

        yield connect


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        event = json.loads(line)
        yield event["type"], event["object"]


def test_router_asks_over_tls(connect: Connect, api: Api) -> None:
    """What the router reads of the kubeconfig verifies the certificate, and lists come whole and in pages."""
    connection = connect(api)
    assert connection.server.startswith("https://")
    assert connection.is_verified
    whole = json.loads(connection.get(_ROUTES))
    assert len(whole["items"]) == 3
    first = json.loads(connection.get(_ROUTES, {"limit": "2"}))
    rest = json.loads(connection.get(_ROUTES, {"limit": "2", "continue": first["metadata"]["continue"]}))
    assert first["items"] + rest["items"] == whole["items"]
    with pytest.raises(ApiNotFound):
        connection.get("/api/v1/pods")


def test_watch_list_ends_its_list_by_a_bookmark_and_goes_on(connect: Connect, api: Api) -> None:
    """All objects come as ADDED, then the bookmark that says so, then what happens."""
    with connect(api).watch(_ROUTES, _WATCH_LIST, _SILENCE_S) as stream:
        events = _events(stream.lines())
        assert [next(events)[0] for _ in range(3)] == ["ADDED"] * 3
        kind, bookmark = next(events)
        assert (kind, bookmark["metadata"]["annotations"]) == ("BOOKMARK", {_END: "true"})
        gone = objects_of(_workload(), 0)[ROUTES][0]
        api.prepare_changes([("DELETED", ROUTES, gone)])()
        kind, obj = next(events)
        assert (kind, obj["metadata"]["name"]) == ("DELETED", gone["metadata"]["name"])
        assert int(obj["metadata"]["resourceVersion"]) > int(bookmark["metadata"]["resourceVersion"])


@pytest.mark.parametrize("without", ["resourceVersionMatch", "allowWatchBookmarks"])
def test_watch_list_is_asked_for_as_it_must_be(connect: Connect, api: Api, without: str) -> None:
    """A WatchList without what belongs to it is refused, as real servers do."""
    query = {name: value for name, value in _WATCH_LIST.items() if name != without}
    with pytest.raises(ApiError) as caught, connect(api).watch(_ROUTES, query, _SILENCE_S):
        pass
    assert caught.value.status == 422


def test_ideal_server_has_no_watch_lists(connect: Connect, tmp_path: Path) -> None:
    """The old form is that of a server that knows no WatchLists, so that the way without stays measured."""
    with (
        Api(_workload(), tmp_path / "objects", is_ideal=True) as api,
        pytest.raises(ApiError),
        connect(api).watch(_ROUTES, _WATCH_LIST, _SILENCE_S),
    ):
        pass


def test_others_change_on_the_same_watch(connect: Connect, api: Api) -> None:
    """Slices that no Route of the router leads to change all the time, and none of them is the workload's."""
    connection = connect(api)
    version = json.loads(connection.get(_SLICES))["metadata"]["resourceVersion"]
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "60"}
    ours = {objects_of(_workload(), number)[SLICES][0]["metadata"]["name"] for number in range(3)}
    with connection.watch(_SLICES, query, _SILENCE_S) as stream:
        events = _events(stream.lines())
        seen = [next(events) for _ in range(5)]
    assert {kind for kind, _ in seen} == {"MODIFIED"}
    assert len({obj["metadata"]["name"] for _, obj in seen} - ours) == 5


def test_status_is_written_once_for_a_version_and_comes_back(connect: Connect, api: Api) -> None:
    """A status makes the Route as large as those that were measured, is told as written and as an event, and an old version is refused."""
    connection = connect(api)
    listed = json.loads(connection.get(_ROUTES))
    route = listed["items"][0]
    namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
    path = f"/apis/route.openshift.io/v1/namespaces/{namespace}/routes/{name}/status"
    entry = objects_of(_workload(), 0)[ROUTES][0]["status"]["ingress"][0]
    patch = {"metadata": {"resourceVersion": route["metadata"]["resourceVersion"]}, "status": {"ingress": [entry]}}
    query = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "60"}
    with connection.watch(_ROUTES, query, _SILENCE_S) as stream:
        connection.patch(path, json.dumps(patch).encode(), "application/merge-patch+json")
        kind, changed = next(_events(stream.lines()))
    assert (kind, changed["metadata"]["name"], changed["status"]["ingress"]) == ("MODIFIED", name, [entry])
    assert len(as_json(changed)) == pytest.approx(calibration.BYTES["a Route with status"].middle, rel=0.1)
    with pytest.raises(ApiConflict):
        connection.patch(path, json.dumps(patch).encode(), "application/merge-patch+json")
    operations = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": changed["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/status/ingress/0", "value": {**entry, "host": "b"}},
    ]
    connection.patch(path, json.dumps(operations).encode(), "application/json-patch+json")
    assert json.loads(connection.get(path.removesuffix("/status")))["status"]["ingress"][0]["host"] == "b"
    assert api.statuses_written == 2


def test_claims_are_there_of_who_was_served_and_can_be_written(connect: Connect, api: Api, tmp_path: Path) -> None:
    """Each is of its Route, by the uid; a new one gets what servers give, comes once for its name, and takes a status."""
    with Api(_workload(), tmp_path / "served") as served:
        (first, *_) = listed = json.loads(connect(served).get(_CLAIMS))["items"]
        routes = json.loads(connect(served).get(_ROUTES))["items"]
        uids = [each["spec"]["holder"]["uid"] for each in listed]
    assert uids == [each["metadata"]["uid"] for each in routes]
    connection = connect(api)
    assert json.loads(connection.get(_CLAIMS))["items"] == []
    made = {**first, "metadata": {"name": first["metadata"]["name"]}}
    created = json.loads(connection.post(_CLAIMS, json.dumps(made).encode()))
    assert created["metadata"]["generation"] == 1
    with pytest.raises(ApiConflict):
        connection.post(_CLAIMS, json.dumps(made).encode())
    path = f"{_CLAIMS}/{made['metadata']['name']}/status"
    connection.patch(path, b'{"status":{"lastUsed":"2026-01-01T00:00:00Z"}}', "application/merge-patch+json")
    (found,) = json.loads(connection.get(_CLAIMS))["items"]
    assert found["status"] == {**first["status"], "lastUsed": "2026-01-01T00:00:00Z"}
    assert api.statuses_written == 0


def test_lease_is_free_only_where_it_shall_be(connect: Connect, api: Api, tmp_path: Path) -> None:
    """With Leases to be had none is there at first, and what is written is read; without, another replica holds it."""
    connection = connect(api)
    with pytest.raises(ApiNotFound):
        connection.get(_LEASE)
    connection.post(_LEASE.rpartition("/")[0], b'{"metadata":{"name":"lead"},"spec":{"holderIdentity":"us"}}')
    assert json.loads(connection.get(_LEASE))["spec"]["holderIdentity"] == "us"
    with Api(_workload(), tmp_path / "held") as held:
        assert json.loads(connect(held).get(_LEASE))["spec"]["holderIdentity"] == "another"


@pytest.mark.parametrize("has_statuses", [True, False])
def test_routes_are_as_large_as_real_ones(*, has_statuses: bool) -> None:
    """With its managedFields a Route has the size that was measured, with a status and without."""
    route = stored(objects_of(_workload(has_statuses=has_statuses), 0)[ROUTES][0])
    wanted = calibration.BYTES["a Route with status" if has_statuses else "a Route without status"]
    assert len(as_json(route)) == pytest.approx(wanted.middle, rel=0.1)
    assert {entry["manager"] for entry in route["metadata"]["managedFields"]} >= {"kubectl-client-side-apply"}


def test_load_is_a_core_s_time() -> None:
    """What an answer costs is had from a core by the thread that answers, not slept."""
    before_s = time.thread_time()
    spend(0.02)
    assert time.thread_time() - before_s >= 0.02


def test_server_is_measured_as_the_real_one_was(tmp_path: Path) -> None:
    """Each thing that was measured of the real server is measured of ours, with the real one's beside it, and a target where ours has as many Routes."""
    figures = measure_server(_workload(), 1, tmp_path / "server", lambda _: None)
    assert tuple(figure.name for figure in figures) == NAMES
    assert all("a real API server" in figure.compared_with for figure in figures)
    assert all(figure.median > 0 for figure in figures)
    small = replace(_workload(), routes=2)
    assert small.slices == 1


def test_others_are_there_as_many_as_are_asked_for(connect: Connect, tmp_path: Path) -> None:
    """Services and slices that are nobody's here, each once, beside those of the Routes."""
    with Api(replace(_workload(), others=(7, 4)), tmp_path / "many") as api:
        connection = connect(api)
        services = json.loads(connection.get("/api/v1/services"))["items"]
        slices = json.loads(connection.get(_SLICES))["items"]
    assert len({each["metadata"]["name"] for each in services}) == 3 + 7
    assert len({each["metadata"]["name"] for each in slices}) == 3 + 4


@pytest.mark.parametrize("certificates", [(), (("certificate", "key"),)], ids=["passed through", "ended"])
def test_routes_share_a_port_by_their_hosts(certificates: tuple[tuple[str, str], ...]) -> None:
    """Each such Route says so, has a claim to its host, and where TLS ends at the router a certificate."""
    workload = replace(_workload(), by_host=range(2, 3), certificates=certificates)
    (alone,), (shares,) = (objects_of(workload, number)[ROUTES] for number in (1, 2))
    assert "tls" not in alone["spec"]
    assert shares["metadata"]["annotations"]["haproxy.router.openshift.io/external-tcp-port-sni"] == "true"
    assert shares["spec"]["tls"].get("key") == ("key" if certificates else None)
    (claim,) = objects_of(workload, 2)[CLAIMS]
    assert claim["spec"]["host"] == shares["spec"]["host"] == workload.host(2)
    assert (
        claim["metadata"]["name"] != objects_of(replace(workload, by_host=range(0)), 2)[CLAIMS][0]["metadata"]["name"]
    )
