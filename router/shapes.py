"""Makes what reads JSON, or plain values, into types; everything that there is to know of a type is found out when it is made.

msgspec finds out about a type when the type is first named to a ``Decoder``, to ``json.decode`` or to ``convert``. Two threads that
do so at the same time, for structs with a member type in common, can crash the interpreter: one of them goes on with what the other
has half done (msgspec 0.21, ``StructInfo_Convert`` in _core.c). So ``reader`` and ``converter`` are called while modules
are imported, before there is a second thread, and nothing else of msgspec is called that takes a type. A test looks at all of our code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

_T = TypeVar("_T")

Json = bytes | str | msgspec.Raw


class _Reader(Generic[_T]):
    def __init__(self, kind: type[_T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, text: Json) -> _T:
        try:
            return self._decode(text)
        except RecursionError as error:
            raise msgspec.DecodeError("nested too deeply") from error
        except UnicodeDecodeError as error:
            raise msgspec.DecodeError(str(error)) from error


def reader(kind: type[_T]) -> Callable[[Json], _T]:
    """Give what reads JSON of a type. To be called while a module is imported.

    What it gives raises msgspec.DecodeError, and nothing else, for whatever cannot be read: also for bytes that are not UTF-8, and for what is
    nested deeper than Python's stack allows, for both of which msgspec has exceptions of other kinds.
    """
    return _Reader(kind)


def converter(kind: type[_T]) -> Callable[[object], _T]:
    """Give what makes a plain value (dicts, lists, text, numbers) a value of a type. To be called while a module is imported.

    What it gives raises msgspec.ValidationError.
    """
    # It is made for what it finds out of the type, which convert then knows.
    msgspec.json.Decoder(kind)
    return lambda value: msgspec.convert(value, kind)


read_any: Callable[[Json], Any] = reader(Any)
"""Reads JSON as plain values."""
write: Callable[[Any], bytes] = msgspec.json.Encoder().encode
"""Writes a value as JSON."""
