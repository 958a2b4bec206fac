"""The API server of tests keeps the rules that real ones keep: what is tested against it relies on them."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.api_server import ApiServer, StatusError
from tests.support.crd import route_schema
from tests.support.kube import resources
from tests.support.objects import app, endpoint_slice, route, service
from tests.support.waiting import wait_for

ROUTES = "/apis/route.openshift.io/v1/namespaces/team/routes"
ALL_ROUTES = "/apis/route.openshift.io/v1/routes"
SERVICES = "/api/v1/namespaces/team/services"
EVENTS = "/apis/events.k8s.io/v1/namespaces/team/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TIMEOUT_S = 10.0

Object = dict[str, Any]


class Client:
    """Asks a server; the test's own, so that the product's client is not trusted here."""

    def __init__(self, server: ApiServer, token: str | None = None) -> None:
        self.server = server
        self.headers = {"User-Agent": "tester/1.0", **({"Authorization": f"Bearer {token}"} if token else {})}
        self.context = ssl.create_default_context(cafile=server.ca_file) if server.ca_file else None

    def open(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", **query: str
    ) -> http.client.HTTPResponse:
        """Ask, and give the answer to be read."""
        url = f"{self.server.url}{path}?{urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {**self.headers, "Content-Type": content_type}, method=method)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self.context)
        return answer

    def ask(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", **query: str
    ) -> Any:
        """Ask, and give the decoded answer."""
        with self.open(method, path, body, content_type, **query) as answer:
            return json.load(answer)

    def refused(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", **query: str
    ) -> Object:
        """Ask for what is refused, and give the Status object."""
        with pytest.raises(urllib.error.HTTPError) as caught, self.open(method, path, body, content_type, **query):
            pass
        with caught.value as error:
            status: Object = json.load(error)
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", error.code)
        return status

    @contextlib.contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[tuple[str, Object]]]:
        """Watch, and give the events as they come: type and object."""
        with self.open("GET", path, watch="true", **query) as answer:
            yield ((event["type"], event["object"]) for event in map(json.loads, answer))


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """A server with a namespace ``team``; everything has ended after the test."""
    before = threading.active_count()
    with ApiServer() as server:
        server.create({"kind": "Namespace", "metadata": {"name": "team"}})
        yield server
    wait_for(lambda: threading.active_count() <= before, "the server's threads to end")


@pytest.fixture
def client(server: ApiServer) -> Client:
    """A client that asks it."""
    return Client(server)


def version_of(obj: Object) -> int:
    """Give an object's or list's resourceVersion."""
    return int(obj["metadata"]["resourceVersion"])


def names(events_or_list: Any) -> list[str]:
    """Give the names in a list."""
    return [item["metadata"]["name"] for item in events_or_list["items"]]


def event(**fields: Any) -> Object:
    """Make an Event of events.k8s.io/v1 that is accepted."""
    return {
        "metadata": {"name": "db.1"},
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "example.com/tcp-router",
        "reportingInstance": "tcp-router-0",
        "action": "Admit",
        "reason": "Admitted",
        "type": "Normal",
        "note": "port 6620",
        "regarding": {"kind": "Route", "namespace": "team", "name": "db"},
        **fields,
    }


# --- objects ---------------------------------------------------------------------------------------------------------


def test_created_objects_get_what_the_server_gives(client: Client) -> None:
    """Uid, creationTimestamp, generation, managedFields and a resourceVersion are the server's; defaults come from the CRD."""
    given = route("db", 6620)
    given["metadata"].update(uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=7)
    created = client.ask("POST", ROUTES, {**given, "status": {"ingress": [{"routerName": "forged"}]}})
    metadata = created["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] > "2020"
    assert metadata["generation"] == 1
    assert metadata["managedFields"][0]["manager"] == "tester"
    assert created["spec"]["to"] == {"kind": "Service", "name": "db", "weight": 100}
    assert created["spec"]["wildcardPolicy"] == "None"
    assert "status" not in created
    assert client.ask("GET", f"{ROUTES}/db") == created


def test_one_counter_counts_all_kinds(server: ApiServer) -> None:
    """Each write of any kind raises the one resourceVersion."""
    written = [server.create(obj) for obj in app("db", 6620, ("10.0.0.1", 1))]
    versions = [version_of(obj) for obj in written]
    assert versions == sorted(set(versions))


def test_unchanged_update_writes_nothing(client: Client) -> None:
    """A write that changes nothing leaves the resourceVersion, and one of the spec raises the generation."""
    first = client.ask("POST", ROUTES, route("db", 6620))
    same = client.ask("PATCH", f"{ROUTES}/db", {"metadata": {"labels": None}}, MERGE)
    assert version_of(same) == version_of(first)
    labelled = client.ask("PATCH", f"{ROUTES}/db", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert version_of(labelled) > version_of(first)
    assert labelled["metadata"]["generation"] == 1
    changed = client.ask("PATCH", f"{ROUTES}/db", {"spec": {"host": "a.example"}}, MERGE)
    assert changed["metadata"]["generation"] == 2


def test_status_is_written_apart(client: Client) -> None:
    """A write of the status leaves the spec, one of the object leaves the status."""
    client.ask("POST", ROUTES, route("db", 6620))
    ingress = [{"routerName": "tcp-router"}]
    patch = {"status": {"ingress": ingress}, "spec": {"host": "a.example"}, "metadata": {"labels": {"a": "b"}}}
    after = client.ask("PATCH", f"{ROUTES}/db/status", patch, MERGE)
    assert after["status"]["ingress"] == ingress
    assert "host" not in after["spec"]
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 1
    after = client.ask("PATCH", f"{ROUTES}/db", {**patch, "status": None}, MERGE)
    assert after["status"]["ingress"] == ingress
    assert after["spec"]["host"] == "a.example"


def test_conflicts(client: Client) -> None:
    """An old resourceVersion, another uid and a name that is taken are 409, by PUT and both kinds of patches."""
    old = client.ask("POST", ROUTES, route("db", 6620))
    client.ask("PATCH", f"{ROUTES}/db", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    version = old["metadata"]["resourceVersion"]
    assert client.refused("POST", ROUTES, route("db", 1))["reason"] == "AlreadyExists"
    for status in (
        client.refused("PUT", f"{ROUTES}/db", old),
        client.refused("PUT", f"{ROUTES}/db/status", old),
        client.refused("PATCH", f"{ROUTES}/db", {"metadata": {"resourceVersion": version}}, MERGE),
        client.refused(
            "PATCH",
            f"{ROUTES}/db",
            [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}],
            JSON_PATCH,
        ),
        client.refused("PATCH", f"{ROUTES}/db", {"metadata": {"uid": "another"}}, MERGE),
        client.refused("DELETE", f"{ROUTES}/db", {"preconditions": {"resourceVersion": version}}),
    ):
        assert (status["code"], status["reason"]) == (409, "Conflict")
        assert status["details"] == {"name": "db", "group": "route.openshift.io", "kind": "routes"}


def test_routes_and_leases_are_not_put_without_version(client: Client) -> None:
    """A PUT without resourceVersion is 422 for Routes and Leases; Services take it."""
    client.ask("POST", ROUTES, route("db", 6620))
    client.ask("POST", LEASES, {"metadata": {"name": "lead"}, "spec": {"holderIdentity": "a"}})
    client.ask("POST", SERVICES, service("db"))
    assert client.refused("PUT", f"{ROUTES}/db", route("db", 1))["code"] == 422
    assert client.refused("PUT", f"{LEASES}/lead", {"metadata": {"name": "lead"}, "spec": {}})["code"] == 422
    assert client.ask("PUT", f"{SERVICES}/db", service("db", 1))["spec"]["ports"][0]["port"] == 1


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        pytest.param([{"op": "test", "path": "/spec/to/name", "value": "db"}], 200, id="test-holds"),
        pytest.param([{"op": "test", "path": "/spec/to/name", "value": "other"}], 422, id="test-fails"),
        pytest.param([{"op": "test", "path": "/spec/to/weight", "value": True}], 422, id="true-is-not-1"),
        pytest.param([{"op": "add", "path": "/status/ingress", "value": []}], 422, id="parent-missing"),
        pytest.param([{"op": "replace", "path": "/spec/host", "value": "a"}], 422, id="replace-missing"),
        pytest.param([{"op": "remove", "path": "/spec/host"}], 422, id="remove-missing"),
        pytest.param([{"op": "add", "path": "/metadata/annotations/a.b~1c", "value": "d"}], 200, id="escaped"),
        pytest.param([{"op": "add", "path": "/spec/alternateBackends", "value": [{"name": "b"}]}], 200, id="list"),
        pytest.param([{"op": "add", "path": "/metadata/annotations/a.b~1c", "value": 1}], 400, id="annotation-number"),
        pytest.param([{"op": "grow", "path": "/spec"}], 400, id="no-such-operation"),
        pytest.param({"op": "test"}, 400, id="no-list"),
        pytest.param([{"op": "replace", "path": "/metadata/name", "value": "x"}], 400, id="rename"),
    ],
)
def test_json_patches(client: Client, patch: Any, code: int) -> None:
    """JSON patches are applied as RFC 6902 says, and refused as API servers refuse them."""
    made = route("db", 6620)
    made["spec"]["to"]["weight"] = 1
    client.ask("POST", ROUTES, made)
    if code == 200:
        client.ask("PATCH", f"{ROUTES}/db", patch, JSON_PATCH)
    else:
        assert client.refused("PATCH", f"{ROUTES}/db", patch, JSON_PATCH)["code"] == code


def test_json_patch_operations(client: Client) -> None:
    """Add, insert, append, move, copy, replace and remove do what RFC 6902 says."""
    client.ask("POST", ROUTES, route("db", 6620))
    backends = "/spec/alternateBackends"
    patch = [
        {"op": "add", "path": backends, "value": [{"name": "b"}]},
        {"op": "add", "path": f"{backends}/-", "value": {"name": "d"}},
        {"op": "add", "path": f"{backends}/1", "value": {"name": "c"}},
        {"op": "replace", "path": f"{backends}/2/name", "value": "e"},
        {"op": "copy", "from": f"{backends}/0/name", "path": "/spec/host"},
        {"op": "move", "from": "/spec/host", "path": "/spec/subdomain"},
        {"op": "remove", "path": f"{backends}/0"},
    ]
    spec = client.ask("PATCH", f"{ROUTES}/db", patch, JSON_PATCH)["spec"]
    assert [backend["name"] for backend in spec["alternateBackends"]] == ["c", "e"]
    assert spec["subdomain"] == "b"
    assert "host" not in spec


def test_unknown_patch_type(client: Client) -> None:
    """A patch of a type that the kind does not take is 415."""
    client.ask("POST", ROUTES, route("db", 6620))
    assert client.refused("PATCH", f"{ROUTES}/db", {}, "application/strategic-merge-patch+json")["code"] == 415


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        pytest.param({"to": {"kind": "Pod", "name": "a"}}, "spec.to.kind", "FieldValueNotSupported", id="enum"),
        pytest.param({"to": {"name": ""}}, "spec.to.name", "FieldValueInvalid", id="short"),
        pytest.param({"to": {}}, "spec.to.name", "FieldValueRequired", id="required"),
        pytest.param({"to": {"name": 1}}, "spec.to.name", "FieldValueTypeInvalid", id="type"),
        pytest.param({"to": {"name": "a", "weight": 257}}, "spec.to.weight", "FieldValueInvalid", id="maximum"),
        pytest.param({"to": {"name": "a", "weight": -1}}, "spec.to.weight", "FieldValueInvalid", id="minimum"),
        pytest.param({"host": "-a"}, "spec.host", "FieldValueInvalid", id="pattern"),
        pytest.param({"host": "a" * 254}, "spec.host", "FieldValueTooLong", id="long"),
        pytest.param({"port": {"targetPort": 0}}, "spec.port.targetPort", "FieldValueInvalid", id="not-0"),
        pytest.param(
            {"port": {"targetPort": True}}, "spec.port.targetPort", "FieldValueTypeInvalid", id="int-or-string"
        ),
        pytest.param({"path": "/a", "tls": {"termination": "passthrough"}}, "spec", "FieldValueInvalid", id="any-of"),
        pytest.param(
            {"tls": {"termination": "passthrough", "insecureEdgeTerminationPolicy": "Allow"}},
            "spec.tls",
            "FieldValueInvalid",
            id="cel",
        ),
        pytest.param(
            {"tls": {"termination": "passthrough", "key": "k"}}, "spec.tls", "FieldValueInvalid", id="any-of-in-tls"
        ),
        pytest.param(
            {"alternateBackends": [{"name": "a"}] * 4}, "spec.alternateBackends", "FieldValueTooMany", id="many"
        ),
        pytest.param(
            {"alternateBackends": [{"name": "a"}] * 2},
            "spec.alternateBackends[1]",
            "FieldValueDuplicate",
            id="duplicate",
        ),
    ],
)
def test_routes_are_validated(client: Client, spec: Object, field: str, reason: str) -> None:
    """What the CRD's schema or rules refuse is 422, with a cause that names the field."""
    status = client.refused("POST", ROUTES, route("db", 6620, spec=spec))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["kind"] == "Route"
    assert (field, reason) in {(cause["field"], cause["reason"]) for cause in status["details"]["causes"]}
    assert status["message"].startswith('Route.route.openshift.io "db" is invalid: ')


@pytest.mark.parametrize(
    ("condition", "is_valid"),
    [
        pytest.param({}, True, id="complete"),
        pytest.param({"status": None}, False, id="no-status"),
        pytest.param({"lastTransitionTime": "yesterday"}, False, id="no-time"),
        pytest.param({"lastTransitionTime": None}, True, id="null-time"),
        pytest.param({"extra": "field"}, True, id="unknown-field-is-dropped"),
    ],
)
def test_status_is_validated(client: Client, condition: Object, is_valid: bool) -> None:  # noqa: FBT001 -- a table's column
    """A status patch is validated with the CRD's schema; fields that it does not have are dropped."""
    client.ask("POST", ROUTES, route("db", 6620))
    whole = {"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z", **condition}
    given = {key: value for key, value in whole.items() if (key, value) != ("status", None)}
    patch = {"status": {"ingress": [{"routerName": "r", "conditions": [given]}]}}
    if is_valid:
        stored = client.ask("PATCH", f"{ROUTES}/db/status", patch, MERGE)["status"]["ingress"][0]["conditions"][0]
        assert stored.keys() <= {"type", "status", "lastTransitionTime"}
    else:
        assert client.refused("PATCH", f"{ROUTES}/db/status", patch, MERGE)["code"] == 422


def test_conditions_of_one_type_twice(client: Client) -> None:
    """Conditions are a map by type: the same type twice is 422."""
    client.ask("POST", ROUTES, route("db", 6620))
    conditions = [{"type": "Admitted", "status": "True"}] * 2
    patch = {"status": {"ingress": [{"routerName": "r", "conditions": conditions}]}}
    status = client.refused("PATCH", f"{ROUTES}/db/status", patch, MERGE)
    assert status["details"]["causes"][0]["reason"] == "FieldValueDuplicate"


def test_strict_validation_names_unknown_fields(client: Client) -> None:
    """With fieldValidation=Strict a field that the schema does not have is 400; without, it is dropped."""
    made = route("db", 6620, spec={"colour": "red"})
    assert 'unknown field "spec.colour"' in client.refused("POST", ROUTES, made, fieldValidation="Strict")["message"]
    assert "colour" not in client.ask("POST", ROUTES, made)["spec"]


def test_crd_rules_all_have_an_equivalent() -> None:
    """The CRD's CEL rules are known; one that is not would fail here, not pass unnoticed."""
    assert route_schema().problems(route_schema().completed(route("db", 6620))) == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({}, 201, id="good"),
        pytest.param({"eventTime": "2026-01-02T03:04:05Z"}, 400, id="time-without-microseconds"),
        pytest.param({"eventTime": None}, 422, id="no-time"),
        pytest.param({"reportingController": "a b"}, 422, id="controller-with-blank"),
        pytest.param({"reportingInstance": ""}, 422, id="no-instance"),
        pytest.param({"action": ""}, 422, id="no-action"),
        pytest.param({"reason": "r" * 129}, 422, id="long-reason"),
        pytest.param({"note": "n" * 1025}, 422, id="long-note"),
        pytest.param({"type": "Error"}, 422, id="type"),
        pytest.param({"regarding": {"kind": "Route", "namespace": "other", "name": "db"}}, 422, id="other-namespace"),
        pytest.param(
            {"series": {"count": 1, "lastObservedTime": "2026-01-02T03:04:05.000006Z"}}, 422, id="series-of-1"
        ),
        pytest.param({"deprecatedCount": 3}, 422, id="deprecated-count"),
    ],
)
def test_events_are_validated(client: Client, fields: Object, code: int) -> None:
    """Events are held to the rules of events.k8s.io/v1."""
    if code == 201:
        client.ask("POST", EVENTS, event(**fields))
    else:
        assert client.refused("POST", EVENTS, event(**fields))["code"] == code


def test_of_an_event_only_the_series_changes(client: Client) -> None:
    """An Event's series may be counted on; its note may not change."""
    client.ask("POST", EVENTS, event())
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:04:05.000006Z"}
    assert client.ask("PATCH", f"{EVENTS}/db.1", {"series": series}, MERGE)["series"] == series
    status = client.refused("PATCH", f"{EVENTS}/db.1", {"note": "another"}, MERGE)
    assert "field is immutable" in status["message"]


def test_leases(client: Client) -> None:
    """A Lease is created by PUT too, and its times have microseconds."""
    lease = {"metadata": {"name": "lead"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}
    client.ask("PUT", f"{LEASES}/lead", lease)
    spec = {"renewTime": "2026-01-02T03:04:05Z"}
    assert client.refused("PATCH", f"{LEASES}/lead", {"spec": spec}, MERGE)["code"] == 400
    spec = {"renewTime": "2026-01-02T03:04:05.000000Z"}
    assert client.ask("PATCH", f"{LEASES}/lead", {"spec": spec}, MERGE)["spec"]["renewTime"] == spec["renewTime"]
    assert client.refused("PATCH", f"{LEASES}/lead", {"spec": {"leaseDurationSeconds": 0}}, MERGE)["code"] == 422


def test_services_get_defaults(client: Client) -> None:
    """A Service gets a cluster address, a type, and the defaults of its ports."""
    created = client.ask("POST", SERVICES, {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 1}]}})
    assert created["spec"]["ports"] == [{"port": 1, "protocol": "TCP", "targetPort": 1}]
    assert created["spec"]["clusterIPs"] == [created["spec"]["clusterIP"]]
    assert created["spec"]["type"] == "ClusterIP"


SLICES = "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"
SPECIAL = {
    "127.0.0.1": "loopback", "127.9.9.9": "loopback", "::1": "loopback", "0.0.0.0": "unspecified", "::": "unspecified",  # noqa: S104 - refused
    "169.254.1.1": "link-local", "fe80::1": "link-local", "224.0.0.9": "link-local multicast",
    "ff02::1": "link-local multicast", "::ffff:10.0.0.1": "valid IPv6", "10.0.0.010": "valid IP address",
    "db.example.com": "valid IP address",
}  # fmt: skip


@pytest.mark.parametrize(("address", "said"), SPECIAL.items(), ids=SPECIAL)
def test_special_endpoints_are_refused_as_on_real_servers(client: Client, address: str, said: str) -> None:
    """No slice has them, nor an Endpoints object; addresses of the other family are refused too."""
    made = {**endpoint_slice("a", ("10.0.0.1", 1))[0], "addressType": "IPv6" if ":" in address else "IPv4"}
    made["endpoints"] = [{"addresses": [address]}]
    refused = client.refused("POST", SLICES, made)
    assert refused["code"] == 422
    assert said in refused["message"]
    subsets = [{"addresses": [{"ip": address}], "ports": [{"port": 1}]}]
    if "ffff" in address:
        return
    body = {"metadata": {"name": "a"}, "subsets": subsets}
    assert client.refused("POST", "/api/v1/namespaces/team/endpoints", body)["code"] == 422
    made["addressType"] = "IPv4" if ":" in address else "IPv6"
    assert client.refused("POST", SLICES, made)["code"] == 422


def test_loopback_is_taken_where_a_test_asks_for_it(server: ApiServer, client: Client) -> None:
    """Of the addresses that it names, and of no others; multicast beyond the link is taken by real servers, too."""
    server.storage.loopback = {"127.0.0.1"}
    client.ask("POST", SLICES, endpoint_slice("a", ("127.0.0.1", 1))[0])
    assert client.refused("POST", SLICES, endpoint_slice("b", ("127.0.0.2", 1))[0])["code"] == 422
    client.ask("POST", SLICES, endpoint_slice("c", ("239.1.1.1", 1))[0])


WRONG_SLICES: dict[str, dict[str, Any]] = {
    "too many endpoints": {"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
    "too many addresses": {"endpoints": [{"addresses": ["10.0.0.1"] * 101}]},
    "no address": {"endpoints": [{"addresses": []}]},
    "hostname": {"endpoints": [{"addresses": ["10.0.0.1"], "hostname": "a.b"}]},
    "port names twice": {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
    "no port names twice": {"ports": [{"port": 1}, {"port": 2}]},
    "port name": {"ports": [{"name": "a_b", "port": 1}]},
    "port": {"ports": [{"name": "a", "port": 65536}]},
    "protocol": {"ports": [{"name": "a", "port": 1, "protocol": "tcp"}]},
    "label": {"metadata": {"name": "a", "labels": {"kubernetes.io/service-name": "a b"}}},
}


@pytest.mark.parametrize("wrong", WRONG_SLICES.values(), ids=WRONG_SLICES)
def test_slices_that_real_servers_refuse(client: Client, wrong: dict[str, Any]) -> None:
    """Each for one broken rule."""
    right = {**endpoint_slice("a", ("10.0.0.1", 1))[0]}
    refused = client.refused("POST", SLICES, {**right, **wrong})
    assert (refused["code"], refused["reason"]) == (422, "Invalid")


WRONG_SERVICES: dict[str, list[dict[str, Any]]] = {
    "names twice": [{"name": "a", "port": 1}, {"name": "a", "port": 2}],
    "numbers twice": [{"name": "a", "port": 1}, {"name": "b", "port": 1}],
    "name": [{"name": "A", "port": 1}],
    "protocol": [{"port": 1, "protocol": "HTTP"}],
    "target's number": [{"port": 1, "targetPort": 0}],
    "target's name": [{"port": 1, "targetPort": "a-name-that-is-too-long"}],
}


@pytest.mark.parametrize("ports", WRONG_SERVICES.values(), ids=WRONG_SERVICES)
def test_services_that_real_servers_refuse(client: Client, ports: list[dict[str, Any]]) -> None:
    """Each for one broken rule of its ports."""
    refused = client.refused("POST", SERVICES, {"metadata": {"name": "db"}, "spec": {"ports": ports}})
    assert (refused["code"], refused["reason"]) == (422, "Invalid")


WRONG_METADATA: dict[str, dict[str, Any]] = {
    "label's key": {"labels": {"a b": "c"}},
    "label's value": {"labels": {"a": "c" * 64}},
    "annotation's key": {"annotations": {"a b": "c"}},
    "annotations that are too long": {"annotations": {"a": "c" * (256 * 1024)}},
}


@pytest.mark.parametrize("metadata", WRONG_METADATA.values(), ids=WRONG_METADATA)
def test_metadata_that_real_servers_refuse(client: Client, metadata: dict[str, Any]) -> None:
    """Of any kind; here of a Route."""
    made = route("a")
    made["metadata"].update(metadata)
    refused = client.refused("POST", ROUTES, made)
    assert (refused["code"], refused["reason"]) == (422, "Invalid")


def test_a_new_crd_answers_404_for_a_moment(server: ApiServer, client: Client) -> None:
    """It says that it is established, and Routes are there a little later."""
    server.has_routes = False
    server.install(resources.ROUTES)
    assert [client.refused("GET", ROUTES)["code"] for _ in range(2)] == [404, 404]
    assert client.ask("GET", ROUTES)["items"] == []


def test_missing_things(client: Client) -> None:
    """A missing object or namespace is 404 with details, a missing resource a plain page."""
    assert client.refused("GET", f"{ROUTES}/nope")["details"]["name"] == "nope"
    missing = client.refused("POST", "/api/v1/namespaces/nope/services", service("a", namespace="nope"))
    assert missing["message"] == 'namespaces "nope" not found'
    with pytest.raises(urllib.error.HTTPError) as caught:
        client.ask("GET", "/apis/example.com/v1/things")
    with caught.value as error:
        assert (error.code, error.read()) == (404, b"404 page not found\n")


def test_namespace_takes_its_objects_along(server: ApiServer, client: Client) -> None:
    """Deleting a namespace deletes what is in it, and the watches are told."""
    server.create(route("db", 6620))
    version = client.ask("GET", ALL_ROUTES)["metadata"]["resourceVersion"]
    with client.watch(ALL_ROUTES, resourceVersion=version) as events:
        client.ask("DELETE", "/api/v1/namespaces/team")
        assert next(events)[0] == "DELETED"
    assert "team" not in names(client.ask("GET", "/api/v1/namespaces"))


def test_finalizers_hold_a_deletion_up(client: Client) -> None:
    """An object with a finalizer is marked, and goes when the finalizer does."""
    made = route("db", 6620)
    made["metadata"]["finalizers"] = ["example.com/hold"]
    client.ask("POST", ROUTES, made)
    assert client.ask("DELETE", f"{ROUTES}/db")["metadata"]["deletionTimestamp"]
    client.ask("PATCH", f"{ROUTES}/db", {"metadata": {"finalizers": None}}, MERGE)
    assert client.refused("GET", f"{ROUTES}/db")["code"] == 404


def test_direct_methods(server: ApiServer) -> None:
    """Without HTTP, creation time and status are taken as given, and what is given out is a copy."""
    made = route("db", 6620, namespace="made-on-the-way")
    made["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    created = server.create({**made, "status": {"ingress": [{"routerName": "r"}]}})
    assert created["metadata"]["creationTimestamp"] == "2001-01-01T00:00:00Z"
    assert created["status"]["ingress"][0]["routerName"] == "r"
    created["spec"]["host"] = "a.example"
    assert "host" not in server.list("Route")[0]["spec"]
    del created["status"]
    assert server.update(created)["status"]["ingress"][0]["routerName"] == "r"
    with pytest.raises(StatusError, match="409"):
        server.update(created)
    server.delete("Route", "made-on-the-way", "db")
    assert server.get("Route", "made-on-the-way", "db") is None


# --- lists -----------------------------------------------------------------------------------------------------------


def test_pages_are_of_one_moment(server: ApiServer, client: Client) -> None:
    """A list in pages is of the moment of its first page, all with its resourceVersion, in order."""
    for name in "cabed":
        server.create(route(name, None))
    first = client.ask("GET", ALL_ROUTES, limit="2")
    assert first["metadata"]["remainingItemCount"] == 3
    server.delete("Route", "team", "c")
    server.create(route("f", None))
    second = client.ask("GET", ALL_ROUTES, **{"limit": "2", "continue": first["metadata"]["continue"]})
    third = client.ask("GET", ALL_ROUTES, **{"limit": "2", "continue": second["metadata"]["continue"]})
    assert [names(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert version_of(first) == version_of(second) == version_of(third)
    assert "continue" not in third["metadata"]


def test_expired_pages(server: ApiServer, client: Client) -> None:
    """A continue token that is too old is 410 Expired; one that is none is 400."""
    for name in "abc":
        server.create(route(name, None))
    token = client.ask("GET", ALL_ROUTES, limit="1")["metadata"]["continue"]
    server.expire_history()
    status = client.refused("GET", ALL_ROUTES, **{"limit": "1", "continue": token})
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert client.refused("GET", ALL_ROUTES, **{"continue": "???"})["code"] == 400


def test_members_of_lists_have_a_kind_only_as_custom_resources(server: ApiServer, client: Client) -> None:
    """Members of a ServiceList have neither kind nor apiVersion; those of a RouteList do."""
    for obj in app("db", 6620, ("10.0.0.1", 1)):
        server.create(obj)
    services, routes = client.ask("GET", SERVICES), client.ask("GET", ROUTES)
    assert services["kind"] == "ServiceList"
    assert not {"kind", "apiVersion"} & services["items"][0].keys()
    assert routes["items"][0]["kind"] == "Route"


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=a", "x"), ("app==a", "x"), ("app!=a", "yz"), ("app", "xy"), ("!app", "z"), ("app in (a, b)", "xy"),
        ("app notin (a)", "yz"), ("app,tier in (1,2)", "x"), ("example.com/part=", "y"), ("app=a,app=b", ""),
    ],
)  # fmt: skip
def test_label_selectors(server: ApiServer, client: Client, selector: str, found: str) -> None:
    """Selectors by equality, sets and existence select as the API does."""
    labels = {"x": {"app": "a", "tier": "1"}, "y": {"app": "b", "example.com/part": ""}, "z": {}}
    for name, own in labels.items():
        obj = service(name)
        obj["metadata"]["labels"] = own
        server.create(obj)
    assert names(client.ask("GET", SERVICES, labelSelector=selector)) == list(found)


def test_selectors_that_are_none(client: Client) -> None:
    """A selector of no known form, or of a field that is not supported, is 400."""
    assert client.refused("GET", SERVICES, labelSelector="a b")["code"] == 400
    assert client.refused("GET", SERVICES, fieldSelector="spec.type=x")["code"] == 400


def test_field_selectors(server: ApiServer, client: Client) -> None:
    """Name and namespace can be selected by."""
    for name, namespace in (("a", "team"), ("b", "team"), ("a", "other")):
        server.create(service(name, namespace=namespace))
    assert len(client.ask("GET", "/api/v1/services", fieldSelector="metadata.name=a")["items"]) == 2
    selector = "metadata.name=a,metadata.namespace!=team"
    found = client.ask("GET", "/api/v1/services", fieldSelector=selector)
    assert [item["metadata"]["namespace"] for item in found["items"]] == ["other"]


def test_version_that_is_yet_to_come(client: Client) -> None:
    """A list at a resourceVersion of the future is 504 with the cause that clients look for."""
    status = client.refused("GET", ALL_ROUTES, resourceVersion="999999")
    assert status["code"] == 504
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


# --- watches ---------------------------------------------------------------------------------------------------------


def test_watch_replays_and_follows(server: ApiServer, client: Client) -> None:
    """A watch from a list's version gives what happened since, then what happens, each with its version."""
    server.create(route("a", None))
    start = version_of(client.ask("GET", ALL_ROUTES))
    created = server.create(route("b", None))
    server.delete("Route", "team", "a")
    with client.watch(ALL_ROUTES, resourceVersion=str(start)) as events:
        seen = [next(events), next(events)]
        created["metadata"]["labels"] = {"x": "y"}
        server.update(created)
        seen.append(next(events))
    assert [(kind, obj["metadata"]["name"]) for kind, obj in seen] == [
        ("ADDED", "b"),
        ("DELETED", "a"),
        ("MODIFIED", "b"),
    ]
    versions = [version_of(obj) for _, obj in seen]
    assert versions == sorted(versions)
    assert versions[0] > start


@pytest.mark.parametrize("version", ["", "0"])
def test_watch_without_version(server: ApiServer, client: Client, version: str) -> None:
    """Without a version, or with 0, a watch begins with all that is there."""
    server.create(route("a", None))
    with client.watch(ALL_ROUTES, resourceVersion=version) as events:
        assert next(events)[0] == "ADDED"


def test_watch_with_selector(server: ApiServer, client: Client) -> None:
    """An object that comes to match is ADDED, one that ceases to is DELETED; other namespaces are not told of."""
    start = str(server.storage.version)
    obj = server.create(route("a", None))
    server.create(route("a", None, namespace="other"))
    for labels in ({"x": "1"}, {"x": "2"}, {}):
        obj["metadata"]["labels"] = labels
        obj = server.update(obj)
    with client.watch(ROUTES, resourceVersion=start, labelSelector="x") as events:
        seen = [next(events) for _ in range(3)]
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert version_of(seen[-1][1]) == version_of(obj)


def test_watch_ends_in_time_with_a_bookmark(client: Client) -> None:
    """After timeoutSeconds the stream ends properly; who allows bookmarks gets one that tells how far it came."""
    start = time.monotonic()
    with client.watch(ALL_ROUTES, resourceVersion="1000", timeoutSeconds="1", allowWatchBookmarks="true") as events:
        seen = list(events)
    assert 0.9 < time.monotonic() - start < 5
    assert [kind for kind, _ in seen] == ["BOOKMARK"]
    assert seen[0][1]["metadata"]["resourceVersion"] == str(client.server.storage.version)


def test_bookmarks(server: ApiServer, client: Client) -> None:
    """Bookmarks come on demand and at intervals, with the version that was reached by any kind's writes."""
    with client.watch(ALL_ROUTES, resourceVersion=str(server.storage.version), allowWatchBookmarks="true") as events:
        wait_for(lambda: server.open_watches == 1, "the watch to be open")
        made = server.create(service("a"))
        server.bookmark()
        kind, obj = next(events)
    assert (kind, version_of(obj)) == ("BOOKMARK", version_of(made))
    server.bookmark_interval_s = 0.05
    with client.watch(ALL_ROUTES, resourceVersion=str(server.storage.version), allowWatchBookmarks="true") as events:
        assert [next(events)[0] for _ in range(2)] == ["BOOKMARK"] * 2


def test_watch_from_too_old_a_version(server: ApiServer, client: Client) -> None:
    """A watch from before the history is told 410 in the stream, which then ends; from the present it works."""
    old = version_of(client.ask("GET", ALL_ROUTES))
    server.expire_history()
    with client.watch(ALL_ROUTES, resourceVersion=str(old)) as events:
        (event,) = list(events)
    assert event[0] == "ERROR"
    assert (event[1]["kind"], event[1]["code"], event[1]["reason"]) == ("Status", 410, "Expired")
    with client.watch(ALL_ROUTES, resourceVersion=str(version_of(client.ask("GET", ALL_ROUTES)))) as events:
        server.create(route("a", None))
        assert next(events)[0] == "ADDED"


def test_watch_that_the_client_leaves(server: ApiServer, client: Client) -> None:
    """A watch whose client goes away ends too."""
    with client.watch(ALL_ROUTES):
        wait_for(lambda: server.open_watches == 1, "the watch to be open")
    wait_for(lambda: server.open_watches == 0, "the watch to end")


# --- faults ----------------------------------------------------------------------------------------------------------


def test_ordered_failures(server: ApiServer, client: Client) -> None:
    """A failure happens as often as ordered, to what fits, with Retry-After; the log has what was asked."""
    server.faults.fail("GET", "/api/v1/", 429, times=2, retry_after=3)
    client.ask("GET", ALL_ROUTES)
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as caught:
            client.ask("GET", SERVICES)
        with caught.value as error:
            assert error.headers["Retry-After"] == "3"
            assert json.load(error)["reason"] == "TooManyRequests"
    client.ask("GET", SERVICES)
    assert [(request.method, request.status) for request in server.requests] == [
        ("GET", 200), ("GET", 429), ("GET", 429), ("GET", 200),
    ]  # fmt: skip
    assert server.requests[-1].path == SERVICES


def test_cut_streams(server: ApiServer, client: Client) -> None:
    """A stream that is cut ends without the end that HTTP has; new ones work."""
    with client.open("GET", ALL_ROUTES, watch="true") as answer:
        wait_for(lambda: server.open_watches == 1, "the watch to be open")
        server.faults.cut_streams()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    with client.watch(ALL_ROUTES) as events:
        server.create(route("a", None))
        assert next(events)[0] == "ADDED"


def test_silence(server: ApiServer, client: Client) -> None:
    """A silent stream stays open and says nothing; with everything silent, nothing is answered."""
    server.faults.silence()
    with client.open("GET", ALL_ROUTES, watch="true") as answer:
        server.create(route("a", None))
        wait_for(lambda: server.open_watches == 1, "the watch to be open")
        assert answer.status == 200
        server.faults.silence(on=False)
        assert json.loads(answer.readline())["type"] == "ADDED"
    server.faults.silence(everything=True)
    thread = threading.Thread(target=client.ask, args=("GET", ALL_ROUTES))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    server.faults.clear()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_slow_bytes(server: ApiServer, client: Client) -> None:
    """Bytes come no faster than told, and all of them."""
    server.create(route("a", None))
    size = len(json.dumps(client.ask("GET", ALL_ROUTES)))
    server.faults.slow(size * 2)
    start = time.monotonic()
    assert names(client.ask("GET", ALL_ROUTES)) == ["a"]
    assert time.monotonic() - start > 0.3


def test_gone_by_order(server: ApiServer, client: Client) -> None:
    """The next watch is told 410, as an event or as the status; the one after works."""
    server.faults.gone_next_watch()
    with client.watch(ALL_ROUTES) as events:
        assert next(events)[1]["code"] == 410
    server.faults.gone_next_watch(as_status=True)
    assert client.refused("GET", ALL_ROUTES, watch="true")["code"] == 410
    server.create(route("a", None))
    with client.watch(ALL_ROUTES) as events:
        assert next(events)[0] == "ADDED"


def test_error_event(server: ApiServer, client: Client) -> None:
    """An ERROR event goes to the open stream of its kind."""
    with client.watch("/api/v1/services") as services, client.watch(ALL_ROUTES) as routes:
        wait_for(lambda: server.open_watches == 2, "the watches to be open")
        server.faults.error_event("Route", 500)
        assert [(kind, obj["code"]) for kind, obj in routes] == [("ERROR", 500)]
        server.create(service("a"))
        assert next(services)[0] == "ADDED"


def test_cut_mid_object(server: ApiServer, client: Client) -> None:
    """An event, or a list, is cut half-way; the next is whole."""
    server.create(route("a", None))
    server.faults.cut_mid_object("Route")
    with (
        client.open("GET", ALL_ROUTES, watch="true") as answer,
        pytest.raises((http.client.IncompleteRead, ConnectionResetError, ValueError)),
    ):
        json.loads(answer.readline())
    server.faults.cut_mid_object(lists=True)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        client.ask("GET", ALL_ROUTES)
    assert names(client.ask("GET", ALL_ROUTES)) == ["a"]


def test_connections_refused(server: ApiServer, client: Client) -> None:
    """A server that is down cuts its connections and refuses new ones; up again, it has the same port and objects."""
    server.create(route("a", None))
    with client.open("GET", ALL_ROUTES, watch="true", resourceVersion=str(server.storage.version)) as answer:
        server.faults.refuse_connections()
        with contextlib.suppress(http.client.HTTPException, OSError):
            assert answer.read() == b""
    for _ in range(3):
        with pytest.raises(urllib.error.URLError, match="refused"):
            client.ask("GET", ALL_ROUTES)
    server.faults.refuse_connections(on=False)
    assert names(client.ask("GET", ALL_ROUTES)) == ["a"]


def test_forbidden(server: ApiServer, client: Client) -> None:
    """A verb on a resource can be forbidden, in the words of real servers, and allowed again."""
    server.faults.forbid("watch", "routes")
    client.ask("GET", ALL_ROUTES)
    status = client.refused("GET", ALL_ROUTES, watch="true")
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert 'cannot watch resource "routes" in API group "route.openshift.io" at the cluster scope' in status["message"]
    server.faults.allow("watch", "routes")
    with client.watch(ALL_ROUTES):
        pass


def test_tokens(server: ApiServer) -> None:
    """Only known tokens are accepted; they may change while the server runs."""
    server.tokens = {"one"}
    assert Client(server).refused("GET", ALL_ROUTES)["reason"] == "Unauthorized"
    Client(server, "one").ask("GET", ALL_ROUTES)
    server.tokens = {"two"}
    assert Client(server, "one").refused("GET", ALL_ROUTES)["code"] == 401


def test_rbac(server: ApiServer) -> None:
    """A token with grants may do what the rules say and nothing else: by verb, subresource, name and namespace."""
    server.access.grant("t", [{"apiGroups": ["route.openshift.io"], "resources": ["routes"], "verbs": ["get", "list"]}])
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"], "resourceNames": ["a"]}
    server.access.grant("t", [lease], namespace="team")
    server.create(route("a", None))
    client = Client(server, "t")
    client.ask("GET", ALL_ROUTES)
    client.ask("GET", f"{ROUTES}/a")
    assert client.refused("GET", ALL_ROUTES, watch="true")["code"] == 403
    assert client.refused("PATCH", f"{ROUTES}/a/status", {}, MERGE)["code"] == 403
    assert client.refused("GET", "/api/v1/services")["code"] == 403
    client.ask("PUT", f"{LEASES}/a", {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}})
    assert client.refused("PUT", f"{LEASES}/b", {"metadata": {"name": "b"}})["code"] == 403
    elsewhere = LEASES.replace("team", "default")
    assert client.refused("PUT", f"{elsewhere}/a", {"metadata": {"name": "a"}})["code"] == 403


def test_service_accounts(server: ApiServer) -> None:
    """A service account's token may do what the roles say that are bound to it, at once when a binding comes or goes."""
    server.tokens.add("admin")
    admin = Client(server, "admin")
    rbac, account = "rbac.authorization.k8s.io", {"kind": "ServiceAccount", "name": "sa", "namespace": "team"}
    cluster_roles, roles = f"/apis/{rbac}/v1/clusterroles", f"/apis/{rbac}/v1/namespaces/team/roles"
    rule = {"apiGroups": ["route.openshift.io"], "resources": ["routes"], "verbs": ["list"]}
    admin.ask("POST", cluster_roles, {"metadata": {"name": "read"}, "rules": [rule]})
    admin.ask(
        "POST", roles, {"metadata": {"name": "read"}, "rules": [{**rule, "apiGroups": [""], "resources": ["services"]}]}
    )
    admin.ask("POST", "/api/v1/namespaces/team/serviceaccounts", {"metadata": {"name": "sa"}})
    path = "/api/v1/namespaces/team/serviceaccounts/sa/token"
    token = admin.ask("POST", path, {"kind": "TokenRequest", "spec": {}})["status"]["token"]
    client = Client(server, token)
    said = client.refused("GET", ALL_ROUTES)["message"]
    assert 'User "system:serviceaccount:team:sa" cannot list resource "routes"' in said
    for bindings, kind in ((f"{cluster_roles[:-1]}bindings", "ClusterRole"), (f"{roles[:-1]}bindings", "Role")):
        reference = {"apiGroup": rbac, "kind": kind, "name": "read"}
        admin.ask("POST", bindings, {"metadata": {"name": "read"}, "roleRef": reference, "subjects": [account]})
    client.ask("GET", ALL_ROUTES)
    client.ask("GET", SERVICES)
    assert client.refused("GET", "/api/v1/services")["code"] == 403
    admin.ask("DELETE", f"{cluster_roles[:-1]}bindings/read")
    assert client.refused("GET", ALL_ROUTES)["code"] == 403


def test_without_the_route_api(server: ApiServer, client: Client) -> None:
    """Without the CRD the Route API is a page that is not found, its watches end, and installing the CRD brings it back."""
    server.create(route("a", None))
    with client.open("GET", ALL_ROUTES, watch="true", resourceVersion=str(server.storage.version)) as answer:
        wait_for(lambda: server.open_watches == 1, "the watch to be open")
        server.has_routes = False
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    with pytest.raises(urllib.error.HTTPError) as caught:
        client.ask("GET", ALL_ROUTES)
    with caught.value as error:
        assert (error.code, error.headers.get_content_type()) == (404, "text/plain")
    client.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", route_schema().document)
    for _ in range(2):
        assert client.refused("GET", ALL_ROUTES)["code"] == 404
    assert names(client.ask("GET", ALL_ROUTES)) == ["a"]


def test_tls_with_a_private_ca(tmp_path: Path) -> None:
    """With TLS, who has the authority's certificate is served; who has not does not believe the server."""
    with ApiServer(tls=True) as server:
        assert "kubeconfig" in str(server.kubeconfig(tmp_path, "token"))
        Client(server).ask("GET", ALL_ROUTES)
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{server.url}/version", timeout=TIMEOUT_S)
        with Client(server).watch(ALL_ROUTES) as events:
            server.create(route("a", None))
            assert next(events)[0] == "ADDED"
