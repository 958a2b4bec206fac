"""HTTP/1 as bytes: the head of a request read, the head of an answer written (RFC 9112); pure.

No more than these pages need: every answer ends its connection, and the body of a request is never looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from router.observe.http.pages import Page

LONGEST_HEAD = 32_768
"""Bytes of a request up to its empty line; twice the longest bearer token that is taken."""
_END = re.compile(rb"\r?\n\r?\n")
"""The empty line after a head; some clients end lines by a newline alone."""
_LINE_END = re.compile(rb"\r?\n")
# Methods and header names are tokens (RFC 9110, section 5.6.2).
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S+)(?: HTTP/1\.[0-9])?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says that matters here."""

    method: str
    path: str
    """Without the query."""
    authorization: str


def read_head(received: bytes | bytearray) -> Head | Page | None:
    """Read the head of a request.

    Args:
        received: all that the client has sent so far.

    Returns:
        The head; None while it is not whole; or the page that says what is wrong with it.
    """
    # Empty lines before a request are passed over (RFC 9112, section 2.2).
    text = bytes(received[:LONGEST_HEAD]).lstrip(b"\r\n")
    end = _END.search(text)
    if end is None:
        return _problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) if len(received) > LONGEST_HEAD else None
    first, *lines = _LINE_END.split(text[: end.start()])
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        return _problem(HTTPStatus.BAD_REQUEST)
    method = request_line[1].decode("ascii")
    if method not in _METHODS:
        return _problem(HTTPStatus.METHOD_NOT_ALLOWED)
    given: list[str] = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return _problem(HTTPStatus.BAD_REQUEST)
        if field[1].lower() == b"authorization":
            given.append(field[2].decode("latin-1"))
    if len(given) > 1:
        # Two readers could take different ones.
        return _problem(HTTPStatus.BAD_REQUEST)
    path = request_line[2].decode("latin-1").partition("?")[0]
    return Head(method, path, given[0] if given else "")


def answer_head(page: Page) -> bytes:
    """Write what comes before the page's body; after that the connection ends."""
    status = page.status
    fields = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Server: tcp-router",
        f"Content-Type: {page.content_type}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in page.headers),
    ]
    # A stream ends with its connection (RFC 9112, section 6.3).
    fields.append("Cache-Control: no-store" if page.streams else f"Content-Length: {len(page.body)}")
    if status is HTTPStatus.UNAUTHORIZED:
        fields.append("WWW-Authenticate: Bearer")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append(f"Allow: {', '.join(sorted(_METHODS))}")
    return "\r\n".join(fields).encode("ascii") + b"\r\n\r\n"


def _problem(status: HTTPStatus) -> Page:
    return Page(f"{status.phrase.lower()}\n".encode(), status=status)
