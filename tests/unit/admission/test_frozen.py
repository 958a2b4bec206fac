"""What is taken for unchanged because it is the same object cannot change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from router.admission import Outcome, Verdict
from router.model import Model, RouteSection

_PLAIN = (str, bytes, int, float, bool, type(None), Enum)


def _parts(of: Any) -> dict[str, Any]:
    """Give what values of a type consist of."""
    if get_origin(of) is not None:
        return (
            {f"[{number}]": each for number, each in enumerate(get_args(of))} if get_origin(of) is not Literal else {}
        )
    return get_type_hints(of) if isinstance(of, type) and not issubclass(of, _PLAIN) else {}


def _is_frozen(of: Any) -> bool:
    """Say whether values of a type cannot be written to, whatever is in them."""
    if dataclasses.is_dataclass(of):
        return bool(of.__dataclass_params__.frozen)  # type: ignore[union-attr]  # every dataclass has it
    kind = get_origin(of) or of
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind.__struct_config__.frozen
    return kind in {Union, UnionType, Literal, Mapping, frozenset, Ellipsis} or issubclass(kind, (*_PLAIN, tuple))


def _changeable(of: Any, where: str, seen: list[Any]) -> Iterator[str]:
    """Name the places in values of a type that could be written to."""
    if of in seen:
        return
    seen.append(of)
    if not _is_frozen(of):
        yield f"{where}: {of}"
    for name, part in _parts(of).items():
        yield from _changeable(part, f"{where}.{name}", seen)


@pytest.mark.parametrize("published", [Outcome, Model, RouteSection, Verdict], ids=lambda each: each.__name__)
def test_all_that_is_published_is_frozen(published: type) -> None:
    """From an outcome down to the last option of a server there are frozen values, tuples and read-only mappings alone."""
    assert list(_changeable(published, published.__name__, [])) == []
