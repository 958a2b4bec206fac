"""What the loop asks of HAProxy's newest worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from router.haproxy.talk.server_states import DownServers
from router.plan.commands import Command
from router.plan.leaving import ServerName


class Worker(Protocol):
    """The newest worker's stats socket. Every call has a deadline; HaproxyError is what they raise."""

    def get_ready(self) -> None:
        """Connect for the next ``run`` already; raises nothing."""

    def let_go(self) -> None:
        """Close that connection, if it was not used."""

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order."""

    def idle_servers(self, servers: Iterable[ServerName], drained: Iterable[ServerName]) -> frozenset[ServerName]:
        """Give those that have no connections; what drained until then is in maintenance."""

    def delete_servers(self, servers: Iterable[ServerName]) -> frozenset[ServerName]:
        """Delete servers in maintenance; give those that are gone."""

    def adds_backends(self) -> bool:
        """Say whether it adds and deletes backends while it runs."""

    def delete_backends(self, names: Iterable[str]) -> Mapping[str, str]:
        """Delete backends that nobody is led to; give those that are still there, and what HAProxy says of each."""

    def down_servers(self) -> DownServers:
        """Give the servers that failed their checks."""
