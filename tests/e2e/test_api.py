"""The router on a cluster: Routes through the API to traffic, and back to their status. On a real one with ``--cluster``."""

from __future__ import annotations

import datetime as dt

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.kube.client import Refused
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.seed import SEED_ROUTE
from tests.support.waiting import wait_for

PORT_ANNOTATION = f"{ANNOTATIONS}external-tcp-port"
ADMITTED = {"Admitted": "True", "PortClaimed": "True"}


def test_seed_route_unchanged(cluster: Cluster) -> None:
    """The Route that started the project, unchanged, serves its port and ends admitted, with its port claimed."""
    if not is_refused(6620):
        pytest.skip("port 6620, which the seed's Route asks for, is in use on this machine")
    pod = cluster.pod(port=6620)
    cluster.create(yaml.safe_load(SEED_ROUTE), service("ottcache-002-service", 6620))
    cluster.create(*endpoint_slice("ottcache-002-service", pod))
    before = cluster.route("ottcache-002")
    cluster.router(name="wzh-router-1").start()
    conditions = cluster.wait_for_conditions("ottcache-002", "wzh-router-1", **ADMITTED)
    assert "6620" in conditions["PortClaimed"]["message"]
    assert exchange(6620, b"hello ottcache") == b"hello ottcache"
    after = cluster.route("ottcache-002")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert after["metadata"].get("generation") == before["metadata"].get("generation")


def test_port_conflict_and_handover(cluster: Cluster) -> None:
    """The second Route with a port is rejected and told who holds it; when that one is deleted, it is admitted."""
    port = free_port()
    cluster.create(*app("first", port, cluster.pod(b"first ")))
    cluster.router().start()
    cluster.wait_for_conditions("first", **ADMITTED)
    cluster.create(*app("a-second", port, cluster.pod(b"second ")))
    admitted = cluster.wait_for_conditions("a-second", Admitted="False")["Admitted"]
    assert admitted["reason"] == "PortAlreadyClaimed"
    assert f"{cluster.namespace}/first" in admitted["message"]
    assert exchange(port) == b"first ping"
    cluster.client.delete("Route", cluster.namespace, "first")
    cluster.wait_for_conditions("a-second", **ADMITTED)
    # A worker that was replaced may still take connections until it hears of it.
    wait_for(lambda: exchange(port) == b"second ping", "the second to be served")


def test_old_route_does_not_take_a_held_port(cluster: Cluster) -> None:
    """An older Route that edits its annotation to a port which a younger one holds does not get it, after a restart neither."""
    own, wanted = free_port(), free_port()
    cluster.create(*app("a-old", own, cluster.pod(b"old ")))
    router = cluster.router().start()
    cluster.wait_for_conditions("a-old", **ADMITTED)
    created = cluster.route("a-old")["metadata"]["creationTimestamp"]
    # creationTimestamp has whole seconds; the Routes' ages must differ for this to show anything.
    wait_for(lambda: dt.datetime.now(dt.UTC).isoformat()[:19] > created[:19], "another second to begin")
    cluster.create(*app("young", wanted, cluster.pod(b"young ")))
    claimed = cluster.wait_for_conditions("young", **ADMITTED)["PortClaimed"]
    patch = {"metadata": {"annotations": {PORT_ANNOTATION: str(wanted)}}}
    cluster.client.patch("Route", cluster.namespace, "a-old", patch)
    admitted = cluster.wait_for_conditions("a-old", Admitted="False")["Admitted"]
    assert (admitted["reason"], f"{cluster.namespace}/young" in admitted["message"]) == ("PortAlreadyClaimed", True)
    assert exchange(wanted) == b"young ping"
    router.stop()
    router.start()
    wait_for(lambda: exchange(wanted) == b"young ping", "the port to be served again")
    assert cluster.conditions("young")["PortClaimed"] == claimed


def test_endpoints_are_followed(cluster: Cluster) -> None:
    """Traffic follows a pod that is replaced; the status is not written anew for it."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod(b"old ")))
    router = cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    assert exchange(port) == b"old ping"
    written = cluster.route("db")["metadata"]["resourceVersion"]
    (new,) = endpoint_slice("db", cluster.pod(b"new "))
    cluster.client.patch("EndpointSlice", cluster.namespace, "db-0", {key: new[key] for key in ("endpoints", "ports")})
    wait_for(lambda: exchange(port) == b"new ping", "traffic to reach the new pod")
    router.wait_for_row(f"{cluster.namespace}/db", lambda row: len(row["servers"]) == 1, "one server")
    assert cluster.route("db")["metadata"]["resourceVersion"] == written


def test_edited_port_is_followed(cluster: Cluster) -> None:
    """A Route that changes its port is served on the new one, and its claim says so."""
    first, second = free_port(), free_port()
    cluster.create(*app("db", first, cluster.pod()))
    cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    patch = {"metadata": {"annotations": {PORT_ANNOTATION: str(second)}}}
    cluster.client.patch("Route", cluster.namespace, "db", patch)
    wait_for(lambda: str(second) in cluster.conditions("db")["PortClaimed"]["message"], "the claim to change")
    assert exchange(second) == b"ping"
    wait_for(lambda: is_refused(first), "the former port to be closed")


def test_entry_goes_when_the_route_is_not_ours_any_more(cluster: Cluster) -> None:
    """A Route that is given to another router loses our entry; what other routers wrote stays as it is."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod()))
    condition = {"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    foreign = {"routerName": "another", "host": "db.example.com", "conditions": [condition]}
    cluster.client.patch("Route", cluster.namespace, "db", {"status": {"ingress": [foreign]}}, "status")
    cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    assert foreign in cluster.route("db")["status"]["ingress"]
    patch = {"metadata": {"annotations": {f"{ANNOTATIONS}router-name": "yet-another"}}}
    cluster.client.patch("Route", cluster.namespace, "db", patch)
    wait_for(lambda: cluster.conditions("db") == {}, "our entry to go")
    assert foreign in cluster.route("db")["status"]["ingress"]
    wait_for(lambda: is_refused(port), "the port to be closed")


@pytest.mark.parametrize(
    ("shard", "router_name"),
    [
        pytest.param("b", "tcp-router", id="label"),
        pytest.param("a", "another", id="annotation"),
        pytest.param("b", "another", id="both"),
    ],
)
def test_entry_goes_when_the_route_left_while_nobody_ran(cluster: Cluster, shard: str, router_name: str) -> None:
    """A Route that left the shard, or was given to another router, while none ran loses our entry; others' entries stay."""
    made, *rest = app("db", free_port(), cluster.pod())
    cluster.create({**made, "metadata": {**made["metadata"], "labels": {"shard": "a"}}}, *rest)
    router = cluster.router("--route-selector", "shard=a", "--canonical-hostname", "tcp.example.com").start()
    cluster.wait_for_conditions("db", **ADMITTED)
    router.stop()
    condition = {"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    foreign = {"routerName": "another", "host": "db.example.com", "conditions": [condition]}
    ingress = [foreign, *cluster.route("db")["status"]["ingress"]]
    cluster.client.patch("Route", cluster.namespace, "db", {"status": {"ingress": ingress}}, "status")
    metadata = {"labels": {"shard": shard}, "annotations": {f"{ANNOTATIONS}router-name": router_name}}
    cluster.client.patch("Route", cluster.namespace, "db", {"metadata": metadata})
    router.start()
    wait_for(lambda: cluster.conditions("db") == {}, "our entry to go")
    assert cluster.route("db")["status"]["ingress"] == [foreign]


def test_status_is_written_as_status(cluster: Cluster) -> None:
    """Our entry comes by the status subresource, as managedFields tells, and costs one write."""
    cluster.create(*app("db", free_port(), cluster.pod()))
    cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    managers = cluster.route("db")["metadata"]["managedFields"]
    assert {entry.get("subresource", "") for entry in managers} == {"", "status"}
    if cluster.server is not None:
        server = cluster.server
        # A request is on record a moment after what it did can be seen.
        wait_for(
            lambda: [r.status for r in server.requests if r.path.endswith("/routes/db/status")] == [200],
            "one write of the status",
        )


def test_events_tell_of_verdicts(cluster: Cluster) -> None:
    """Admission and rejection are told by Events on the Routes."""
    port = free_port()
    cluster.create(*app("db", port, cluster.pod()))
    cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    cluster.create(route("other", port))
    cluster.wait_for_conditions("other", Admitted="False")

    def told() -> set[tuple[str, str, str]]:
        events = cluster.client.list("Event", cluster.namespace)
        return {(event["regarding"]["name"], event["type"], event["reason"]) for event in events}

    wanted = {("db", "Normal", "Admitted"), ("other", "Warning", "PortAlreadyClaimed")}
    wait_for(lambda: wanted <= told(), f"Events {wanted}")


def test_lease_tells_who_leads(cluster: Cluster) -> None:
    """The router that writes holds the Lease of its name, and gives it back when it stops."""
    router = cluster.router().start()

    def holder() -> str:
        lease = cluster.client.get("Lease", cluster.namespace, "tcp-router") or {}
        identity: str | None = lease.get("spec", {}).get("holderIdentity")
        return identity or ""

    wait_for(holder, "the Lease to be held")
    router.stop()
    wait_for(lambda: not holder(), "the Lease to be given back")


def test_rights_suffice(cluster: Cluster) -> None:
    """With exactly the rights of manifests/, nothing that the router asks is forbidden."""
    cluster.create(*app("db", free_port(), cluster.pod()))
    router = cluster.router().start()
    cluster.wait_for_conditions("db", **ADMITTED)
    wait_for(lambda: cluster.client.list("Event", cluster.namespace), "an Event")
    assert "forbidden" not in router.log().lower()
    if cluster.server is not None:
        assert [request for request in cluster.server.requests if request.status == 403] == []


def test_wrong_routes_are_the_servers_to_refuse(cluster: Cluster) -> None:
    """What the Route's schema does not allow never reaches the router: the API server answers 422."""
    with pytest.raises(Refused) as caught:
        cluster.create(route("db", 6620, spec={"to": {"kind": "Service", "name": "db", "weight": 257}}))
    assert caught.value.status == 422
    assert caught.value.body["reason"] == "Invalid"
