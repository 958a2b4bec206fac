"""Values of specs that no API server checks, for their CRD may have no schema: each is read, or refused with its field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.admission.request import PORT_FORM
from router.admission.text import is_service_name, shown
from router.admission.verdicts import NotAcceptable, Reason
from router.settings import MAX_PORT

_MAX_PORT_NAME = 63
_NOTHING: Mapping[str, Any] = {}


def shown_value(value: object) -> str:
    """Put a value into a message as it would be written in YAML: on one line, and short however long it is."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | str():
            return shown(value)
        case float():
            return repr(value)
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def as_mapping(field: str, value: object) -> Mapping[str, Any]:
    """Give a value that has fields; null is none of them.

    Raises:
        NotAcceptable: it is something else.
    """
    if value is None:
        return _NOTHING
    if isinstance(value, Mapping):
        return value
    raise NotAcceptable(Reason.INVALID_SPEC, f"{field} is {shown_value(value)}, and must be a mapping")


def service_name(field: str, value: object) -> str:
    """Read the name of a Service.

    Raises:
        NotAcceptable: no Service can be named so.
    """
    if isinstance(value, str) and is_service_name(value):
        return value
    if value is None or value == "":
        raise NotAcceptable(Reason.INVALID_SPEC, f"{field} is missing; it must name a Service")
    raise NotAcceptable(
        Reason.INVALID_SPEC,
        f"{field} is {shown_value(value)}, which no Service can be named; accepted are up to 63 characters of a-z, 0-9 and dashes in between",
    )


def service_port(field: str, value: object) -> int | str:
    """Read which port of a Service is meant: its number, or its name; digits are a number however they are written.

    Raises:
        NotAcceptable: it is neither.
    """
    if value is None or value == "":
        raise NotAcceptable(
            Reason.INVALID_SPEC, f"{field} is missing; it must be a number or a name of the Service's ports"
        )
    if isinstance(value, str):
        number = PORT_FORM.parse(value)
        if number is None and len(value) <= _MAX_PORT_NAME and not value.isdecimal():
            return value
        value = value if number is None else number
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PORT:
        return value
    raise NotAcceptable(
        Reason.INVALID_SPEC,
        f"{field} is {shown_value(value)}; accepted is 1 to {MAX_PORT}, or the name of a Service's port",
    )


def as_list(field: str, value: object) -> list[Any]:
    """Give a value that is a list; null is an empty one.

    Raises:
        NotAcceptable: it is something else.
    """
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise NotAcceptable(Reason.INVALID_SPEC, f"{field} is {shown_value(value)}, and must be a list")


def number(field: str, value: object, least: int, most: int) -> int:
    """Read a whole number.

    Raises:
        NotAcceptable: it is none from ``least`` to ``most``.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise NotAcceptable(
        Reason.INVALID_SPEC, f"{field} is {shown_value(value)}; accepted is a whole number from {least} to {most}"
    )


def seconds(field: str, value: object, default: int, most: int) -> int:
    """Read a number of seconds; null is the default.

    Raises:
        NotAcceptable: it is no whole number from 1 to ``most``.
    """
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise NotAcceptable(
        Reason.INVALID_SPEC, f"{field} is {shown_value(value)}; accepted is a whole number of seconds from 1 to {most}"
    )
