"""The bodies of answers: as they come, by lines, or whole; and what went wrong with them in our own words."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator

import urllib3

from router.errors import ApiUnreachable
from router.kube.transport import Call, CallEnded
from router.supervisor.way import Aside

TRANSPORT_ERRORS = (urllib3.exceptions.HTTPError, OSError)
_PIECE = 1 << 16
_SAME_PART = 0.95
"""Of a timeout that is set already: one this near to it is not set anew, which costs a call of the kernel for each event of a watch."""


class Body:
    """The body of an answer, as it comes."""

    def __init__(self, response: urllib3.BaseHTTPResponse, call: Call, what: str) -> None:
        self._response = response
        self._call = call
        self._what = what
        self._set_s = 0.0
        """What the socket's timeout was last set to."""
        self.is_over = False
        """Whether it came to its end."""

    def pieces(self, silence_s: float) -> Iterator[bytes]:
        """Give all of it.

        Raises:
            ApiUnreachable: cut, or silent for longer than this.
        """
        while piece := self.piece(silence_s, silence_s):
            yield piece

    def piece(self, left_s: float, silence_s: float) -> bytes:
        """Wait for a piece, so long; give nothing at the end. ``silence_s`` is what the error names."""
        try:
            # A millisecond is as good as none; 0 would mean not to wait, which TLS does not take for a timeout.
            wait_s = max(left_s, 0.001)
            if self._call.sock is not None and not self._set_s * _SAME_PART <= wait_s <= self._set_s:
                self._set_s = wait_s
                self._call.sock.settimeout(wait_s)
            piece = self._response.read1(_PIECE)
            self._call.check()
        except (TimeoutError, urllib3.exceptions.ReadTimeoutError) as error:
            raise ApiUnreachable(f"{self._what}: silent for {silence_s:g} s") from error
        except TRANSPORT_ERRORS as error:
            reason = self._call.ended_because or reason_of(error)
            raise ApiUnreachable(f"{self._what}: {reason}") from error
        self.is_over = not piece
        return piece


class LineStream:
    """The lines of a watch."""

    def __init__(self, response: urllib3.BaseHTTPResponse, call: Call, path: str, read_timeout_s: float) -> None:
        self._body = Body(response, call, f"WATCH {path}")
        self._call = call
        self._path = path
        self._read_timeout_s = read_timeout_s

    def lines(self) -> Iterator[bytes]:
        """Give whole lines as they come, until the server ends the stream.

        A line that does not become whole counts as silence.

        Raises:
            ApiUnreachable: cut, or silent for longer than the read deadline.
        """
        rest: list[bytes] = []
        silent_since_s = time.monotonic()
        aside = Aside()
        while True:
            left_s = silent_since_s + self._read_timeout_s - time.monotonic()
            piece = self._body.piece(left_s, self._read_timeout_s)
            if not piece:
                break
            *whole, last = piece.split(b"\n")
            if whole:
                whole[0] = b"".join((*rest, whole[0]))
                rest.clear()
                yield from filter(None, whole)
                # Who reads on takes Python's lock once more, as a rule in the middle of what a change that was just given away needs it for.
                aside.step()
                silent_since_s = time.monotonic()
            rest.append(last)
        if any(rest):
            raise ApiUnreachable(f"WATCH {self._path}: cut in the middle of an object")

    def close(self) -> None:
        """End it from any thread; a reader that waits for a line wakes at once."""
        self._call.end("the stream was closed")


def whole_body(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read it to its end."""
    try:
        return response.read()
    finally:
        response.release_conn()


def reason_of(error: BaseException) -> str:
    """Find the words for a failed connection in the exceptions that urllib3 and ssl put into each other."""
    while True:
        inner = getattr(error, "original_error", None) or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify: {error.verify_message or error}"
    if isinstance(error, CallEnded):
        return str(error)
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was cut in the middle of the answer"
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer within the deadline"
    return str(getattr(error, "strerror", None) or error)
