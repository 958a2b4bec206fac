"""Which objects refer to which credentials; pure."""

from __future__ import annotations

from collections.abc import Iterable

from router.admission.kinds import KINDS
from router.admission.last_good import LastGood
from router.objects.kinds import AskingObject, Slot
from router.objects.meta import ObjectKey


class References:
    """The objects of ours by the credentials that they refer to, whether those are there or not."""

    def __init__(self, last_good: LastGood | None = None) -> None:
        self.last_good = last_good or LastGood()
        self._by_credential: dict[ObjectKey, set[Slot]] = {}

    def to(self, credentials: Iterable[ObjectKey]) -> frozenset[Slot]:
        """Give those that refer to any of these."""
        return frozenset(slot for key in credentials for slot in self._by_credential.get(key, ()))

    def put(self, slot: Slot, former: AskingObject | None, current: AskingObject | None) -> None:
        """Take note of an object of ours, in the place of what it was."""
        kind = KINDS[slot[0]]
        if current is None:
            self.last_good.forget(slot)
        for key in kind.credentials_of(former) if former is not None else ():
            slots = self._by_credential[key]
            slots.discard(slot)
            if not slots:
                del self._by_credential[key]
        for key in kind.credentials_of(current) if current is not None else ():
            self._by_credential.setdefault(key, set()).add(slot)
