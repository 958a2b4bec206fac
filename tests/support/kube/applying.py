"""Who owns which field, and server-side apply (structured-merge-diff), as far as the router and those beside it apply things.

Followed: kubernetes-sigs/structured-merge-diff, merge/update.go, with the lists of Services and of conditions that are maps by keys; all
other lists are one value. Of kinds that nobody applies, what an update owns is noted by top-level field alone (``storage``).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.support.kube.statuses import failure

Object = dict[str, Any]
Path = tuple[str, ...]
"""Of a field, as fieldsV1 has its parts; that of an item of a list ends in a dot."""
Fields = Mapping[Path, Any]
"""The values by path."""

CONTENT_TYPE = "application/apply-patch+yaml"
TRACKED = frozenset({"Service", "TransportServer"})
"""Kinds of which it is known field by field who owns what, whoever wrote it."""
_ITEM = "."
_LISTS: Mapping[Path, tuple[str, ...]] = {
    ("f:spec", "f:ports"): ("port", "protocol"),
    ("f:status", "f:conditions"): ("type",),
}
"""Lists that are maps, and by what."""
_DEFAULTS = {"protocol": "TCP"}
"""Keys that may be left out."""
_METADATA = ("labels", "annotations")
_REQUIRED_OF_CONDITION = ("status", "reason", "message", "lastTransitionTime")


def fields_of(obj: Object) -> dict[Path, Any]:
    """Give what an object says, by path; of its metadata labels and annotations alone."""
    metadata = {key: obj.get("metadata", {}).get(key) for key in _METADATA}
    rest = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
    said = {"metadata": {key: value for key, value in metadata.items() if value}, **rest}
    return dict(_walk(said, ()))


def applied(
    obj: Object, sent: Object, manager: str, subresource: str, *, force: bool
) -> tuple[Object, frozenset[Path]]:
    """Give an object with what a manager applied to it, and the paths that the manager owns now.

    Raises:
        StatusError: 409 for what another manager has otherwise, unless forced; 422 for what lacks a key.
    """
    _check_keys(sent)
    config = fields_of(sent)
    former, others = frozenset[Path](), dict[str, frozenset[Path]]()
    for entry in obj["metadata"].get("managedFields") or ():
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, "Apply", subresource):
            former = owned_by(entry)
        else:
            others[entry["manager"]] = others.get(entry["manager"], frozenset()) | owned_by(entry)
    new = copy.deepcopy(obj)
    _merge(new, {key: value for key, value in sent.items() if key not in {"apiVersion", "kind", "metadata"}}, ())
    for key in _METADATA:
        if (sent.get("metadata") or {}).get(key):
            new["metadata"][key] = {**(new["metadata"].get(key) or {}), **sent["metadata"][key]}
    added, modified, _ = differences(fields_of(obj), fields_of(new))
    conflicts = {name: paths & (added | modified) for name, paths in others.items()}
    if any(conflicts.values()) and not force:
        raise _conflict(conflicts)
    kept = frozenset(config).union(*others.values())
    _prune(new, former - kept)
    if "uid" in (sent.get("metadata") or {}):
        new["metadata"]["uid"] = sent["metadata"]["uid"]
    return new, frozenset(config)


def differences(old: Fields, new: Fields) -> tuple[frozenset[Path], frozenset[Path], frozenset[Path]]:
    """Give the paths that were added, modified and removed."""
    modified = frozenset(path for path in old.keys() & new.keys() if old[path] != new[path])
    return frozenset(new.keys() - old.keys()), modified, frozenset(old.keys() - new.keys())


def noted(
    old: Object | None, new: Object, manager: str, subresource: str, mine: frozenset[Path] | None, now: str
) -> list[Object]:
    """Give ``managedFields`` after a write: ``mine`` are the paths that were applied, None where the object was updated."""
    added, modified, removed = differences(fields_of(old) if old is not None else {}, fields_of(new))
    operation = "Update" if mine is None else "Apply"
    lost = removed | added | modified
    entries, own = [], frozenset[Path]()
    for entry in new["metadata"].get("managedFields") or ():
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, operation, subresource):
            own = owned_by(entry)
            continue
        left = owned_by(entry) - lost
        if left:
            entries.append(entry if left == owned_by(entry) else {**entry, "fieldsV1": _as_json(left)})
    owned = (own - removed) | added | modified if mine is None else mine
    if owned:
        entry = {"manager": manager, "operation": operation, "apiVersion": new["apiVersion"], "time": now}
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": _as_json(owned)}
        entries.append({**entry, "subresource": subresource} if subresource else entry)
    return entries


def owned_by(entry: Object) -> frozenset[Path]:
    """Give the paths that an entry of ``managedFields`` names."""
    return frozenset(_read(entry["fieldsV1"], ()))


def without_times(obj: Object) -> list[Object]:
    """Give ``managedFields`` for a comparison."""
    return [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in obj["metadata"].get("managedFields") or ()
    ]


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, member in value.items():
            yield from _walk(member, (*path, f"f:{key}"))
    elif isinstance(value, list) and path in _LISTS:
        for item in value:
            place = (*path, _key(item, path))
            yield (*place, _ITEM), None
            yield from _walk(item, place)
    elif value is not None:
        yield path, value


def _key(item: Object, path: Path) -> str:
    keys = {key: item.get(key, _DEFAULTS.get(key)) for key in _LISTS[path]}
    return f"k:{json.dumps(keys, separators=(',', ':'), sort_keys=True)}"


def _merge(target: Object, sent: Object, path: Path) -> None:
    for key, value in sent.items():
        place = (*path, f"f:{key}")
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value, place)
        elif isinstance(value, list) and place in _LISTS:
            items = target.setdefault(key, [])
            known = {_key(item, place): item for item in items}
            for item in value:
                there = known.get(_key(item, place))
                if there is None:
                    items.append(copy.deepcopy(item))
                else:
                    _merge(there, item, (*place, _key(item, place)))
        else:
            target[key] = copy.deepcopy(value)


def _prune(obj: Object, gone: Iterable[Path]) -> None:
    """Take away what its only owner does not apply any more; an item goes whole, whoever owns a part of it."""
    # Items before what is in them: what has lost its keys is not found any more.
    for path in sorted(gone, key=lambda path: (path[-1] != _ITEM, len(path))):
        _remove(obj, path[:-1] if path[-1] == _ITEM else path)


def _remove(value: Any, path: Path) -> None:
    *steps, last = path
    at: Path = ()
    for step in steps:
        value = _member(value, at, step)
        at = (*at, step)
        if value is None:
            return
    if last.startswith("k:"):
        value[:] = [item for item in value if _key(item, at) != last]
    elif isinstance(value, dict):
        value.pop(last.removeprefix("f:"), None)


def _member(value: Any, at: Path, step: str) -> Any:
    if step.startswith("k:"):
        return next((item for item in value if _key(item, at) == step), None)
    return value.get(step.removeprefix("f:")) if isinstance(value, dict) else None


def _as_json(paths: Iterable[Path]) -> Object:
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def _read(tree: Object, path: Path) -> Iterator[Path]:
    for key, members in tree.items():
        if members:
            yield from _read(members, (*path, key))
        else:
            yield (*path, key)


def _check_keys(sent: Object) -> None:
    for condition in (sent.get("status") or {}).get("conditions") or ():
        missing = [key for key in _REQUIRED_OF_CONDITION if not condition.get(key)]
        if missing:
            raise failure(422, f"status.conditions: Required value: {missing}")
    for path, keys in _LISTS.items():
        value: Any = sent
        for step in path:
            value = value.get(step.removeprefix("f:")) if isinstance(value, dict) else None
        seen = set()
        for item in value or ():
            lacking = [key for key in keys if key not in item and key not in _DEFAULTS]
            name = ".".join(step.removeprefix("f:") for step in path)
            if lacking:
                raise failure(
                    500,
                    f"failed to create typed patch object: .{name}: element 0: associative list with keys has an element that omits key field {lacking}",
                )
            if _key(item, path) in seen:
                raise failure(
                    500, f"failed to create typed patch object: .{name}: duplicate entries for key {_key(item, path)}"
                )
            seen.add(_key(item, path))


def _conflict(conflicts: Mapping[str, frozenset[Path]]) -> Exception:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{name}" using v1', "field": _shown(path)}
        for name, paths in sorted(conflicts.items())
        for path in sorted(paths)
        if path[-1] != _ITEM
    ]
    listed = ", ".join(f"{each['message']}: {each['field']}" for each in causes)
    plural = "" if len(causes) == 1 else "s"
    return failure(409, f"Apply failed with {len(causes)} conflict{plural}: {listed}", "Conflict", causes=causes)


def _shown(path: Path) -> str:
    shown = ""
    for step in path:
        if step.startswith("k:"):
            keys = json.loads(step.removeprefix("k:"))
            shown += f"[{','.join(f'{key}={json.dumps(value)}' for key, value in keys.items())}]"
        else:
            shown += f".{step.removeprefix('f:')}"
    return shown
