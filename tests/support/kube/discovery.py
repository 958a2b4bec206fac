"""What kubectl asks before it does anything: which groups, versions and kinds there are (meta/v1 APIResourceList), and how requests may be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.crd import schema_of
from tests.support.kube.resources import Resource

Object = dict[str, Any]
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_SHORT = {"Endpoints": ["ep"], "EndpointSlice": [], "Event": ["ev"], "Namespace": ["ns"], "NetworkPolicy": ["netpol"], "Pod": ["po"], "Service": ["svc"],
          "TransportServer": ["ts"]}  # fmt: skip
OPENAPI = "/openapi/v3"


def discovered(path: str, resources: Iterable[Resource], has: Callable[[Resource], bool]) -> Object | None:
    """Answer a path of discovery; None where it is none.

    Args:
        path: of the request.
        resources: all that the server could have.
        has: says whether it has one.
    """
    there = [each for each in resources if has(each)]
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = sorted({(each.group, each.version) for each in there if each.group})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in groups]}
    if path == OPENAPI:
        return {
            "paths": {
                _below(prefix): {"serverRelativeURL": f"{OPENAPI}/{_below(prefix)}"}
                for prefix in {each.prefix for each in there}
            }
        }
    if path.startswith(f"{OPENAPI}/"):
        return _openapi([each for each in there if _below(each.prefix) == path.removeprefix(f"{OPENAPI}/")])
    of_version = [each for each in there if each.prefix == path]
    if not of_version:
        return None
    version = of_version[0].api_version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": [_resource(each) for each in of_version],
    }


def _below(prefix: str) -> str:
    return prefix.removeprefix("/")


def _group(name: str, version: str) -> Object:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resource(resource: Resource) -> Object:
    schema = schema_of(resource.kind)
    names: Object = schema.document["spec"]["names"] if schema is not None else {}
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "kind": resource.kind,
        "namespaced": resource.namespaced,
        "shortNames": names.get("shortNames") or _SHORT.get(resource.kind, []),
        "verbs": list(_VERBS),
    }


def _openapi(resources: list[Resource]) -> Object:
    """Say that fields are checked by the server: for kubectl that is enough to check nothing itself."""
    paths: Object = {}
    for each in resources:
        collection = f"{each.prefix}/{'namespaces/{namespace}/' if each.namespaced else ''}{each.plural}"
        kind = {"group": each.group, "version": each.version, "kind": each.kind}
        checked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for path, method in ((collection, "post"), (f"{collection}/{{name}}", "patch")):
            paths.setdefault(path, {})[method] = {"parameters": [checked], "x-kubernetes-group-version-kind": kind}
    return {"openapi": "3.0.0", "info": {"title": "tests", "version": "v1"}, "paths": paths}
