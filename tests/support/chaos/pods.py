"""A pod that is reached both ways: it echoes what comes in plain, and what comes over TLS."""

from __future__ import annotations

import socket
import ssl

from tests.support.servers import TcpServer

_LISTENS_TO_S = 900.0
"""Held connections are silent while the router is waited for."""
_TLS_HANDSHAKE = b"\x16"


def pod(context: ssl.SSLContext, prefix: bytes, address: str = "127.0.0.2") -> TcpServer:
    """Give a server that sends back what it gets with ``prefix`` before it; ``context`` has its certificate."""

    def handle(connection: socket.socket) -> None:
        connection.settimeout(_LISTENS_TO_S)
        if connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            with context.wrap_socket(connection.dup(), server_side=True) as secure:
                echo(secure)
        else:
            echo(connection)

    def echo(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(prefix + data)

    return TcpServer(handle, address)
