"""The client of the data plane's figures: connections of any kind of port, many at a time."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.services import HOST

MIB = 32
"""What flows through one connection to a pod that sends without end."""
AT_ONCE = 8
"""Connections that are begun before the first of them is answered, so that HAProxy has more than one to do when it wakes."""

_WITHIN_S = 20.0
_PIECE = 1 << 18
_QUESTION = bytes(64)
_HEADER = b"PROXY TCP4 127.0.0.1 127.0.0.1 4000 4001\r\n"
_RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Closes without TIME_WAIT, of which there would soon be no port left."""


_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_CONTEXT.check_hostname, _CONTEXT.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True, slots=True)
class Client:
    """Connects to a kind of port: TLS ends there, or it expects a PROXY header."""

    ends_tls: bool = False
    accepts_proxy: bool = False

    def connect(self, port: int, count: int) -> None:
        """Make so many connections, ``AT_ONCE`` at a time: say a byte, wait for the pod's number and the echo, and close.

        Raises:
            BenchFailed: one of them was not answered.
        """
        for start in range(0, count, AT_ONCE):
            with ExitStack() as stack:
                begun = [stack.enter_context(_begun(port)) for _ in range(min(AT_ONCE, count - start))]
                for each in begun:
                    connection = stack.enter_context(self._ready(each))
                    connection.sendall(b"x")
                    _take(connection, 2)

    @contextmanager
    def connected(self, port: int) -> Iterator[socket.socket]:
        """Give one connection that has had the pod's number."""
        with _begun(port) as begun, self._ready(begun) as connection:
            _take(connection, 1)
            yield connection

    def poured_s(self, port: int) -> float:
        """Take all that comes; give the seconds that took.

        Raises:
            BenchFailed: it was not ``MIB``.
        """
        received = -1  # the pod's number
        into = bytearray(_PIECE)
        began_s = time.perf_counter()
        with _begun(port) as begun, self._ready(begun) as connection:
            while size := connection.recv_into(into):
                received += size
        elapsed_s = time.perf_counter() - began_s
        if received != MIB << 20:
            raise BenchFailed(f"through port {port} came {received} bytes instead of {MIB} MiB")
        return elapsed_s

    def hold(self, port: int, stack: ExitStack) -> None:
        """Make a connection that lasts as long as the stack, and that one byte has gone through."""
        connection = stack.enter_context(self.connected(port))
        connection.sendall(b"x")
        _take(connection, 1)

    def _ready(self, begun: socket.socket) -> socket.socket:
        begun.settimeout(_WITHIN_S)
        if self.accepts_proxy:
            begun.sendall(_HEADER)
        # No session is resumed: none is given to it.
        return _CONTEXT.wrap_socket(begun) if self.ends_tls else begun


def asked_s(connection: socket.socket) -> float:
    """Send 64 bytes, and wait until they are back; give the seconds."""
    began_s = time.perf_counter()
    connection.sendall(_QUESTION)
    _take(connection, len(_QUESTION))
    return time.perf_counter() - began_s


def _begun(port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(*_RESET)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(0)
    connection.connect_ex((HOST, port))
    return connection


def _take(connection: socket.socket, size: int) -> None:
    left = size
    while left:
        received = len(connection.recv(left))
        if not received:
            raise BenchFailed("a connection in use was closed")
        left -= received
