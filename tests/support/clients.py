"""TCP and TLS clients on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from tests.support.certificates import client_context

TIMEOUT_S = 10.0


def connect(port: int, *, to: str = "127.0.0.1", source: str = "") -> socket.socket:
    """Open a connection, from a certain address if told so."""
    return socket.create_connection((to, port), TIMEOUT_S, source_address=(source, 0) if source else None)


def echoes(connection: socket.socket, word: bytes = b"ping") -> bool:
    """Whether what is sent comes back; False where the connection is ended instead."""
    try:
        connection.sendall(word)
        return connection.recv(65536) == word
    except (ConnectionResetError, BrokenPipeError):
        return False


def served(port: int, *, to: str = "127.0.0.1", source: str = "") -> bool:
    """Whether a new connection is served."""
    with connect(port, to=to, source=source) as connection:
        return echoes(connection)


def ended(connection: socket.socket) -> bool:
    """Wait for the other side to end a connection without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def tls(port: int, host: str | None) -> Iterator[ssl.SSLSocket]:
    """Open a TLS connection with a server name, or none."""
    with over_tls(client_context(), port, host) as connection:
        yield connection


@contextlib.contextmanager
def over_tls(
    context: ssl.SSLContext, port: int, host: str | None, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    """Open a TLS connection of this context, with a session to be resumed if there is one."""
    # Wrapped before it is connected: of one that is reset in between Python would lose the socket, unclosed.
    with context.wrap_socket(socket.socket(), server_hostname=host, session=session) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(("127.0.0.1", port))
        yield connection


def asked(connection: ssl.SSLSocket) -> bytes:
    """Send something, and give the answer."""
    connection.sendall(b"who?")
    return connection.recv(100)


def reached(port: int, host: str | None) -> bytes | None:
    """Give the answer of what a TLS client with this server name reaches; None where it is ended."""
    try:
        with tls(port, host) as connection:
            return asked(connection)
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError, BrokenPipeError):
        return None
