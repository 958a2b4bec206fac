"""Who is told what the controller does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from router.admission.places import Place
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.store import Changes, Objects
from router.plan import ReloadReason
from router.reconcile.snapshot import Snapshot


class Observer(Protocol):
    """Who wants to know what the controller does; called on its thread, must not block."""

    def changes_seen(self, changes: Changes) -> None:
        """Count objects that changed."""

    def reload_finished(self, result: str, reasons: tuple[ReloadReason, ...], seconds: float) -> None:
        """Tell of a reload: ``success``, ``refused`` or ``failed``, why it was made and how long it took."""

    def runtime_updated(self, result: str, commands: int, seconds: float) -> None:
        """Tell of commands to the HAProxy that runs: ``success`` or ``failed``, how many, and how long they took."""

    def turn_failed(self) -> None:
        """Tell that a turn of the loop raised what nobody foresaw."""

    def haproxy_ended(self) -> None:
        """Tell that HAProxy ended unasked."""

    def changes_served(self, seconds: float) -> None:
        """Tell that HAProxy serves what changed, so long after the oldest of these changes arrived."""

    def published(self, snapshot: Snapshot) -> None:
        """Take the outcome of a turn, if it is another than before."""


class Reporter(Protocol):
    """Who tells those who ask what became of them; called on the controller's thread, must not block."""

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take the outcome of a turn.

        Args:
            snapshot: the outcome.
            objects: all that the inputs give, ours or not; to be read during the call only.
            changed: what may ask, or might, and PortClaims, that are other objects than at the last call, or gone.
        """


Propose = Callable[[Mapping[Place, Asker]], None]
"""Takes what is to be claimed for those who ask for any port; must not block."""


def unheard(proposed: Mapping[Place, Asker]) -> None:
    """Pass over what is proposed, where nobody writes claims."""
