"""The one connection at HAProxy's prompt: it lasts for many commands, and whoever holds it keeps the worker from ending.

A worker that was replaced ends with its last connection, and what it counted ends with it. A connection to its stats socket
is one of those that it waits for, so that its last values can be read when there is nothing else left. The end of the
connection tells of the worker's death at once.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from router.errors import HaproxySilent, HaproxyUnreachable
from router.haproxy.talk.cli_socket import connect

# In interactive mode HAProxy keeps the connection after a command, and ends each answer by its prompt.
_INTERACTIVE = "prompt"
_PROMPT = b"\n> "
_PIECE = 1 << 18

Wait = Callable[[socket.socket, float], None]
"""Waits until there is something to read, so many seconds at most; what it raises goes to whoever asked."""


def _wait_to_read(connection: socket.socket, timeout_s: float) -> None:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.poll(timeout_s * 1000)


class Prompt:
    """One connection to one worker, made at once.

    Args:
        stats_socket: where the worker listens.
        timeout_s: seconds that each command may take.
        connect_s: seconds that connecting may take; as long as a command, unless given.
        wait: for who must be able to stop waiting. When that raised, the connection is of no more use.

    Raises:
        HaproxySilent: no answer in time.
        HaproxyUnreachable: nobody is there.
    """

    def __init__(
        self, stats_socket: Path, timeout_s: float, *, connect_s: float | None = None, wait: Wait = _wait_to_read
    ) -> None:
        self._path = stats_socket
        self._timeout_s = timeout_s
        self._wait = wait
        connect_s = timeout_s if connect_s is None else connect_s
        try:
            self._connection = connect(stats_socket, time.monotonic() + connect_s)
        except OSError as error:
            raise self._problem(error, connect_s) from error
        try:
            # A command is a few bytes: it fits, or nobody has read for long.
            self._connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
            self.ask(_INTERACTIVE)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Give the descriptor, to wait for what comes unasked: that is the end of the connection."""
        return self._connection.fileno()

    def ask(self, command: str) -> str:
        """Send one command, and give its answer.

        Raises:
            HaproxySilent: no answer in time; the connection is out of step, and of no more use.
            HaproxyUnreachable: the worker ended, and the connection with it.
        """
        ends_s = time.monotonic() + self._timeout_s
        pieces: list[bytes] = []
        end = b""
        try:
            self._connection.sendall(f"{command}\n".encode())
            while end != _PROMPT:
                left_s = ends_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._wait(self._connection, left_s)
                with contextlib.suppress(BlockingIOError):
                    piece = self._connection.recv(_PIECE)
                    if not piece:
                        raise HaproxyUnreachable(f"the HAProxy worker on {self._path} ended")
                    pieces.append(piece)
                    end = (end + piece[-len(_PROMPT) :])[-len(_PROMPT) :]
        except OSError as error:
            raise self._problem(error, self._timeout_s) from error
        return b"".join(pieces)[: -len(_PROMPT)].decode(errors="replace")

    def close(self) -> None:
        """Let go of the worker."""
        self._connection.close()

    def _problem(self, error: OSError, timeout_s: float) -> HaproxyUnreachable:
        if isinstance(error, TimeoutError | BlockingIOError):
            return HaproxySilent(f"HAProxy cannot be asked on {self._path}: no answer within {timeout_s:g} s")
        return HaproxyUnreachable(f"HAProxy cannot be asked on {self._path}: {error.strerror}")
