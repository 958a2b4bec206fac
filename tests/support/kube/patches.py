"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386); values in, values out."""

from __future__ import annotations

import copy
from typing import Any


class PatchFailed(Exception):
    """The patch does not fit the object: a path that is missing, or a test that fails."""


class PatchMalformed(Exception):
    """The patch is no patch."""


def merge_patch(value: Any, patch: Any) -> Any:
    """Give ``value`` with a merge patch applied; null removes."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(value) if isinstance(value, dict) else {}
    for key, member in patch.items():
        if member is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), member)
    return merged


def json_patch(value: Any, operations: Any) -> Any:
    """Give ``value`` with a JSON Patch applied.

    Raises:
        PatchFailed: a path is missing, or a test fails; RFC 6902 section 5.
        PatchMalformed: it is no JSON Patch.
    """
    if not isinstance(operations, list):
        raise PatchMalformed("cannot unmarshal object into Go value of type jsonpatch.Patch")
    holder = [copy.deepcopy(value)]
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchMalformed(f"no operation of a JSON Patch: {operation!r}")
        _operate(holder, operation)
    return holder[0]


def _operate(holder: list[Any], operation: dict[str, Any]) -> None:
    name, path = operation.get("op"), operation["path"]
    if name in {"add", "replace", "test"}:
        if "value" not in operation:
            raise PatchMalformed(f"{name} operation without value: {path}")
        new = copy.deepcopy(operation["value"])
        if name == "add":
            _add(holder, path, new)
        elif name == "replace":
            parent, key = _place(holder, path)
            _get(parent, key, path)
            parent[key] = new
        elif not _same(_looked_up(holder, path), new):
            raise PatchFailed(f"testing value {path} failed: test failed")
    elif name == "remove":
        parent, key = _place(holder, path)
        _get(parent, key, path)
        del parent[key]
    elif name in {"copy", "move"} and isinstance(operation.get("from"), str):
        source = operation["from"]
        moved = copy.deepcopy(_looked_up(holder, source))
        if name == "move":
            parent, key = _place(holder, source)
            del parent[key]
        _add(holder, path, moved)
    else:
        raise PatchMalformed(f"unexpected kind of operation: {name}")


def _add(holder: list[Any], path: str, value: Any) -> None:
    parent, key = _place(holder, path)
    if isinstance(parent, list) and path:
        if not 0 <= key <= len(parent):
            raise PatchFailed(f"add operation does not apply: doc is missing path: {path}: index out of bounds")
        parent.insert(key, value)
    else:
        parent[key] = value


def _place(holder: list[Any], path: str) -> tuple[Any, Any]:
    """Give the container that the last step of a path is in, and the step as its key."""
    if path and not path.startswith("/"):
        raise PatchMalformed(f"a path begins with a slash: {path}")
    parent: Any = holder
    key: Any = 0
    for step in path.split("/")[1:]:
        parent = _get(parent, key, path)
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(parent, list):
            if key != "-" and not (key.isdigit() and (key == "0" or key[0] != "0")):
                raise PatchFailed(f"no index of a list: {key}: {path}")
            key = len(parent) if key == "-" else int(key)
        elif not isinstance(parent, dict):
            raise PatchFailed(f"doc is missing path: {path}: missing value")
    return parent, key


def _get(parent: Any, key: Any, path: str) -> Any:
    try:
        return parent[key]
    except (KeyError, IndexError):
        raise PatchFailed(f"doc is missing key: {path}: missing value") from None


def _looked_up(holder: list[Any], path: str) -> Any:
    return _get(*_place(holder, path), path)


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
