"""The HTTP port under clients that are slow, many, or hostile; real sockets."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from router.observe.certificate import CertificateFiles
from router.observe.http import Deadlines, HttpServer, Hub, Limits, Page
from tests.support.certificates import client_context, server_context
from tests.support.waiting import wait_for

TIMEOUT_S = 30.0
LARGE = b"0123456789abcdef" * (1 << 20)
"""More than the kernel takes for a client that reads nothing."""


class Blocked:
    """A page that is not made before it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()

    def __call__(self) -> Page:
        """Wait, and be made."""
        self.asked.release()
        assert self.let_go.wait(TIMEOUT_S)
        return Page(b"made\n")


def broken_page() -> Page:
    """Fail."""
    raise LookupError("nobody foresaw this")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be undone at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def blocked(stack: ExitStack) -> Blocked:
    """A page that waits, until the test ends at the latest."""
    page = Blocked()
    stack.callback(page.let_go.set)
    return page


Serve = Callable[..., int]


@pytest.fixture
def serve(stack: ExitStack, blocked: Blocked) -> Serve:
    """Give what starts a server with these arguments, and tells its port."""

    def start(**arguments: object) -> int:
        pages = {
            "/healthz": lambda: Page(b"ok\n"),
            "/page": lambda: Page(b"page\n"),
            "/large": lambda: Page(LARGE),
            "/blocked": blocked,
            "/broken": broken_page,
        }
        server = HttpServer("127.0.0.1", 0, pages, **arguments)  # type: ignore[arg-type]
        stack.callback(server.stop)
        server.start()
        return server.port

    return start


def get(port: int, path: str = "/healthz", method: str = "GET") -> tuple[int, bytes]:
    """Ask; give status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def begin(stack: ExitStack, port: int, sent: bytes) -> socket.socket:
    """Connect, and send this."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT_S))
    client.sendall(sent)
    return client


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection, all that it sent passed over."""
    try:
        while client.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_half_requests_cost_no_threads_and_keep_nobody_out(serve: Serve, stack: ExitStack) -> None:
    """While 400 clients stop in the middle of their requests, probes and pages are answered, and no thread was made for any."""
    port = serve()
    assert get(port, "/page") == (200, b"page\n")
    before = threading.active_count()
    for _ in range(400):
        begin(stack, port, b"GET /page HTTP/1.1\r\nHost: ")
    assert get(port) == (200, b"ok\n")
    assert get(port, "/page") == (200, b"page\n")
    # Of the threads that make pages some may be the first time at work.
    assert threading.active_count() - before < 4


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /page HTTP/1.1\r\nHost: ", b"\x16\x03\x01\x02\x00"],
    ids=["silence", "half a head", "half a hello"],
)
def test_a_request_has_a_deadline_of_its_own(serve: Serve, stack: ExitStack, tmp_path: Path, sent: bytes) -> None:
    """A client that does not end its request, or its TLS handshake, is sent away without having made room for anybody."""
    server_context(tmp_path, "x")
    files = CertificateFiles(tmp_path / "x.pem", tmp_path / "x.pem")
    port = serve(limits=Limits(deadlines=Deadlines(request_s=0.2)), tls_context=files.context)
    assert is_closed(begin(stack, port, sent))


def test_each_byte_is_no_new_deadline(serve: Serve, stack: ExitStack) -> None:
    """A client that sends a byte now and then has no longer for its request than one that sends none."""
    port = serve(limits=Limits(deadlines=Deadlines(request_s=0.5)))
    client = begin(stack, port, b"GET /page HTTP/1.1\r\n")
    client.settimeout(0.05)
    with contextlib.suppress(ConnectionError):
        for _ in range(600):
            client.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                return
    # A byte that is sent to a closed connection resets it: closed all the same.


def test_a_client_that_takes_nothing_is_left(serve: Serve, stack: ExitStack) -> None:
    """Who asks for a large page and does not read it is sent away, and others have it meanwhile."""
    port = serve(limits=Limits(deadlines=Deadlines(write_s=0.3)))
    client = begin(stack, port, b"GET /large HTTP/1.1\r\n\r\n")
    assert get(port, "/large") == (200, LARGE)
    wait_for(lambda: not is_established(port, client), "the server to close")
    assert is_closed(client)


def is_established(port: int, client: socket.socket) -> bool:
    """Say whether the server's side of the connection is open, as the kernel has it."""
    of_client = client.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        local, remote = (int(words[place].rpartition(":")[2], 16) for place in (1, 2))
        if (local, remote) == (port, of_client) and words[3] == "01":
            return True
    return False


def test_few_slow_answers_are_kept(serve: Serve, stack: ExitStack) -> None:
    """Of clients that do not take their answers the first make room: pages in memory are bounded."""
    port = serve(limits=Limits(slow_answers=2))
    clients = [begin(stack, port, b"GET /large HTTP/1.1\r\n\r\n") for _ in range(4)]
    wait_for(lambda: sum(is_established(port, client) for client in clients) <= 2, "two to be left")
    assert get(port) == (200, b"ok\n")


def test_probes_are_answered_while_no_page_can_be_made(serve: Serve, stack: ExitStack, blocked: Blocked) -> None:
    """With all threads at work and as many requests waiting as may, a page is refused and a probe is not."""
    port = serve(limits=Limits(waiting_pages=6))
    waiting = [begin(stack, port, b"GET /blocked HTTP/1.1\r\n\r\n") for _ in range(6)]
    for _ in range(4):
        assert blocked.asked.acquire(timeout=TIMEOUT_S)
    wait_for(lambda: get(port, "/page")[0] == 503, "the queue to be full")
    assert get(port) == (200, b"ok\n")
    blocked.let_go.set()
    for client in waiting:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert get(port, "/page") == (200, b"page\n")


def test_who_is_longest_about_his_request_makes_room(serve: Serve, stack: ExitStack, blocked: Blocked) -> None:
    """Beyond the limit of connections a half request is closed for each that comes, never one whose page is made."""
    port = serve(limits=Limits(connections=4))
    waiting = begin(stack, port, b"GET /blocked HTTP/1.1\r\n\r\n")
    assert blocked.asked.acquire(timeout=TIMEOUT_S)
    half = [begin(stack, port, b"GET ") for _ in range(6)]
    assert is_closed(half[0])
    assert is_closed(half[1])
    assert get(port) == (200, b"ok\n")
    blocked.let_go.set()
    assert waiting.recv(15) == b"HTTP/1.1 200 OK"


def test_a_page_that_fails_costs_itself(serve: Serve) -> None:
    """A fault in making a page is 500, however often; the next one is served."""
    port = serve()
    for _ in range(10):
        assert get(port, "/broken")[0] == 500
    assert get(port, "/page") == (200, b"page\n")


def test_connections_wait_in_a_backlog(stack: ExitStack) -> None:
    """A few hundred clients that come at once, before any is accepted, are all let in."""
    server = HttpServer("127.0.0.1", 0, {"/healthz": lambda: Page(b"ok\n")})
    stack.callback(server.stop)
    clients = [begin(stack, server.port, b"GET /healthz HTTP/1.1\r\n\r\n") for _ in range(200)]
    server.start()
    for client in clients:
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_takes_no_answer_away(serve: Serve, stack: ExitStack) -> None:
    """A client that sends more than its request has its whole answer all the same."""
    port = serve()
    client = begin(stack, port, b"GET /large HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    answer = bytearray()
    while piece := client.recv(1 << 20):
        answer += piece
    assert answer.endswith(LARGE)


def test_head_and_other_methods(serve: Serve) -> None:
    """HEAD is answered without the body, and anything that would change something is refused."""
    port = serve()
    assert get(port, "/page", "HEAD") == (200, b"")
    assert get(port, "/page", "DELETE")[0] == 405


def test_large_pages_by_tls(serve: Serve, tmp_path: Path) -> None:
    """An answer by TLS is whole, and ends as TLS says that it should."""
    server_context(tmp_path, "x")
    files = CertificateFiles(tmp_path / "x.pem", tmp_path / "x.pem")
    port = serve(tls_context=files.context)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=client_context())
    connection.request("GET", "/large")
    assert connection.getresponse().read() == LARGE
    connection.close()


def stream_page() -> Page:
    """Begin a stream."""
    return Page(b"event: hello\n\n", "text/event-stream", streams=True)


def streamed(stack: ExitStack, **limits: Any) -> tuple[HttpServer, Hub]:
    """Start a server with a stream."""
    hub = Hub()
    server = HttpServer(
        "127.0.0.1", 0, {"/events": stream_page, "/healthz": lambda: Page(b"ok\n")}, limits=Limits(**limits)
    )
    hub.attach(server)
    stack.callback(server.stop)
    server.start()
    return server, hub


def viewer(stack: ExitStack, server: HttpServer) -> socket.socket:
    """Be one, from the beginning of the stream on."""
    client = begin(stack, server.port, b"GET /events HTTP/1.1\r\n\r\n")
    received = b""
    while b"event: hello\n\n" not in received:
        piece = client.recv(65_536)
        assert piece, received
        received += piece
    assert b"Content-Length" not in received
    return client


def test_a_stream_goes_to_all_who_look(stack: ExitStack) -> None:
    """Pieces in their order; who leaves is no viewer any more, and nobody's thread waits for any."""
    server, hub = streamed(stack)
    hub.tell(b"to nobody\n")
    clients = [viewer(stack, server)]
    before = threading.active_count()
    clients += [viewer(stack, server) for _ in range(9)]
    # Of those that make pages some may be the first time at work.
    assert threading.active_count() - before < 4
    wait_for(lambda: hub.viewers == 10, "ten viewers")
    for number in range(3):
        hub.tell(b"piece %d\n" % number)
    for client in clients:
        received = b""
        while b"piece 2\n" not in received:
            received += client.recv(65_536)
        assert received == b"piece 0\npiece 1\npiece 2\n"
    clients[0].close()
    wait_for(lambda: hub.viewers == 9, "one to have left")


def test_a_stream_has_so_many_viewers(stack: ExitStack) -> None:
    """The next one is told so, and may ask now and then in its place; one that leaves makes room."""
    server, hub = streamed(stack, streams=2)
    first, _ = viewer(stack, server), viewer(stack, server)
    assert get(server.port, "/events") == (503, b"too many streams at a time\n")
    assert get(server.port) == (200, b"ok\n")
    first.close()
    wait_for(lambda: hub.viewers == 1, "room")
    viewer(stack, server)


def test_who_reads_nothing_of_a_stream_is_left_behind(stack: ExitStack) -> None:
    """It costs no more memory than the limit, and the others go on."""
    server, hub = streamed(stack, stream_backlog=1 << 20)
    lazy, reader = viewer(stack, server), viewer(stack, server)
    piece = b"x" * 65_536
    ended = threading.Event()

    def read() -> None:
        while reader.recv(1 << 20):
            pass
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(200):
        hub.tell(piece)
        if hub.viewers == 1:
            break
        wait_for(lambda: not server._pieces, "the piece to be taken")  # noqa: SLF001 - nothing else tells it
    assert hub.viewers == 1
    assert not ended.is_set()
    assert is_closed(lazy)
    server.stop()
    thread.join(20)
    assert ended.is_set()


def test_a_head_request_of_a_stream_ends(stack: ExitStack) -> None:
    """There is nothing to wait for."""
    server, hub = streamed(stack)
    assert get(server.port, "/events", "HEAD")[0] == 200
    assert hub.viewers == 0
