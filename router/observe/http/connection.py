"""One client's connection, from its first byte to its end, without ever waiting."""

from __future__ import annotations

import contextlib
import math
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address
from selectors import EVENT_READ, EVENT_WRITE
from socket import MSG_PEEK, SHUT_WR, socket

from router.observe.http.messages import LONGEST_HEAD, Head, answer_head, read_head
from router.observe.http.pages import Page

_TLS_HANDSHAKE = b"\x16"  # the type of a TLS record that begins a connection (RFC 8446, section 5.1)
_CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a client may take; seconds."""

    request_s: float = 5.0
    """From being accepted to the end of its request, TLS included: less would be spent on those who send a byte at a time."""
    write_s: float = 5.0
    """For each piece of the answer to be taken."""
    answer_s: float = 60.0
    """For the whole answer."""
    goodbye_s: float = 1.0
    """For the client to close, once it has its answer."""


class Phase(Enum):
    """How far a connection is, in this order."""

    GREETING = auto()
    """Nothing came; TLS or not is to be seen."""
    HANDSHAKE = auto()
    HEAD = auto()
    MAKING = auto()
    """Its page is made, on a thread of its own."""
    WRITING = auto()
    STREAMING = auto()
    """It has its answer, and is sent what follows."""
    GOODBYE = auto()
    """All is sent. To close before the client has read it may take it away from him, if he sent more than was read."""
    CLOSED = auto()
    """To be closed, or closed."""


class Connection:
    """One client; one thread uses it.

    Args:
        sock: connected.
        tls_context: gives the context for a client that speaks TLS; None for plain HTTP alone.
        deadlines: how long the client may take.
        now_s: the time (``time.monotonic``), here and in all methods.
    """

    def __init__(
        self, sock: socket, tls_context: Callable[[], ssl.SSLContext] | None, deadlines: Deadlines, now_s: float
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self.sock: socket = sock
        self.is_local = _is_local(sock)
        self.phase = Phase.HEAD if tls_context is None else Phase.GREETING
        self.events = EVENT_READ
        """What it waits for; 0 is nothing."""
        self.deadline_s = now_s + deadlines.request_s
        """When it is to be closed, unless something moves."""
        self._tls_context = tls_context
        self._deadlines = deadlines
        self._received = bytearray()
        self._to_send: deque[memoryview] = deque()
        self._answer_ends_s = 0.0

    @property
    def is_tls(self) -> bool:
        """Whether the client speaks TLS."""
        return isinstance(self.sock, ssl.SSLSocket)

    def proceed(self, now_s: float) -> Head | Page | None:
        """Do what can be done at once.

        Returns:
            A request, once it is whole, or the page that refuses it; what is given to ``answer`` then ends it.

        Raises:
            OSError: the client is gone, or TLS failed; to be closed.
        """
        try:
            return self._proceed(now_s)
        except (BlockingIOError, ssl.SSLWantReadError):
            if self.phase is Phase.STREAMING:
                self.events = EVENT_READ | (EVENT_WRITE if self._to_send else 0)
            else:
                self.events = EVENT_READ if self.phase is not Phase.WRITING or self.is_tls else EVENT_WRITE
        except ssl.SSLWantWriteError:
            self.events = EVENT_WRITE
        return None

    def answer(self, page: Page, now_s: float, *, with_body: bool = True) -> None:
        """Begin to send the answer; ``proceed`` goes on with it."""
        # The body is not copied: of a page that many ask for there is one.
        self._to_send.extend(map(memoryview, (answer_head(page), page.body if with_body else b"")))
        self._received.clear()
        self.phase = Phase.STREAMING if page.streams and with_body else Phase.WRITING
        self.events = EVENT_WRITE
        self._answer_ends_s = now_s + self._deadlines.answer_s
        self.deadline_s = now_s + self._deadlines.write_s

    def add(self, piece: bytes, now_s: float) -> None:
        """Send a further piece to one that streams; ``proceed`` goes on with it."""
        self._to_send.append(memoryview(piece))
        self.events = EVENT_READ | EVENT_WRITE
        if len(self._to_send) == 1:
            self.deadline_s = now_s + self._deadlines.write_s

    @property
    def waiting_bytes(self) -> int:
        """How much is to be sent."""
        return sum(map(len, self._to_send))

    def close(self) -> None:
        """End it."""
        self.phase = Phase.CLOSED
        self._to_send.clear()
        self.sock.close()

    def _proceed(self, now_s: float) -> Head | Page | None:
        if self.phase is Phase.GREETING:
            self._greet()
        if self.phase is Phase.HANDSHAKE:
            assert isinstance(self.sock, ssl.SSLSocket)  # noqa: S101 - for the type checker
            self.sock.do_handshake()
            self.phase = Phase.HEAD
        if self.phase is Phase.HEAD:
            return self._read_head()
        if self.phase is Phase.STREAMING:
            self._stream(now_s)
        if self.phase is Phase.WRITING:
            self._write(now_s)
        if self.phase is Phase.GOODBYE:
            self._wait_for_close()
        return None

    def _greet(self) -> None:
        first = self.sock.recv(1, MSG_PEEK)
        self.phase = Phase.HEAD
        if first == _TLS_HANDSHAKE and self._tls_context is not None:
            self.sock = self._tls_context().wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
            self.phase = Phase.HANDSHAKE

    def _read_head(self) -> Head | Page | None:
        while True:
            received = self.sock.recv(_CHUNK)
            if not received:
                self.phase = Phase.CLOSED
                return None
            # Only at an empty line, or when it is too long: a client that sends a byte at a time is not worth a look at each.
            looked_at = max(0, len(self._received) - 3)
            self._received += received
            new = self._received[looked_at:]
            if b"\n\r\n" not in new and b"\n\n" not in new and len(self._received) <= LONGEST_HEAD:
                continue
            head = read_head(self._received)
            if head is not None:
                self.phase = Phase.MAKING
                self.events = 0
                return head

    def _write(self, now_s: float) -> None:
        self._send(now_s, self._answer_ends_s)
        self.phase = Phase.GOODBYE
        self.events = EVENT_READ
        self.deadline_s = now_s + self._deadlines.goodbye_s
        if isinstance(self.sock, ssl.SSLSocket):
            # Says that the answer was whole. Without waiting for the client to say the same: then it wants to read.
            with contextlib.suppress(OSError):
                self.sock.unwrap()
        self.sock.shutdown(SHUT_WR)

    def _send(self, now_s: float, ends_s: float) -> None:
        while self._to_send:
            piece = self._to_send[0]
            if not piece:
                self._to_send.popleft()
                continue
            sent = self.sock.send(piece[:_CHUNK])
            self._to_send[0] = piece[sent:]
            self.deadline_s = min(now_s + self._deadlines.write_s, ends_s)

    def _stream(self, now_s: float) -> None:
        try:
            self._send(now_s, math.inf)
        except ssl.SSLWantReadError:
            return
        self.deadline_s = math.inf
        # What the client says is thrown away; that it leaves ends the stream.
        while self.sock.recv(_CHUNK):
            pass
        self.phase = Phase.CLOSED

    def _wait_for_close(self) -> None:
        # Each piece is thrown away; the deadline is not moved by it.
        if not self.sock.recv(_CHUNK):
            self.phase = Phase.CLOSED


def _is_local(sock: socket) -> bool:
    """Say whether the client is on this machine, by its address."""
    try:
        address = ip_address(sock.getpeername()[0].partition("%")[0])
    except (OSError, ValueError):
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
