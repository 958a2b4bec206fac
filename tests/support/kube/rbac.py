"""The rights of the router, exactly as manifests/base/rbac.yaml gives them, under names of a test's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

RBAC_FILE = Path(__file__).parents[3] / "manifests" / "base" / "rbac.yaml"
SERVICE_ACCOUNT = "tcp-router"

Object = dict[str, Any]


def rbac_objects(namespace: str, router_name: str) -> list[Object]:
    """Give the objects of the file for a router of this name that lives in this namespace.

    The rules are the file's. Changed are names of namespaces, names of objects that belong to the whole cluster (so that
    a router that is really installed keeps its own), and the name of the Lease, which is the router's.
    """
    return placed(
        [obj for obj in yaml.safe_load_all(RBAC_FILE.read_text(encoding="utf-8")) if obj], namespace, router_name
    )


def placed(objects: Iterable[Object], namespace: str, router_name: str) -> list[Object]:
    """Give those of a tree's objects that are about rights, for a router that lives in this namespace."""
    rights = [obj for obj in objects if obj["kind"] == "ServiceAccount" or obj["kind"].endswith(("Role", "Binding"))]
    for obj in rights:
        metadata = obj["metadata"]
        if "namespace" in metadata:
            metadata["namespace"] = namespace
        else:
            metadata["name"] += f"-{namespace}"
        if obj.get("roleRef", {}).get("kind") == "ClusterRole":
            obj["roleRef"]["name"] += f"-{namespace}"
        for subject in obj.get("subjects", ()):
            subject["namespace"] = namespace
        for rule in obj.get("rules", ()):
            if rule["resources"] == ["leases"] and "resourceNames" in rule:
                rule["resourceNames"] = [router_name]
    return rights
