"""The text of a YAML file, read into plain values: dicts with text keys, lists, text, numbers, booleans, None.

Scalars mean what they mean to Kubernetes (sigs.k8s.io/yaml, goyaml.v2/resolve.go), which is not quite what PyYAML makes of
them: ``12:30`` and ``2024-01-01`` are text, ``y`` and ``off`` are booleans, ``010`` is eight. Only PyYAML's parser is used, of
libyaml where PyYAML was built with it.

A hostile file costs no more than its size: nesting, and what aliases repeat, are bounded.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, Protocol

import yaml

from router.errors import ManifestError

MAX_DEPTH = 64
"""Deeper nesting is refused; Kubernetes objects that the router reads stay under 10."""
MAX_ALIASED_NODES = 10_000
"""What the aliases of one document may repeat, counted in nodes."""


class Mark(NamedTuple):
    """Where a member of a mapping or list stands, and how it is written, where it is a scalar."""

    line: int
    column: int
    text: str | None = None


Marks = dict[tuple[int, str | int], Mark]
"""By the ``id`` of the dict or list, and the member's key or index."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TAGGED: dict[str, type] = {"int": int, "float": float, "bool": bool, "null": type(None)}
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"([+-]?)(?:0[bB]([01]+)|0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
MAX_INTEGER_DIGITS = 20
"""64 bits are 20 decimal digits; longer ones are read as floating point, as Go's decoder falls back to."""
_MAX_QUOTED = 100
_BYTE_ORDER_MARKS = re.compile(rb"^(?:\xef\xbb\xbf)+", re.MULTILINE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TEMPLATE_TAG = b"{{"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its value, and the line that it starts on, from 1."""

    value: object
    line: int


def read_yaml(path: str, data: bytes, marks: Marks | None = None) -> Iterator[Document]:
    """Read the documents of a YAML file one by one; empty ones are passed over.

    Args:
        path: named in errors.
        data: the file's bytes.
        marks: where to note the places of all members; None saves the time.

    Raises:
        ManifestError: the text is no YAML, or uses what manifests may not: duplicate keys, keys that are no text,
            tags of its own, too deep nesting, too much repetition by aliases.
    """
    data = utf_8(path, data)
    try:
        for event in (events := yaml.parse(data, Loader=_LOADER)):
            if isinstance(event, yaml.DocumentStartEvent):
                document = _Reader(path, marks).read(events)
                if document.value is not None:
                    yield document
    except ManifestError as error:
        raise _unless_rendered(error, data) from None
    except yaml.reader.ReaderError as error:
        place = error.position if isinstance(error.position, int) else 0
        line = data.count(b"\n", 0, place) + 1
        column = place - data.rfind(b"\n", 0, place)
        raise ManifestError(path, f"not readable as text: {error.reason}", line, column) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        if "nesting depth" in problem:
            # libyaml, which looks ahead, may be the first to have enough.
            problem = f"nested more than {MAX_DEPTH} levels deep"
        raise _unless_rendered(ManifestError(path, f"not YAML: {problem}", *_place(mark)), data) from None
    except (ValueError, OverflowError) as error:
        # PyYAML's own scanner, where libyaml is absent, passes these on for character escapes beyond Unicode.
        raise ManifestError(path, f"not YAML: {error}") from None


def utf_8(path: str, data: bytes) -> bytes:
    """Give the text in UTF-8, without byte order marks.

    YAML lets one stand before each document (YAML 1.2.2, section 5.2), as it does where files are put together; libyaml takes the
    first only. A line of a manifest begins with one nowhere else. UTF-16 is what Windows writes for ``>``.
    """
    if data.startswith(_UTF_16):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError as error:
            raise ManifestError(path, f"not UTF-16: {getattr(error, 'reason', error)}") from None
    return _BYTE_ORDER_MARKS.sub(b"", data) if codecs.BOM_UTF8 in data else data


def _unless_rendered(error: ManifestError, data: bytes) -> ManifestError:
    """Give a problem with the way out, where its line shows that this is what a manifest is made of, not a manifest."""
    lines = data.splitlines()[: error.line or 0]
    if not lines or _TEMPLATE_TAG not in lines[-1]:
        return error
    problem = f"{error.problem}; what has {{{{ }}}} of Helm or another template engine in it has to be rendered first"
    return ManifestError(error.path, problem, error.line, error.column)


_Container = dict[str, object] | list[object]
_MERGE: Final = object()


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end was not read yet."""

    container: _Container
    anchor: str | None
    nodes_before: int
    awaits_key: bool
    """Whether the next node is a key."""
    key: object = None
    merged: list[object] = field(default_factory=list)


class _Position(Protocol):
    """A place in the text, of either of PyYAML's parsers; counts from 0."""

    line: int
    column: int


class _Reader:
    """Reads one document from the parser's events."""

    def __init__(self, path: str, marks: Marks | None) -> None:
        self._path = path
        self._marks = marks
        self._nodes = 0
        self._aliased_nodes = 0
        self._anchors: dict[str, tuple[object, int]] = {}

    def read(self, events: Iterator[yaml.Event]) -> Document:  # noqa: C901, PLR0912 - one loop over a closed set of events, and the hot one
        """Read events up to the document's end."""
        open_ones: list[_Open] = []
        root: object = None
        line = 0
        for event in events:
            if not line and event.start_mark is not None:
                line = event.start_mark.line + 1
            self._nodes += 1
            if isinstance(event, yaml.ScalarEvent):
                value = self._scalar(event, as_key=bool(open_ones) and open_ones[-1].awaits_key)
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                open_ones.append(self._open(event, open_ones))
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                value = self._close(open_ones.pop())
            elif isinstance(event, yaml.AliasEvent):
                value = self._aliased(event)
            else:  # the document's end: its start was read by the caller
                break
            if not open_ones:
                root = value
                continue
            holder = open_ones[-1]
            if isinstance(holder.container, list):
                if not isinstance(event, yaml.CollectionEndEvent):
                    self._mark(event, holder.container, len(holder.container), _text(event))
                holder.container.append(value)
            elif holder.awaits_key:
                holder.key = self._key(event, value, holder.container)
                holder.awaits_key = False
            else:
                self._set(event, holder, value)
        return Document(root, line)

    def _scalar(self, event: yaml.ScalarEvent, *, as_key: bool) -> object:
        text: str = event.value
        if not text.isascii() and _SURROGATE.search(text):
            self._refuse(event, "a \\u escape stands for half a character (a lone surrogate)")
        if event.tag is None:
            if not event.implicit[0]:
                return text
        elif event.tag == "!":
            return text
        else:
            return self._tagged(event, event.tag.removeprefix(_TAG), text)
        if as_key:
            return _MERGE if text == "<<" else text
        return _plain(text)

    def _tagged(self, event: yaml.ScalarEvent, tag: str, text: str) -> object:
        if tag in {"str", "timestamp"}:
            return text
        value = _plain(text)
        if _TAGGED.get(tag) is not type(value):
            self._refuse(event, f"{quoted(text)} does not fit its tag, or the tag is none of JSON's types")
        return value

    def _open(self, event: yaml.CollectionStartEvent, open_ones: list[_Open]) -> _Open:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if len(open_ones) >= MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        if event.tag not in {None, "!", _TAG + ("map" if is_mapping else "seq")}:
            self._refuse(event, "a mapping or list takes no tag")
        if open_ones:
            holder = open_ones[-1]
            if holder.awaits_key:
                self._refuse(event, "a key must be text")
            if isinstance(holder.container, list):
                self._mark(event, holder.container, len(holder.container))
        if event.anchor is not None:
            # From here on the name means this node, which no alias inside of it may ask for.
            self._anchors.pop(event.anchor, None)
        return _Open({} if is_mapping else [], event.anchor, self._nodes, awaits_key=is_mapping)

    def _close(self, done: _Open) -> _Container:
        container = done.container
        if isinstance(container, dict):
            for other in done.merged:
                if isinstance(other, dict):
                    for key, value in other.items():
                        container.setdefault(key, value)
        if done.anchor is not None:
            self._anchors[done.anchor] = (container, self._nodes - done.nodes_before + 1)
        return container

    def _aliased(self, event: yaml.AliasEvent) -> object:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            self._refuse(event, f"the alias {quoted(event.anchor or '')} stands for nothing before it")
        value, nodes = known
        self._nodes += nodes
        self._aliased_nodes += nodes
        if self._aliased_nodes > MAX_ALIASED_NODES:
            self._refuse(event, f"aliases repeat more than {MAX_ALIASED_NODES} values")
        return value

    def _key(self, event: yaml.Event, value: object, container: dict[str, object]) -> object:
        if value is _MERGE:
            return value
        if not isinstance(value, str):
            self._refuse(event, "a key must be text")
        if value in container:
            self._refuse(event, f"the key {quoted(value)} stands twice in one mapping")
        self._mark(event, container, value)
        return value

    def _set(self, event: yaml.Event, holder: _Open, value: object) -> None:
        if holder.key is _MERGE:
            members = value if isinstance(value, list) else [value]
            if not all(isinstance(member, dict) for member in members):
                self._refuse(event, "<< takes a mapping, or a list of mappings")
            holder.merged.extend(members)
        elif isinstance(holder.container, dict) and isinstance(holder.key, str):
            holder.container[holder.key] = value
            if self._marks is not None and (mark := self._marks.get((id(holder.container), holder.key))):
                self._marks[id(holder.container), holder.key] = mark._replace(text=_text(event))
        holder.awaits_key = True

    def _mark(self, event: yaml.Event, container: _Container, member: str | int, text: str | None = None) -> None:
        if self._marks is not None and event.start_mark is not None:
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            self._marks[id(container), member] = Mark(*place, text)

    def _refuse(self, event: yaml.Event, problem: str) -> NoReturn:
        raise ManifestError(self._path, problem, *_place(event.start_mark))


def _plain(text: str) -> object:
    """Give what an unquoted scalar means."""
    value = _WORDS.get(text, text)
    if value is not text or text[0] not in _NUMBER_STARTS:
        return value
    digits = text.replace("_", "") if text[0] != "." else text
    if match := _INTEGER.fullmatch(digits):
        sign, binary, hexadecimal, octal, decimal = match.groups()
        if len(digits) > MAX_INTEGER_DIGITS:
            return float(decimal) if decimal else text
        number = next(
            int(part, base) for part, base in ((decimal, 10), (octal, 8), (hexadecimal, 16), (binary, 2)) if part
        )
        return -number if sign == "-" else number
    return float(digits) if _FLOAT.fullmatch(digits) else text


def quoted(text: str) -> str:
    """Give text of a manifest for a message: as JSON has it, and not without end."""
    return json.dumps(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")


def _text(event: yaml.Event) -> str | None:
    return event.value if isinstance(event, yaml.ScalarEvent) else None


def _place(mark: _Position | None) -> tuple[int | None, int | None]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
