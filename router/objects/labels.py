"""Label selectors, as list and watch queries have them, for objects that are here already (apimachinery, pkg/labels/selector.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from router.objects.networking import LabelRequirement, LabelSelector

Labels = Mapping[str, str]
Matcher = Callable[[Labels], bool]

_KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA_OUTSIDE = re.compile(r",(?![^()]*\))")


def matcher(selector: str) -> Matcher:
    """Give what tells whether labels are selected; empty selects all.

    A selector that cannot be read selects nothing: the API server refuses it too, and says so where Routes are listed.
    """
    parts = [part or _nothing for part in _parts(selector)]
    return lambda labels: all(part(labels) for part in parts)


def is_selector(text: str) -> bool:
    """Say whether ``matcher`` can read a selector; it does not compare numbers."""
    return all(_parts(text))


def _parts(selector: str) -> list[Matcher | None]:
    return [_part(part.strip()) for part in _COMMA_OUTSIDE.split(selector)] if selector.strip() else []


def _nothing(_labels: Labels) -> bool:
    return False


def as_selector(selector: str) -> LabelSelector | None:
    """Give a selector in the form that objects have it; None where that form cannot say it, or it cannot be read."""
    labels: dict[str, str] = {}
    requirements: list[LabelRequirement] = []
    for text in map(str.strip, _COMMA_OUTSIDE.split(selector)) if selector.strip() else ():
        if match := _SET.fullmatch(text):
            values = tuple(value.strip() for value in match[3].split(","))
            requirements.append(LabelRequirement(match[1], "In" if match[2] == "in" else "NotIn", values))
        elif (match := _EQUALITY.fullmatch(text)) and match[2] == "!=":
            requirements.append(LabelRequirement(match[1], "NotIn", (match[3],)))
        elif match:
            if labels.setdefault(match[1], match[3]) != match[3]:
                return None
        elif match := _EXISTS.fullmatch(text):
            requirements.append(LabelRequirement(match[2], "DoesNotExist" if match[1] else "Exists"))
        else:
            return None
    return LabelSelector(labels or None, tuple(requirements) or None)


def _part(text: str) -> Matcher | None:
    if match := _SET.fullmatch(text):
        key, values, is_in = match[1], frozenset(value.strip() for value in match[3].split(",")), match[2] == "in"
        return lambda labels: (labels.get(key) in values) is is_in
    if match := _EQUALITY.fullmatch(text):
        key, value, is_equal = match[1], match[3], match[2] != "!="
        return lambda labels: (labels.get(key) == value) is is_equal
    if match := _EXISTS.fullmatch(text):
        key, is_wanted = match[2], not match[1]
        return lambda labels: (key in labels) is is_wanted
    return None


def selected_by(selector: LabelSelector, labels: Labels) -> bool:
    """Say whether a selector in the form that objects have selects these labels, which are all that there are; an empty one selects all.

    An operator that is none selects nothing.
    """
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    for each in selector.match_expressions or ():
        value = labels.get(each.key)
        match each.operator:
            case "In":
                holds = value is not None and value in (each.values or ())
            case "NotIn":
                holds = value is None or value not in (each.values or ())
            case "Exists":
                holds = value is not None
            case "DoesNotExist":
                holds = value is None
            case _:
                holds = False
        if not holds:
            return False
    return True
