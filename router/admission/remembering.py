"""Remembers what was made of texts that others wrote, and takes a bounded amount of memory for it, however long and however many these are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Results of a function of texts, by digests of these: no text is held. Those asked for last stay.

    Args:
        of: the function; it depends on nothing else.
        size_of: gives about how many bytes a result takes.
        most_bytes: that all of them may take together.
    """

    _OF_EACH = 400
    """What an entry takes beside its result, about."""

    def __init__(self, of: Callable[..., T], size_of: Callable[[T], int], most_bytes: int) -> None:
        self._of = of
        self.__doc__ = of.__doc__
        self._size_of = size_of
        self._most_bytes = most_bytes
        self._results: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0
        """That all of them take together."""

    def __call__(self, *texts: str) -> T:
        """Give the result, which may be one that was made before."""
        key = _digest(texts)
        with self._lock:
            known = self._results.get(key)
            if known is not None:
                self._results.move_to_end(key)
                return known[0]
        result = self._of(*texts)
        size = self._size_of(result) + self._OF_EACH
        with self._lock:
            if key not in self._results:
                self._results[key] = result, size
                self.bytes += size
            while self.bytes > self._most_bytes:
                _, (_, gone) = self._results.popitem(last=False)
                self.bytes -= gone
        return result


def remembered(size_of: Callable[[T], int], most_bytes: int) -> Callable[[Callable[..., T]], Remembered[T]]:
    """Make a function of texts one that remembers; see ``Remembered``."""

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
