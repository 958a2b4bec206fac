"""Whether ports and connections work: one exchange, and a constant stream of connections that are counted."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_TIMEOUT_S = 5.0


def exchange(port: int, data: bytes = b"ping", address: str = "127.0.0.1") -> bytes:
    """Connect, send, and give what comes back until as much as was sent, or the end, has come."""
    with socket.create_connection((address, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(data)
        return receive(connection, len(data))


def receive(connection: socket.socket, at_least: int) -> bytes:
    """Read until ``at_least`` bytes came, or the connection ended."""
    got = b""
    while len(got) < at_least:
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


def serves(port: int) -> bool:
    """Whether an echo comes back through a port."""
    try:
        return exchange(port) == b"ping"
    except OSError:
        return False


def is_refused(port: int, address: str = "127.0.0.1") -> bool:
    """Whether nothing listens there."""
    try:
        with socket.create_connection((address, port), timeout=_TIMEOUT_S):
            return False
    except ConnectionRefusedError:
        return True


def is_open(connection: socket.socket) -> bool:
    """Whether an echo over a connection that is open already still works."""
    with contextlib.suppress(OSError):
        connection.sendall(b"still there?")
        return receive(connection, 12) == b"still there?"
    return False


class Prober:
    """Connects to a port over and over in a thread, exchanges a byte each time, and counts.

    A context manager; leaving it ends the thread.
    """

    def __init__(self, port: int, pause_s: float = 0.002) -> None:
        self._port = port
        self._pause_s = pause_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._probe, name=f"prober {port}")
        self.succeeded = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _probe(self) -> None:
        while not self._done.wait(self._pause_s):
            try:
                answer = exchange(self._port, b"x")
            except OSError as error:
                self.failures.append(repr(error))
            else:
                if answer == b"x":
                    self.succeeded += 1
                else:
                    self.failures.append(f"answer {answer!r}")
