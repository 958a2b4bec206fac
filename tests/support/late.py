"""Clients that take their time with the last of a TLS handshake."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass


@dataclass
class Late:
    """A client that has all of a handshake but the last that it is to send."""

    tls: ssl.SSLObject
    received: ssl.MemoryBIO
    sent: ssl.MemoryBIO

    def answered(self, connection: socket.socket, said: bytes = b"") -> bytes:
        """Give what it is answered, or greeted with, once that is sent; nothing where it is refused."""
        try:
            while True:
                try:
                    self.tls.do_handshake()
                    said = said[self.tls.write(said) :] if said else b""
                    return self.tls.read(100)
                except ssl.SSLWantReadError:
                    connection.sendall(self.sent.read())
                received = connection.recv(65536)
                if not received:
                    return b""
                self.received.write(received)
        except OSError:
            return b""


def all_but_the_last_flight(connection: socket.socket, context: ssl.SSLContext, host: str | None = None) -> Late:
    """Begin a handshake, in which the server asks for no other group of keys than it is offered."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, sent, server_hostname=host)
    is_begun = False
    while not (is_begun and sent.pending):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            if not is_begun:
                connection.sendall(sent.read())
                is_begun = True
            if not sent.pending:
                answer = connection.recv(65536)
                if not answer:
                    raise ConnectionResetError("refused before the last flight") from None
                received.write(answer)
    return Late(client, received, sent)
