"""A frozen value with some of its fields otherwise, for where that is done for every change: ``dataclasses.replace`` looks at each field."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from itertools import repeat
from operator import attrgetter, call
from typing import Any, TypeVar

T = TypeVar("T")

_Write = Callable[[Any, Any], None]


@cache
def _ways(kind: Any) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[_Write, ...], Mapping[str, _Write]]:  # noqa: ANN401 - any dataclass
    """Give what reads all fields, what writes each, and the latter by name."""
    names = tuple(each.name for each in fields(kind))
    # Those of the slots themselves: ``__init__`` of what is frozen writes by ``object.__setattr__``, step by step.
    writes = {name: getattr(kind, name).__set__ for name in names}
    return attrgetter(*names), tuple(writes.values()), writes


def changed(value: T, **others: object) -> T:
    """Give what ``dataclasses.replace`` does, of a frozen dataclass with slots that has two fields or more and nothing that its ``__init__`` does beside."""
    kind: Any = type(value)
    read, writes, by_name = _ways(kind)
    made: T = kind.__new__(kind)
    # At the speed of C.
    deque(map(call, writes, repeat(made), read(value)), maxlen=0)
    deque(map(call, map(by_name.__getitem__, others), repeat(made), others.values()), maxlen=0)
    return made
