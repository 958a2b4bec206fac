"""Ask a worker, on its stats socket, who it is and what it serves (management guide, section 9.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from router.errors import UnexpectedReply
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.tables import Table, parse_info_fields, parse_stat, servers_state
from router.model.stages import own_backend

_FRONTENDS = 1  # type of "show stat"
_BACKENDS = 2
_SERVERS = 4
_PROXY_NAME, _SERVER_NAME, _SESSIONS, _LIMIT, _STATUS = "pxname", "svname", "scur", "slim", "status"  # columns
_ACTIVE = "act"
_LAST_CHECK = "last_chk"
_NOT_LISTENING = frozenset({"STOP", "PAUSED"})
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

    @property
    def worker(self) -> WorkerId:
        """Which worker it is."""
        return WorkerId(self.pid, self.started_s)


def info(stats_socket: Path, timeout_s: float) -> Info:
    """Ask a worker who it is.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    return read_info(parse_info_fields(command(stats_socket, "show info", timeout_s)))


def read_info(fields: Mapping[str, str]) -> Info:
    """Give what the fields of ``show info`` say.

    Raises:
        UnexpectedReply: some are missing, or no numbers.
    """
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
        raise UnexpectedReply(f"HAProxy answered 'show info' without what is asked of it: {error}") from error


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
    # Thousands have the same one.
    states: dict[tuple[str, str], ServerState] = {}
    found = {}
    for row in servers_state(command(stats_socket, "show servers state", timeout_s)):
        backend, server, _, administration, weight = row.groups()
        state = states.get((weight, administration))
        if state is None:
            state = states[weight, administration] = ServerState(int(weight), administration == _NOBODY_ASKED)
        found[backend, server] = state
    return found


def frontends(stats_socket: Path, timeout_s: float) -> Mapping[str, int]:
    """Give the worker's frontends that listen, each with its limit of connections.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    table = _statistics(stats_socket, _FRONTENDS, timeout_s, _STATUS)
    pick = table.picker(_PROXY_NAME, _LIMIT, _STATUS)
    return {
        name: _number(limit or "0") for name, limit, status in map(pick, table.rows) if status not in _NOT_LISTENING
    }


def server_limits(stats_socket: Path, backends: Collection[str], timeout_s: float) -> Mapping[tuple[str, str], int]:
    """Give the limits of connections of the servers of some backends, by (backend, server); 0 is no limit.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    # Fifteen thousand servers at once are 4 MB and 0.2 s; most Routes limit nothing.
    asked = tuple(backends) if len(backends) <= _ASKED_ONE_BY_ONE else ("-1",)
    found: dict[tuple[str, str], int] = {}
    for each in asked:
        table = _statistics(stats_socket, _SERVERS, timeout_s, _LIMIT, each)
        pick = table.picker(_PROXY_NAME, _SERVER_NAME, _LIMIT)
        found.update({(backend, server): _number(limit or "0") for backend, server, limit in map(pick, table.rows)})
    return found


class BackendNow(NamedTuple):
    """What a backend has at the moment."""

    sessions: int
    servers_up: int
    """Those that take new connections: checked and found well, or not checked, and not draining."""
    connections: int = 0
    """All that this worker has had."""
    bytes_in: int = 0
    """From clients to servers, since this worker was loaded."""
    bytes_out: int = 0


_NOTHING = BackendNow(0, 0)


def backends(stats_socket: Path, timeout_s: float) -> Mapping[str, BackendNow]:
    """Give what each of the worker's backends has now; sessions of replaced workers are not in it.

    What clients have who are led by a backend of their own, as they showed no certificate, is in that of the others.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    table = _statistics(stats_socket, _BACKENDS, timeout_s, _ACTIVE)
    pick = table.picker(_PROXY_NAME, _SESSIONS, _ACTIVE, "stot", "bin", "bout")
    found = {name: BackendNow(*map(_number, numbers)) for name, *numbers in map(pick, table.rows)}
    for name in [name for name in found if own_backend(name) != name]:
        apart, own = found.pop(name), found.get(own_backend(name), _NOTHING)
        found[own_backend(name)] = BackendNow(
            own.sessions + apart.sessions,
            own.servers_up,
            own.connections + apart.connections,
            own.bytes_in + apart.bytes_in,
            own.bytes_out + apart.bytes_out,
        )
    return found


def frontend_sessions(stats_socket: Path, timeout_s: float) -> Mapping[str, int]:
    """Give how many sessions each of the worker's frontends has now, also those that do not listen any more.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    return _sessions(_statistics(stats_socket, _FRONTENDS, timeout_s, _SESSIONS), _PROXY_NAME)


def asking_for_servers(backends: Collection[str]) -> Iterator[str]:
    """Write the commands of which ``sessions_of_servers`` reads the answers."""
    for backend in backends if len(backends) <= _ASKED_ONE_BY_ONE else ("-1",):
        yield f"show stat {backend} {_SERVERS} -1"


def sessions_of_servers(answer: str) -> Mapping[tuple[str, str], int]:
    """Give how many sessions each server has now, by (backend, server): those that are being connected count, those that wait to be tried anew do not.

    Not by ``show servers conn``: what it counts as used are connections that could be shared, which those of TCP are not.

    Raises:
        UnexpectedReply: the answer is something else.
    """
    table = parse_stat(answer, _SESSIONS)
    pick = table.picker(_PROXY_NAME, _SERVER_NAME, _SESSIONS)
    return {(backend, server): _number(sessions) for backend, server, sessions in map(pick, table.rows)}


class ServerNow(NamedTuple):
    """One server, as the worker sees it (management guide, 9.1 "CSV format")."""

    status: str
    """``UP``, ``DOWN``, ``MAINT``, ``DRAIN``, ``no check``; with a fraction behind while a check changes its mind."""
    check: str
    """What the last check came to, such as ``L4CON: Connection refused``; empty where there was none."""
    sessions: int
    since_s: int | None
    """For how long it has been so."""


def servers_of(stats_socket: Path, backend: str, timeout_s: float) -> Mapping[str, ServerNow]:
    """Give how the servers of a backend are now, by name.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers something else.
    """
    table = _statistics(stats_socket, _SERVERS, timeout_s, _LAST_CHECK, backend)
    pick = table.picker(_SERVER_NAME, _STATUS, _SESSIONS, "lastchg", "check_status", "last_chk")
    return {
        name: ServerNow(
            status,
            # "* L4OK" is a check that is under way.
            ": ".join(filter(None, (code.removeprefix("* "), said))),
            _number(sessions),
            _number(since) if since else None,
        )
        for name, status, sessions, since, code, said in map(pick, table.rows)
    }


def _sessions(table: Table, name: str) -> Mapping[str, int]:
    pick = table.picker(name, _SESSIONS)
    return {named: _number(sessions) for named, sessions in map(pick, table.rows)}


def _number(cell: str) -> int:
    try:
        return int(cell)
    except ValueError as error:
        raise UnexpectedReply(f"HAProxy answered 'show stat' by {cell[:50]!r} where a number should stand") from error


def _statistics(stats_socket: Path, of_type: int, timeout_s: float, last: str, proxy: str = "-1") -> Table:
    """Give the columns of ``show stat`` up to ``last`` for all objects of a type, of all proxies or of one."""
    return parse_stat(command(stats_socket, f"show stat {proxy} {of_type} -1", timeout_s), last)
