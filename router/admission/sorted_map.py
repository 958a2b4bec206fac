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
        self._by_key: dict[K, V] = {}
        """In the order of the keys, unless a key is new."""
        self._is_in_order = True
        self._tuple: tuple[V, ...] | None = ()
        self._mapping: Mapping[K, V] | None = None

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
            # What comes in order stays in order: all of it does, where the first of everything is put sorted.
            self._is_in_order = self._is_in_order and place == len(self._keys)
            self._keys.insert(place, key)
            self._values.insert(place, value)
            self._by_key[key] = value
        self._tuple = self._mapping = None

    def get(self, key: K) -> V | None:
        """Give the value of a key."""
        return self._by_key.get(key)

    def values(self) -> tuple[V, ...]:
        """Give the values in order; the same tuple until something changes."""
        if self._tuple is None:
            self._tuple = tuple(self._values)
        return self._tuple

    def mapping(self) -> Mapping[K, V]:
        """Give keys and values in order, read-only; the same mapping until something changes."""
        if self._mapping is None:
            if not self._is_in_order:
                self._by_key = dict(zip(self._keys, self._values, strict=True))
                self._is_in_order = True
            # A copy does not compute the hashes of all keys again, which takes longest.
            self._mapping = MappingProxyType(self._by_key.copy())
        return self._mapping

    def __len__(self) -> int:
        return len(self._keys)
