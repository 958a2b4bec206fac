"""The last connections of a port, from lines that HAProxy logged; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from router.shapes import read_any

_TEXT = re.compile(
    r"(?P<client>\S+):(?P<client_port>\d+) \[(?P<time>[^\]]+)\] (?P<frontend>\S+) \S+/(?P<server>\S+) "
    r"(?P<queue>-?\d+)/(?P<connect>-?\d+)/\+?(?P<total>\d+) \+?(?P<out>\d+) (?P<state>\S\S) .* namespace=(?P<namespace>\S+) route=(?P<route>\S+)"
)
"""As global.cfg.j2 has the lines without ``log_json``."""

# Configuration manual, 8.5 "Session state at disconnection".
REFUSED_AT_ONCE = "not on the allowlist"
"""What templates/limits.cfg.j2 says of one that is refused as soon as it connects."""
_HOW = {
    "C": "the client cut the connection",
    "S": "the pod cut the connection, or refused it",
    "P": "it was turned away: by an allowlist or a limit",
    "L": "it was answered by HAProxy itself",
    "R": "HAProxy had no more of something: memory, ports or files",
    "I": "HAProxy found a fault in itself",
    "D": "it was cut when its pod was marked as down",
    "U": "it was cut when a preferred pod came back",
    "K": "it was cut by the router or an admin",
    "c": "the client was silent for the timeout",
    "s": "the pod was silent for the timeout",
    "-": "it ended in order",
}
_WHEN = {
    "R": "before it said what it wanted",
    "Q": "while it waited for a pod with room",
    "C": "while HAProxy was connecting to the pod",
    "H": "while the pod's first answer was awaited",
    "D": "while data was passed on",
    "L": "while the last data was passed on",
    "T": "while it was held on purpose",
    "-": "",
}


class Ended(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One connection that ended."""

    time: str
    client: str
    server: str
    seconds: float | None
    bytes_out: int | None
    state: str
    how: str
    """What the two letters of ``state`` say."""


def last_of(lines: Iterable[str], namespace: str, route: str, most: int) -> tuple[Ended, ...]:
    """Give the last connections of one asker, the newest first.

    Args:
        lines: of HAProxy's log, the oldest first, in either form.
        namespace: the asker's.
        route: its log name.
        most: so many at most.
    """
    found = [each for line in lines if f"{route}" in line and (each := _read(line, namespace, route)) is not None]
    return tuple(reversed(found[-most:]))


def _read(line: str, namespace: str, route: str) -> Ended | None:
    start = line.find("{")
    if start >= 0:
        return _of_json(line[start:], namespace, route)
    match = _TEXT.search(line)
    if match is None or (match["namespace"], match["route"]) != (namespace, route):
        return None
    return Ended(
        time=match["time"],
        client=f"{match['client']}:{match['client_port']}",
        server=match["server"],
        seconds=int(match["total"]) / 1000,
        bytes_out=int(match["out"]),
        state=match["state"],
        how=in_words(match["state"]),
    )


def _of_json(text: str, namespace: str, route: str) -> Ended | None:
    try:
        told: Any = read_any(text)
    except msgspec.DecodeError:
        # The end of a line that was longer than the ring takes.
        return None
    if not isinstance(told, dict) or (told.get("namespace"), told.get("route")) != (namespace, route):
        return None
    total, out = told.get("total_ms"), told.get("bytes_out")
    state = str(told.get("termination_state") or "--")
    error = told.get("tls_error") or told.get("error")
    return Ended(
        time=str(told.get("time", "")),
        client=f"{told.get('client', '')}:{told.get('client_port', '')}",
        server=str(told.get("server", "")),
        seconds=total / 1000 if isinstance(total, int) else None,
        bytes_out=out if isinstance(out, int) else None,
        state=state,
        how=_not_through(error) if error else in_words(state),
    )


def _not_through(error: str) -> str:
    if error == REFUSED_AT_ONCE:
        return f"it was turned away: {error}"
    return f"it did not get through the handshake: {error}"


def in_words(state: str) -> str:
    """Say what two letters mean that HAProxy writes of the end of a connection."""
    first, second = state[:1], state[1:2]
    how, when = _HOW.get(first, f"it ended as {state}"), _WHEN.get(second, "")
    return f"{how} {when}".strip() if first != "-" else how
