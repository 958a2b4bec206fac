"""The accepted forms of annotation values: how each is read, and how it is told to a user who got it wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason

T = TypeVar("T")

MAX_TIME_MS = 24 * 24 * 3600 * 1000
"""24 days. HAProxy keeps times as milliseconds in 31 bits, which are a little more (configuration manual, 2.5 "Time format")."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_GROUPED_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}(?:_[0-9]{1,18}){0,18}")
_TIME = re.compile(r"(0|[1-9][0-9]{0,18})(us|ms|s|m|h|d)?")
_US_PER_MS = 1000
_UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """One accepted form: ``parse`` gives the value, or None for text that is not of the form; ``text`` describes it."""

    text: str
    parse: Callable[[str], T | None]


def read(
    annotations: Mapping[str, str], key: str, form: Form[T], reason: Reason = Reason.INVALID_ANNOTATION
) -> T | None:
    """Read one annotation; None if it is absent.

    Raises:
        NotAcceptable: it is there and not of its form.
    """
    value = annotations.get(key)
    if value is None:
        return None
    parsed = form.parse(value)
    if parsed is None:
        raise NotAcceptable(reason, f"annotation {key} is {shown(value)}; accepted is {form.text}")
    return parsed


def integer(low: int, high: int, *, grouped: bool = False) -> Form[int]:
    """Whole numbers in decimal digits from ``low`` to ``high``, without sign, leading zeros or spaces.

    ``grouped`` takes ``15_432`` too: to YAML that is a number, and who is told that it has to be text puts quotes around it.
    """
    form = _GROUPED_NUMBER if grouped else _NUMBER

    def parse(text: str) -> int | None:
        if form.fullmatch(text) is None:
            return None
        number = int(text.replace("_", ""))
        return number if low <= number <= high else None

    return Form(f"a whole number from {low} to {high} in decimal digits, without leading zeros", parse)


def choice(values: tuple[T, ...]) -> Form[T]:
    """One of some words, spelled exactly so."""
    by_text = {str(value): value for value in values}
    listed = " or ".join(filter(None, (", ".join(list(by_text)[:-1]), list(by_text)[-1])))
    return Form(listed, by_text.get)


# The spellings of Go's strconv.ParseBool, by which OpenShift's router reads booleans; it takes any other text for false.
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "T", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "F", "0"), False),
}
BOOLEAN: Form[bool] = Form("true or false", _BOOLEANS.get)


def _time_form(low_ms: int, text: str) -> Form[int]:
    def parse(value: str) -> int | None:
        match = _TIME.fullmatch(value)
        if match is None:
            return None
        us = int(match[1]) * _UNIT_US[match[2] or "ms"]
        if us == 0:
            return 0 if low_ms == 0 else None
        # HAProxy rounds times up to its resolution of a millisecond.
        return -(-us // _US_PER_MS) if _US_PER_MS <= us <= MAX_TIME_MS * _US_PER_MS else None

    return Form(text, parse)


_TIME_TEXT = "a number with the unit us, ms (also without unit), s, m, h or d, from 1ms to 24d"
TIME = _time_form(1, _TIME_TEXT)
"""A HAProxy time, in milliseconds."""
INTERVAL = _time_form(0, f"{_TIME_TEXT}, or 0 for no checks")
"""A HAProxy time, in milliseconds, or 0."""
