"""Who has to do with what: the way from a thing to those that name it, and back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Member = TypeVar("_Member", bound=Hashable)


class Index(Generic[_Key, _Member]):
    """Members by keys, of which each member has some."""

    def __init__(self) -> None:
        self._members: dict[_Key, set[_Member]] = {}
        self._keys: dict[_Member, frozenset[_Key]] = {}

    def put(self, member: _Member, keys: Iterable[_Key]) -> None:
        """Take note of a member's keys, in the place of those that it had; none forgets it."""
        current = frozenset(keys)
        former = self._keys.pop(member, frozenset())
        for key in former - current:
            self._members[key].discard(member)
            if not self._members[key]:
                del self._members[key]
        for key in current - former:
            self._members.setdefault(key, set()).add(member)
        if current:
            self._keys[member] = current

    def of(self, key: _Key) -> frozenset[_Member]:
        """Give the members that have a key."""
        return frozenset(self._members.get(key, ()))

    def keys_of(self, member: _Member) -> frozenset[_Key]:
        """Give the keys of a member."""
        return self._keys.get(member, frozenset())
