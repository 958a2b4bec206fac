"""Which objects refer to which credentials, and need the ReferenceGrants of which namespaces; pure."""

from __future__ import annotations

from router.admission.gateway.grants import Grants
from router.admission.gateway.index import Index
from router.admission.kinds import KINDS
from router.admission.known import Known
from router.admission.last_good import LastGood
from router.admission.request import annotations_of
from router.admission.termination import Credentials
from router.objects.gateway import ReferenceGrant
from router.objects.kinds import AskingObject, Slot
from router.objects.meta import ObjectKey
from router.objects.store import Changes, Objects


class References:
    """The objects of ours by what they refer to, whether that is there or not; those of the Gateway API have a book of their own."""

    def __init__(self, last_good: LastGood | None = None) -> None:
        self.last_good = last_good or LastGood()
        self._by_credential: dict[ObjectKey, set[Slot]] = {}
        self._grants = Grants()
        self._by_granting: Index[str, Slot] = Index()

    def to(self, objects: Objects, changes: Changes) -> frozenset[Slot]:
        """Take note of the ReferenceGrants that changed; give those that refer to what did, or need a grant of where one did."""
        referring = {slot for key in changes.credentials for slot in self._by_credential.get(key, ())}
        for kind, key in changes.gateway_api:
            if kind is ReferenceGrant:
                self._grants.put(key, objects.gateway_api.grants.get(key))
                referring |= self._by_granting.of(key.namespace)
        return frozenset(referring)

    def known(self, slot: Slot, obj: AskingObject, credentials: Credentials) -> Known:
        """Give what an object of ours is read by, of the credentials that are there."""
        kept = self.last_good.config_maps(slot, annotations_of(obj.metadata), obj.metadata.namespace, credentials)
        if kept is not None:
            others = {key: credentials[key] for key in KINDS[slot[0]].credentials_of(obj) if key in credentials}
            credentials = {**others, **kept}
        return Known(credentials, self._grants)

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
        self._by_granting.put(slot, kind.granting_of(current) if current is not None else ())


def grants_for(slot: Slot, objects: Objects) -> frozenset[Slot]:
    """Give the ReferenceGrants that an object is read by; looks at all of them where it needs any."""
    obj, kind = objects.asking(slot), KINDS.get(slot[0])
    granting = kind.granting_of(obj) if kind is not None and obj is not None else frozenset()
    if not granting:
        return frozenset()
    return frozenset((ReferenceGrant, key) for key in objects.gateway_api.grants if key.namespace in granting)
