"""Requests as bytes, and what is read of them."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from router.observe.http import Page
from router.observe.http.messages import LONGEST_HEAD, Head, answer_head, read_head


@pytest.mark.parametrize(
    ("received", "head"),
    [
        pytest.param(b"GET /ports HTTP/1.1\r\nHost: x\r\n\r\n", Head("GET", "/ports", ""), id="usual"),
        pytest.param(b"GET /ports?a=/b HTTP/1.0\r\n\r\n", Head("GET", "/ports", ""), id="query"),
        pytest.param(b"HEAD / HTTP/1.1\n\n", Head("HEAD", "/", ""), id="newlines alone"),
        pytest.param(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Head("GET", "/", ""), id="empty lines before"),
        pytest.param(
            b"GET / HTTP/1.1\r\nauthoriZation:\tBearer a b \r\n\r\nmore", Head("GET", "/", "Bearer a b"), id="token"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nAuthorization: Bearer x", None, id="not whole"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_head(received: bytes, head: Head | None) -> None:
    """A request is read once its empty line has come; of what it says, three things matter."""
    assert read_head(received) == head


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", HTTPStatus.BAD_REQUEST, id="no request line"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", HTTPStatus.BAD_REQUEST, id="another protocol"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", HTTPStatus.BAD_REQUEST, id="no field"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n continued\r\n\r\n", HTTPStatus.BAD_REQUEST, id="folded line"),
        pytest.param(
            b"GET / HTTP/1.1\r\nAuthorization : x\r\n\r\n", HTTPStatus.BAD_REQUEST, id="space before the colon"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
            HTTPStatus.BAD_REQUEST,
            id="two tokens",
        ),
        pytest.param(b"POST / HTTP/1.1\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED, id="another method"),
        pytest.param(
            b"GET / HTTP/1.1\r\nA: " + b"a" * LONGEST_HEAD, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, id="too long"
        ),
        pytest.param(b"\r\n" * LONGEST_HEAD, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, id="empty lines without end"),
    ],
)
def test_what_is_no_request_is_refused(received: bytes, status: HTTPStatus) -> None:
    """What cannot be read in one way only is refused, and so is what is longer than any honest request."""
    page = read_head(received)
    assert isinstance(page, Page)
    assert page.status is status


def test_an_answer_says_how_long_it_is_and_that_it_is_the_last() -> None:
    """Length and type stand before a body; who must show a token is told so, and who used another method which there are."""
    head = answer_head(Page(b"12345", "text/x"))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/x\r\nConnection: close\r\nContent-Length: 5\r\n" in head
    assert head.endswith(b"\r\n\r\n")
    assert b"WWW-Authenticate: Bearer\r\n" in answer_head(Page(b"", status=HTTPStatus.UNAUTHORIZED))
    assert b"Allow: GET, HEAD\r\n" in answer_head(Page(b"", status=HTTPStatus.METHOD_NOT_ALLOWED))
