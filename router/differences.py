"""Find what differs between two long tuples of which nearly all members are the same objects; pure."""

from __future__ import annotations

from itertools import compress, count
from operator import is_not
from typing import TypeVar

T = TypeVar("T")


def differences(before: tuple[T, ...], after: tuple[T, ...]) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Give the members of each that may be missing in the other: of thousands of Routes one changes, and this finds it.

    What both have in common at their beginning and at their end is left out, at the speed of C; between tuples of the same
    length also what is in the same place in both.
    """
    if before is after:
        return (), ()
    shorter = min(len(before), len(after))
    first = next(compress(count(), map(is_not, before, after)), shorter)
    last = min(next(compress(count(), map(is_not, reversed(before), reversed(after))), shorter), shorter - first)
    before, after = before[first : len(before) - last], after[first : len(after) - last]
    if len(before) != len(after):
        return before, after
    differ = tuple(map(is_not, before, after))
    return tuple(compress(before, differ)), tuple(compress(after, differ))
