"""How the values of a namespace's policy are read, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from router.admission.forms import Form, integer
from router.admission.options import MAX_CONNECTION_COUNT, PREFIX
from router.admission.text import is_dns_label, shown
from router.errors import SettingsError
from router.objects.namespace import PolicyRule
from router.settings import MAX_PORT, PortRanges

TCP_PORTS = f"{PREFIX}tcp-ports"
TCP_PORTS_EXCLUSIVE = f"{PREFIX}tcp-ports-exclusive"
TCP_PORTS_MAX = f"{PREFIX}tcp-ports-max"
TCP_CONNECTIONS_MAX = f"{PREFIX}tcp-connections-max"
TCP_ADDRESSES = f"{PREFIX}tcp-addresses"

NONE = "none"
_MAX_LENGTH = 10_000
"""Characters: more than a thousand ranges, of which nobody keeps a record in his head."""


def _read_ports(text: str) -> PortRanges | None:
    if text.strip() == NONE:
        return PortRanges(())
    try:
        ranges = PortRanges.parse(text) if len(text) <= _MAX_LENGTH else None
    except SettingsError:
        return None
    # Of the empty text nobody can say whether it means none, or that nothing is said.
    return ranges if ranges is not None and ranges.ranges else None


def _read_names(text: str) -> frozenset[str] | None:
    if text.strip() == NONE:
        return frozenset()
    names = frozenset(name.strip() for name in text[:_MAX_LENGTH].split(","))
    return names if len(text) <= _MAX_LENGTH and all(map(is_dns_label, names)) else None


PORTS: Form[PortRanges] = Form(
    f"ports and ranges of them with commas between, such as 5432,7000-7099, or {NONE}", _read_ports
)
NAMES: Form[frozenset[str]] = Form(f"names of addresses with commas between, or {NONE}", _read_names)
_FORMS: Mapping[str, tuple[str, Form[Any]]] = MappingProxyType({
    TCP_PORTS: ("ports", PORTS),
    TCP_PORTS_EXCLUSIVE: ("exclusive", PORTS),
    TCP_PORTS_MAX: ("max_ports", integer(0, MAX_PORT)),
    TCP_CONNECTIONS_MAX: ("max_connections", integer(0, MAX_CONNECTION_COUNT)),
    TCP_ADDRESSES: ("addresses", NAMES),
})  # fmt: skip
"""By its annotation: the field of a rule, and the form of its value."""
KEYS: Mapping[str, str] = MappingProxyType({key: field for key, (field, _) in _FORMS.items()})
"""The fields of rules by the annotations that say the same."""
_NEARLY = re.compile(re.escape(PREFIX) + r"tcp[-_.]?(ports?|addr|connection|max)", re.IGNORECASE)
_MOST_STRANGE = 5
IN_FILES: Mapping[str, str] = MappingProxyType({key.removeprefix(PREFIX): key for key in _FORMS})
"""The annotations by what files call them."""


def read_rule(
    said: Mapping[str, str], selector: str, named: Callable[[str], str] = lambda key: f"annotation {key}"
) -> tuple[PolicyRule, tuple[str, ...]]:
    """Read what is said by annotations, or by what has their keys; what else there is is passed over.

    Args:
        said: values by key.
        selector: whom it is about.
        named: says what a key is called.

    Returns:
        What is said, and what is wrong with it. What is wrong says nothing else.
    """
    values: dict[str, Any] = {}
    problems = []
    for key, (field, form) in _FORMS.items():
        if key not in said:
            continue
        value = form.parse(said[key])
        if value is None:
            problems.append(f"{named(key)} is {shown(said[key])}; accepted is {form.text}")
        else:
            values[field] = value
    return replace(PolicyRule(selector=selector), **values), tuple(problems)


def is_of_policy(key: str) -> bool:
    """Say whether an annotation is of a namespace's policy, or was meant to be."""
    return key in KEYS or _NEARLY.match(key) is not None


def read_strange(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Give what is wrong with keys that are nearly ours: whoever mistyped the name of a limit would have none, and not know it."""
    strange = sorted(key for key in annotations if key not in KEYS and is_of_policy(key))
    known = ", ".join(IN_FILES)
    return tuple(
        f"annotation {shown(key)} says nothing to this router; beginning with {PREFIX}, known are {known}"
        for key in strange[:_MOST_STRANGE]
    )
