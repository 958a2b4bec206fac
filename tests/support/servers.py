"""Small TCP servers on loopback, in threads: the pods of tests.

Each is a context manager; leaving it ends its connections and threads.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_TIMEOUT_S = 20.0
_SILENT_S = 120.0
"""A client that holds a connection may say nothing for as long as a busy machine takes for what happens meanwhile."""

Handler = Callable[[socket.socket], None]


class TcpServer:
    """Accepts connections and gives each to ``handler`` in a thread of its own; the connection is closed after it."""

    def __init__(self, handler: Handler, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._handler = handler
        self._listener = socket.create_server((address, port), family=family, backlog=128)
        self.address = address
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        """Connections so far. HAProxy resets its plain health checks before they can be accepted; those with data count."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name=f"accept {self.port}")]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_listening()
        self.cut_connections()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)

    def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        # Closing alone does not wake the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut_connections(self) -> None:
        """End the connections that are open."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._open)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(_SILENT_S)
            with self._lock:
                self.accepted += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), name=f"serve {self.port}")
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that goes away is no fault of the server.
        with contextlib.suppress(OSError):
            self._handler(connection)
        with self._lock:
            self._open.discard(connection)
            connection.close()


def echo_server(prefix: bytes = b"", address: str = "127.0.0.1", port: int = 0) -> TcpServer:
    """Give a server that sends back what it gets, each piece with ``prefix`` before it."""

    def handle(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(prefix + data)

    return TcpServer(handle, address, port)


def greeting_server(greeting: bytes, address: str = "127.0.0.1", port: int = 0) -> TcpServer:
    """Give a server that speaks first, as those of MySQL, SMTP and SSH do, and echoes afterwards."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(greeting)
        while data := connection.recv(65536):
            connection.sendall(data)

    return TcpServer(handle, address, port)


def tls_server(context: ssl.SSLContext, reply: bytes, address: str = "127.0.0.1", port: int = 0) -> TcpServer:
    """Give a TLS server that answers each piece it gets with ``reply``; ``context`` has its certificate."""

    def handle(connection: socket.socket) -> None:
        with contextlib.closing(context.wrap_socket(connection.dup(), server_side=True)) as secure:
            while secure.recv(65536):
                secure.sendall(reply)

    return TcpServer(handle, address, port)
