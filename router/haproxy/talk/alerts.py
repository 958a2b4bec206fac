"""Read HAProxy's messages: what it says of a configuration, and which addresses it could not bind; pure.

The forms are those of 2.8 and 3.0 (``ha_alert`` and ``ha_warning`` of src/errors.c, and their callers). HAProxy indents the
further lines of a message; whatever else it prints without a severity is left to the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["alert", "warning", "notice"]

_SEVERITIES: dict[str, Severity] = {"ALERT": "alert", "WARNING": "warning", "NOTICE": "notice"}
_MESSAGE = re.compile(r"\[(ALERT|WARNING|NOTICE)\] +\(\d+\) : (.*)")
_CONFIG = re.compile(r"config : ")
_PLACE = re.compile(r"(?:[Pp]arsing )?\[(.*?):(\d+)\] ?: ?")
# What ends every list of complaints, and complains of nothing itself.
_SUMMARY = re.compile(r"Error\(s\) found in configuration file|Fatal errors found in configuration")
# 2.8: cannot bind socket (Address already in use) for [:::80]
# 3.0: protocol tcpv6: cannot bind socket (Address already in use) for [:::80].
# both, for UNIX sockets: cannot bind UNIX socket (No such file or directory) [/x.sock]
_BINDING = re.compile(r"(?:Binding|Starting) \[.*?:\d+\] for \w+ (\S+): (?:protocol \w+: )?(.*?)(?: for)? \[(.*)\]\.?")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message. ``line`` counts from 1 in the configuration file; None where HAProxy names none."""

    severity: Severity
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class BindFailure:
    """An address that could not be bound, as HAProxy writes it (``127.0.0.1:80``, ``:::80``, or a path), and why."""

    frontend: str
    address: str
    problem: str


def diagnostics(log: str, config: str | None = None) -> tuple[Diagnostic, ...]:
    """Give the messages of a log, in their order, without their prefixes and without the closing summaries.

    Args:
        log: what HAProxy printed.
        config: the file that lines are given of, as HAProxy was told its name; a line of another file (one that a template
            makes HAProxy read, say) is none of its lines, and stays in the message. None takes every line for its own.
    """
    found: list[Diagnostic] = []
    for text in log.splitlines():
        message = _MESSAGE.match(text)
        if message is not None:
            found.append(_diagnostic(_SEVERITIES[message[1]], message[2], config))
        elif found and text[:1].isspace():
            found[-1] = replace(found[-1], message=f"{found[-1].message}\n{text.rstrip()}")
    return tuple(each for each in found if not _SUMMARY.match(each.message))


def bind_failures(log: str) -> tuple[BindFailure, ...]:
    """Give the addresses that could not be bound, in the order of the log."""
    messages = (message[2] for text in log.splitlines() if (message := _MESSAGE.match(text)))
    matches = (_BINDING.fullmatch(message) for message in messages)
    return tuple(BindFailure(match[1], match[3], match[2]) for match in matches if match)


def _diagnostic(severity: Severity, text: str, config: str | None) -> Diagnostic:
    if prefix := _CONFIG.match(text):
        text = text[prefix.end() :]
    place = _PLACE.match(text)
    if place is None or config not in {None, place[1]}:
        return Diagnostic(severity, None, text)
    return Diagnostic(severity, int(place[2]), text[place.end() :])
