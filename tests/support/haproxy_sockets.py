"""A UNIX socket that answers as the test says, in HAProxy's place."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


def read_command(connection: socket.socket) -> str:
    """Give what a client sends up to its half-close."""
    return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@contextlib.contextmanager
def answering(path: Path, handle: Callable[[socket.socket], None]) -> Iterator[None]:
    """Let ``handle`` serve each connection to ``path``, one after another; ended when left."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(20)
                    handle(connection)

        thread = threading.Thread(target=serve, name="fake haproxy")
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@contextlib.contextmanager
def saying(path: Path, answer: str) -> Iterator[list[str]]:
    """Answer every command by ``answer``; gives the commands that came."""
    commands: list[str] = []

    def handle(connection: socket.socket) -> None:
        commands.append(read_command(connection))
        connection.sendall(answer.encode())

    with answering(path, handle):
        yield commands
