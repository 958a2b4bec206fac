"""The text of a JSON file, or of several JSON values one after the other, read into plain values; as ``documents`` reads YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from router.errors import ManifestError
from router.manifests.text import MAX_INTEGER_DIGITS, Document, quoted, utf_8

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89abcdefABCDEF]")
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_BEGINNING = re.compile(rb'\s*\{\s*["}]')


def is_json(data: bytes) -> bool:
    """Say whether a text begins as objects do in JSON; kubectl, too, looks at the text rather than at its file's name."""
    return _BEGINNING.match(data) is not None


def read_json(path: str, data: bytes) -> Iterator[Document]:
    """Read the values of a JSON file, one after the other; nulls are passed over.

    Raises:
        ManifestError: the text is no JSON, or has duplicate keys.
    """
    data = utf_8(path, data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(path, f"not UTF-8: {error.reason}", data.count(b"\n", 0, error.start) + 1) from None
    line = 1
    end = 0
    while (position := _after_space(text, end)) < len(text):
        line += text.count("\n", end, position)
        try:
            value, end = _JSON.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ManifestError(path, f"not JSON: {error.msg}", error.lineno, error.colno) from None
        except _UnusableJson as error:
            raise ManifestError(path, str(error), line) from None
        except RecursionError:
            raise ManifestError(path, "nested too deeply", line) from None
        if _SURROGATE_ESCAPE.search(text, position, end):
            _refuse_surrogates(path, value, line)
        if value is not None:
            yield Document(value, line)
        line += text.count("\n", position, end)


class _UnusableJson(Exception):
    """JSON that the parser would let through and manifests may not have; leaves this module as a ManifestError."""


def _json_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _UnusableJson(f"the key {quoted(twice)} stands twice in one mapping")
    return members


def _json_constant(name: str) -> NoReturn:
    raise _UnusableJson(f"{name} is no JSON value")


def _json_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)


_JSON = json.JSONDecoder(object_pairs_hook=_json_object, parse_constant=_json_constant, parse_int=_json_integer)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _refuse_surrogates(path: str, value: object, line: int) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ManifestError(path, "a \\u escape stands for half a character (a lone surrogate)", line) from None
