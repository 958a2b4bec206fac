"""Objects as a real API server stores them: with ``managedFields`` that name every field, and as large as those that were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripts.benchmark.calibration import BYTES

_TIME = "2025-03-01T08:00:00Z"
_Object = dict[str, Any]

_NOT_OWNED = frozenset({"apiVersion", "kind", "metadata", "status", "addressType"})
_NOT_SET = frozenset({"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})
"""Fields that the server sets itself, and that are nobody's."""
_KEYS: Mapping[str, tuple[str, ...]] = {"ports": ("port", "protocol")}
"""Lists whose items are told from each other by these fields (``x-kubernetes-list-map-keys``); others are one value."""
_MANAGERS = {"EndpointSlice": "kube-controller-manager"}


def stored(obj: _Object) -> _Object:
    """Give an object as a server would give it: with managedFields of who applied it and of who wrote its status.

    Routes are filled up to the measured size by fields that a further controller owns.
    """
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    fields: _Object = {
        "f:metadata": {
            f"f:{name}": {".": {}, **_fields(metadata[name])} for name in ("annotations", "labels") if name in metadata
        }
    }
    fields.update({f"f:{name}": _fields(value, name) for name, value in obj.items() if name not in _NOT_OWNED})
    managed = [_entry(obj, _MANAGERS.get(obj["kind"], "kubectl-client-side-apply"), fields)]
    has_status = obj["kind"] == "Route" and bool(obj.get("status"))
    if has_status:
        managed.append({**_entry(obj, "tcp-router", {"f:status": {"f:ingress": {}}}), "subresource": "status"})
    made = {**obj, "metadata": {**metadata, "managedFields": managed}}
    if obj["kind"] == "Route":
        wanted = BYTES["a Route with status" if has_status else "a Route without status"].middle
        managed.append(_entry(obj, "argocd-controller", {"f:metadata": {"f:annotations": {}}}))
        _fill(managed[-1]["fieldsV1"]["f:metadata"]["f:annotations"], int(wanted) - len(as_json(made)))
    return made


def as_json(obj: _Object) -> bytes:
    """Write an object as the server does: without spaces."""
    return json.dumps(obj, separators=(",", ":")).encode()


def _fill(fields: _Object, size: int) -> None:
    while size > 0:
        name = f"f:example.com/{len(fields):03}"
        fields[name] = {}
        size -= len(name) + len('"":{},')


def _entry(obj: _Object, manager: str, fields: _Object) -> _Object:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _fields(value: object, name: str = "") -> _Object:
    match value:
        case dict():
            return {f"f:{key}": _fields(member, key) for key, member in value.items() if key not in _NOT_SET}
        case list() if name in _KEYS:
            return {".": {}, **{_key(item, _KEYS[name]): {".": {}, **_fields(item)} for item in value}}
        case _:
            return {}


def _key(item: _Object, by: tuple[str, ...]) -> str:
    return f"k:{json.dumps({name: item[name] for name in by}, separators=(',', ':'))}"
