"""A list that is one answer, taken apart while it arrives; pure.

The API server makes such an answer of what it has in memory, at half the cost of pages. Nobody has to have it whole: what has come is cut between two
objects, and each part is read as if it were a list. Where to cut is guessed by how objects begin, and proven by reading: a cut within an object,
or within a text, leaves brackets or quotes open, which no JSON does. Who writes lists in another form than API servers do is read at the end, at once.
"""

from __future__ import annotations

import re

import msgspec

from router.kube.pages import ListMeta, read_list
from router.shapes import reader

_PART_BYTES = 1 << 18
"""So much is read at a time, at least."""
_GUESSES = 8
"""So many cuts are tried in a part before more of it is waited for."""
_ITEMS = re.compile(rb'"items":\s*\[')
_BEGINNING = re.compile(rb'\{"[A-Za-z]+":(?:"[^"\\]*","[A-Za-z]+":|\{"[A-Za-z]+":)')
"""How an object begins, up to its second key, or the first one of its metadata: those within it begin otherwise, as a rule."""

_Items = tuple[msgspec.Raw, ...]
_read_items = reader(_Items)


class Answer:
    """One list, as its bytes come."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._bytes = 0
        self._enough = _PART_BYTES
        self._head = b""
        """What comes before the objects."""
        self._cut = b""
        """What lies between two objects: the end of one, and how each begins."""
        self._has_objects = False

    def take(self, piece: bytes) -> _Items:
        """Take what has come; give the objects that are whole now, none until there is enough to read."""
        self._rest.append(piece)
        self._bytes += len(piece)
        return self._split() if self._bytes >= self._enough else ()

    def end(self) -> tuple[_Items, ListMeta]:
        """Give the last objects, and what the list says of itself, when all has come.

        Raises:
            msgspec.DecodeError: what has come is no list, or not all of one.
        """
        tail = b"".join(self._rest)
        rest = read_list(b'{"items":[' + tail if self._has_objects else self._head + tail)
        if not self._has_objects or rest.metadata.resource_version:
            return rest.items or (), rest.metadata
        # What it says of itself came first: then nothing but its end was cut off.
        return rest.items or (), read_list(self._head + b"]}").metadata

    def _split(self) -> _Items:
        text = b"".join(self._rest)
        items: _Items = ()
        if not self._head:
            text = self._begin(text)
        if self._cut:
            end = len(text)
            for _ in range(_GUESSES):
                end = text.rfind(self._cut, 0, end)
                if end < 0:
                    break
                try:
                    items = _read_items(b"[" + text[: end + 1] + b"]")
                except msgspec.DecodeError:
                    continue
                text = text[end + 2 :]
                self._has_objects = True
                break
        self._rest, self._bytes = [text], len(text)
        # Twice as much before it is tried again, where this was in vain: what cannot be cut must not be read again and again.
        self._enough = _PART_BYTES if items else max(_PART_BYTES, 2 * self._bytes)
        return items

    def _begin(self, text: bytes) -> bytes:
        """Take off what comes before the first object, if one has come."""
        items = _ITEMS.search(text)
        first = _BEGINNING.match(text, items.end()) if items is not None else None
        if items is None or first is None:
            return text
        self._head, self._cut = text[: items.end()], b"}," + first[0]
        return text[items.end() :]
