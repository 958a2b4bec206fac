"""The keys of one Service's objects: a tuple while they are few, as nearly always, a dict where they are many.

There are thousands of Services with an object or two, for each of which a dict would take four times the memory. And there may be one
with thousands, which a tuple would copy with each.
"""

from __future__ import annotations

from router.objects.meta import ObjectKey

Members = tuple[ObjectKey, ...] | dict[ObjectKey, None]

_FEW = 16


def with_member(members: Members, key: ObjectKey) -> Members:
    """Give the members and one more; a dict is changed in place."""
    if isinstance(members, dict):
        members[key] = None
        return members
    return (*members, key) if len(members) < _FEW else dict.fromkeys((*members, key))


def without_member(members: Members, key: ObjectKey) -> Members:
    """Give the members but for one that is among them; a dict is changed in place."""
    if isinstance(members, dict):
        del members[key]
        return members
    return tuple(each for each in members if each != key)
