"""Who is who among the processes of a router and its HAProxy, as proc(5) shows them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from pathlib import Path

_SOCKET = re.compile(r"socket:\[(\d+)\]")


def kill(pid: int) -> None:
    """End a process at once, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def parent(pid: int) -> int:
    """Give the parent of a process; 0 where the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def masters(pids: tuple[int, ...]) -> tuple[int, ...]:
    """Give those of HAProxy's processes that are not children of another one."""
    return tuple(pid for pid in pids if parent(pid) not in pids)


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 -- only their number is wanted


def file_descriptors(pid: int) -> int:
    """Count the open files of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- only their number is wanted


def owner(client: socket.socket, pids: tuple[int, ...]) -> int | None:
    """Find which of these processes has the other end of a connection over 127.0.0.0/8; None where none has."""
    local, remote = _hexadecimal(client.getpeername()), _hexadecimal(client.getsockname())
    inode = next(
        (
            columns[9]
            for columns in map(str.split, Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
            if columns[1:3] == [local, remote]
        ),
        None,
    )
    return next((pid for pid in pids if inode is not None and inode in _sockets(pid)), None)


def _hexadecimal(address: tuple[str, int]) -> str:
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"


def _sockets(pid: int) -> set[str]:
    found = set()
    # It may end meanwhile, and so may what it has open.
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if named := _SOCKET.fullmatch(str(link.readlink())):
                    found.add(named[1])
    return found
