"""Whether the pod of another generation is one of this router's, by what the API server says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from router.errors import ApiError, ApiForbidden, ApiUnreachable
from router.kube.siblings import Siblings
from tests.support.unused_api import UnusedApi

OWN = "tcp-router-2"
SELECTOR = "app.kubernetes.io/name=tcp-router"


def pod(name: str, **spec: object) -> dict[str, Any]:
    """Make a pod such as the Deployment makes."""
    labels = {"app.kubernetes.io/name": "tcp-router", "pod-template-hash": name}
    on_node = {"nodeName": "worker-1", "hostNetwork": True, "serviceAccountName": "tcp-router"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {**on_node, **spec}}


class Pods(UnusedApi):
    """An API server that knows pods."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.body = json.dumps({"items": [pod(OWN), *pods]}).encode()
        self.error: ApiError | None = None
        self.asked: list[str] = []

    def get(self, path: str, query: object = None) -> bytes:
        """Give the pods."""
        assert path == "/api/v1/namespaces/openshift-ingress/pods"
        assert query == {"labelSelector": SELECTOR}
        self.asked.append(path)
        if self.error is not None:
            raise self.error
        return self.body


def test_a_pod_of_this_router_on_this_node_is_one() -> None:
    """It is asked for once; a pod keeps node and account as long as it lives."""
    api = Pods(pod("tcp-router-1"))
    siblings = Siblings(api, "openshift-ingress", OWN, SELECTOR)
    assert siblings.is_one("tcp-router-1")
    assert siblings.is_one("tcp-router-1")
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(pod("other", nodeName="worker-2"), id="another node"),
        pytest.param(pod("other", hostNetwork=False), id="a network of its own"),
        pytest.param(pod("other", serviceAccountName="default"), id="another account"),
        pytest.param({"metadata": {"name": "other"}}, id="nothing that counts"),
    ],
)
def test_what_is_not_alike_is_none(other: dict[str, Any]) -> None:
    """Each of what makes a pod ours is looked at."""
    assert not Siblings(Pods(other), "openshift-ingress", OWN, SELECTOR).is_one("other")


def test_who_is_not_among_the_pods_of_our_selector_is_none() -> None:
    """Whatever another generation says its pod is; and nobody is, where our own pod is not found."""
    for name in ("gone", "../../secrets", ""):
        assert not Siblings(Pods(pod("tcp-router-1")), "openshift-ingress", OWN, SELECTOR).is_one(name)
    assert not Siblings(Pods(pod("tcp-router-1")), "openshift-ingress", "node", SELECTOR).is_one("tcp-router-1")


@pytest.mark.parametrize("error", [ApiUnreachable("away"), ApiForbidden("may not get pods", 403)])
def test_nobody_is_believed_while_the_api_cannot_say(error: ApiError) -> None:
    """It is asked again after a while, for the loop waits for the answer."""
    now_s = 1000.0
    api = Pods(pod("tcp-router-1"))
    api.error = error
    siblings = Siblings(api, "openshift-ingress", OWN, SELECTOR, lambda: now_s)
    with structlog.testing.capture_logs() as logged:
        assert not siblings.is_one("tcp-router-1")
    assert [line["problem"] for line in logged] == [str(error)]
    api.error = None
    assert not siblings.is_one("tcp-router-1")
    now_s += 5
    assert siblings.is_one("tcp-router-1")


def test_an_answer_that_cannot_be_read_proves_nothing() -> None:
    """A proxy in between may say anything."""
    api = Pods()
    api.body = b"<html>"
    assert not Siblings(api, "openshift-ingress", OWN, SELECTOR).is_one("tcp-router-1")
