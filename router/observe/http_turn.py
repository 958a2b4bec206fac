"""The HTTP port, where several generations of a router have one network: it belongs to one of them at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from router.errors import SettingsError
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_TRY_EVERY_S = 0.1
_STOPS_WITHIN_S = 5.0


class Server(Protocol):
    """What listens on the port once it is made."""

    def start(self) -> None:
        """Begin to answer."""

    def stop(self) -> None:
        """Answer no more, and close the port."""


class HttpTurn:
    """Takes the port as soon as it is free, and gives it away for good when told to.

    A router that waits for its turn works without the port: its probes ask its sockets (``probe_sockets``).

    Args:
        make: makes the server; raises SettingsError while the port cannot be had.
        supervisor: owns the thread that waits.
    """

    def __init__(self, make: Callable[[], Server], supervisor: Supervisor = SUPERVISOR) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._is_over = threading.Event()
        self._thread = supervisor.own("http turn", self._wait, ask_to_end=self._is_over.set)

    def start(self) -> None:
        """Take the port, now or later."""
        try:
            self._take()
        except SettingsError as error:
            log.warning("http port not free", problem=str(error), consequence="it is taken when it is")
            self._thread.start()

    def give_away(self) -> None:
        """Close the port, and never take it again; any thread."""
        self._thread.stop(_STOPS_WITHIN_S)
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()
            log.info("http port given away")

    def stop(self) -> None:
        """End it all."""
        self.give_away()

    def _take(self) -> None:
        with self._lock:
            if self._server is None and not self._is_over.is_set():
                server = self._make()
                server.start()
                self._server = server

    def _wait(self) -> None:
        while not self._is_over.is_set():
            if self._server is None:
                with contextlib.suppress(SettingsError):
                    self._take()
                    log.info("http port taken")
            # What ends unasked is a death; so it waits for its end when there is nothing left to do.
            self._is_over.wait(_TRY_EVERY_S if self._server is None else None)
