"""Serves pages to clients of whom any may be slow, many, or hostile, at a cost that is bounded whatever they do.

One thread does all that clients can delay: it accepts, reads requests and sends answers, and never waits for a single one of
them. Pages that take time, or must ask an API server who may read them, are made by a few threads; probes are answered by the
first thread itself, so that the kubelet has its answer while those are busy. Every client has a deadline for its request and
for each piece of its answer; where too many are connected, the one that has been longest about its request makes room. (The
servers of the standard library, and WSGI servers, have a thread for each client that has not ended its request.)
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address

import structlog

from router.errors import SettingsError
from router.observe.http.connection import Connection, Deadlines, Phase
from router.observe.http.messages import Head
from router.observe.http.pages import Guard, Page, Request
from router.supervisor import SUPERVISOR, Pool

log = structlog.get_logger()

PROBES = frozenset({"/healthz", "/readyz"})
"""What is answered at once: their pages must not wait for anything."""
_MAKERS = 4
_BACKLOG = 1024
"""Connections that the kernel holds until they are accepted; net.core.somaxconn may allow fewer."""
_ACCEPTED_AT_ONCE = 64
_AFTER_FAILED_ACCEPT_S = 0.1
_LONGEST_WAIT_S = 1.0
_STOPS_WITHIN_S = 5.0
_PAGES_STOP_WITHIN_S = 1.0
_BUSY = Page(b"too many requests at a time\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
_TOO_MANY_STREAMS = Page(b"too many streams at a time\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
_FAILED = Page(b"this page could not be made; the router's log says why\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be under way at a time."""

    connections: int = 256
    waiting_pages: int = 64
    """Requests whose page is made, or waits for that."""
    streams: int = 20
    """Clients to whom a stream is sent."""
    stream_backlog: int = 4 << 20
    """Bytes that one of them may leave waiting."""
    slow_answers: int = 16
    """Answers that their clients are slow to take: each holds a page in memory, which can be several MB."""
    deadlines: Deadlines = field(default_factory=Deadlines)


class HttpServer:
    """Serves pages until ``stop``.

    Args:
        address: IP address to listen on.
        port: port to listen on.
        pages: for each path, what makes its page; called on one of a few threads, or for probes on the server's own.
        guards: for paths that are not for everybody, who is let through; not asked about probes.
        tls_context: gives the context for the next client that speaks TLS; None for plain HTTP alone.
        limits: how much may be under way at a time.
        below: for beginnings of paths, what makes the pages of all that begin so, of the rest of the path; guards are by the beginning.

    Raises:
        SettingsError: the address cannot be bound.
    """

    def __init__(  # noqa: PLR0913 - what there is to say about a server
        self,
        address: str,
        port: int,
        pages: Mapping[str, Callable[[], Page]],
        guards: Mapping[str, Guard] | None = None,
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        *,
        limits: Limits | None = None,
        below: Mapping[str, Callable[[str], Page]] | None = None,
    ) -> None:
        self._pages = pages
        self._below = below or {}
        self._guards = guards or {}
        self._tls_context = tls_context
        self._limits = limits or Limits()
        try:
            self._listener = _listen(address, port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {address}:{port} ({error.strerror}); choose another address with --listen"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        """The port that it listens on."""
        self._connections: dict[Connection, int] = {}
        """In the order in which they were accepted, with what the selector waits for on them."""
        self._accepts_again_s = 0.0
        self._made: deque[tuple[Connection, Head, Page]] = deque()
        self._pieces: deque[bytes] = deque()
        self.streams = 0
        """How many clients a stream is sent to; any thread may look."""
        self._making = 0
        self._stopping = threading.Event()
        self._waker, self._woken = socket.socketpair()
        for each in (self._waker, self._woken):
            each.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._makers = Pool("http page", _MAKERS)
        self._thread = SUPERVISOR.own("http", self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; pages that are being made are for nobody."""
        self._thread.stop(_STOPS_WITHIN_S)
        self._makers.stop(_PAGES_STOP_WITHIN_S)
        for each in (self._listener, self._waker, self._woken):
            each.close()

    def stream(self, piece: bytes) -> None:
        """Send a piece to all to whom a stream is sent; any thread."""
        if self.streams:
            self._pieces.append(piece)
            self._wake()

    def _ask_to_end(self) -> None:
        self._stopping.set()
        self._wake()

    # On the server's thread

    def _run(self) -> None:
        # Made here, and the connections closed: if this ends unasked, it begins again without them.
        self._accepts_again_s = 0.0
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._woken, selectors.EVENT_READ)
            try:
                while not self._stopping.is_set():
                    self._turn()
            finally:
                for connection in list(self._connections):
                    self._close(connection)

    def _turn(self) -> None:
        ready = self._selector.select(self._pause_s())
        now_s = time.monotonic()
        for key, _ in ready:
            if isinstance(key.data, Connection):
                self._proceed(key.data, now_s)
            elif key.fileobj is self._woken:
                with contextlib.suppress(OSError):
                    self._woken.recv(4096)
            elif key.fileobj is self._listener:
                self._accept(now_s)
        self._send_what_was_made(now_s)
        for connection in [each for each in self._connections if each.deadline_s <= now_s]:
            # One whose page is made waits for that; whoever makes it has deadlines of its own.
            if connection.phase is not Phase.MAKING:
                self._close(connection)
        if self._accepts_again_s and now_s >= self._accepts_again_s:
            self._accepts_again_s = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _send_what_was_made(self, now_s: float) -> None:
        while self._made:
            connection, head, page = self._made.popleft()
            self._making -= 1
            if connection.phase is Phase.MAKING:
                self._answer(connection, page, head, now_s)
        while self._pieces:
            self._pass_on(self._pieces.popleft(), now_s)

    def _pause_s(self) -> float:
        due_s = [each.deadline_s for each in self._connections if each.phase is not Phase.MAKING]
        if self._accepts_again_s:
            due_s.append(self._accepts_again_s)
        return min(max(0.0, min(due_s, default=float("inf")) - time.monotonic()), _LONGEST_WAIT_S)

    def _accept(self, now_s: float) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                # Without a free descriptor it would be tried again and again at once.
                log.warning("http connection not accepted", problem=str(error))
                self._selector.unregister(self._listener)
                self._accepts_again_s = now_s + _AFTER_FAILED_ACCEPT_S
                self._make_room()
                return
            if len(self._connections) >= self._limits.connections and not self._make_room():
                client.close()
                continue
            connection = Connection(client, self._tls_context, self._limits.deadlines, now_s)
            self._connections[connection] = 0
            # Whoever has sent a request already has its answer before somebody else can take its place.
            self._proceed(connection, now_s)

    def _make_room(self) -> bool:
        """Close the connection that has been longest about its request, else about taking its answer; say whether there was one."""
        for phases in (
            {Phase.GREETING, Phase.HANDSHAKE, Phase.HEAD},
            {Phase.GOODBYE},
            {Phase.WRITING},
        ):
            for connection in self._connections:
                if connection.phase in phases:
                    self._close(connection)
                    return True
        return False

    def _proceed(self, connection: Connection, now_s: float) -> None:
        try:
            asked = connection.proceed(now_s)
        except OSError:
            # Gone before its answer, or did not get TLS right: its own affair.
            self._close(connection)
            return
        if isinstance(asked, Page):
            self._answer(connection, asked, None, now_s)
        elif asked is not None:
            self._ask(connection, asked, now_s)
        else:
            self._wait_for(connection)

    def _ask(self, connection: Connection, head: Head, now_s: float) -> None:
        name, make = self._found(head.path)
        if make is None:
            known = ", ".join(sorted({*self._pages, *self._below}))
            page = Page(f"not found; there is {known}\n".encode(), status=HTTPStatus.NOT_FOUND)
        elif head.path in PROBES:
            page = make()
        elif self._making >= self._limits.waiting_pages:
            page = _BUSY
        else:
            self._making += 1
            self._wait_for(connection)
            request = Request(head.authorization, connection.is_tls, connection.is_local)
            future = self._makers.submit(self._make, make, self._guards.get(name), request)
            future.add_done_callback(lambda done: self._is_made(connection, head, done))
            return
        self._answer(connection, page, head, now_s)

    def _found(self, path: str) -> tuple[str, Callable[[], Page] | None]:
        """Give what makes the page of a path, and the name by which it is guarded."""
        for beginning, make in self._below.items():
            if path.startswith(beginning):
                return beginning, functools.partial(make, path.removeprefix(beginning))
        return path, self._pages.get(path)

    def _answer(self, connection: Connection, page: Page, head: Head | None, now_s: float) -> None:
        if page.streams and self.streams >= self._limits.streams:
            page = _TOO_MANY_STREAMS
        connection.answer(page, now_s, with_body=head is None or head.method != "HEAD")
        self.streams += connection.phase is Phase.STREAMING
        self._proceed(connection, now_s)
        if connection.phase is Phase.WRITING:
            slow = [each for each in self._connections if each.phase is Phase.WRITING]
            for each in slow[: -self._limits.slow_answers]:
                self._close(each)

    def _pass_on(self, piece: bytes, now_s: float) -> None:
        for connection in [each for each in self._connections if each.phase is Phase.STREAMING]:
            connection.add(piece, now_s)
            if connection.waiting_bytes > self._limits.stream_backlog:
                self._close(connection)
            else:
                self._proceed(connection, now_s)

    def _wait_for(self, connection: Connection) -> None:
        """Have the selector wait for what the connection waits for."""
        if connection.phase is Phase.CLOSED:
            self._close(connection)
            return
        former, events = self._connections[connection], connection.events
        self._connections[connection] = events
        if former == events:
            return
        if not former:
            self._selector.register(connection.sock, events, connection)
        elif not events:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, events, connection)

    def _close(self, connection: Connection) -> None:
        # Before its file is closed, whose number the next client may get.
        if self._connections.pop(connection, 0):
            self._selector.unregister(connection.sock)
        connection.close()
        self.streams = sum(each.phase is Phase.STREAMING for each in self._connections)

    # On the threads that make pages

    @staticmethod
    def _make(make: Callable[[], Page], guard: Guard | None, request: Request) -> Page:
        refusal = guard(request) if guard is not None else None
        return refusal if refusal is not None else make()

    def _is_made(self, connection: Connection, head: Head, done: Future[Page]) -> None:
        problem = done.exception()
        if problem is not None:
            log.error("page not made", path=head.path, problem=repr(problem), exc_info=problem)
        self._made.append((connection, head, _FAILED if problem is not None else done.result()))
        self._wake()

    def _wake(self) -> None:
        # Full is as good: it is woken then.
        with contextlib.suppress(OSError):
            self._waker.send(b"w")


def _listen(address: str, port: int) -> socket.socket:
    is_v6 = ip_address(address).version == 6  # noqa: PLR2004 - the protocol's own number
    listener = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
    except OSError:
        listener.close()
        raise
    return listener
