"""Several replicas on one cluster: every one routes, one writes, and another takes over when that one ends.

Each replica has a state directory, an HTTP port and an address of its own, so that all can serve the same ports on one machine.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
import yaml

from router.objects.route import Route
from router.status.route import Identity, decide_status
from tests.support.api_server import Request
from tests.support.cluster import Cluster
from tests.support.kube.client import KubeClient, Refused, path_of
from tests.support.level import metric
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ADMITTED = {"Admitted": "True", "PortClaimed": "True"}
PORT_ANNOTATION = f"{ANNOTATIONS}external-tcp-port"
LEASE = "tcp-router"
# Another looks every 2 to 3 seconds, sees the last renewal that late, and waits 15: 18 at most, on a machine with nothing else to do.
TAKEOVER_S = 60.0
LEASE_S = 15.0


class Replicas:
    """Replicas of one router, in the order in which they were started; the first leads."""

    def __init__(self, cluster: Cluster, count: int, *options: str) -> None:
        self.cluster = cluster
        self.addresses = ADDRESSES[:count]
        self.routers = tuple(cluster.router("--bind-address", address, *options) for address in self.addresses)
        self._tokens = tuple(_token(router.directory / "kubeconfig") for router in self.routers)

    def start(self) -> tuple[RouterProcess, ...]:
        """Start all, the first so early that it leads."""
        first, *others = self.routers
        first.start()
        wait_for(lambda: leads(first), "the first replica to lead")
        for router in others:
            router.start()
        return self.routers

    def serve(self, app_port: int, answer: bytes, *routers: RouterProcess) -> None:
        """Wait until these replicas, or all of them, serve a port with this answer to a ping."""
        for address, router in zip(self.addresses, self.routers, strict=True):
            if router in routers or not routers:
                wait_for(lambda at=address: exchange(app_port, address=at) == answer, f"an answer by {address}")  # type: ignore[misc]

    def requests(self, router: RouterProcess) -> list[Request]:
        """Give what a replica asked of the API server so far; only that of tests can tell."""
        assert self.cluster.server is not None
        token = self._tokens[self.routers.index(router)]
        return [request for request in self.cluster.server.requests if request.token == token]

    def looks_at_lease(self, router: RouterProcess, times: int) -> None:
        """Wait until a replica has asked for the Lease so many times more, every 2 to 3 seconds: a clock of its own."""
        before = len(self.requests(router))
        wait_for(
            lambda: sum("/leases/" in request.path for request in self.requests(router)[before:]) >= times,
            "a replica to look at the Lease",
            TAKEOVER_S,
        )


def _token(kubeconfig: Path) -> str:
    token: str = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    return token


def leads(router: RouterProcess) -> bool:
    """Whether a replica says that it leads."""
    return metric(router, "tcp_router_leader") == 1


def reports(requests: Iterable[Request]) -> list[Request]:
    """Give those requests that tell Routes something: their status, and Events; refused ones too."""
    return [
        request
        for request in requests
        if (request.method == "PATCH" and request.path.endswith("/status"))
        or (request.method in {"POST", "PATCH"} and "/events" in request.path)
    ]


def lease_spec(cluster: Cluster) -> dict[str, object]:
    """Give what the Lease says."""
    spec: dict[str, object] = (cluster.client.get("Lease", cluster.namespace, LEASE) or {}).get("spec") or {}
    return spec


def moment(micro_time: object) -> dt.datetime:
    """Read a time of a Lease."""
    return dt.datetime.fromisoformat(str(micro_time))


def another_second(cluster: Cluster, name: str) -> None:
    """Wait until a Route that is created now is younger than this one: creationTimestamp has whole seconds."""
    created = cluster.route(name)["metadata"]["creationTimestamp"]
    wait_for(lambda: dt.datetime.now(dt.UTC).isoformat()[:19] > created[:19], "another second to begin")


def ask_for(cluster: Cluster, name: str, port: int) -> None:
    """Edit the port that a Route asks for."""
    patch = {"metadata": {"annotations": {PORT_ANNOTATION: str(port)}}}
    cluster.client.patch("Route", cluster.namespace, name, patch)


def served_files(router: RouterProcess, address: str) -> dict[str, bytes]:
    """Give haproxy.cfg and the maps that it names, by name.

    What replicas of one machine must differ in is made alike: the path of the state directory, and the address in ``bind``.
    """
    config = (router.state / "haproxy.cfg").read_bytes().replace(str(router.state).encode(), b"<state-dir>")
    config = re.sub(rb"(?m)^(\s*bind )" + re.escape(address.encode()) + rb":", rb"\1<address>:", config)
    return {"haproxy.cfg": config} | {path.name: path.read_bytes() for path in (router.state / "maps").iterdir()}


@pytest.fixture
def replicas(cluster: Cluster) -> Callable[..., Replicas]:
    """Make replicas on the cluster, not started yet."""

    def make(count: int = 2, *options: str) -> Replicas:
        return Replicas(cluster, count, *options)

    return make


@pytest.fixture
def by_request(cluster: Cluster) -> None:
    """For tests that must know which replica asked what."""
    if cluster.server is None:
        pytest.skip("only the API server of tests tells which replica asked what")


def test_every_replica_routes_and_one_writes(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """Three replicas that saw the objects come in different order serve the same, byte for byte; one of them reports."""
    sni, own, held, later = (free_port() for _ in range(4))
    group = replicas(3, "--sni-port", str(sni))
    first, second, third = group.routers
    cluster.create(*app("a-old", own, cluster.pod(b"old ")))
    first.start()
    cluster.wait_for_conditions("a-old", **ADMITTED)
    another_second(cluster, "a-old")
    networks = {f"{ANNOTATIONS}ip_allowlist": "127.0.0.0/8 10.0.0.0/8"}
    cluster.create(*app("young", held, cluster.pod(b"young "), annotations=networks))
    cluster.wait_for_conditions("young", **ADMITTED)
    second.start()
    web = cluster.pod(b"web ")
    cluster.create(route("web", host="web.example.com", passthrough=True), service("web"), *endpoint_slice("web", web))
    ask_for(cluster, "a-old", held)
    refused = cluster.wait_for_conditions("a-old", Admitted="False")["Admitted"]
    assert refused["reason"] == "PortAlreadyClaimed"
    third.start()
    cluster.create(*app("last", later, cluster.pod(b"last "), cluster.pod(b"last ")))
    cluster.wait_for_conditions("last", **ADMITTED)
    group.serve(held, b"young ping")
    group.serve(later, b"last ping")

    def same() -> bool:
        files = [served_files(router, address) for router, address in zip(group.routers, group.addresses, strict=True)]
        return all(len(found) > 1 for found in files) and files[0] == files[1] == files[2]

    wait_for(same, "the same configuration, and maps, on all replicas")
    assert f"127.0.0.1:{later}" in (first.state / "haproxy.cfg").read_text()
    assert sum(leads(router) for router in (second, third)) == 0
    assert leads(first)
    if cluster.server is not None:
        assert reports(group.requests(first))
        assert reports(group.requests(second) + group.requests(third)) == []
        paths = {request.path for request in cluster.server.requests if "/leases/" in request.path}
        assert paths == {f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/{LEASE}"}


def test_leader_that_stops_hands_over(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """SIGTERM of the leader releases the Lease: the other one reports a few seconds later, with a Lease of its own."""
    port = free_port()
    first, second = replicas().start()
    former = lease_spec(cluster)["holderIdentity"]
    first.stop()
    # It was released, and not run out: nobody has had to wait for its 15 seconds.
    assert lease_spec(cluster).get("holderIdentity") != former
    cluster.create(*app("db", port, cluster.pod()))
    cluster.wait_for_conditions("db", **ADMITTED)
    wait_for(lambda: leads(second), "the second to say that it leads")
    assert lease_spec(cluster)["holderIdentity"] not in {None, former}


def test_killed_leader_is_followed(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """After kill -9 of the leader the other one reports when the Lease's time is over; late writes do no harm."""
    before, after = free_port(), free_port()
    group = replicas()
    first, second = group.start()
    cluster.create(*app("db", before, cluster.pod()))
    cluster.wait_for_conditions("db", **ADMITTED)
    late = _removal(cluster, "db")
    group.serve(before, b"ping")
    first.stop(signal.SIGKILL)
    last = lease_spec(cluster)
    cluster.create(*app("new", after, cluster.pod()))
    ask_for(cluster, "db", 0)
    # Routing does not wait for a leader.
    group.serve(after, b"ping", second)
    told = cluster.conditions("new")
    assert told == {} or lease_spec(cluster)["holderIdentity"] != last["holderIdentity"]
    wait_for(lambda: cluster.conditions("new"), "the other replica to report", TAKEOVER_S)
    wait_for(lambda: leads(second), "the second to say that it leads")
    taken = lease_spec(cluster)
    assert taken["holderIdentity"] != last["holderIdentity"]
    passed_s = (moment(taken["acquireTime"]) - moment(last["renewTime"])).total_seconds()
    # By the time of day, which may be set a little meanwhile.
    assert passed_s > LEASE_S - 1
    conditions = cluster.wait_for_conditions("db", Admitted="False")
    # What the killed one may have sent last, with its own rights, arrives now.
    client = KubeClient(first.directory / "kubeconfig")
    cluster.stack.callback(client.close)
    with pytest.raises(Refused) as refused:
        _send(client, cluster, "db", late)
    assert refused.value.status in {409, 422}
    assert cluster.conditions("db") == conditions
    # Of a Route that nobody changed since it is not refused, and the new leader sets it right.
    version = cluster.route("new")["metadata"]["resourceVersion"]
    _send(client, cluster, "new", _removal(cluster, "new"))
    cluster.wait_for_conditions("new", **ADMITTED)
    assert cluster.route("new")["metadata"]["resourceVersion"] != version
    assert exchange(after, address=group.addresses[1]) == b"ping"


def _removal(cluster: Cluster, name: str) -> tuple[str, bytes]:
    """Give the PATCH by which a replica takes its entry off a Route as it is now: content type and body."""
    seen = msgspec.json.decode(json.dumps(cluster.route(name)).encode(), type=Route)
    change = decide_status(seen, None, Identity("tcp-router", ""), time.time())
    assert change is not None
    return change.patch.content_type, change.patch.body


def _send(client: KubeClient, cluster: Cluster, name: str, patch: tuple[str, bytes]) -> None:
    content_type, body = patch
    client.ask("PATCH", f"{path_of('Route', cluster.namespace, name)}/status", json.loads(body), content_type)


@pytest.mark.usefixtures("by_request")
def test_paused_leader_does_not_write_when_it_wakes(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """A leader that was stopped for longer than its Lease routes on, and when it goes on it does not even try to write."""
    assert cluster.server is not None
    port = free_port()
    group = replicas()
    first, second = group.start()
    cluster.create(*app("db", port, cluster.pod()))
    cluster.wait_for_conditions("db", **ADMITTED)
    # Nothing is left to say: a request that was decided before the pause would be sent after it, which nobody can prevent.
    wait_for(lambda: cluster.client.list("Event", cluster.namespace), "the Event of it")
    wait_for(lambda: metric(first, "tcp_router_status_queue") == 0, "nothing to be left to write")
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    try:
        group.serve(port, b"ping", first)
        wait_for(lambda: leads(second), "the other replica to lead", TAKEOVER_S)
        # So that there is still something to write when it wakes.
        cluster.server.faults.forbid("patch", "routes/status")
        pending = free_port()
        cluster.create(*app("pending", pending, cluster.pod()))
        wait_for(lambda: reports(group.requests(second)), "the other replica to try")
        written = reports(group.requests(first))
    finally:
        first.process.send_signal(signal.SIGCONT)
    group.serve(pending, b"ping")
    group.looks_at_lease(first, 2)
    assert reports(group.requests(first)) == written
    assert not leads(first)
    assert leads(second)


@pytest.mark.usefixtures("by_request")
def test_leader_whose_lease_is_stolen_stops_writing(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """From the first renewal that is refused the leader writes no more, with work that waits; all go on routing."""
    group = replicas()
    first, second = group.start()
    pod = cluster.pod()
    ports: dict[str, int] = {}

    def add_one() -> str:
        name = f"app-{len(ports)}"
        ports[name] = free_port()
        cluster.create(*app(name, ports[name], pod))
        return name

    add_one()
    cluster.wait_for_conditions("app-0", **ADMITTED)
    stolen = {"holderIdentity": "thief", "leaseDurationSeconds": 3600}
    cluster.client.patch("Lease", cluster.namespace, LEASE, {"spec": stolen})
    while leads(first):
        name = add_one()
        wait_for(lambda told=name: cluster.conditions(told) or not leads(first), "a status, or the end of the lead")  # type: ignore[misc]
    wait_for(lambda: [r.status for r in group.requests(first) if r.method == "PUT"][-1] == 409, "a refused renewal")
    written = reports(group.requests(first))
    known = tuple(ports)
    for _ in range(5):
        add_one()
    for port in tuple(ports.values())[-5:]:
        group.serve(port, b"ping")
    group.looks_at_lease(first, 1)
    # One request may have been on its way in the moment when the lead ended.
    assert len(reports(group.requests(first))) <= len(written) + 1
    assert reports(group.requests(second)) == []
    assert [cluster.conditions(name) for name in ports if name not in known] == [{}] * 5
    assert lease_spec(cluster)["holderIdentity"] == "thief"
    released = {"holderIdentity": None, "leaseDurationSeconds": 1}
    cluster.client.patch("Lease", cluster.namespace, LEASE, {"spec": released})
    for name in ports:
        cluster.wait_for_conditions(name, **ADMITTED)
    wait_for(lambda: sorted(map(leads, group.routers)) == [False, True], "one of them to lead")


def test_claims_outlive_all_replicas(cluster: Cluster, replicas: Callable[..., Replicas]) -> None:
    """A port stays with its holder when all replicas were killed, though an older Route came to want it meanwhile."""
    own, held = free_port(), free_port()
    group = replicas()
    routers = group.start()
    cluster.create(*app("a-old", own, cluster.pod(b"old ")))
    another_second(cluster, "a-old")
    cluster.create(*app("young", held, cluster.pod(b"young ")))
    cluster.wait_for_conditions("a-old", **ADMITTED)
    claimed = cluster.wait_for_conditions("young", **ADMITTED)["PortClaimed"]
    for router in routers:
        router.stop(signal.SIGKILL)
    for address in group.addresses:
        wait_for(lambda at=address: is_refused(held, at), "HAProxy to go with its router")  # type: ignore[misc]
    ask_for(cluster, "a-old", held)
    for router in routers:
        router.start()
        rejected = router.wait_for_row(
            f"{cluster.namespace}/a-old", lambda row: row["verdict"] == "rejected", "to be rejected"
        )
        assert rejected["reason"] == "PortAlreadyClaimed"
    group.serve(held, b"young ping")
    assert cluster.conditions("young")["PortClaimed"] == claimed


def router_pod(cluster: Cluster, node: str) -> dict[str, object]:
    """Make the pod of a router on a node, as the kubelet would report it."""
    labels = {"app.kubernetes.io/name": "tcp-router"}
    container = {"name": "router", "image": "tcp-router"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"tcp-router-{node}", "namespace": cluster.namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [container]},
    }


def test_a_port_that_is_taken_on_one_node_is_told_of_that_node(cluster: Cluster) -> None:
    """The leader names its node; a replica that comes to lead leaves that, and the one there takes it back when it is over."""
    port = free_port()
    first, second = ADDRESSES[:2]
    cluster.create(*(router_pod(cluster, node) for node in ("node-a", "node-b")))
    cluster.create(*app("db", port, cluster.pod()))
    routers = [
        cluster.router("--bind-address", address, "--node-name", node)
        for address, node in ((first, "node-a"), (second, "node-b"))
    ]
    with socket.create_server((first, port)):
        routers[0].start()
        told = cluster.wait_for_conditions("db", Admitted="False")["Admitted"]
        assert told["reason"] == "PortUnavailable"
        assert told["message"].startswith(f"on node node-a: port {port} cannot be opened")
        routers[1].start()
        wait_for(lambda: exchange(port, address=second), "the second replica to serve")
        routers[0].stop()
        wait_for(lambda: leads(routers[1]), "the second replica to lead", TAKEOVER_S)
        routers[0].start()
        routers[0].wait_for_row(f"{cluster.namespace}/db", lambda row: row["verdict"] == "rejected", "rejected there")
        assert cluster.conditions("db")["Admitted"] == told
    cluster.wait_for_conditions("db", **ADMITTED)
    assert leads(routers[1])
    assert not leads(routers[0])
