"""Ask a worker, on its stats socket, who it is and what it serves (management guide, section 9.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from router.errors import UnexpectedReply
from router.haproxy.talk.cli_socket import command

_STATUS = 17  # column of "show stat"
_FRONTENDS = 1  # type of "show stat"
_BACKENDS = 2
_SERVERS = 4
_PROXY_NAME, _SERVER_NAME = 0, 1  # columns
_SESSIONS = 4  # column "scur"
_LIMIT = 6  # column "slim"
_NOT_LISTENING = frozenset({"STOP", "PAUSED"})
_SERVERS_STATE = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "
_NOBODY_ASKED = "0"
_ASKED_ONE_BY_ONE = 100


class WorkerId(NamedTuple):
    """One life of one worker. A container gives the same process ids again and again, so that the pid alone tells nothing."""

    pid: int
    started_s: int
    """Seconds since the epoch, by HAProxy's account."""


@dataclass(frozen=True, slots=True)
class Info:
    """A worker, by its own account (``show info``)."""

    pid: int
    version: str
    uptime_s: int
    started_s: int
    """Seconds since the epoch; with ``pid`` it tells two workers apart, also where process ids come again and again."""
    stopping: bool
    """It was replaced, or told to stop, and only waits for its last connections."""
    connections: int
    """Open now."""
    max_connections: int


def info(stats_socket: Path, timeout_s: float) -> Info:
    """Ask a worker who it is.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    return parse_info(command(stats_socket, "show info", timeout_s))


def parse_info(answer: str) -> Info:
    """Read the answer to ``show info``.

    Raises:
        UnexpectedReply: it is none.
    """
    fields = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    try:
        return Info(
            pid=int(fields["Pid"]),
            version=fields["Version"],
            uptime_s=int(fields["Uptime_sec"]),
            started_s=int(fields["Start_time_sec"]),
            stopping=fields["Stopping"] != "0",
            connections=int(fields["CurrConns"]),
            max_connections=int(fields["Maxconn"]),
        )
    except (KeyError, ValueError) as error:
        raise UnexpectedReply(f"HAProxy answered 'show info' by {answer[:200]!r}") from error


class ServerState(NamedTuple):
    """One server, by the worker's account."""

    weight: int
    is_ready: bool
    """Nobody put it into maintenance, or let it drain."""


def servers(stats_socket: Path, timeout_s: float) -> Mapping[tuple[str, str], ServerState]:
    """Give the worker's servers, by (backend, server).

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    # A third of the size of "show stat", and names in columns of their own, unlike "show servers conn".
    answer = command(stats_socket, "show servers state", timeout_s)
    # 1
    # # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight ...
    lines = answer.splitlines()[1:]
    if not lines or not lines[0].startswith(_SERVERS_STATE):
        raise UnexpectedReply(f"HAProxy answered 'show servers state' by {answer[:200]!r}")
    columns = (line.split(" ", 8) for line in lines[1:] if line)
    try:
        return {
            (backend, server): ServerState(int(weight), administration == _NOBODY_ASKED)
            for _, backend, _, server, _, _, administration, weight, _ in columns
        }
    except ValueError as error:
        raise UnexpectedReply("HAProxy answered 'show servers state' by lines without a weight") from error


def frontends(stats_socket: Path, timeout_s: float) -> Mapping[str, int]:
    """Give the worker's frontends that listen, each with its limit of connections.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    # Names hold no comma: HAProxy takes letters, digits and "-_.:" only.
    rows = (row for row in _statistics(stats_socket, _FRONTENDS, timeout_s) if row[_STATUS] not in _NOT_LISTENING)
    return {row[_PROXY_NAME]: _limit(row) for row in rows}


def server_limits(stats_socket: Path, backends: Collection[str], timeout_s: float) -> Mapping[tuple[str, str], int]:
    """Give the limits of connections of the servers of some backends, by (backend, server); 0 is no limit.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    # Fifteen thousand servers at once are 4 MB and 0.2 s; most Routes limit nothing.
    asked = tuple(backends) if len(backends) <= _ASKED_ONE_BY_ONE else ("-1",)
    rows = (row for backend in asked for row in _statistics(stats_socket, _SERVERS, timeout_s, backend))
    return {(row[_PROXY_NAME], row[_SERVER_NAME]): _limit(row) for row in rows}


def _limit(row: Sequence[str]) -> int:
    try:
        return int(row[_LIMIT] or 0)
    except (IndexError, ValueError) as error:
        raise UnexpectedReply("HAProxy answered 'show stat' by rows without limits") from error


def sessions(stats_socket: Path, timeout_s: float) -> Mapping[str, int]:
    """Give how many sessions each of the worker's backends has now; those of replaced workers are not in it.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    return _sessions(_statistics(stats_socket, _BACKENDS, timeout_s), _PROXY_NAME)


def server_sessions(stats_socket: Path, backend: str, timeout_s: float) -> Mapping[str, int]:
    """Give how many sessions each server of a backend has now.

    Not by ``show servers conn``: what it counts as used are connections that could be shared, which those of TCP are not.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    return _sessions(_statistics(stats_socket, _SERVERS, timeout_s, backend), _SERVER_NAME)


def _sessions(rows: Iterator[list[str]], name: int) -> Mapping[str, int]:
    try:
        return {row[name]: int(row[_SESSIONS]) for row in rows}
    except (IndexError, ValueError) as error:
        raise UnexpectedReply("HAProxy answered 'show stat' by rows without sessions") from error


def _statistics(stats_socket: Path, of_type: int, timeout_s: float, proxy: str = "-1") -> Iterator[list[str]]:
    """Give the first columns of ``show stat`` for all objects of a type, of all proxies or of one."""
    answer = command(stats_socket, f"show stat {proxy} {of_type} -1", timeout_s)
    lines = answer.splitlines()
    if not lines or not lines[0].startswith("# pxname,svname,"):
        raise UnexpectedReply(f"HAProxy answered 'show stat' by {answer[:200]!r}")
    return (line.split(",", _STATUS + 1) for line in lines[1:] if line)
