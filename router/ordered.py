"""Order that is kept: a mapping that is sorted at all times, and what differs between two long tuples; pure.

What is published is sorted after every small change, and who sees the same object again knows that nothing changed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from functools import lru_cache
from itertools import compress, count
from operator import is_not, not_
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Any: the standard library has no public type for "can be compared with its like".
K = TypeVar("K", bound=Any)
V = TypeVar("V")

_PIECES = 8
"""What is long is compared in so many pieces, so that there are no more steps where it is longer."""
_FEW = 64
"""Changes that are told; of more at a time, as at a start, two tuples tell as well."""

_SHORT = 16
"""Members of two tuples together that are compared one by one sooner than in pieces: those of most Routes' servers."""


@lru_cache(maxsize=1 << 10)
def shared(values: frozenset[Any]) -> frozenset[Any]:
    """Give an equal set, which is one object for all that have it: thousands of small ones are the same few, and each has 216 bytes."""
    return values


class Advance(NamedTuple, Generic[T]):
    """What became of one long tuple, known to who made it: nobody has to compare the two."""

    before: tuple[T, ...]
    after: tuple[T, ...]
    removed: tuple[T, ...]
    """Of those before."""
    added: tuple[T, ...]
    """In both are those that are other objects now."""


class SortedMapping(Mapping[K, V]):
    """What a ``SortedMap`` was at one time. Two are equal if their keys and values are, and to find out hashes nothing.

    Args:
        keys: in order.
        values: in the same.
        by_key: what it was some time before, or is.
        since: the values of keys that were put since then, None for those that were removed.
        advance: how the values came from those of the mapping before, if it is known.
    """

    __slots__ = ("_by_key", "_since", "advance", "in_order")

    def __init__(
        self,
        keys: tuple[K, ...],
        values: tuple[V, ...],
        by_key: Mapping[K, V],
        since: Mapping[K, V | None],
        advance: Advance[V] | None = None,
    ) -> None:
        self.in_order = keys, values
        self._by_key = by_key
        self._since = since
        self.advance = advance
        """How the values came from those of the mapping before, if it is known."""

    def __getitem__(self, key: K) -> V:
        if key not in self._since:
            return self._by_key[key]
        if (value := self._since[key]) is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(self.in_order[0])

    def __len__(self) -> int:
        return len(self.in_order[0])

    def __contains__(self, key: object) -> bool:
        return self._since[key] is not None if key in self._since else key in self._by_key  # type: ignore[index] # it is one of the keys

    def replaced(self, others: Mapping[K, V]) -> SortedMapping[K, V]:
        """Give the same with other values for some of the keys."""
        keys, former = self.in_order
        current = list(former)
        for key, value in others.items():
            current[bisect_left(keys, key)] = value
        return SortedMapping(keys, tuple(current), self._by_key, {**self._since, **others})

    def items(self) -> ItemsView[K, V]:
        """Give keys and values, in order."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Give the values, in order."""
        return _Values(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SortedMapping):
            return self.in_order == other.in_order
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment] # as of every mapping


def values_in_order(mapping: Mapping[K, V]) -> tuple[V, ...]:
    """Give the values of a mapping that is in order; of a ``SortedMapping`` without a copy."""
    return mapping.in_order[1] if isinstance(mapping, SortedMapping) else tuple(mapping.values())


def replaced(mapping: Mapping[K, V], values: Mapping[K, V]) -> Mapping[K, V]:
    """Give a mapping, which is in order, with other values for some of its keys; the cost is that of these, and of copies."""
    return mapping.replaced(values) if isinstance(mapping, SortedMapping) else {**mapping, **values}


class _Items(ItemsView[K, V]):
    _mapping: SortedMapping[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return zip(*self._mapping.in_order, strict=True)


class _Values(ValuesView[V]):
    _mapping: SortedMapping[Any, V]

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping.in_order[1])


class SortedMap(Generic[K, V]):
    """Values in the order of their keys. A change costs a search and a shift, not a sort."""

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._values: list[V] = []
        self._by_key: dict[K, V] = {}
        """In no order: to bring thousands into one again takes longer than all else that a change of one needs."""
        self._copied: dict[K, V] | None = None
        """What that was some time before; None where more has changed since than is worth telling."""
        self._since: dict[K, V | None] = {}
        """The values of keys that changed since then, as ``SortedMapping`` has them."""
        self._tuple: tuple[V, ...] = ()
        self._changed: dict[K, V | None] = {}
        """What was in the tuple of the keys that changed since it was made."""
        self._mapping: SortedMapping[K, V] | None = None
        self.advance: Advance[V] | None = None
        """How the last tuple of values came from the one before; None where that is the whole."""

    def put(self, key: K, value: V | None) -> None:
        """Put a value, or remove the key for None. Putting the same object again is no change."""
        former = self._by_key.get(key)
        if value is former:
            return
        place = bisect_left(self._keys, key)
        if value is None:
            del self._keys[place], self._values[place], self._by_key[key]
        elif former is not None:
            self._values[place] = self._by_key[key] = value
        else:
            self._keys.insert(place, key)
            self._values.insert(place, value)
            self._by_key[key] = value
        self._changed.setdefault(key, former)
        self._mapping = None
        if self._copied is not None:
            self._since[key] = value
            if len(self._since) > _FEW:
                self._copied, self._since = None, {}

    def get(self, key: K) -> V | None:
        """Give the value of a key."""
        return self._by_key.get(key)

    def values(self) -> tuple[V, ...]:
        """Give the values in order; the same tuple until something changes."""
        if self._changed:
            before, self._tuple = self._tuple, tuple(self._values)
            self.advance = self._advance(before) if len(self._changed) <= _FEW else None
            self._changed = {}
        return self._tuple

    def _advance(self, before: tuple[V, ...]) -> Advance[V]:
        removed: list[V] = []
        added: list[V] = []
        for key in sorted(self._changed):
            former, current = self._changed[key], self._by_key.get(key)
            if former is not current:
                removed += [former] if former is not None else ()
                added += [current] if current is not None else ()
        return Advance(before, self._tuple, tuple(removed), tuple(added))

    def mapping(self) -> Mapping[K, V]:
        """Give keys and values in order; the same mapping until something changes."""
        if self._mapping is None:
            values = self.values()
            if self._copied is None:
                # Not for each change: to copy tens of thousands takes longer than all else that one needs.
                self._copied = self._by_key.copy()
            self._mapping = SortedMapping(
                tuple(self._keys), values, self._copied, MappingProxyType(self._since.copy()), self.advance
            )
        return self._mapping

    def __len__(self) -> int:
        return len(self._keys)


def differences(
    before: tuple[T, ...], after: tuple[T, ...], advance: Advance[T] | None = None
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Give the members of each that may be missing in the other: of thousands of Routes one changes, and this finds it.

    What both have in common at their beginning and at their end is left out, at the speed of C; then, between tuples of the same
    length, what is in the same place in both, and between others, or where that leaves many, what is anywhere in both.

    Where ``advance`` leads from the one to the other, it is not looked for; any other is of no account.

    By identity, or where that differs by what they are: the same object is taken for unchanged, and not looked into. So a member must be
    frozen all through, and what changed must be another object; one that is equal and another object may be among what is given, and costs a look.
    """
    if before is after:
        return (), ()
    if advance is not None and advance.before is before and advance.after is after:
        return advance.removed, advance.added
    if len(before) + len(after) > _SHORT:
        first, last = _ends(before, after)
        before, after = before[first : len(before) - last], after[first : len(after) - last]
    if len(before) == len(after):
        differ = tuple(map(is_not, before, after))
        before, after = tuple(compress(before, differ)), tuple(compress(after, differ))
        if len(before) <= _FEW:
            return before, after
    # At the speed of C, too: what is in both is no difference, wherever it is.
    there, here = set(map(id, before)), set(map(id, after))
    return (
        tuple(compress(before, map(not_, map(here.__contains__, map(id, before))))),
        tuple(compress(after, map(not_, map(there.__contains__, map(id, after))))),
    )


def different_values(before: Mapping[K, V], after: Mapping[K, V]) -> tuple[tuple[V, ...], tuple[V, ...]]:
    """Give the values of each of two mappings, both in order, that may be missing in the other, likewise."""
    advance = after.advance if isinstance(after, SortedMapping) else None
    return differences(values_in_order(before), values_in_order(after), advance)


class Images(Generic[T, V]):
    """What a function makes of each member of a long tuple: of members that are the same as the last time it is not asked again.

    What is the same is as in ``differences``.

    Args:
        of: gives the image of a member; depends on nothing else.
    """

    def __init__(self, of: Callable[[T], V]) -> None:
        self._of = of
        self._members: tuple[T, ...] = ()
        self._images: tuple[V, ...] = ()

    def __call__(self, members: tuple[T, ...]) -> tuple[V, ...]:
        """Give the images of these, in their order; the same tuple for the same members."""
        if members is self._members:
            return self._images
        first, last = _ends(self._members, members)
        end = len(self._members) - last
        former, images = self._members[first:end], self._images[first:end]
        current = members[first : len(members) - last]
        made = list(images)
        if len(former) != len(current):
            known = dict(zip(map(id, former), images, strict=True))
            made = [known[id(each)] if id(each) in known else self._of(each) for each in current]
        else:
            others = tuple(compress(count(), map(is_not, former, current)))
            known = {id(former[place]): images[place] for place in others}
            for place in others:
                each = current[place]
                made[place] = known[id(each)] if id(each) in known else self._of(each)
        if made or len(members) != len(self._members):
            self._images = (*self._images[:first], *made, *self._images[end:])
        self._members = members
        return self._images


def _ends(before: tuple[T, ...], after: tuple[T, ...]) -> tuple[int, int]:
    """Give how many members both have in common at their beginning, and at their end."""
    shorter = min(len(before), len(after))
    first = _alike(before, after, shorter)
    return first, _alike_at_end(before, after, shorter - first)


def _alike(before: tuple[T, ...], after: tuple[T, ...], most: int) -> int:
    """Give how many members are the same from the beginning, ``most`` at most."""
    first, size = 0, most // _PIECES + 1
    # To compare two pieces takes a quarter of what it takes to compare their members one by one.
    while first < most and before[first : first + size] == after[first : first + size]:
        first += size
    rest = map(is_not, before[first : first + size], after[first : first + size])
    return min(first + next(compress(count(), rest), size), most)


def _alike_at_end(before: tuple[T, ...], after: tuple[T, ...], most: int) -> int:
    """Give the same from the end."""
    last, size = 0, most // _PIECES + 1
    ends = len(before), len(after)
    while last + size <= most:
        one, other = (slice(end - last - size, end - last) for end in ends)
        if before[one] != after[other]:
            break
        last += size
    left = min(size, most - last)
    one, other = (slice(end - last - left, end - last) for end in ends)
    rest = map(is_not, reversed(before[one]), reversed(after[other]))
    return min(last + next(compress(count(), rest), left), most)
