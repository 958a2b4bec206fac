"""What the router says on its own pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.errors import ApiForbidden, ApiUnreachable
from router.status.own_pod import OwnPod, of_addresses
from router.supervisor import Supervisor
from tests.support.unused_api import UnusedApi
from tests.support.waiting import wait_for


class Pods(UnusedApi):
    """Takes patches of pods, or does not."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, Any]] = []
        self.failures: list[Exception] = []

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """Remember one."""
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((path, content_type, json.loads(body)))
        return b"{}"

    def told(self) -> list[str]:
        """Give what was told."""
        return [body["metadata"]["annotations"]["tcp-router.openshift.io/addresses"] for _, _, body in self.written]


class Node:
    """Has addresses."""

    present = frozenset({"10.0.0.2", "10.0.0.1"})


@pytest.fixture
def api() -> Pods:
    """An API server that takes all."""
    return Pods()


@pytest.fixture
def node() -> Node:
    """A node with two addresses."""
    return Node()


@pytest.fixture
def pod(api: Pods, node: Node) -> Iterator[OwnPod]:
    """What writes; not started."""
    supervisor = Supervisor()
    own = OwnPod(api, "openshift-ingress", "router-a", of_addresses(lambda: node.present), supervisor)
    yield own
    own.stop()
    assert supervisor.deaths == {}


def test_it_says_what_is_here_whenever_that_is_something_else(api: Pods, pod: OwnPod, node: Node) -> None:
    """Through the status, sorted, once for each change."""
    pod.start()
    wait_for(lambda: api.told() == ["10.0.0.1,10.0.0.2"], "it to be told")
    assert api.written[0][:2] == (
        "/api/v1/namespaces/openshift-ingress/pods/router-a/status",
        "application/merge-patch+json",
    )
    pod.changed()
    node.present = frozenset()
    pod.changed()
    wait_for(lambda: api.told() == ["10.0.0.1,10.0.0.2", ""], "it to be told that there are none")


def test_what_is_not_taken_is_tried_again(api: Pods, pod: OwnPod) -> None:
    """A missing right is a line in the log that names it, once."""
    api.failures = [ApiForbidden("no", 403), ApiForbidden("no", 403), ApiUnreachable("away")]
    with capture_logs() as logged:
        pod.start()
        wait_for(lambda: not api.failures and api.told() == ["10.0.0.1,10.0.0.2"], "it to be told", 20)
    assert [line["event"] for line in logged] == ["own pod not written", "own pod not written"]
    assert "pods/status" in logged[0]["permission"]
