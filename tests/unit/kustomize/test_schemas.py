"""What kustomize renders is what Kubernetes, OpenShift and the Prometheus operator take, as their own schemas say."""

from __future__ import annotations

import copy

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import msgspec
import pytest

from tests.support import operator_kinds
from tests.support.crd import route_schema
from tests.support.kustomize import COMPONENTS, MANIFESTS, TREES, Object, one, render

# The oldest that the manifests are for, and the newest that the schemas are known of.
KUBERNETES_VERSIONS = ("1.29", kubernetes_validate.latest_version())
# No library has the schemas of these two: OpenShift serves them by an API server of its own, not by CRDs.
OPENSHIFT_KINDS = {"BuildConfig", "ImageStream"}


def test_no_tree_is_left_out() -> None:
    """Each folder with a Kustomization is rendered by these tests; components are, in one made of all of them."""
    found = {str(path.parent.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("kustomization.yaml")}
    assert found == {*TREES, *COMPONENTS}


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_names_each_object_once(tree: str) -> None:
    """No two objects of a tree are the same one."""
    names = [(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in render(tree)]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("tree", TREES)
def test_objects_are_valid(tree: str) -> None:
    """Each object has the fields of its kind and no others, each of its type."""
    for obj in render(tree):
        validate(obj)


def validate(obj: Object) -> None:
    """Look at an object with the schema of its kind."""
    if obj["kind"] == "Route":
        assert route_schema().unknown_fields(obj) == []
        assert route_schema().problems(route_schema().completed(obj)) == []
    elif obj["kind"] in operator_kinds.OPERATOR_KINDS:
        operator_kinds.validate(obj)
    elif obj["kind"] not in OPENSHIFT_KINDS:
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(obj, version, strict=True)


def test_a_wrong_field_is_noticed() -> None:
    """A field that a kind does not have is refused, so that the test above can fail."""
    deployment = copy.deepcopy(one(render("base"), "Deployment"))
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES_VERSIONS[0], strict=True)
    monitor = copy.deepcopy(one(render("openshift"), "ServiceMonitor"))
    monitor["spec"]["endpoints"][0]["intervall"] = "1s"
    with pytest.raises(msgspec.ValidationError, match="intervall"):
        operator_kinds.validate(monitor)
