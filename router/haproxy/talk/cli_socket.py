"""One command to one of HAProxy's UNIX sockets, and its answer (management guide, section 9.3)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from router.errors import HaproxyUnreachable

_LONGEST_PATH = 107  # sun_path of unix(7), less the byte that ends it
_PIECE = 1 << 16
"""Of 256 KiB and more the C library would ask the kernel for memory with each answer, and give it back."""
_RETRY_S = 0.005
_SAME_S = 0.01
"""A deadline that is later by no more than this is not set anew: each costs a call of the kernel, and most answers are there by then."""

Connect = Callable[[Path, float], socket.socket]
"""As ``connect``."""


def command(  # noqa: PLR0913 - what there is to say about one
    socket_path: Path,
    text: str,
    timeout_s: float,
    sent: Callable[[], None] | None = None,
    *,
    payload: bytes = b"",
    by: Connect | None = None,
) -> str:
    """Send one line and give the whole answer.

    Args:
        socket_path: a worker's stats socket, or the master's.
        text: one command, or several with ``;`` between them; no line break.
        timeout_s: seconds for everything together, from connecting to the end of the answer.
        sent: is told when the socket has it.
        payload: lines that belong to the command, none of them empty; an empty one ends them.
        by: gives the connection, in the place of ``connect``.

    Raises:
        HaproxyUnreachable: nobody listens there, or the answer did not end in time.
    """
    ends_s = time.monotonic() + timeout_s
    pieces = []
    try:
        with (by or connect)(socket_path, ends_s) as connection:
            set_s = _left_s(ends_s)
            connection.settimeout(set_s)
            connection.sendall(b"%b\n%b\n" % (text.encode(), payload) if payload else f"{text}\n".encode())
            # The master answers when it knows that no further command comes.
            connection.shutdown(socket.SHUT_WR)
            if sent is not None:
                sent()
            while True:
                left_s = _left_s(ends_s)
                if set_s - left_s > _SAME_S:
                    set_s = left_s
                    connection.settimeout(set_s)
                piece = connection.recv(_PIECE)
                if not piece:
                    break
                pieces.append(piece)
    except TimeoutError:
        raise HaproxyUnreachable(
            f"HAProxy did not answer {_shown(text)} on {socket_path} within {timeout_s:g} s"
        ) from None
    except OSError as error:
        raise HaproxyUnreachable(
            f"HAProxy cannot be asked {_shown(text)} on {socket_path}: {error.strerror}"
        ) from error
    return b"".join(pieces).decode(errors="replace")


def connect(socket_path: Path, ends_s: float) -> socket.socket:
    """Open a connection, which the caller closes.

    Args:
        socket_path: where HAProxy listens.
        ends_s: ``time.monotonic`` until which to try, where its queue of connections is full.

    Raises:
        HaproxyUnreachable: the path is longer than the kernel takes.
        OSError: nobody listens there; TimeoutError where the queue stayed full.
    """
    if len(bytes(socket_path)) > _LONGEST_PATH:
        raise HaproxyUnreachable(
            f"the path {socket_path} is too long for a socket (more than {_LONGEST_PATH} bytes); "
            "choose a state directory with a shorter path"
        )
    connection = socket.socket(socket.AF_UNIX)
    try:
        while True:
            connection.settimeout(_left_s(ends_s))
            try:
                connection.connect(bytes(socket_path))
            except BlockingIOError:
                # The queue of a UNIX socket is full: the kernel says so at once instead of waiting (connect(2), EAGAIN).
                time.sleep(min(_RETRY_S, _left_s(ends_s)))
            else:
                return connection
    except BaseException:
        connection.close()
        raise


def _left_s(ends_s: float) -> float:
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _shown(text: str) -> str:
    few = 60
    return repr(text if len(text) <= few else f"{text[:few]}...")
