"""Whether traffic may be sent here at this moment, for everyone who asks: /readyz, and the port of TCP checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from router.observe.health import Health, ready
from router.reconcile.snapshot import Snapshot


class Readiness:
    """Judges readiness when asked; any thread.

    Args:
        snapshot: gives the controller's last.
        takes_traffic: says whether HAProxy is there.
        kept_ports: says on how many ports it serves by a configuration that was there before this router.
        input_problems: gives why inputs cannot be read now.
        notes: gives what is worth knowing all the same.
        awaited: gives what is waited for, though a configuration is applied; for a bounded time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that it depends on
        self,
        snapshot: Callable[[], Snapshot],
        takes_traffic: Callable[[], bool],
        kept_ports: Callable[[], int],
        input_problems: Callable[[], Iterable[str]] = tuple,
        notes: Callable[[], Iterable[str]] = tuple,
        awaited: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._snapshot = snapshot
        self._takes_traffic = takes_traffic
        self._kept_ports = kept_ports
        self._input_problems = input_problems
        self._notes = notes
        self._awaited = awaited
        self._is_withdrawn = False

    def withdraw(self) -> None:
        """Be not ready from now on, for the router will end; the controller may be busy, and say so later."""
        self._is_withdrawn = True

    def now(self) -> Health:
        """Judge."""
        snapshot = self._snapshot()
        if self._is_withdrawn:
            snapshot = replace(snapshot, stopping=True)
        takes_traffic, kept_ports = self._takes_traffic(), self._kept_ports()
        health = ready(snapshot, self._input_problems(), takes_traffic=takes_traffic, kept_ports=kept_ports)
        awaited = self._awaited() if snapshot.configured else ()
        return replace(health, problems=(*health.problems, *awaited), notes=(*health.notes, *self._notes()))
