"""A second router beside the first: nothing of one is the other's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from tests.support.kustomize import MANIFESTS, SHARD, Object, environment, one, render, rendered, router_pod

FIRST = "openshift"


def selectors(objects: Sequence[Object]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give each selector of pods in a tree, with where it is."""
    for obj in objects:
        place = f"{obj['kind']} {obj['metadata']['name']}"
        if obj["kind"] not in {"Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}:
            continue
        spec = obj["spec"]
        found = spec.get("podSelector") or spec.get("selector") or {}
        yield place, found.get("matchLabels", found)
        pod = spec.get("template", {}).get("spec", {})
        apart = pod.get("affinity", {}).get("podAntiAffinity", {})
        for term in (*pod.get("topologySpreadConstraints", ()), *(each for terms in apart.values() for each in terms)):
            yield f"{place} spreading", term.get("podAffinityTerm", term)["labelSelector"]["matchLabels"]


def pod_labels(objects: Sequence[Object]) -> Mapping[str, str]:
    """Give the labels of the router's pods."""
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    labels: Mapping[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def monitored() -> list[Object]:
    """Give the second router's objects with its monitoring."""
    folder = MANIFESTS / "components" / "monitoring-shard"
    return [*render(SHARD), yaml.safe_load((folder / "pod-monitor.yaml").read_text())]


def test_they_have_no_object_in_common() -> None:
    """Applying or deleting one leaves the other as it is; so it is with every object of the whole cluster."""
    for tree in ("base", FIRST, "overlays/load-balancer", "overlays/node-port", "overlays/host-network"):
        first, second = (
            {(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in render(each)}
            for each in (tree, SHARD)
        )
        assert first & second == set()


@pytest.mark.parametrize("tree", [FIRST, "overlays/load-balancer", "overlays/node-port", "overlays/host-network"])
def test_no_selector_has_the_others_pods(tree: str) -> None:
    """Of Services, budgets, policies, monitors and spreading; each has its own."""
    objects = render(tree), monitored()
    labels = [pod_labels(each) for each in objects]
    for own, other in ((0, 1), (1, 0)):
        found = dict(selectors(objects[own]))
        assert len(found) >= 3
        for place, wanted in found.items():
            assert wanted.items() <= labels[own].items(), place
            assert not wanted.items() <= labels[other].items(), place


def test_each_has_rights_of_its_own() -> None:
    """Bindings lead from the second's account to the second's roles; its Role is for its Lease, which has its router's name."""
    objects = render(SHARD)
    roles = {obj["metadata"]["name"] for obj in objects if obj["kind"] in {"Role", "ClusterRole"}}
    bindings = [obj for obj in objects if obj["kind"].endswith("Binding")]
    assert {obj["roleRef"]["name"] for obj in bindings} == roles
    assert {subject["name"] for obj in bindings for subject in obj["subjects"]} == {"tcp-router-shard"}
    assert router_pod(SHARD)["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]
    env = environment(SHARD)
    assert "TCP_ROUTER_LEASE_NAME" not in env
    named = [rule.get("resourceNames") for rule in one(objects, "Role", "tcp-router-lead-shard")["rules"]]
    assert named == [None, [env["ROUTER_SERVICE_NAME"]]]


def test_it_leads_to_no_pod_of_either() -> None:
    """Routes of the second lead neither to its own pods nor to the first's, from where they could come back."""
    selector = environment(SHARD)["TCP_ROUTER_ROUTER_POD_SELECTOR"]
    names = [pod_labels(render(tree))["app.kubernetes.io/name"] for tree in (FIRST, SHARD)]
    assert selector == f"app.kubernetes.io/name in ({', '.join(names)})"


def test_its_monitoring_is_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The component goes with the overlay in one of an admin's, and names nothing as components/monitoring does."""
    folder = tmp_path_factory.mktemp("overlay")
    overlay: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    relative = [
        f"{'../' * len(folder.parts[1:])}{str(MANIFESTS / each)[1:]}" for each in (SHARD, "components/monitoring-shard")
    ]
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({**overlay, "resources": relative[:1], "components": relative[1:]})
    )
    objects = list(yaml.safe_load_all(rendered(folder)))
    first = {(obj["kind"], obj["metadata"]["name"]) for obj in render(FIRST)}
    assert {"PodMonitor", "PrometheusRule"} <= {obj["kind"] for obj in objects}
    assert first & {(obj["kind"], obj["metadata"]["name"]) for obj in objects} == set()
