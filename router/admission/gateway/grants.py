"""ReferenceGrants: who may refer to what of another namespace."""

from __future__ import annotations

from typing import NamedTuple

from router.objects.gateway import ReferenceGrant
from router.objects.meta import ObjectKey


class Referrer(NamedTuple):
    """Whose reference it is."""

    group: str
    kind: str
    namespace: str


class Grants:
    """All of them, by the namespace whose objects they open."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[ObjectKey, ReferenceGrant]] = {}

    def put(self, key: ObjectKey, grant: ReferenceGrant | None) -> None:
        """Take note of a grant, or (None) that it is gone."""
        members = self._by_namespace.setdefault(key.namespace, {})
        members.pop(key, None)
        if grant is not None:
            members[key] = grant
        if not members:
            del self._by_namespace[key.namespace]

    def permit(self, referrer: Referrer, group: str, kind: str, target: ObjectKey) -> bool:
        """Say whether an object may be referred to, be it there or not: one grant has to say both, from where and to what."""
        if referrer.namespace == target.namespace:
            return True
        return any(
            any((each.group, each.kind, each.namespace) == referrer for each in grant.spec.from_)
            and any(
                (each.group, each.kind) == (group, kind) and each.name in {None, "", target.name}
                for each in grant.spec.to
            )
            for grant in self._by_namespace.get(target.namespace, {}).values()
        )
