"""Objects as tables, as kubectl prints them: meta/v1 Table, with the columns of the kind's CRD, or those of kubernetes, pkg/printers/internalversion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.support.crd import schema_of
from tests.support.kube.resources import Resource

Object = dict[str, Any]
_STEP = re.compile(r'\.([A-Za-z][A-Za-z0-9]*)|\[\?\(@\.([a-z]+)=="([^"]*)"\)\]')
_F5S = (
    ("virtualServerAddress", "string", ".spec.virtualServerAddress"),
    ("virtualServerPort", "integer", ".spec.virtualServerPort"),
    ("pool", "string", ".spec.pool.service"),
    ("poolPort", "string", ".spec.pool.servicePort"),
    ("ipamLabel", "string", ".spec.ipamLabel"),
    ("IPAMVSAddress", "string", ".status.vsAddress"),
    ("STATUS", "string", ".status.status"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
"""Of F5's CRD, which stands beside its versions there and so is no structural one."""


def is_wanted(accept: str) -> bool:
    """Say whether a client asks for a table."""
    return "as=Table" in accept


def table(resource: Resource, objects: Sequence[Object], metadata: Object) -> bytes:
    """Give objects of a kind as a table."""
    columns = _columns(resource)
    heads = [{"name": "Name", "type": "string", "format": "name"}]
    heads += [{"name": name, "type": "string" if kind == "date" else kind, "format": ""} for name, kind, _ in columns]
    rows = [{"cells": [each["metadata"]["name"], *_cells(each, columns)], "object": _partial(each)} for each in objects]
    made = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": heads,
        "rows": rows,
    }
    return json.dumps(made).encode()


def _columns(resource: Resource) -> list[tuple[str, str, str]]:
    if resource.kind == "TransportServer":
        return list(_F5S)
    schema = schema_of(resource.kind)
    if schema is not None:
        (version,) = schema.document["spec"]["versions"]
        said = [each for each in version.get("additionalPrinterColumns", ()) if not each.get("priority")]
        if said:
            return [(each["name"], each["type"], each["jsonPath"]) for each in said]
    return {
        "Endpoints": [("Endpoints", "string", ""), ("Age", "date", ".metadata.creationTimestamp")],
        "Service": [
            ("Type", "string", ".spec.type"), ("Cluster-IP", "string", ".spec.clusterIP"), ("External-IP", "string", ""), ("Port(s)", "string", ""),
            ("Age", "date", ".metadata.creationTimestamp"),
        ],
    }.get(resource.kind, [("Age", "date", ".metadata.creationTimestamp")])  # fmt: skip


def _cells(obj: Object, columns: list[tuple[str, str, str]]) -> list[Any]:
    special: dict[str, Callable[[Object], str]] = {
        "Endpoints": _endpoints,
        "Port(s)": _ports,
        "External-IP": lambda _: "<none>",
    }
    cells: list[Any] = []
    for name, kind, path in columns:
        value = special[name](obj) if not path and name in special else _found(obj, path)
        cells.append(_age(value) if kind == "date" else value)
    return cells


def _found(value: Any, path: str) -> Any:
    """Follow a JSONPath of the few forms that columns have; None where it leads nowhere."""
    for field, key, wanted in _STEP.findall(path):
        if field:
            value = value.get(field) if isinstance(value, dict) else None
        else:
            value = next((each for each in value or () if each.get(key) == wanted), None)
    return value


def _endpoints(obj: Object) -> str:
    subsets = obj.get("subsets") or ()
    return (
        ",".join(
            f"{each['ip']}:{port['port']}"
            for subset in subsets
            for each in subset.get("addresses", ())
            for port in subset.get("ports", ())
        )
        or "<none>"
    )


def _ports(obj: Object) -> str:
    return ",".join(f"{each['port']}/{each.get('protocol', 'TCP')}" for each in obj.get("spec", {}).get("ports") or ())


def _age(created: Any) -> str:
    if not isinstance(created, str):
        return "<unknown>"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m"


def _partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
