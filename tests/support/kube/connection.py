"""One client's connection, as answers are sent over it: whole, in chunks, slowly, or cut half-way."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.kube.state import Request, ServerState
from tests.support.kube.statuses import StatusError

_TIMEOUT_S = 60.0
_SLOW_PIECES_PER_S = 20.0
JSON = "application/json"


class Cut(Exception):
    """The connection is to end here, in the midst."""


class Connection(BaseHTTPRequestHandler):
    """Reads requests, and has what is needed to answer them; ``server`` is the state."""

    protocol_version = "HTTP/1.1"
    server_version = "tests"
    timeout = _TIMEOUT_S
    state: ServerState

    @property
    def path_and_query(self) -> tuple[str, dict[str, str]]:
        """What the request line asks for, decoded."""
        split = urlsplit(self.path)
        return unquote(split.path), dict(parse_qsl(split.query, keep_blank_values=True))

    @property
    def token(self) -> str:
        """The bearer token; empty where there is none."""
        # The scheme in any case, as the API server takes it (bearertoken.go): pods' clients write it small.
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if scheme.lower() == "bearer" else ""

    def read_body(self) -> bytes:
        """Read the whole body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *_: Any) -> None:
        """Print nothing; ``ServerState.requests`` has what was asked."""

    def answer(
        self, status: int, body: bytes, content_type: str = JSON, *, retry_after_s: int | None = None, cut: bool = False
    ) -> None:
        """Send a whole answer; half of it with ``cut``."""
        self._begin(status, content_type)
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut:
            self.send(body[: len(body) // 2])
            raise Cut
        self.send(body)

    def answer_object(self, status: int, obj: Any) -> None:
        """Send an object as JSON."""
        self.answer(status, json.dumps(obj).encode())

    def answer_failure(self, error: StatusError) -> None:
        """Send a Status object that tells a failure."""
        self.answer(error.code, error.raw or json.dumps(error.body).encode(), retry_after_s=error.retry_after_s)

    def begin_stream(self) -> None:
        """Send the head of an answer in chunks."""
        self._begin(200, JSON)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, body: bytes, *, cut: bool = False) -> None:
        """Send one chunk, or half of it; an empty one ends the stream."""
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        if cut:
            self.send(chunk[: len(chunk) // 2])
            raise Cut
        self.send(chunk)

    def send(self, data: bytes) -> None:
        """Send bytes, no faster than the faults say."""
        rate = self.state.faults.bytes_per_s
        if rate is None:
            self.wfile.write(data)
            return
        size = max(1, int(rate / _SLOW_PIECES_PER_S))
        for start in range(0, len(data), size):
            self.wfile.write(data[start : start + size])
            if self.state.stopping.wait(size / rate):
                raise Cut

    def client_left(self) -> bool:
        """Whether the client closed the connection; one that waits for a stream sends nothing."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def cut(self) -> None:
        """End the connection at once."""
        self.close_connection = True
        # The client may have been faster.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _begin(self, status: int, content_type: str) -> None:
        path, query = self.path_and_query
        self.state.note_request(Request(self.command, path, query, status, self.token))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
