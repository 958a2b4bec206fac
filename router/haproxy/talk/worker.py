"""The newest worker's stats socket, for what changes it while it runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from router.errors import HaproxyUnreachable
from router.haproxy.talk import cli_socket, runtime, server_states
from router.haproxy.talk.server_states import DownServers
from router.plan.commands import Command

_GETS_READY_WITHIN_S = 0.005


class WorkerSocket:
    """Talks to whichever worker listens there now.

    Args:
        stats_socket: where the newest worker listens.
        timeout_s: seconds that a call may take.
        sent: is told whenever HAProxy's socket has commands of ``run``.
    """

    def __init__(self, stats_socket: Path, timeout_s: float = 10.0, sent: Callable[[], None] | None = None) -> None:
        self._stats_socket = stats_socket
        self._timeout_s = timeout_s
        self._sent = sent
        self._ready: socket.socket | None = None

    def get_ready(self) -> None:
        """Connect for the ``run`` that may be next, so that HAProxy takes that in while it is still decided what to run.

        To be let go of (``let_go``) if it does not come to that, and before HAProxy is loaded anew: the connection is to this worker. Nobody there is no
        error yet.
        """
        self.let_go()
        with suppress(OSError, HaproxyUnreachable):
            self._ready = cli_socket.connect(self._stats_socket, time.monotonic() + _GETS_READY_WITHIN_S)

    def let_go(self) -> None:
        """Close what ``get_ready`` opened, if it was not used."""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    def _connect(self, socket_path: Path, ends_s: float) -> socket.socket:
        ready, self._ready = self._ready, None
        return ready if ready is not None else cli_socket.connect(socket_path, ends_s)

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order; see ``router.haproxy.talk.runtime.run``."""
        runtime.run(self._stats_socket, commands, self._timeout_s, self._sent, self._connect)

    def idle_servers(
        self, servers: Iterable[tuple[str, str]], drained: Iterable[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Give the servers that have no connections; see ``router.haproxy.talk.runtime.idle_servers``."""
        return runtime.idle_servers(self._stats_socket, tuple(servers), tuple(drained), self._timeout_s)

    def delete_servers(self, servers: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Delete servers in maintenance; see ``router.haproxy.talk.runtime.delete_servers``."""
        return runtime.delete_servers(self._stats_socket, tuple(servers), self._timeout_s)

    def adds_backends(self) -> bool:
        """Say whether it adds and deletes backends while it runs; see ``router.haproxy.talk.runtime.adds_backends``."""
        return runtime.adds_backends(self._stats_socket, self._timeout_s)

    def delete_backends(self, names: Iterable[str]) -> Mapping[str, str]:
        """Delete backends that nobody is led to; see ``router.haproxy.talk.runtime.delete_backends``."""
        return runtime.delete_backends(self._stats_socket, tuple(names), self._timeout_s)

    def down_servers(self) -> DownServers:
        """Give the servers that failed their checks; see ``router.haproxy.talk.server_states``."""
        return server_states.down_servers(self._stats_socket, self._timeout_s)
