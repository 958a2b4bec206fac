"""The trees under manifests/, as ``kubectl kustomize`` renders them."""

from __future__ import annotations

import functools
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import requires_program

MANIFESTS = Path(__file__).parents[2] / "manifests"

SHARD = "overlays/shard"
"""The tree of a second router, which has names of its own."""
CONFORMANCE = "overlays/gateway-conformance"
"""The tree for the conformance suite of the Gateway API."""

TREES = (
    "base",
    "build",
    "crds",
    "crds/transport-server-claims",
    "demo",
    "openshift",
    "overlays/daemonset",
    CONFORMANCE,
    "overlays/host-network",
    "overlays/load-balancer",
    "overlays/node-port",
    "overlays/pair",
    "overlays/pair/remote",
    SHARD,
)
"""Every tree that can be applied."""

COMPONENTS = (
    "components/metrics-access", "components/monitoring", "components/monitoring-shard", "components/on-premises",
    "components/addresses", "components/replica-figures", "components/network-policies", "components/publish-service", "components/external-certificates",
    "components/transport-server-claims", "components/transport-servers", "components/client-certificates",
    "components/transport-server-claims", "components/gateway-api", "components/gateway-http",
    "components/gateway-certificates",
)  # fmt: skip
"""Those that overlays take."""

ROUTER_TREES = tuple(
    tree for tree in TREES if tree not in {"build", "demo"} and not tree.startswith(("crds", "overlays/pair"))
)
"""Those that have the router in them."""

WORKLOADS = frozenset({"DaemonSet", "Deployment"})
"""Kinds that make pods."""

ON_HOST = ("openshift", "overlays/daemonset", "overlays/host-network")
"""Trees with the router on the host's network."""

Object = dict[str, Any]


def render(tree: str) -> list[Object]:
    """Give the objects of a tree, as a cluster would be sent them."""
    return list(yaml.safe_load_all(rendered(MANIFESTS / tree)))


@functools.cache
def rendered(directory: Path) -> str:
    """Give what ``kubectl kustomize`` prints; that it finds fault with nothing is asserted."""
    done = subprocess.run([_kubectl(), "kustomize", directory], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{directory}: {done.stderr}"
    return done.stdout


def one(objects: Sequence[Object], kind: str, name: str | None = None) -> Object:
    """Give the one object of a kind, and of a name."""
    (found,) = (obj for obj in objects if obj["kind"] == kind and name in {None, obj["metadata"]["name"]})
    return found


def containers(pod: Mapping[str, Any]) -> dict[str, Object]:
    """Give all containers of a pod's spec by name, native sidecars too."""
    return {each["name"]: each for each in [*pod.get("initContainers", ()), *pod["containers"]]}


def router_workload(tree: str) -> Object:
    """Give what makes the router's pods."""
    return _workload(render(tree))


def router_pod(tree: str) -> Object:
    """Give the spec of the router's pods."""
    return _pod_of_router(render(tree))


def environment(tree: str) -> dict[str, str]:
    """Give the variables of the router's container that have a value of their own."""
    return environment_of(render(tree))


def environment_of(objects: Sequence[Object]) -> dict[str, str]:
    """Give them of a tree's objects."""
    return {
        each["name"]: each["value"] for each in containers(_pod_of_router(objects))["router"]["env"] if "value" in each
    }


def _workload(objects: Sequence[Object]) -> Object:
    (found,) = (obj for obj in objects if obj["kind"] in WORKLOADS)
    return found


def _pod_of_router(objects: Sequence[Object]) -> Object:
    spec: Object = _workload(objects)["spec"]["template"]["spec"]
    return spec


def _kubectl() -> Path:
    # The dev extra brings one along, which is not on the PATH of a venv that is not active.
    beside = Path(sysconfig.get_path("scripts")) / "kubectl"
    return beside if beside.exists() else requires_program("kubectl")
