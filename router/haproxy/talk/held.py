"""A connection to a worker's stats socket that lasts: whoever holds it keeps the worker from ending.

A worker that was replaced ends with its last connection, and what it counted ends with it. A connection to its stats socket
is one of those that it waits for, so that its last values can be read when there is nothing else left.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from router.errors import HaproxyUnreachable
from router.haproxy.talk.cli_socket import connect

# In interactive mode HAProxy keeps the connection after a command, and ends each answer by its prompt.
_INTERACTIVE = "prompt"
_PROMPT = b"\n> "
_PIECE = 1 << 18


class HeldConnection:
    """One connection to one worker, made at once.

    Args:
        stats_socket: where the worker listens.
        timeout_s: seconds that connecting, and each command, may take.

    Raises:
        HaproxyUnreachable: nobody answers there.
    """

    def __init__(self, stats_socket: Path, timeout_s: float) -> None:
        self._path = stats_socket
        self._timeout_s = timeout_s
        try:
            self._connection = connect(stats_socket, time.monotonic() + timeout_s)
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            self.ask(_INTERACTIVE)
        except BaseException:
            self.close()
            raise

    def ask(self, command: str) -> str:
        """Send one command, and give its answer.

        Raises:
            HaproxyUnreachable: the worker ended, or did not answer in time; the connection is of no more use.
        """
        ends_s = time.monotonic() + self._timeout_s
        pieces: list[bytes] = []
        end = b""
        try:
            self._connection.settimeout(self._timeout_s)
            self._connection.sendall(f"{command}\n".encode())
            while end != _PROMPT:
                self._connection.settimeout(max(0.001, ends_s - time.monotonic()))
                piece = self._connection.recv(_PIECE)
                if not piece:
                    raise HaproxyUnreachable(f"the HAProxy worker on {self._path} ended")
                pieces.append(piece)
                end = (end + piece[-len(_PROMPT) :])[-len(_PROMPT) :]
        except OSError as error:
            raise self._unreachable(error) from error
        return b"".join(pieces)[: -len(_PROMPT)].decode(errors="replace")

    def close(self) -> None:
        """Let go of the worker."""
        with socket.socket(fileno=self._connection.detach()):
            pass

    def _unreachable(self, error: OSError) -> HaproxyUnreachable:
        reason = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else error.strerror
        return HaproxyUnreachable(f"HAProxy cannot be asked on {self._path}: {reason}")
