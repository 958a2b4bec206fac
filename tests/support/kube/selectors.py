"""Label and field selectors, as in list and watch queries (apimachinery, pkg/labels/selector.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from tests.support.kube.statuses import failure

Matcher = Callable[[dict[str, Any]], bool]

_KEY = r"(?:[a-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_FIELD = re.compile(r"([A-Za-z.]+)(==|=|!=)(.*)")
_COMMA_OUTSIDE = re.compile(r",(?![^()]*\))")


def by_labels(selector: str) -> Matcher:
    """Make a test of objects' labels.

    Raises:
        StatusError: the selector is of no known form.
    """
    parts = [_label_part(part.strip()) for part in _COMMA_OUTSIDE.split(selector) if selector.strip()]
    return lambda obj: all(part(obj.get("metadata", {}).get("labels") or {}) for part in parts)


def by_fields(selector: str, more: Collection[str] = ()) -> Matcher:
    """Make a test of ``metadata.name`` and ``metadata.namespace``, the fields that every kind can be selected by.

    Args:
        selector: what the query says.
        more: top-level fields by which this kind can be selected, too.

    Raises:
        StatusError: another field, or no known form.
    """
    wanted = []
    for part in filter(None, selector.split(",")):
        match = _FIELD.fullmatch(part.strip())
        if match is None:
            raise failure(400, f"invalid selector: {selector!r}; can't understand {part!r}")
        if match[1] not in {"metadata.name", "metadata.namespace", *more}:
            raise failure(400, f"field label not supported: {match[1]}")
        wanted.append((match[1], match[2] != "!=", match[3]))
    return lambda obj: all((_field(obj, path) == value) is equal for path, equal, value in wanted)


def _field(obj: dict[str, Any], path: str) -> Any:
    _, of_metadata, name = path.rpartition("metadata.")
    return (obj["metadata"] if of_metadata else obj).get(name, "")


def _label_part(text: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(text):
        key, values = match[1], {value.strip() for value in match[3].split(",")}
        if match[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.fullmatch(text):
        key, value = match[1], match[3]
        if match[2] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.fullmatch(text):
        key, wanted = match[2], not match[1]
        return lambda labels: (key in labels) is wanted
    raise failure(400, f"unable to parse requirement: found '{text}'")
