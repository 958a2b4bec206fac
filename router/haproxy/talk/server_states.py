"""Which servers a worker knows to be down, told to the worker that takes its place (``server-state-file`` of the manual).

Without it a reload sends connections to pods that are known to be dead, until their first checks have failed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.errors import UnexpectedReply
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.tables import servers_state

_HEAD = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n"
)
_COLUMNS = _HEAD.removeprefix("1\n# ").split()
_BACKEND, _ID, _ADDRESS, _WEIGHT, _LOADED_WEIGHT, _PORT = map(
    _COLUMNS.index, ("be_name", "srv_id", "srv_addr", "srv_uweight", "srv_iweight", "srv_port")
)
_DOWN, _NOBODY_ASKED = "0", "0"

NOTHING_DOWN = _HEAD.encode()
"""A file that says nothing of any server; where there is none HAProxy complains."""

DownServers = Mapping[tuple[str, str], str]
"""By (backend, server), what the worker says of a server that failed its checks."""


def down_servers(stats_socket: Path, timeout_s: float) -> DownServers:
    """Ask a worker which servers failed their checks.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
        UnexpectedReply: it answers in another format.
    """
    answer = command(stats_socket, "show servers state", timeout_s)
    # They are written into a file as they are, so all columns must be those that we know.
    if not answer.startswith(_HEAD):
        raise UnexpectedReply(f"HAProxy answered 'show servers state' by {answer[:200]!r}")
    return {(row[1], row[2]): row[0] for row in servers_state(answer) if row[3] == _DOWN and row[4] == _NOBODY_ASKED}


@dataclass(frozen=True, slots=True)
class NewServer:
    """What a server of the former worker is in the new one."""

    backend: str
    id: int
    """0 where none is written."""
    weight: int


def state_file(down: DownServers, becomes: Callable[[str, str, str], NewServer | None]) -> bytes:
    """Give the file for a new worker.

    It is about health alone. Weights are written as the new worker is loaded with them: it would take one that was changed by
    command over, unless its own is another than the former worker was loaded with.

    Args:
        down: what the former worker said.
        becomes: gives, for a backend and a server of the former worker and the address it had, what that server is in the new
            one; None if it has not got it, has it at another address (HAProxy would take the former one), or would not check it
            (it would stay down for ever).
    """
    lines = []
    for (backend, server), line in sorted(down.items()):
        columns = line.split(" ")
        host = f"[{columns[_ADDRESS]}]" if ":" in columns[_ADDRESS] else columns[_ADDRESS]
        new = becomes(backend, server, f"{host}:{columns[_PORT]}")
        if new is not None:
            columns[_BACKEND] = new.backend
            columns[_ID] = str(new.id or columns[_ID])
            columns[_WEIGHT] = columns[_LOADED_WEIGHT] = str(new.weight)
            lines.append(" ".join(columns) + "\n")
    return (_HEAD + "".join(lines)).encode()
