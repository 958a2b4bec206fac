"""The router asks for exactly the rights that manifests/base/rbac.yaml gives it: what it may, it does, and nothing is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.support.api_server import ApiServer, Request
from tests.support.cluster import Cluster, http_cluster
from tests.support.kube.rbac import RBAC_FILE, rbac_objects
from tests.support.kube.resources import parse
from tests.support.objects import ANNOTATIONS, app, route, service
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

ADMITTED = {"Admitted": "True", "PortClaimed": "True"}


class Right(NamedTuple):
    """One verb on one resource, as rules and requests have it."""

    group: str
    resource: str
    verb: str


def granted(paths: Iterable[Path] = (RBAC_FILE,)) -> frozenset[Right]:
    """Give the rights that the roles in these files list."""
    roles = [obj for path in paths for obj in yaml.safe_load_all(path.read_text()) if obj["kind"].endswith("Role")]
    rules = [rule for role in roles for rule in role["rules"]]
    assert rules
    return frozenset(
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def asked(request: Request) -> Right:
    """Say which right a request needs (Kubernetes documentation, "Determine the Request Verb")."""
    target = parse(request.path)
    assert target is not None, f"{request.method} {request.path} is about nothing that a role could name"
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "")
    if request.method == "GET":
        watches = request.query.get("watch") in {"true", "1"}
        verb = "watch" if watches else "get" if target.name else "list"
    resource = "/".join(filter(None, (target.resource.plural, target.subresource)))
    return Right(target.resource.group, resource, verb)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP: only there can be seen what the router asks."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


def rights_of(requests: Iterable[Request]) -> frozenset[Right]:
    """Give the rights that these requests need."""
    return frozenset(asked(request) for request in requests)


def requests_of(server: ApiServer, *routers: RouterProcess) -> list[Request]:
    """Give what these routers asked so far."""
    tokens = {
        yaml.safe_load((router.directory / "kubeconfig").read_text())["users"][0]["user"]["token"] for router in routers
    }
    return [request for request in server.requests if request.token in tokens]


@pytest.mark.timeout(300)
def test_rights_are_those_that_are_used(cluster: Cluster) -> None:
    """Through a life with all that the router does on a cluster, every right is used, and none is missing.

    One replica follows EndpointSlices and leads; one follows Endpoints and a namespace selector.
    """
    assert cluster.server is not None
    server = cluster.server
    port = free_port()
    cluster.create(*app("db", port, cluster.pod()))
    # A status that somebody else wrote meanwhile: the Route is read anew.
    server.faults.fail("PATCH", f"/apis/route.openshift.io/v1/namespaces/{cluster.namespace}/routes", 409)
    leader = cluster.router("--sni-port", "0").start()
    cluster.wait_for_conditions("db", **ADMITTED)
    # Refused, admitted, refused again: the second refusal is counted on the Event of the first, half a minute later.
    cluster.create(route("late", port))
    for wanted, other in (({"Admitted": "False"}, free_port()), (ADMITTED, port), ({"Admitted": "False"}, None)):
        cluster.wait_for_conditions("late", **wanted)
        if other is not None:
            patch = {"metadata": {"annotations": {f"{ANNOTATIONS}external-tcp-port": str(other)}}}
            cluster.client.patch("Route", cluster.namespace, "late", patch)
    # A Service that asks, and then is gone: whether it only asks no more is read.
    asks = service("queue")
    asks["metadata"]["annotations"] = {
        f"{ANNOTATIONS}router-name": "tcp-router",
        f"{ANNOTATIONS}external-tcp-port": str(free_port()),
    }
    cluster.create(asks)
    told = Right("", "services/status", "patch")
    wait_for(lambda: told in rights_of(requests_of(server, leader)), "the Service to be told")
    cluster.client.delete("Service", cluster.namespace, "queue")
    counted = Right("events.k8s.io", "events", "patch")
    wait_for(lambda: counted in rights_of(requests_of(server, leader)), "an Event to be counted up", 100)
    selected = cluster.router(
        "--namespace-selector", f"kubernetes.io/metadata.name={cluster.namespace}", "--endpoints", "endpoints",
        "--bind-address", "127.0.0.2",
    )  # fmt: skip
    selected.start()
    leader.stop()
    selected.stop()
    requests = requests_of(server, leader, selected)
    assert [request for request in requests if request.status in {401, 403}] == []
    assert rights_of(requests) == granted()


def test_no_object_of_the_file_is_left_out() -> None:
    """What the tests give a router is what the file has, object by object."""
    written = [(obj["kind"], obj.get("rules")) for obj in yaml.safe_load_all(RBAC_FILE.read_text())]
    given = [(obj["kind"], obj.get("rules")) for obj in rbac_objects("openshift-ingress", "tcp-router")]
    assert given == written
