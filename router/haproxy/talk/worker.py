"""The newest worker's stats socket, for what changes it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from router.haproxy.talk import runtime, server_states
from router.haproxy.talk.server_states import DownServers
from router.plan.commands import Command


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

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order; see ``router.haproxy.talk.runtime.run``."""
        runtime.run(self._stats_socket, commands, self._timeout_s, self._sent)

    def delete_servers(
        self, servers: Iterable[tuple[str, str]], drained: Iterable[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Delete servers that have no connections left; see ``router.haproxy.talk.runtime.delete_servers``."""
        return runtime.delete_servers(self._stats_socket, tuple(servers), tuple(drained), self._timeout_s)

    def down_servers(self) -> DownServers:
        """Give the servers that failed their checks; see ``router.haproxy.talk.server_states``."""
        return server_states.down_servers(self._stats_socket, self._timeout_s)
