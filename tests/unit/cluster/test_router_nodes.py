"""On which nodes replicas of this router run, as the watch over the routers' pods tells."""

from __future__ import annotations

import json

import msgspec

from router.cluster.decoding import decode_head
from router.cluster.routers import RouterPods
from router.objects.core import RouterPod
from router.objects.meta import ObjectMeta
from router.objects.store import Store


def pod(name: str, node: str, app: str = "tcp-router", phase: str = "Running") -> msgspec.Raw:
    """Make a pod as the API server gives it."""
    metadata = {"name": name, "namespace": "ns", "labels": {"app.kubernetes.io/name": app}}
    status = {"phase": phase, "podIP": "10.0.0.1"}
    return msgspec.Raw(json.dumps({"metadata": metadata, "spec": {"nodeName": node}, "status": status}).encode())


def test_nodes_are_those_of_living_replicas_of_this_router() -> None:
    """Unknown before the first list; without pods that have ended, are on no node yet, or are a second router's."""
    pods = RouterPods(Store(frozenset()), "a", lambda: RouterPod(ObjectMeta(name="machine", namespace="")))
    assert pods.nodes is None
    pods.begin_list()
    pods.add_page((
        pod("a", "node-a"), pod("b", "node-b"), pod("ended", "node-c", phase="Failed"), pod("pending", ""),
        pod("other", "node-d", app="tcp-router-shard"),
    ))  # fmt: skip
    pods.end_list("1")
    assert pods.nodes == frozenset({"node-a", "node-b"})
    raw = pod("b", "node-b")
    pods.apply(decode_head(raw), None)
    assert pods.nodes == frozenset({"node-a"})


def test_every_selected_pod_counts_while_ones_own_is_not_among_them() -> None:
    """Which of several routers this one is, its own pod's label tells."""
    pods = RouterPods(Store(frozenset()), "elsewhere", lambda: RouterPod(ObjectMeta(name="machine", namespace="")))
    pods.begin_list()
    pods.add_page((pod("a", "node-a"), pod("other", "node-d", app="tcp-router-shard")))
    pods.end_list("1")
    assert pods.nodes == frozenset({"node-a", "node-d"})
