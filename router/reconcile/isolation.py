"""Leaves out an object about which admission raises what nobody foresaw: one bad object costs only itself, also where the fault is ours.

The first time such an exception ends the turn, as any other does (``turns``). From then on admission works with care: an object
that changed is tried by itself before it comes among the others, and where admission raises all the same, all objects are tried.
Whoever raises gets a verdict that says so, and is tried again when it changes, and after pauses that grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from router.admission import Admission, Outcome
from router.admission.gateway.ways import concerning
from router.admission.references import grants_for
from router.objects.gateway import Gateway, ListenerSet
from router.objects.kinds import AskingObject, Slot
from router.objects.store import Changes, Objects
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_NOT_THEIR_FAULT = 10
"""Objects of more than a tenth of all namespaces at once: then the fault is no object's, and what is served stays."""


@dataclass(slots=True)
class _Held:
    """One that is left out."""

    obj: AskingObject
    problem: str
    backoff: Backoff
    retry_s: float


class Isolation:
    """Has admission decide. All calls from one thread; times are of one clock that never goes back.

    Args:
        admission: decides.
        retry_s: first and longest pause before one that was left out is tried again.
    """

    def __init__(self, admission: Admission, retry_s: tuple[float, float]) -> None:
        self.admission = admission
        self._retry_s = retry_s
        self._held: dict[Slot, _Held] = {}
        self._is_careful = False

    def anew(self) -> None:
        """Begin with no memory of any object but those that are left out, and with care."""
        self.admission = self.admission.anew()
        for slot, held in self._held.items():
            self.admission.hold(slot, held.obj)
        self._is_careful = True

    def due(self, now_s: float) -> Slot | None:
        """Give one that is to be tried again now."""
        return next((slot for slot, held in self._held.items() if held.retry_s <= now_s), None)

    def update(self, objects: Objects, changes: Changes, now_s: float) -> Outcome:
        """Decide anew after a change, as ``Admission.update`` does."""
        if not self._is_careful:
            return self.admission.update(objects, changes)
        due = self.due(now_s)
        if due is not None:
            changes = replace(changes, askers=changes.askers | {due})
        self._try_each(
            objects, changes.askers & self._held.keys() if _is_all(objects, changes) else changes.askers, now_s
        )
        try:
            return self.admission.update(objects, changes)
        # As in turns.py: nobody foresaw it. If it is not the fault of a few objects, it goes there.
        except Exception as error:  # noqa: BLE001
            self._find(objects, error, now_s)
            return self.admission.update(objects, objects.everything())

    def _find(self, objects: Objects, error: Exception, now_s: float) -> None:
        """Find those about whom admission raised, by themselves or among the others, and begin anew without them."""
        everything = objects.everything()
        if self._raised(self.admission.trial(), objects, _without_askers(everything)) is not None:
            # Without any of them it raises, too.
            raise error
        found = self._tried(objects, everything.askers - self._held.keys())
        namespaces = {key.namespace for _, key in everything.askers}
        of = {key.namespace for _, key in found}
        is_everywhere = len(of) > max(1, len(namespaces) // _NOT_THEIR_FAULT)
        if is_everywhere or len(found) == len(everything.askers) > 1:
            raise error
        self._hold(objects, found, now_s)
        self.anew()
        if not found:
            self._hold(objects, self._first_among_others(objects, everything), now_s)
            self.anew()

    def _first_among_others(self, objects: Objects, everything: Changes) -> dict[Slot, Exception]:
        """Give the first that raises only together with those before it, in the order of their keys; it is one for each turn."""
        together = self.admission.trial()
        together.update(objects, _without_askers(everything))
        for slot in sorted(everything.askers - self._held.keys(), key=lambda each: (each[0].__name__, each[1])):
            error = self._raised(together, objects, _alone(slot, objects))
            if error is not None:
                return {slot: error}
        return {}

    def _try_each(self, objects: Objects, slots: Iterable[Slot], now_s: float) -> None:
        """Try those that changed by themselves; hold those that raise, and let the others be decided about."""
        slots = frozenset(slots)
        found = self._tried(objects, slots)
        self._hold(objects, found, now_s)
        for slot in self._held.keys() & slots - found.keys():
            log.info("object taken up again", **_named(slot))
            del self._held[slot]
            self.admission.hold(slot, None)

    def _tried(self, objects: Objects, slots: Iterable[Slot]) -> dict[Slot, Exception]:
        """Give those about whom an admission raises that knows of no other."""
        routers = frozenset(objects.routers)
        found = {}
        for slot in slots:
            error = self._raised(self.admission.trial(), objects, replace(_alone(slot, objects), routers=routers))
            if error is not None:
                found[slot] = error
        return found

    @staticmethod
    def _raised(admission: Admission, objects: Objects, changes: Changes) -> Exception | None:
        try:
            admission.update(objects, changes)
        except Exception as error:  # noqa: BLE001 - as above: it is told, and costs its object alone
            return error
        return None

    def _hold(self, objects: Objects, found: dict[Slot, Exception], now_s: float) -> None:
        for slot, error in found.items():
            obj, former = objects.asking(slot), self._held.get(slot)
            if obj is None:
                continue
            backoff = former.backoff if former is not None else Backoff(*self._retry_s)
            held = _Held(obj, f"{type(error).__name__}: {error}", backoff, now_s + backoff.pause_s())
            self._held[slot] = held
            self.admission.hold(slot, obj)
            if former is None or former.problem != held.problem:
                log.error(
                    "object left out",
                    **_named(slot),
                    problem=held.problem,
                    consequence="it is not served; all others are",
                    exc_info=error,
                )


def _is_all(objects: Objects, changes: Changes) -> bool:
    """Say whether these are the changes of a full rebuild: that is tried as a whole first."""
    return bool(changes.askers) and len(changes.askers) >= len(objects.routes)


def _without_askers(everything: Changes) -> Changes:
    return replace(everything, askers=frozenset(), gateway_api=frozenset())


def _alone(slot: Slot, objects: Objects) -> Changes:
    """Give the changes by which an admission gets to know one object, and what that is decided by."""
    decided_by = concerning(slot, objects) if slot[0] in {Gateway, ListenerSet} else grants_for(slot, objects)
    return Changes(frozenset({slot}), gateway_api=decided_by)


def _named(slot: Slot) -> dict[str, str]:
    kind, key = slot
    return {"kind": kind.__name__, "namespace": key.namespace, "name": key.name}
