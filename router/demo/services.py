"""The demo's services, where pods would be in a cluster: an echo, one that speaks first, and an echo behind TLS.

Each listens on a free port of 127.0.0.1 and serves every connection in a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from router.supervisor import SUPERVISOR

Talk = Callable[[socket.socket], None]
"""One conversation, from the first byte to the last; the caller closes the connection."""

IDLE_S = 3600.0
"""A connection on which nothing happens for so long is closed."""

_LONGEST_LINE = 4096
_STOP_POLL_S = 0.05
_STOPS_WITHIN_S = 5.0


def echo(name: str) -> Talk:
    """Give a conversation that answers each line by the line itself, after the name of the service that heard it."""

    def talk(connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                connection.sendall(f"{name}: ".encode() + line)

    return talk


def greeter(name: str) -> Talk:
    """Give a conversation in which the server speaks first, as SMTP, SSH and MySQL have it (RFC 5321, section 3.1)."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(f"220 {name} ready, say QUIT to leave\r\n".encode())
        with connection.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                if line.strip().upper() == b"QUIT":
                    connection.sendall(b"221 bye\r\n")
                    return
                connection.sendall(b"250 " + line.rstrip() + b"\r\n")

    return talk


def over_tls(inner: Talk, context: ssl.SSLContext) -> Talk:
    """Give ``inner`` behind a TLS handshake; who gives up on the handshake is let go."""

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            inner(secured)

    return talk


def server_context(certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """Give the TLS settings of a service with this certificate (PEM files)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context


class Service:
    """A listening service, as a context manager: it ends, with all of its connections, when the block does."""

    def __init__(self, talk: Talk) -> None:
        self._server = _Server(talk)
        self._thread = SUPERVISOR.own(
            "demo service", lambda: self._server.serve_forever(_STOP_POLL_S), ask_to_end=self._server.shutdown
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.stop(_STOPS_WITHIN_S)
        self._server.hang_up()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):  # noqa: TID251 - a thread for each connection, which ends with it
    """Knows its connections, so that it can end them."""

    allow_reuse_address = True

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def hang_up(self) -> None:
        """Shut all connections, so that the threads that read from them come to an end."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def run(self, connection: socket.socket) -> None:
        """Have the conversation of one connection."""
        with self._lock:
            self._connections.add(connection)
        try:
            connection.settimeout(IDLE_S)
            self.talk(connection)
        except OSError:
            # The client left, in the middle of a handshake for one: HAProxy's health checks do just that.
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        if isinstance(server, _Server):
            server.run(self.request)
