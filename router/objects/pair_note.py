"""That a claim has waited long enough for two clusters to agree on its port: no object of the API, but kept as those are."""

from __future__ import annotations

from router.objects.meta import ObjectKey, ObjectMeta, WholeObject


class PairNote(WholeObject, frozen=True):
    """It is to wait no more. Its key is the claim's."""

    @classmethod
    def about(cls, key: ObjectKey, uid: str) -> PairNote:
        """Give the note about a claim."""
        return cls(ObjectMeta(name=key.name, namespace=key.namespace, uid=uid))
