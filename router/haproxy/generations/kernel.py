"""What the kernel says of the sockets of this network, whoever has them: TCP listeners, and names of UNIX sockets (proc(5)).

Two pods on the host's network see the same, though they share no files and see nothing of each other's processes.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC_NET = Path("/proc/net")
_LISTEN = b"0A"  # include/net/tcp_states.h
_SYN_RECEIVED = b"03"
_ACCEPTS = 0x10000  # __SO_ACCEPTCON, in column Flags of /proc/net/unix
_WORD = 4
_NATIVE = sys.byteorder
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP socket that listens, in this network."""

    host: str
    port: int
    uid: int
    """Of whoever made it."""
    inode: int
    """Its number; no other socket has it while this one lives."""


def listeners(ports: Collection[int], proc_net: Path = _PROC_NET) -> tuple[Listener, ...]:
    """Give those that listen on some ports. What it costs does not grow with the number of connections.

    Raises:
        OSError: the kernel does not let us look.
    """
    wanted = {f"{port:04X}".encode() for port in ports}
    return tuple(
        found for name in ("tcp", "tcp6") if (path := proc_net / name).exists() for found in _listeners(path, wanted)
    )


def abstract_names(proc_net: Path = _PROC_NET) -> tuple[bytes, ...]:
    """Give the names of the abstract UNIX sockets that listen in this network.

    Raises:
        OSError: the kernel does not let us look.
    """
    names = []
    with (proc_net / "unix").open("rb") as file:
        for line in file:
            # Num RefCount Protocol Flags Type St Inode Path; the zero byte before an abstract name is written as @.
            columns = line.rstrip(b"\n").split(None, 7)
            if len(columns) == 8 and columns[7].startswith(b"@") and int(columns[3], 16) & _ACCEPTS:  # noqa: PLR2004
                names.append(columns[7][1:])
    return tuple(names)


def _listeners(path: Path, wanted: set[bytes]) -> Iterator[Listener]:
    with path.open("rb") as file:
        next(file, b"")
        for line in file:
            # sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
            columns = line.split(None, 10)
            if columns[3] not in {_LISTEN, _SYN_RECEIVED}:
                # The kernel gives all listeners before the first connection, of which a node may have very many.
                return
            host, _, port = columns[1].partition(b":")
            if columns[3] == _LISTEN and port in wanted:
                yield Listener(_address(host), int(port, 16), int(columns[7]), int(columns[9]))


def _address(text: bytes) -> str:
    """Read an address: words of the machine's own byte order, in hexadecimal digits."""
    raw = bytes.fromhex(text.decode("ascii"))
    words = (raw[i : i + _WORD] for i in range(0, len(raw), _WORD))
    packed = b"".join(int.from_bytes(word, "big").to_bytes(_WORD, _NATIVE) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == _WORD else socket.AF_INET6, packed)
