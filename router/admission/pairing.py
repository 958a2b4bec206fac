"""Which claims are given no port yet, for two clusters are to agree on it: a reservation for the claim says that they did; pure.

How long one waits at most is not decided here, where there is no clock: a note says when it is over.
"""

from __future__ import annotations

from router.admission.request import Request
from router.admission.verdicts import Reason, Rejection
from router.model import Asker
from router.objects.labels import matcher
from router.objects.meta import ObjectKey
from router.objects.pair_note import PairNote
from router.objects.store import Changes, Objects
from router.settings import AdmissionSettings

ALL = "all"
"""What selects all namespaces."""
_WAITS = Rejection(
    Reason.PAIRING,
    "the port is being agreed on with the other cluster (tcp-router pair); where that does not come about, it is given one here alone (--pair-wait)",
)


class Pairing:
    """The claims of namespaces that are paired.

    Args:
        settings: which these are.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        selector = settings.pair_selector
        self._is_on = bool(selector)
        self._selects = matcher("" if selector == ALL else selector)
        self._takes_all = selector == ALL
        self._selected: dict[str, bool] = {}
        """By namespace, of those that are known."""
        self._notes: dict[ObjectKey, PairNote] = {}
        self._claims: dict[str, set[Asker]] = {}
        """By namespace, so that what changes about one concerns its own."""

    def meet(self, objects: Objects, changes: Changes) -> set[Asker]:
        """Take what changed; give those who may have to wait now, or no more."""
        if not self._is_on:
            return set()
        concerned: set[Asker] = set()
        for key in changes.namespaces:
            former = self._is_selected(key.name)
            namespace = objects.namespaces.get(key)
            if namespace is None:
                self._selected.pop(key.name, None)
            else:
                self._selected[key.name] = self._selects(namespace.metadata.labels or {})
            if self._is_selected(key.name) is not former:
                concerned |= self._claims.get(key.name, set())
        for key in changes.pair_notes:
            note = objects.pair_notes.get(key)
            if note is None:
                self._notes.pop(key, None)
            else:
                self._notes[key] = note
            concerned |= {each for each in self._claims.get(key.namespace, ()) if each.key == key}
        return concerned

    def withheld(self, request: Request) -> Rejection | None:
        """Say why a claim is given no port yet; None where it need not wait."""
        if not self._is_on or request.pool != "claims":
            return None
        asker = request.asker
        self._claims.setdefault(asker.namespace, set()).add(asker)
        note = self._notes.get(ObjectKey(*asker.key))
        has_waited = note is not None and note.metadata.uid == asker.uid
        return _WAITS if self._is_selected(asker.namespace) and not has_waited else None

    def leave(self, asker: Asker) -> None:
        """Take note of one that is gone."""
        claims = self._claims.get(asker.namespace)
        if claims is not None:
            claims.discard(asker)
            if not claims:
                del self._claims[asker.namespace]

    def _is_selected(self, namespace: str) -> bool:
        # Of one that is not known the labels may come with the next event.
        return self._takes_all or self._selected.get(namespace, True)
