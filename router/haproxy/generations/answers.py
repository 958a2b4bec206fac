"""UNIX sockets that say one thing to whoever connects, and close: no request is read, so nobody can keep one waiting.

Only our own user, and root, are answered: an abstract socket has no file whose mode could say so.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from router.errors import SettingsError
from router.supervisor import SUPERVISOR, Supervisor

_BACKLOG = 64
_SENT_WITHIN_S = 2.0
_STOPS_WITHIN_S = 5.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): process, user, group


class Answers:
    """Answers on a thread of its own, until ``stop``.

    Args:
        name: of the thread.
        answers: by address (a path; or bytes, the name of an abstract socket, without its zero byte) what gives the answer.
        supervisor: owns the thread.

    Raises:
        SettingsError: one of the addresses cannot be had.
    """

    def __init__(
        self, name: str, answers: Mapping[Path | bytes, Callable[[], bytes]], supervisor: Supervisor = SUPERVISOR
    ) -> None:
        self._paths: list[Path] = []
        self._answers: dict[socket.socket, Callable[[], bytes]] = {}
        try:
            for address, answer in answers.items():
                self._answers[_listen(address)] = answer
                if isinstance(address, Path):
                    self._paths.append(address)
        except OSError as error:
            self._close()
            raise SettingsError(
                f"cannot listen on {address!r}: {error.strerror or error}; choose another directory, with a shorter path, "
                "with --state-dir"
            ) from error
        self._waker, self._woken = socket.socketpair()
        self._is_stopping = False
        self._thread = supervisor.own(name, self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the sockets, and end the thread."""
        has_ended = self._thread.stop(_STOPS_WITHIN_S)
        self._close()
        if has_ended:
            self._waker.close()
            self._woken.close()

    def _ask_to_end(self) -> None:
        self._is_stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._woken, *self._answers):
                selector.register(each, selectors.EVENT_READ)
            while not self._is_stopping:
                for key, _ in selector.select():
                    if isinstance(key.fileobj, socket.socket) and key.fileobj in self._answers:
                        self._answer(key.fileobj)

    def _answer(self, listener: socket.socket) -> None:
        # Whoever hangs up, or does not read, is no loss.
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                if peer_uid(connection) in {os.geteuid(), 0}:
                    connection.settimeout(_SENT_WITHIN_S)
                    connection.sendall(self._answers[listener]())

    def _close(self) -> None:
        for listener in self._answers:
            listener.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


def peer_uid(connection: socket.socket) -> int:
    """Give the user at the other end of a UNIX socket, as the kernel knows it; of a listener, who made it listen."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def _listen(address: Path | bytes) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        if isinstance(address, Path):
            # Left by a router that was killed; who may use the directory now has its lock.
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(address.lstat().st_mode):
                    address.unlink()
            listener.bind(bytes(address))
            address.chmod(0o600)
        else:
            listener.bind(b"\0" + address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
    except BaseException:
        listener.close()
        raise
    return listener
