"""A small TCP load balancer that follows a health check of each of its targets, as the L4 boxes in front of clusters do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_LOOK_EVERY_S = 0.05
_CONNECT_WITHIN_S = 10.0
_ENDS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where connections may go. ``is_well`` is its health check; OSError means that it is not."""

    address: str
    port: int
    is_well: Callable[[], bool]


class Balancer:
    """Gives each connection to a target that was well at the last look, in turns; never tries a second one.

    Args:
        targets: all of them; those that are not well get nothing.
    """

    def __init__(self, *targets: Target) -> None:
        self._targets = targets
        self._well: tuple[Target, ...] = ()
        self._given = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.failures: list[str] = []
        """What went wrong with connections that were given to a target."""
        self._threads = [threading.Thread(target=self._check), threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_ENDS_WITHIN_S)

    def sends_to(self, target: Target) -> bool:
        """Whether new connections may go to this target."""
        with self._lock:
            return target in self._well

    def _check(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            well = []
            for target in self._targets:
                with contextlib.suppress(OSError):
                    if target.is_well():
                        well.append(target)
            with self._lock:
                self._well = tuple(well)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._well:
                    self.failures.append("no target is well")
                    client.close()
                    continue
                target = self._well[self._given % len(self._well)]
                self._given += 1
            thread = threading.Thread(target=self._carry, args=(client, target))
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket, target: Target) -> None:
        try:
            with client, socket.create_connection((target.address, target.port), _CONNECT_WITHIN_S) as server:
                self._pass(client, server)
        except OSError as error:
            self.failures.append(f"{target.address}: {error!r}")

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what either says, until one of them ends."""
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._stopping.is_set():
                for key, _ in selector.select(_LOOK_EVERY_S):
                    source, sink = (client, server) if key.fileobj is client else (server, client)
                    data = source.recv(65536)
                    if not data:
                        return
                    sink.sendall(data)
