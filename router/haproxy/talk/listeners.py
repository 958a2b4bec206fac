"""The sockets on which a worker listens: it hands them out on its stats socket, as it does to its own successor.

``_getsocks`` is what a new worker asks its predecessor for (configuration manual, "expose-fd listeners"): first the number of
sockets, then the sockets themselves, some hundred in a message, each message to be answered.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from router.errors import HaproxyUnreachable
from router.haproxy.talk.cli_socket import connect

_COUNT = struct.Struct("i")
_MOST_IN_A_MESSAGE = 253  # SCM_MAX_FD of the kernel
_DATA = 1 << 16
"""Beside the sockets a message has a few words about each."""


def listening(stats_socket: Path, timeout_s: float) -> tuple[tuple[int, int], ...]:
    """Give port and inode of each TCP socket on which the worker listens.

    Raises:
        HaproxyUnreachable: the worker does not answer in time, or does not hand out its sockets.
    """
    found = []
    for descriptor in sockets(stats_socket, timeout_s):
        try:
            listener = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue
        with listener:
            if (
                listener.family in {socket.AF_INET, socket.AF_INET6}
                and listener.type == socket.SOCK_STREAM
                and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            ):
                found.append((int(listener.getsockname()[1]), os.fstat(descriptor).st_ino))
    return tuple(found)


def sockets(stats_socket: Path, timeout_s: float) -> Iterator[int]:
    """Give the descriptors of all its listeners, one after another; each is the caller's to close.

    At no time are more of them open than are in one message, as long as the caller closes each before the next.

    Raises:
        HaproxyUnreachable: the worker does not answer in time, or does not hand out its sockets.
    """
    ends_s = time.monotonic() + timeout_s
    try:
        with connect(stats_socket, ends_s) as connection:
            connection.settimeout(max(ends_s - time.monotonic(), 0.001))
            connection.sendall(b"_getsocks\n")
            left = _count(connection)
            while left > 0:
                descriptors = _received(connection)
                if not descriptors:
                    raise HaproxyUnreachable(f"HAProxy did not hand out its sockets on {stats_socket}")
                left -= len(descriptors)
                connection.sendall(_COUNT.pack(left))
                yield from _each(descriptors)
    except TimeoutError:
        raise HaproxyUnreachable(f"HAProxy did not hand out its sockets on {stats_socket} in time") from None
    except OSError as error:
        raise HaproxyUnreachable(f"HAProxy cannot be asked for its sockets on {stats_socket}: {error}") from error


def _count(connection: socket.socket) -> int:
    first = connection.recv(_COUNT.size)
    if len(first) != _COUNT.size:
        raise HaproxyUnreachable("HAProxy did not say how many sockets it has")
    return int(_COUNT.unpack(first)[0])


def _received(connection: socket.socket) -> list[int]:
    """Receive the sockets of one message."""
    space = socket.CMSG_SPACE(_MOST_IN_A_MESSAGE * array.array("i").itemsize)
    _, ancillary, flags, _ = connection.recvmsg(_DATA, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if flags & socket.MSG_CTRUNC:
        for descriptor in descriptors:
            os.close(descriptor)
        raise HaproxyUnreachable("HAProxy's sockets cannot be looked at: too many files are open")
    return list(descriptors)


def _each(descriptors: list[int]) -> Iterator[int]:
    """Give one after another; those that nobody asks for any more are closed."""
    rest = list(descriptors)
    try:
        while rest:
            yield rest.pop()
    finally:
        for descriptor in rest:
            os.close(descriptor)
