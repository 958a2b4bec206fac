"""Looks up the names under which the routers are reached; what a name had last stays while nothing better is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_AGAIN_S = 30.0
_SOON_S = 5.0
_STOPS_WITHIN_S = 1.0

LookUp = Callable[[frozenset[str]], Mapping[str, tuple[str, ...]]]
"""Gives the addresses of names; those of which nothing could be found out are left out."""


def look_up(names: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """Ask the DNS servers of resolv.conf."""
    # On first use: where claims have IP addresses nobody is asked.
    from router.cluster.names.messages import Addresses  # noqa: PLC0415 - the line above
    from router.cluster.names.resolver import resolve  # noqa: PLC0415 - likewise

    lowered = {name: name.lower().rstrip(".") for name in names}
    found = resolve(frozenset(lowered.values()))
    answers = {}
    for name, asked in lowered.items():
        outcomes = found.get(asked, {}).values()
        addresses = {each for outcome in outcomes if isinstance(outcome, Addresses) for each in outcome.addresses}
        if addresses:
            answers[name] = tuple(sorted(addresses))
    return answers


class Naming:
    """Knows the addresses of names, from ``start`` to ``stop``.

    Args:
        changed: is called when a name has others than before.
        look_up: asks.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        look_up: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._changed = changed
        self._look_up = look_up
        self._clock = clock
        self._condition = threading.Condition()
        self._wanted: dict[str, frozenset[str]] = {}
        """By namespace."""
        self._known: dict[str, tuple[str, ...]] = {}
        self._due_s: dict[str, float] = {}
        self._is_stopping = False
        self._thread = supervisor.own("pair names", self._run, ask_to_end=self._ask_to_end)

    # Any thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a lookup that is under way has a deadline of its own."""
        self._thread.stop(_STOPS_WITHIN_S)

    def want(self, namespace: str, names: frozenset[str]) -> None:
        """Look these up for a namespace, and no others for it."""
        with self._condition:
            if names == self._wanted.get(namespace, frozenset()):
                return
            self._wanted[namespace] = names
            if not names:
                del self._wanted[namespace]
            self._condition.notify_all()

    @property
    def known(self) -> Mapping[str, tuple[str, ...]]:
        """The addresses of names, as they were last found out."""
        with self._condition:
            return dict(self._known)

    # The thread that looks up

    def _ask_to_end(self) -> None:
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def _run(self) -> None:
        while not self._is_stopping:
            due = self._wait()
            if due:
                self._look(due)

    def _wait(self) -> frozenset[str]:
        with self._condition:
            names = frozenset().union(*self._wanted.values())
            for gone in self._due_s.keys() - names:
                del self._due_s[gone]
                self._known.pop(gone, None)
            now_s = self._clock()
            due = frozenset(name for name in names if self._due_s.get(name, now_s) <= now_s)
            if not due and not self._is_stopping:
                next_s = min((self._due_s[name] for name in names), default=now_s + _AGAIN_S)
                self._condition.wait(max(next_s - now_s, 0.01))
            return due

    def _look(self, due: frozenset[str]) -> None:
        found = self._look_up(due)
        now_s = self._clock()
        is_other = False
        with self._condition:
            for name in due:
                self._due_s[name] = now_s + (_AGAIN_S if name in found else _SOON_S)
                if name in found and found[name] != self._known.get(name):
                    log.info("name resolved", name=name, addresses=found[name])
                    self._known[name] = found[name]
                    is_other = True
        for name in sorted(due - found.keys()):
            log.warning("name not resolved", name=name, stays=self.known.get(name))
        if is_other:
            self._changed()
