"""A frozen value with some of its fields otherwise, for where that is done for every change: ``dataclasses.replace`` looks at each field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _reader(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:  # noqa: ANN401 - any dataclass
    names = tuple(each.name for each in fields(kind))
    return names, attrgetter(*names)


def changed(value: T, **others: object) -> T:
    """Give what ``dataclasses.replace`` does, of a dataclass that has two fields or more, all of them given to its ``__init__``."""
    kind: Any = type(value)
    names, read = _reader(kind)
    made: T = kind(**{**dict(zip(names, read(value), strict=True)), **others})
    return made
