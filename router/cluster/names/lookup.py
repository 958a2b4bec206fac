"""One lookup: a name's addresses of one family, asked of one server after the other on sockets that never block.

Each question has a socket of its own, connected to its server: the port is chosen by the kernel at random, and what others send
does not arrive. Whoever drives a lookup waits for its socket, and calls ``step`` when that is ready or ``due_s`` has come.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.cluster.names.messages import (
    LARGEST,
    Absent,
    Addresses,
    Elsewhere,
    Family,
    Question,
    Refused,
    Stray,
    Truncated,
    read,
)
from router.cluster.names.resolv_conf import Server

DEADLINE_S = 5.0
"""For one lookup, whatever it takes."""
TRIES = 3
"""Into which that is divided: a question to one server has one of them."""
MAX_ALIASES = 8
"""One after the other, that no reply follows by itself."""
MAX_QUESTIONS = 12
"""Of one lookup: a deadline alone does not bound what servers that answer at once make us ask."""
_LENGTH = 2
"""Bytes before a message on TCP (RFC 1035, 4.2.2)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No server said anything of it."""

    problem: str


Outcome = Addresses | Absent | Failed


class Lookup:
    """Looks up one name's addresses of one family.

    Args:
        name: in lower case, without the last dot.
        family: of the addresses.
        servers: to ask, in turn.
        now_s: the time, of a clock that never goes back, as with each call.
        deadline_s: how long it may take.
    """

    def __init__(
        self, name: str, family: Family, servers: Sequence[Server], now_s: float, deadline_s: float = DEADLINE_S
    ) -> None:
        self.name = name
        self.family = family
        self.outcome: Outcome | None = None
        """What came of it; None until then."""
        self.answered_by: Server | None = None
        """Who said what came of it."""
        self.socket: socket.socket | None = None
        self.writes = False
        """The socket is waited for to be written."""
        self.due_s = now_s
        self._servers = tuple(servers)
        self._ends_s = now_s + deadline_s
        self._try_s = deadline_s / TRIES
        self._target = name
        self._ttl_s = 2**31
        self._aliases = 0
        self._asked = 0
        self._place = 0
        self._edns = True
        self._is_tcp = False
        self._to_send = b""
        self._received = b""
        self._problem = "no answer in time"
        self._question: Question | None = None
        if not self._servers:
            self._end(Failed("there is no DNS server to ask"))

    def step(self, now_s: float, *, is_ready: bool = False) -> None:
        """Go on: ``is_ready`` if the socket is, else because it is due, or to begin."""
        if self.outcome is not None:
            return
        if now_s >= self._ends_s:
            self._end(Failed(self._problem))
        elif not is_ready and now_s >= self.due_s:
            if self._question is not None:
                self._problem = "no answer in time"
                self._place += 1
            self._ask(now_s)
        elif is_ready:
            try:
                self._go_on(now_s)
            except OSError as error:
                self._next(error.strerror or type(error).__name__, now_s)

    def close(self) -> None:
        """Leave the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _ask(self, now_s: float, *, tcp: bool = False) -> None:
        """Send the question to the server whose turn it is; those that cannot be sent to are passed over."""
        self.close()
        if self._asked >= MAX_QUESTIONS or now_s >= self._ends_s:
            self._end(Failed(self._problem))
            return
        self._asked += 1
        server = self._servers[self._place % len(self._servers)]
        self._question = Question(self._target, self.family, secrets.randbelow(1 << 16), edns=self._edns)
        self._is_tcp, self._received = tcp, b""
        self.due_s = min(now_s + self._try_s, self._ends_s)
        wire = self._question.wire()
        try:
            family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
            self.socket.settimeout(0)
            if tcp:
                self._to_send = len(wire).to_bytes(_LENGTH, "big") + wire
                self.writes = True
                with contextlib.suppress(BlockingIOError):
                    self.socket.connect(server)
            else:
                self.writes = False
                self.socket.connect(server)
                self.socket.send(wire)
        except OSError as error:
            self._next(error.strerror or type(error).__name__, now_s)

    def _go_on(self, now_s: float) -> None:
        if self.socket is None or self._question is None:
            return
        wire = self._exchange_tcp() if self._is_tcp else self._receive(self.socket, 1 << 16)
        if wire is None:
            return
        reply = read(self._question, wire)
        match reply:
            case Stray():
                # A connection has nobody else on it.
                if self._is_tcp:
                    self._next("an unreadable answer", now_s)
            case Truncated():
                self._ask(now_s, tcp=True)
            case Refused(problem, without_edns):
                if without_edns:
                    self._edns = False
                    self._ask(now_s)
                else:
                    self._next(problem, now_s)
            case _:
                self._take(reply, now_s)

    def _take(self, reply: Addresses | Absent | Elsewhere, now_s: float) -> None:
        """Take what a server says of the name, or of its aliases."""
        self._ttl_s = min(self._ttl_s, reply.ttl_s)
        if not isinstance(reply, Elsewhere):
            self.answered_by = self._servers[self._place % len(self._servers)]
            self._end(replace(reply, ttl_s=self._ttl_s))
            return
        self._aliases += 1
        self._target = reply.name
        if self._aliases > MAX_ALIASES:
            self._end(Failed("too many aliases follow each other"))
        else:
            self._ask(now_s)

    @staticmethod
    def _receive(connection: socket.socket, size: int) -> bytes | None:
        try:
            return connection.recv(size)
        except BlockingIOError:
            return None

    def _exchange_tcp(self) -> bytes | None:
        """Send what is left to be sent, and read; give the message when it is whole."""
        connection = self.socket
        if connection is None:
            return None
        if self._to_send:
            self._to_send = self._to_send[connection.send(self._to_send) :]
            self.writes = bool(self._to_send)
            return None
        received = self._receive(connection, LARGEST + _LENGTH)
        if received is None:
            return None
        if not received:
            raise OSError(errno.ECONNRESET, "closed the connection")
        self._received += received
        length = int.from_bytes(self._received[:_LENGTH], "big") if len(self._received) >= _LENGTH else 0
        if length > LARGEST:
            raise OSError(errno.EMSGSIZE, f"sent an answer of more than {LARGEST} bytes")
        message = self._received[_LENGTH:]
        return message[:length] if length and len(message) >= length else None

    def _next(self, problem: str, now_s: float) -> None:
        """Turn to the next server; after all of them a pause comes before the first is asked again, be they all out of reach."""
        self._problem = problem
        self._place += 1
        self._question = None
        if self._place % len(self._servers):
            self._ask(now_s)
        else:
            self.close()
            self.due_s = min(now_s + self._try_s, self._ends_s)

    def _end(self, outcome: Outcome) -> None:
        self.close()
        self.outcome = outcome
