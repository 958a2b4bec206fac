"""A router that NetworkPolicies keep out says so, with no more rights than its component gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_rights import granted, requests_of, rights_of
from tests.support.cluster import Cluster, http_cluster
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.objects import endpoint_slice, route, service
from tests.support.ports import free_port, free_ports
from tests.support.waiting import wait_for

COMPONENT = RBAC_FILE.parents[1] / "components" / "network-policies" / "rbac.yaml"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP: only there can be seen what the router asks."""
    with http_cluster(tmp_path) as cluster:
        yield cluster


def rights(namespace: str) -> list[dict[str, Any]]:
    """Give the objects of both files, for a router that lives in this namespace."""
    texts = [path.read_text() for path in (RBAC_FILE, COMPONENT)]
    objects = placed([obj for text in texts for obj in yaml.safe_load_all(text) if obj], namespace, "tcp-router")
    for rule in [rule for obj in objects for rule in obj.get("rules", ())]:
        if rule.get("resourceNames") == ["openshift-ingress"]:
            rule["resourceNames"] = [namespace]
    return objects


def policy(name: str, *ingress: dict[str, Any]) -> dict[str, Any]:
    """Make a NetworkPolicy for all pods."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(ingress)},
    }


def test_who_is_kept_out_is_told(cluster: Cluster) -> None:
    """By a warning and an Event, where no endpoint passes its check and no policy names the router; not where another Route works."""
    (dead, works), pod = free_ports(2), cluster.pod()
    selecting = service("dead")
    selecting["spec"]["selector"] = {"app": "dead"}
    cluster.create(
        policy("deny"),
        route("dead", dead),
        selecting,
        *endpoint_slice("dead", (pod[0], free_port())),
        route("works", works),
        service("works"),
        *endpoint_slice("works", pod),
    )
    options = ("--check-network-policies", "--check-interval", "200ms")
    router = cluster.router(*options, rights=rights(cluster.namespace)).start()
    row = router.wait_for_row(
        f"{cluster.namespace}/dead", lambda row: "NetworkPolicyMayBlock" in str(row["warnings"]), "told"
    )
    assert row["verdict"] == "admitted"
    told = next(each for each in row["warnings"] if each.startswith("NetworkPolicyMayBlock"))
    assert "(deny)" in told
    assert told.endswith(f"tcp-router network-policy {cluster.namespace}/dead")
    assert not router.ports()[f"{cluster.namespace}/works"]["warnings"]

    def events() -> list[dict[str, Any]]:
        found = cluster.client.list("Event", cluster.namespace)
        return [each for each in found if each["reason"] == "NetworkPolicyMayBlock"]

    (event,) = wait_for(events, "an Event")
    assert event["regarding"]["name"] == "dead"
    assert cluster.server is not None
    used = rights_of(requests_of(cluster.server, router))
    component = granted([COMPONENT])
    assert component <= used <= component | granted()
    assert not [request for request in requests_of(cluster.server, router) if request.status == 403]
