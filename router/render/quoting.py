"""Quoting for haproxy.cfg, as Jinja filters: values that are no names (paths, addresses of log servers) become one word each.

What comes from Routes needs no quoting: admission lets only a closed vocabulary through. Paths are the admin's choice.
"""

from __future__ import annotations

import re

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:@,=+*\[\]-]+")
_PLAIN_ARGUMENT = re.compile(r"[A-Za-z0-9_./:@=+*-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def quoted(value: object) -> str:
    """Write ``value`` as one word of a configuration line (manual, section 2.2, "Quoting and escaping").

    Raises:
        ValueError: there is a control character in it, which no quoting makes safe to read.
    """
    text = _without_control_characters(value)
    if _PLAIN_WORD.fullmatch(text):
        return text
    # Strong quotes keep everything but themselves; that one is written outside of them.
    return "'" + text.replace("'", r"'\''") + "'"


def quoted_argument(value: object) -> str:
    """Write ``value`` as an argument in parentheses of a sample fetch or converter, inside an unquoted word.

    HAProxy takes quotes off twice there: from the line's words, then from the word's arguments.

    Raises:
        ValueError: as for ``quoted``.
    """
    text = _without_control_characters(value)
    if _PLAIN_ARGUMENT.fullmatch(text):
        return text
    return quoted("'" + text.replace("'", r"'\''") + "'")


def _without_control_characters(value: object) -> str:
    text = str(value)
    if _CONTROL.search(text):
        raise ValueError(f"{text!r} has a control character in it")
    return text
