"""What is behind the endpoints, and the client: services that answer each connection by one letter and close it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.workload import ENDPOINT_ADDRESSES

HOST = "127.0.0.1"
"""Where the Routes' ports are opened, and on which the client connects."""
LOOK_EVERY_S = 0.001
"""Between two connections of a client that waits for an answer: the figures are no finer than this."""

_ANSWER_WITHIN_S = 5.0
_BACKLOG = 1024
_AT_ONCE = struct.pack("ii", 1, 0)
_RESET = (socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
"""Closes without TIME_WAIT, of which thousands of connections to one port would leave thousands."""


class Services:
    """Services on all addresses of endpoints, as a context manager: the letter to answer by, for each port."""

    def __init__(self, letters: Mapping[int, bytes]) -> None:
        self._letters = letters
        self._listening = contextlib.ExitStack()
        self._selector = selectors.DefaultSelector()
        self._stopped, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="services", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            for port, letter in self._letters.items():
                for address in ENDPOINT_ADDRESSES:
                    listener = socket.create_server((address, port), backlog=_BACKLOG)
                    self._listening.enter_context(listener)
                    listener.settimeout(0)
                    self._selector.register(listener, selectors.EVENT_READ, letter)
            self._selector.register(self._stopped, selectors.EVENT_READ)
            undo.pop_all()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()
        self._close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                listener = key.fileobj
                if listener is self._stopped or not isinstance(listener, socket.socket):
                    return
                # A client that gave up meanwhile is none of our business.
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(key.data)

    def _close(self) -> None:
        self._listening.close()
        self._selector.close()
        self._stopped.close()
        self._stop.close()


def answer(port: int) -> bytes:
    """Connect as a client and give what the service says; nothing where nobody is reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_WITHIN_S)
        connection.setsockopt(*_RESET)
        try:
            connection.connect((HOST, port))
            return connection.recv(1)
        except OSError:
            return b""


def wait_for_answer(port: int, letter: bytes, check: Callable[[], None], deadline_s: float) -> float:
    """Connect again and again until this letter is the answer.

    Args:
        port: where to connect to.
        letter: the answer to wait for.
        check: raises where there is nothing to wait for any more.
        deadline_s: seconds until giving up.

    Returns:
        When the answer came (``time.perf_counter``).

    Raises:
        BenchFailed: it did not come in time.
    """
    ends_s = time.perf_counter() + deadline_s
    while answer(port) != letter:
        check()
        if time.perf_counter() > ends_s:
            raise BenchFailed(f"port {port} did not lead to the right service within {deadline_s:g} s")
        time.sleep(LOOK_EVERY_S)
    return time.perf_counter()
