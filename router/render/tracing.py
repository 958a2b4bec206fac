"""Which line of which template wrote each line of the output.

The template is compiled a second time with marks in its text, one wherever a line of the template begins to write. The marks
are characters of Unicode's private use area, which occur neither in templates nor in what admission lets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

_BEGIN, _END = "\ue000", "\ue001"
_AFTER_NEWLINE = re.compile(r"(?<=\n)(?!\Z)")
_MARK = re.compile(f"{_BEGIN}([^{_END}]*){_END}")


class LineMarks(Extension):
    """Jinja extension that puts ``<file>:<line>`` marks into what a template writes."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Put a mark before every expression and every line of plain text."""
        name = stream.filename or stream.name or ""
        for token in stream:
            if token.type == "data":
                pieces = _AFTER_NEWLINE.split(token.value)
                marked = (_mark(name, token.lineno + index) + piece for index, piece in enumerate(pieces))
                yield Token(token.lineno, "data", "".join(marked))
                continue
            if token.type == "variable_begin":
                yield Token(token.lineno, "data", _mark(name, token.lineno))
            yield token


def unmarked(marked_text: str) -> str:
    """Take the marks out again."""
    return _MARK.sub("", marked_text)


def origins(marked_text: str) -> tuple[str, ...]:
    """Give ``file:line`` for each line of text that a template with ``LineMarks`` wrote."""
    found = []
    latest = ""
    for line in marked_text.split("\n"):
        first = _MARK.search(line)
        # Text before a line's first mark was written by whatever wrote the end of the line before.
        began_by_earlier = first is None or first.start() > 0
        found.append(latest if began_by_earlier and latest else first[1] if first else "")
        marks = _MARK.findall(line)
        if marks:
            latest = marks[-1]
    return tuple(found)


def _mark(name: str, line: int) -> str:
    return f"{_BEGIN}{name}:{line}{_END}"
