"""A port that is open exactly while the router is ready: for load balancers that can only try to connect."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable

import structlog

from router.settings import IpMode
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_LOOK_EVERY_S = 0.05
_BIND_EVERY_S = 0.1
"""Another generation of the router, on the same network, has the port until it is told to end."""
_STOPS_WITHIN_S = 5.0
_ACCEPTED_AT_ONCE = 100
_BACKLOG = 128


class TcpHealth:
    """Listens while ``is_ready`` says so, on a thread of its own; closes each connection as soon as it is accepted.

    Args:
        port: the port.
        ip_mode: where no addresses are given: ``v4``, ``v6`` (alone), or ``v4v6`` (both).
        bind_addresses: IP addresses to listen on.
        is_ready: asked some twenty times a second.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        port: int,
        ip_mode: IpMode,
        bind_addresses: Iterable[str],
        is_ready: Callable[[], bool],
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._port = port
        self._addresses = tuple(bind_addresses) or (("0.0.0.0",) if ip_mode == "v4" else ("::",))  # noqa: S104 - as HAProxy
        self._dual_stack = ip_mode == "v4v6" and not tuple(bind_addresses)
        self._is_ready = is_ready
        self._listeners: list[socket.socket] = []
        self._bind_not_before_s = 0.0
        self._problem = ""
        self._stopping = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._thread = supervisor.own("tcp health", self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to follow readiness."""
        self._thread.start()

    def look(self) -> None:
        """Make it ask at once whether the router is ready; any thread."""
        with contextlib.suppress(OSError):
            self._waker.send(b"w")

    def stop(self) -> None:
        """Close the port, and end the thread."""
        if self._thread.stop(_STOPS_WITHIN_S):
            self._waker.close()
            self._woken.close()

    def _ask_to_end(self) -> None:
        self._stopping.set()
        self.look()

    def _run(self) -> None:
        self._waker.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._woken.setblocking(False)  # noqa: FBT003 - likewise
        try:
            while not self._stopping.is_set():
                self._follow()
                self._serve(_LOOK_EVERY_S)
        finally:
            self._close()

    def _follow(self) -> None:
        is_ready = self._is_ready()
        if is_ready and not self._listeners and time.monotonic() >= self._bind_not_before_s:
            self._open()
        elif not is_ready and self._listeners:
            self._close()
            log.info("tcp health port closed", port=self._port)

    def _open(self) -> None:
        try:
            for address in self._addresses:
                self._listeners.append(self._listen(address))
        except OSError as error:
            self._close()
            self._bind_not_before_s = time.monotonic() + _BIND_EVERY_S
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("tcp health port not opened", port=self._port, problem=self._problem)
        else:
            self._problem = ""
            log.info("tcp health port opened", port=self._port)

    def _listen(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server(
            (address, self._port), family=family, backlog=_BACKLOG, dualstack_ipv6=self._dual_stack and ":" in address
        )
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        return listener

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _serve(self, seconds: float) -> None:
        """Wait for connections, or to be woken, and close what has come."""
        with selectors.DefaultSelector() as selector:
            for each in (self._woken, *self._listeners):
                selector.register(each, selectors.EVENT_READ)
            came = [key.fileobj for key, _ in selector.select(seconds)]
        if self._woken in came:
            with contextlib.suppress(OSError):
                self._woken.recv(4096)
        for listener in self._listeners:
            if listener in came:
                _accept_and_close(listener)


def _accept_and_close(listener: socket.socket) -> None:
    for _ in range(_ACCEPTED_AT_ONCE):
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # no more of them, or this one has gone already
        connection.close()
