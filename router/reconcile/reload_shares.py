"""How often each namespace may have HAProxy loaded anew: a load costs all, and each pins what the worker before it has of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from router.objects.kinds import Slot
from router.plan import ReloadCause, ReloadReason
from router.reconcile.retries import Allowance

log = structlog.get_logger()

_NOBODY: frozenset[str] = frozenset()


class ReloadShares:
    """The allowances of reloads; all calls from one thread, and all times of one clock.

    Args:
        at_once: how many reloads a namespace may cause one after the other.
        every_s: seconds until one more; 0 is as many as it likes.
    """

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._allowances: dict[str, Allowance] = {}
        self._touched: set[Slot] = set()

    def touched(self, slots: Iterable[Slot]) -> None:
        """Take note of what asks and changed: one of them may be why a shared port is another one."""
        if self._every_s:
            self._touched.update(slots)

    def reloaded(
        self, reasons: Iterable[ReloadReason], ports_of: Callable[[Slot], Iterable[int]], now_s: float
    ) -> None:
        """Take note of a reload, tried or done, and charge it to those for whom it was.

        Args:
            reasons: why it was made.
            ports_of: gives the ports of whoever asks by an object.
            now_s: the time.
        """
        touched, self._touched = self._touched, set()
        if not self._every_s:
            return
        for namespace in sorted(_namespaces(reasons, touched, ports_of)):
            allowance = self._allowances.setdefault(namespace, Allowance(self._at_once, self._every_s))
            was_left = allowance.free_s() <= now_s
            allowance.use(now_s)
            if was_left and allowance.free_s() > now_s:
                log.warning(
                    "reloads of a namespace wait",
                    namespace=namespace,
                    reason=f"it caused {self._at_once} in a short time",
                    one_every_seconds=self._every_s,
                )

    def used_up(self, now_s: float) -> frozenset[str]:
        """Give the namespaces whose changes have to wait."""
        if not self._allowances:
            return _NOBODY
        self._allowances = {name: each for name, each in self._allowances.items() if not each.is_full(now_s)}
        return frozenset(name for name, each in self._allowances.items() if each.free_s() > now_s)


def _namespaces(
    reasons: Iterable[ReloadReason], touched: set[Slot], ports_of: Callable[[Slot], Iterable[int]]
) -> set[str]:
    namespaces = set()
    for reason in reasons:
        if reason.cause is ReloadCause.ADDRESS_CHANGED:
            # That is nobody's doing who has ports there.
            continue
        namespace, is_route, _ = reason.subject.partition("/")
        if is_route:
            namespaces.add(namespace)
        elif reason.subject:
            # A shared port: theirs who did something there.
            port = int(reason.subject.partition(" ")[0])
            namespaces |= {key.namespace for kind, key in touched if port in ports_of((kind, key))}
    return namespaces
