"""What the page says of other replicas, in a real browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

from tests.support.browser import chromium, opened
from tests.support.cluster import Cluster
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.kustomize import MANIFESTS
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

COMPONENT = MANIFESTS / "components" / "replica-figures" / "rbac.yaml"
FIGURES = "tcp-router.openshift.io/figures"
HOSTILE = '<img src=x onerror=document.title=1>"'
Object = dict[str, Any]


def rights(cluster: Cluster, *, shares: bool) -> list[Object]:
    """Give what base gives, and the component, where figures are shared."""
    files = (RBAC_FILE, COMPONENT) if shares else (RBAC_FILE,)
    return placed(
        [obj for path in files for obj in yaml.safe_load_all(path.read_text())], cluster.namespace, "tcp-router"
    )


def pod(cluster: Cluster, name: str, **annotations: str) -> None:
    """Make a pod of a router."""
    metadata = {"name": name, "namespace": cluster.namespace, "labels": {"app.kubernetes.io/name": "tcp-router"}}
    spec = {"containers": [{"name": "router", "image": "tcp-router"}]}
    cluster.client.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "annotations": annotations}, "spec": spec}
    )


def figures(cluster: Cluster, name: str) -> Object | None:
    """Give what a pod says of itself."""
    told = (cluster.client.get("Pod", cluster.namespace, name) or {})["metadata"].get("annotations", {}).get(FIGURES)
    return json.loads(told) if told else None


def replica(cluster: Cluster, name: str, address: str, *options: str, shares: bool) -> RouterProcess:
    """Start one, in the pod of this name."""
    return cluster.router(
        "--bind-address", address, "--pod-name", name, *options, rights=rights(cluster, shares=shares)
    ).start()


def test_how_the_others_are(cluster: Cluster) -> None:
    """Each says on its own pod how it is, and its page what the others say; what is no such thing there is not shown, nor run."""
    said = json.dumps({
        "time_s": 1.0, "version": HOSTILE, "haproxy": "2.8", "connections": 7, "limit": 9, "old_workers": 3, "reloads": 5, "problems": [HOSTILE],
    })  # fmt: skip
    pod(cluster, "router-a")
    pod(cluster, "router-b", **{FIGURES: said})
    pod(cluster, "router-c", **{FIGURES: "[" * 5000})
    cluster.create(*app("db", free_port(), cluster.pod()))
    router = replica(cluster, "router-a", "127.0.0.1", "--share-figures", shares=True)
    wait_for(lambda: figures(cluster, "router-a"), "the pod to say how the replica is")
    told = figures(cluster, "router-a")
    assert told is not None
    assert told["connections"] >= 0
    assert told["limit"] > 0
    with chromium() as browser, opened(browser, f"http://127.0.0.1:{router.http_port}/#view=router") as page:
        line = page.locator("tr", has_text="router-b")
        expect(line).to_contain_text("7 of 9")
        expect(line).to_contain_text(HOSTILE)
        expect(page.locator("tr", has_text="router-c")).to_contain_text("nothing")
        expect(page.locator("tr", has_text="router-a")).to_contain_text(f"of {told['limit']}")
        expect(page.locator("main")).to_contain_text("The others say how they are twice a minute.")
        assert page.locator("main img").count() == 0
        assert page.title() == "tcp-router: TCP ports"
    router.stop()


@pytest.mark.parametrize("shares", [False, True], ids=["not-asked", "no-right"])
def test_without_the_right_this_replica_alone_is_known(cluster: Cluster, *, shares: bool) -> None:
    """The page says so; where it was asked for, so does the log, with the right that lacks; all is served as well."""
    pod(cluster, "router-a")
    cluster.create(*app("db", free_port(), cluster.pod()))
    router = replica(cluster, "router-a", "127.0.0.1", *(["--share-figures"] if shares else []), shares=False)
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    if shares:
        wait_for(lambda: "manifests/components/replica-figures" in router.log(), "the log to say what is missing")
    with chromium() as browser, opened(browser, f"http://127.0.0.1:{router.http_port}/#view=router") as page:
        expect(page.locator("tr", has_text="router-a")).to_contain_text("nothing")
        if not shares:
            expect(page.locator("main")).to_contain_text("All figures on this page are this replica's alone")
    assert figures(cluster, "router-a") is None
    router.stop()
