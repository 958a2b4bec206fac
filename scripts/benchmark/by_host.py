"""A client that is led by the name of a host: what it says first, and the pod's first byte."""

from __future__ import annotations

import socket
import ssl

from scripts.benchmark.services import HOST

_WITHIN_S = 5.0


def first_byte(port: int, host: str, *, ends_tls: bool) -> bytes:
    """Connect as a client and give what the pod says first; nothing where nobody is reached.

    Args:
        port: a shared one.
        host: which is asked for.
        ends_tls: TLS ends at the router, which shows a certificate of its own making; else the pod, which speaks none, is sent the client's hello.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((HOST, port), _WITHIN_S) as connection:
            if not ends_tls:
                connection.sendall(_hello(context, host))
                return connection.recv(1)
            with context.wrap_socket(connection, server_hostname=host) as secure:
                return secure.recv(1)
    except OSError:
        return b""


def _hello(context: ssl.SSLContext, host: str) -> bytes:
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    return b""
