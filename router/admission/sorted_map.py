"""A mapping that is sorted at all times, for what is published sorted after every small change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

# Any: the standard library has no public type for "can be compared with its like".
K = TypeVar("K", bound=Any)
V = TypeVar("V")


class SortedMap(Generic[K, V]):
    """Values in the order of their keys. A change costs a search and a shift, not a sort."""

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._values: list[V] = []
        self._tuple: tuple[V, ...] | None = ()
        self._mapping: Mapping[K, V] | None = None

    def put(self, key: K, value: V | None) -> None:
        """Put a value, or remove the key for None. Putting the same object again is no change."""
        place = bisect_left(self._keys, key)
        there = place < len(self._keys) and self._keys[place] == key
        if value is None:
            if not there:
                return
            del self._keys[place], self._values[place]
        elif there:
            if self._values[place] is value:
                return
            self._values[place] = value
        else:
            self._keys.insert(place, key)
            self._values.insert(place, value)
        self._tuple = self._mapping = None

    def get(self, key: K) -> V | None:
        """Give the value of a key."""
        place = bisect_left(self._keys, key)
        return self._values[place] if place < len(self._keys) and self._keys[place] == key else None

    def values(self) -> tuple[V, ...]:
        """Give the values in order; the same tuple until something changes."""
        if self._tuple is None:
            self._tuple = tuple(self._values)
        return self._tuple

    def mapping(self) -> Mapping[K, V]:
        """Give keys and values in order, read-only; the same mapping until something changes."""
        if self._mapping is None:
            self._mapping = MappingProxyType(dict(zip(self._keys, self._values, strict=True)))
        return self._mapping

    def __len__(self) -> int:
        return len(self._keys)
