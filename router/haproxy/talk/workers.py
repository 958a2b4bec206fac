"""Read what every worker counts: the one that accepts connections, and those that were replaced and still have some.

Each worker is held by a connection to its stats socket from soon after its start, so that it cannot end before its last
values were read; it is let go when its last client has gone. That delays its end by about as long as it takes until ``look``
is called again. Workers that nobody held (they were replaced before this process began) are asked through the master, by
connections as short as a command; what they count after the last time is lost when they end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.errors import HaproxyError, UnexpectedReply
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.master import processes
from router.haproxy.talk.prompt import Prompt
from router.haproxy.talk.stats import WorkerId, read_info
from router.haproxy.talk.tables import BACKEND, Table, parse_info_fields, parse_stat

_FRONTENDS_AND_BACKENDS = 3  # types of "show stat", added up
_SERVERS_TOO = 7
_FEW_PROXIES = 64
"""So many are asked for one by one; more by one "show stat" of everything."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one worker said."""

    worker: WorkerId
    is_old: bool
    """It was replaced, or told to stop."""
    connections: int
    """Of clients, open now."""
    info: Mapping[str, str]
    """``show info``."""
    tables: tuple[Table, ...]
    """``show stat``."""
    is_whole: bool = True
    """False: the tables have only what still has sessions, of an old worker; the rest has not changed and will not."""
    has_servers: bool = True
    """Rows of servers were asked for."""


@dataclass(slots=True)
class _Held:
    """A worker that cannot end unseen."""

    worker: WorkerId
    connection: Prompt
    busy_proxies: tuple[str, ...] | None = None
    """Numbers of an old worker's proxies that can still change; None for all."""


class Workers:
    """Holds the workers of one HAProxy, and reads them. Not for several threads at once.

    Args:
        stats_socket: where the worker that accepts connections listens.
        master_socket: the master's.
        timeout_s: seconds that each command may take.
    """

    def __init__(self, stats_socket: Path, master_socket: Path, timeout_s: float) -> None:
        self._stats_socket = stats_socket
        self._master_socket = master_socket
        self._timeout_s = timeout_s
        self._current: _Held | None = None
        self._old: list[_Held] = []

    @property
    def held(self) -> frozenset[WorkerId]:
        """The workers that cannot end unseen."""
        return frozenset(each.worker for each in (self._current, *self._old) if each is not None)

    def hold(self) -> None:
        """Hold the worker that accepts connections now, beside those that are held already.

        Raises:
            HaproxyError: none answers.
        """
        connection = Prompt(self._stats_socket, self._timeout_s)
        try:
            told = read_info(parse_info_fields(connection.ask("show info")))
        except BaseException:
            connection.close()
            raise
        worker, is_stopping = told.worker, told.stopping
        is_known = worker in self.held
        if self._current is not None and (is_stopping or self._current.worker != worker):
            self._old.append(self._current)
            self._current = None
        if is_known or is_stopping:
            # A stopping one that listens has no successor: all of HAProxy is on its way out, and we do not stand in it.
            connection.close()
        else:
            self._current = _Held(worker, connection)

    def read(self, *, servers: bool) -> tuple[Reading, ...]:
        """Read every worker, the current one first; one that does not answer is left out.

        Args:
            servers: whether rows of servers are wanted too.

        Raises:
            HaproxyError: no worker accepts connections, or it does not answer.
        """
        try:
            self.hold()
        except HaproxyError:
            if not self.held:
                raise
        of_type = _of_type(servers=servers)
        readings = []
        if self._current is not None:
            try:
                readings.append(_read(self._current, of_type, is_old=False))
            except HaproxyError:
                self._current.connection.close()
                self._current = None
                raise
        readings += self._each_old(lambda held: _read(held, of_type, is_old=True))
        readings += self._read_unheld(of_type)
        return tuple(readings)

    def look(self, *, servers: Callable[[], bool]) -> tuple[Reading, ...]:
        """See who was replaced, and who of those has no client left; let these go.

        Cheap; to be called about each second.

        Args:
            servers: says whether rows of servers are wanted; asked when there is a last time to read them.

        Returns:
            The last values of those that were let go.
        """
        if self._current is None or self._has_changed(self._current):
            with contextlib.suppress(HaproxyError):
                self.hold()
        return self._each_old(lambda held: _last_values(held, servers))

    def release(self) -> None:
        """Let go of all workers."""
        for held in (self._current, *self._old):
            if held is not None:
                held.connection.close()
        self._current = None
        self._old.clear()

    def _has_changed(self, current: _Held) -> bool:
        """Whether the current worker is on its way out, or gone."""
        try:
            return read_info(parse_info_fields(current.connection.ask("show info"))).stopping
        except HaproxyError:
            current.connection.close()
            self._current = None
            return True

    def _each_old(self, ask: Callable[[_Held], Reading | None]) -> tuple[Reading, ...]:
        """Ask the old workers that are held; let go of those that have ended or have no client left."""
        readings, kept = [], []
        for held in self._old:
            try:
                reading = ask(held)
            except HaproxyError:
                held.connection.close()
                continue
            if reading is not None:
                readings.append(reading)
            if reading is not None and reading.connections == 0:
                held.connection.close()
            else:
                kept.append(held)
        self._old = kept
        return tuple(readings)

    def _read_unheld(self, of_type: int) -> Iterable[Reading]:
        try:
            old = processes(self._master_socket, self._timeout_s).old_workers
        except HaproxyError:
            # What is held was read without the master.
            return
        held = {each.worker.pid for each in self._old}
        for pid in old:
            if pid not in held:
                with contextlib.suppress(HaproxyError):
                    yield _read_through_master(self._master_socket, pid, of_type, self._timeout_s)


def _read(held: _Held, of_type: int, *, is_old: bool) -> Reading:
    # Connections first: of an old worker they only become fewer, so that none at all means that the table is final.
    info = parse_info_fields(held.connection.ask("show info"))
    connections = read_info(info).connections
    is_whole = held.busy_proxies is None or len(held.busy_proxies) > _FEW_PROXIES
    which = [f"-1 {of_type}"] if is_whole else [f"{proxy} {of_type}" for proxy in held.busy_proxies or ()]
    tables = tuple(parse_stat(held.connection.ask(f"show stat {each} -1")) for each in which)
    if is_old:
        held.busy_proxies = _busy(tables, connections)
    return Reading(held.worker, is_old, connections, info, tables, is_whole, of_type == _SERVERS_TOO)


def _last_values(held: _Held, servers: Callable[[], bool]) -> Reading | None:
    info = parse_info_fields(held.connection.ask("show info"))
    if read_info(info).connections:
        return None
    return _read(held, _of_type(servers=servers()), is_old=True)


def _of_type(*, servers: bool) -> int:
    return _SERVERS_TOO if servers else _FRONTENDS_AND_BACKENDS


def _busy(tables: Iterable[Table], connections: int) -> tuple[str, ...] | None:
    """Give the numbers of an old worker's proxies that have sessions; None where others may yet get some.

    A connection gets its backend when its ClientHello has come, for example. When all have theirs, nothing else can change.
    """
    busy: dict[str, None] = {}
    in_backends = 0
    for table in tables:
        pick = table.picker("iid", "type", "scur")
        for proxy, kind, sessions in map(pick, table.rows):
            if sessions not in {"", "0"}:
                busy[proxy] = None
                in_backends += int(sessions) if kind == BACKEND else 0
    return tuple(busy) if in_backends >= connections else None


def _read_through_master(master_socket: Path, pid: int, of_type: int, timeout_s: float) -> Reading:
    to = f"@!{pid}"
    answer = command(master_socket, f"{to} show info;{to} show stat -1 {of_type} -1", timeout_s)
    said, header, stat = answer.partition("# pxname,")
    if not header:
        raise UnexpectedReply(f"HAProxy's worker {pid} answered by {answer[:200]!r}")
    info = parse_info_fields(said)
    told = read_info(info)
    return Reading(
        told.worker,
        is_old=True,
        connections=told.connections,
        info=info,
        tables=(parse_stat(header + stat),),
        has_servers=of_type == _SERVERS_TOO,
    )
