"""Ports for the demo: those that the README shows where they are free, others where not."""

from __future__ import annotations

import contextlib
import errno
import socket
from types import TracebackType
from typing import Self

from router.errors import DemoFailed

_LOOPBACK = "127.0.0.1"
_STEP = 10
_MAX_PORT = 65535


class Ports:
    """Ports of 127.0.0.1 that this demo, and no other on the machine, takes while the block lasts."""

    def __init__(self) -> None:
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kept.close()

    def keep(self, preferred: int) -> int:
        """Give the preferred port; where it is taken the one 10 above it, and so on.

        The search stays below the ports from which the system takes those of outgoing connections, as a rule.

        Raises:
            DemoFailed: all of them are taken.
        """
        for port in range(preferred, _MAX_PORT + 1, _STEP):
            if _is_free(port) and self._claim(port):
                return port
        raise DemoFailed(f"no free port of 127.0.0.1 from {preferred} up, in steps of {_STEP}")

    def _claim(self, port: int) -> bool:
        """Claim a port among demos: it takes them a moment from finding a port free to listening there.

        A name in the abstract namespace of Unix sockets (unix(7)) is one process's at a time, and gone when that ends.
        """
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0tcp-router-demo:{port}")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        self._kept.enter_context(claim)
        return True


def _is_free(port: int) -> bool:
    """Listen for a moment; connections that a former listener closed are no hindrance, as they are none for HAProxy."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True
