"""What HAProxy says of itself on standard error, as log lines: which are told, how grave they are, and of which Route.

It imports nothing but the standard library, for ``first_process`` runs without our packages.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ASKED_FOR = re.compile(
    # What the router told it to do, or what follows from it: for each Route at each reload, each port of the pool, each endpoint.
    r" : (?:Proxy \S+ stopped \(cumulated conns: |(?:Paused|Resumed) frontend |Server deleted\.|CLI : 'server .* New server registered"
    r"|CLI : New backend registered\.|CLI : Backend (?:un)?published\.|Backend deleted\."
    r"|Server \S+ (?:is going DOWN for maintenance|was DOWN and now enters maintenance|is UP/READY|enters drain state|is UP \(leaving )"
    # That is said of the last server, too.
    r"|backend '\S+' has no server available!"
    # Nor is that of the backend that clients without a certificate are led by: the Route's own has the same pods.
    r"|Server nocert:\S+ is (?:UP|DOWN),"
    # That was told when it happened.
    r"|(?:config : )?Server \S+ is DOWN, changed from server-state"
    # A start, a reload, and an end by a signal, as they should be.
    r"|New worker \(\d+\) forked|Loading success\.|Reloading HAProxy|Initializing new worker|haproxy version is |path to executable is "
    r"|Former worker \(\d+\) exited with code 0 |Exiting Master process\.\.\.)"
)
_ENDED_BY_SIGNAL = re.compile(
    # 128 and the number of SIGINT or SIGTERM.
    r" : (?:(?:Former|Current) worker \(\d+\) exited with code (?:0|130|143) |All workers exited\. Exiting\.\.\. \((?:0|130|143)\))"
)
_FAILED = re.compile(
    r" : Server ([^/\s]+)/(\S+) is DOWN, reason: (.+?)(?:, check duration: \d+ms)?\. (\d+) active and \d+ backup servers left\."
)
_CAME_BACK = re.compile(
    r" : Server ([^/\s]+)/(\S+) is UP, reason: (.+?)(?:, check duration: \d+ms)?\. (\d+) active and \d+ backup servers online\."
)
_OF_ROUTE = re.compile(r"be_tcp:([^:]+):([^:]+)")
_OF_POOL = re.compile(r"pool:(\d+(?::[a-z0-9-]+)?)")
_PORT_OR_ROUTE = re.compile(
    r"^(?:frontend fe_tcp:(\d+(?::[a-z0-9-]+)?)|  default_backend be_tcp:([^:\s]+):([^:\s]+)$)", re.MULTILINE
)
_LEVELS = {"[ALERT]": "error", "[WARNING]": "warning"}

_OWNED = re.compile(r"0x[0-9a-f]+ (pool:\S+) be_tcp:([^:\s]+):([^:\s]+)")
_LOOKS_AFTER_S = (0, 0.02, 0.2)
_OWNERS_HOLD_S = 0.5
"""Where many servers fail at once, one answer does for them."""
_ASK_AGAIN_AFTER_S = 5.0
_ANSWER_WITHIN_S = 1.0
_PIECE = 1 << 18

RouteOf = Callable[[str], tuple[str, str] | None]
"""Gives namespace and name of the Route that a backend serves; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Message:
    """A log line to write: its event, how grave it is (``info``, ``warning``, ``error``), and its keys."""

    event: str
    level: str
    keys: Mapping[str, str | int]


def message(line: str, route_of: RouteOf) -> Message | None:
    """Give what to log of a line of HAProxy's; None for one that says what follows from what the router does."""
    if _ASKED_FOR.search(line):
        return None
    for pattern, event, level, count in (
        (_FAILED, "server down", "warning", "servers_left"),
        (_CAME_BACK, "server up", "info", "servers_up"),
    ):
        if found := pattern.search(line):
            backend, server, reason, servers = found.groups()
            namespace, route = route_of(backend) or ("", "")
            keys = {"namespace": namespace, "route": route, "backend": backend, "server": server, "reason": reason}
            return Message(event, level, {**keys, count: int(servers)})
    level = "info" if _ENDED_BY_SIGNAL.search(line) else _LEVELS.get(line.partition(" ")[0], "info")
    return Message("haproxy", level, {"line": line})


class RoutesOfBackends:
    """Finds the Route of a backend: by its name; one of the pool's in HAProxy's own map of owners, or by its port in haproxy.cfg.

    The map is that of the newest worker. A worker that was replaced has other owners, or none that can be asked for; their Routes
    have sections of their own in the file by then (``reconcile.level``).

    Args:
        state_dir: the folder of HAProxy's file, maps and sockets.
    """

    def __init__(self, state_dir: Path) -> None:
        self._config = state_dir / "haproxy.cfg"
        self._maps = state_dir / "maps"
        self._socket = state_dir / "run" / "haproxy.sock"
        self._read: tuple[int, int] | None = None
        self._by_port: dict[str, tuple[str, str]] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._ask_from_s = 0.0
        self._owners_until_s = 0.0

    def __call__(self, backend: str) -> tuple[str, str] | None:
        """Give namespace and name; None where nobody knows."""
        if named := _OF_ROUTE.fullmatch(backend):
            return named[1], named[2]
        if not backend.startswith("pool:"):
            return None
        # A pod that never answers fails its first check while the commands that lead to it are still coming in.
        for pause_s in _LOOKS_AFTER_S:
            time.sleep(pause_s)
            if owner := self._current_owners(pause_s == 0).get(backend):
                return owner
        of_port = _OF_POOL.fullmatch(backend)
        return self._ports().get(of_port[1]) if of_port else None

    def _current_owners(self, lately: bool) -> Mapping[str, tuple[str, str]]:  # noqa: FBT001 - private, one caller
        now_s = time.monotonic()
        if now_s >= self._ask_from_s and not (lately and now_s < self._owners_until_s):
            try:
                self._owners = dict(self._ask())
                self._owners_until_s = time.monotonic() + _OWNERS_HOLD_S
            except OSError:
                self._owners = {}
                # It may hang because its lines are not read, which is what we are here for.
                self._ask_from_s = time.monotonic() + _ASK_AGAIN_AFTER_S
        return self._owners

    def _ask(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for path in self._maps.glob("owners-*.map"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_WITHIN_S)
                connection.connect(str(self._socket))
                escaped = re.sub(r"([\\ ;])", r"\\\1", str(path)).encode()
                connection.sendall(b"show map " + escaped + b"\n")
                answer = b"".join(iter(lambda: connection.recv(_PIECE), b""))
            for line in answer.decode(errors="replace").splitlines():
                if owned := _OWNED.fullmatch(line):
                    yield owned[1], (owned[2], owned[3])

    def _ports(self) -> Mapping[str, tuple[str, str]]:
        try:
            status = self._config.stat()
            if self._read != (now := (status.st_ino, status.st_mtime_ns)):
                self._by_port = dict(_routes_by_port(self._config.read_text(encoding="utf-8", errors="replace")))
                self._read = now
        except OSError:
            return {}
        return self._by_port


def _routes_by_port(config: str) -> Iterable[tuple[str, tuple[str, str]]]:
    port = ""
    for found in _PORT_OR_ROUTE.finditer(config):
        if found[1]:
            port = found[1]
        elif port:
            yield port, (found[2], found[3])
            port = ""


def is_log_entry(line: str) -> bool:
    """Whether a line is about a connection, as JSON (``--log-address stderr``): it is a log line as it is."""
    return line.startswith("{")


def as_text(told: Message, timestamp: str) -> str:
    """Give the line for people."""
    return " ".join(
        [timestamp, f"[{told.level:<9}]", f"{told.event:<30}", *(f"{k}={v!r}" for k, v in told.keys.items())]
    )


def as_json(told: Message, timestamp: str) -> str:
    """Give the line with the keys that the router's lines have."""
    return json.dumps({**told.keys, "event": told.event, "level": told.level, "timestamp": timestamp})
