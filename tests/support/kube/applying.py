"""Server-side apply, of what the router applies: conditions in a status, which are a map by type (structured-merge-diff).

A manager that applies owns the conditions that it sent. What it owned and does not send any more goes, unless somebody else owns it too.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.support.kube.statuses import failure

Object = dict[str, Any]
CONTENT_TYPE = "application/apply-patch+yaml"


def applied(obj: Object, sent: Object, manager: str, *, force: bool) -> tuple[Object, frozenset[str]]:
    """Give an object with what a manager applied to its status, and the types of conditions that the manager owns now.

    Raises:
        StatusError: something is applied that this server does not know how to merge, or that another manager owns.
    """
    status = sent.get("status") or {}
    if set(status) - {"conditions"} or set(sent) - {"apiVersion", "kind", "metadata", "status"}:
        raise failure(500, f"the server of tests applies conditions alone, not {sorted(sent)}")
    wanted = {condition["type"]: condition for condition in status.get("conditions") or ()}
    for condition in wanted.values():
        missing = {"status", "reason", "message", "lastTransitionTime"} - {
            key for key, value in condition.items() if value
        }
        if missing:
            raise failure(422, f"status.conditions: Required value: {sorted(missing)}")
    mine, others = _owned(obj, manager), _owned_by_others(obj, manager)
    if (taken := wanted.keys() & others) and not force:
        raise failure(409, f"Apply failed with conflicts: {sorted(taken)}", "Conflict")
    gone = mine - wanted.keys() - others
    new = copy.deepcopy(obj)
    kept = [
        each for each in (obj.get("status") or {}).get("conditions") or () if each["type"] not in gone | wanted.keys()
    ]
    new.setdefault("status", {})["conditions"] = [*kept, *wanted.values()]
    if not new["status"]["conditions"]:
        del new["status"]["conditions"]
    if "uid" in (sent.get("metadata") or {}):
        new["metadata"]["uid"] = sent["metadata"]["uid"]
    return new, frozenset(wanted)


def fields(types: frozenset[str]) -> Object:
    """Write the fields of such conditions as managedFields has them."""
    return {"f:status": {"f:conditions": {f"k:{json.dumps({'type': each})}": {} for each in sorted(types)}}}


def _owned(obj: Object, manager: str) -> frozenset[str]:
    return _types(entry for entry in _applied_by(obj) if entry["manager"] == manager)


def _owned_by_others(obj: Object, manager: str) -> frozenset[str]:
    return _types(entry for entry in _applied_by(obj) if entry["manager"] != manager)


def _applied_by(obj: Object) -> list[Object]:
    return [each for each in obj["metadata"].get("managedFields") or () if each["operation"] == "Apply"]


def _types(entries: Any) -> frozenset[str]:
    keys = (key for each in entries for key in each["fieldsV1"].get("f:status", {}).get("f:conditions", {}))
    return frozenset(json.loads(key.removeprefix("k:"))["type"] for key in keys)
