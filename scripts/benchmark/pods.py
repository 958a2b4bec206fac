"""Pods, in a process of their own: behind every endpoint stands a server that tells its number in the first byte.

``python -m scripts.benchmark.pods PORT BULK_PORT MIB``. On ``PORT`` of each of ``ADDRESSES`` a connection gets the number of the
address, its last octet, and then back whatever it sends; on ``BULK_PORT`` it gets the number and so many MiB of nothing, and is
closed. It says ``ready`` on standard output; the end of standard input is its own end.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 9))
"""Where pods are; all of 127.0.0.0/8 is loopback."""

_BACKLOG = 4096
_PIECE = 1 << 16
_MIB = bytes(1 << 20)


def number_of(address: str) -> bytes:
    """Give what the pod of an address says first."""
    return bytes([int(address.rpartition(".")[2])])


def main(port: int, bulk_port: int, mib: int) -> None:
    """Serve until standard input ends."""
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as listening:
        echoing = []
        for address in ADDRESSES:
            for at_port in (port, bulk_port):
                listener = listening.enter_context(socket.create_server((address, at_port), backlog=_BACKLOG))
                listener.settimeout(0)
                selector.register(listener, selectors.EVENT_READ, number_of(address))
                if at_port == port:
                    echoing.append(listener)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        _serve(selector, frozenset(echoing), mib)


def _serve(selector: selectors.BaseSelector, echoing: frozenset[socket.socket], mib: int) -> None:
    os.write(sys.stdout.fileno(), b"ready\n")
    while True:
        for key, _ in selector.select():
            from_client = key.fileobj
            if not isinstance(from_client, socket.socket):
                return
            if key.data is None:
                _echo(selector, from_client)
                continue
            # A client that gave up meanwhile is none of our business.
            with contextlib.suppress(OSError):
                connection, _ = from_client.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(key.data)
                if from_client in echoing:
                    connection.settimeout(0)
                    selector.register(connection, selectors.EVENT_READ)
                else:
                    threading.Thread(target=_pour, args=(connection, mib), daemon=True).start()


def _echo(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        received = connection.recv(_PIECE)
        if received:
            connection.sendall(received)
            return
    except OSError:
        pass
    selector.unregister(connection)
    connection.close()


def _pour(connection: socket.socket, mib: int) -> None:
    with contextlib.suppress(OSError), connection:
        for _ in range(mib):
            connection.sendall(_MIB)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
