"""Remembers what was made of texts that others wrote, and takes a bounded amount of memory for it, however long and however many these are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Results of a function of texts, by digests of these: no text is held. Several threads may use one.

    Those asked for since the last turn stay; a turn is as long as what is asked for takes half of the room.

    Args:
        of: the function; it depends on nothing else.
        size_of: gives about how many bytes a result takes.
        most_bytes: that all of them may take together.
    """

    _OF_EACH = 300
    """What an entry takes beside its result, about."""

    def __init__(self, of: Callable[..., T], size_of: Callable[[T], int], most_bytes: int) -> None:
        self._of = of
        self.__doc__ = of.__doc__
        self._size_of = size_of
        self._of_a_turn = most_bytes // 2
        self._bytes = 0
        """Of this turn."""
        self._now: dict[bytes, T] = {}
        self._before: dict[bytes, T] = {}

    def __call__(self, *texts: str) -> T:
        """Give the result, which may be one that was made before."""
        key = _digest(texts)
        known = self._now.get(key)
        if known is not None:
            return known
        known = self._before.get(key)
        result = known if known is not None else self._of(*texts)
        size = self._size_of(result) + self._OF_EACH
        if self._bytes + size > self._of_a_turn:
            self._before, self._now, self._bytes = self._now, {}, 0
        if size <= self._of_a_turn:
            self._now[key] = result
            self._bytes += size
        return result


def remembered(size_of: Callable[[T], int], most_bytes: int) -> Callable[[Callable[..., T]], Remembered[T]]:
    """Make a function of texts, which never gives None, one that remembers; see ``Remembered``."""

    def decorate(of: Callable[..., T]) -> Remembered[T]:
        return Remembered(of, size_of, most_bytes)

    return decorate


def _digest(texts: tuple[str, ...]) -> bytes:
    found = hashlib.sha256()
    for each in texts:
        encoded = each.encode("utf-8", "surrogatepass")
        # With its length, so that nothing can be moved from one text to the next.
        found.update(f"{len(encoded)} ".encode())
        found.update(encoded)
    return found.digest()
