"""What the router asks of its HAProxy, however that is started."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from router.haproxy.process.check import CheckResult
from router.haproxy.talk.master import ReloadResult
from router.haproxy.talk.stats import ServerState
from router.model import Bind


@dataclass(frozen=True, slots=True)
class Serving:
    """What the worker says it serves."""

    frontends: Mapping[str, int]
    """Those that listen, each with its limit of connections."""
    servers: Mapping[tuple[str, str], ServerState]
    """By (backend, server)."""


class Control(Protocol):
    """The HAProxy that is ours. Every call has a deadline; HaproxyError is what they raise."""

    @property
    def is_down(self) -> bool:
        """Whether nothing runs that a load could harm: it would start it."""

    @property
    def is_awaited(self) -> bool:
        """Whether it is gone and somebody else is to start it: ``restart`` then waits for it, and may be called again."""

    def check(self, config: Path) -> CheckResult:
        """Let ``haproxy -c`` judge a configuration."""

    def taken(self, wanted: Iterable[Bind]) -> Mapping[Bind, str]:
        """Say which of these ports cannot be bound, and why, without disturbing any.

        Ports of other generations of this router can be, beside them.
        """

    @property
    def may_become_free(self) -> bool:
        """Whether ports that are taken may be free in a moment: another generation of this router is about to end."""

    def load(self) -> ReloadResult:
        """Make HAProxy take up haproxy.cfg: reload it, or start it where it is ours to start and does not run."""

    @property
    def runs_kept(self) -> bool:
        """Whether what runs was started by us on the haproxy.cfg that a router before left, and has been told nothing since."""

    def keep(self) -> ReloadResult:
        """Take that for what haproxy.cfg says: it is as if it had been loaded."""

    def serving(self) -> Serving:
        """Ask the newest worker what it serves."""

    def server_limits(self, backends: Collection[str]) -> Mapping[tuple[str, str], int]:
        """Ask the newest worker for the limits of the servers of some backends, by (backend, server); 0 is no limit."""

    def ended(self) -> int | None:
        """Give the exit code of a HAProxy that ended unasked since the last call and does not run; else None.

        Of one that is not ours to start the code is 0, and it may run again.
        """

    def restart(self) -> None:
        """Start it again, after it ended, on the configuration it had; or wait a little for whoever is to start it.

        Raises:
            HaproxyError: it does not start, is not there yet (``is_awaited``), or runs on a configuration that is not known.
        """

    def stop(self) -> None:
        """Take it down, softly and then by force, so that nothing of it is left; or let go of one that is not ours."""
