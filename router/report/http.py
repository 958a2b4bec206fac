"""The router's one HTTP port: /healthz, /readyz, /metrics, /ports.

With a certificate it speaks TLS on the same port too, to clients that begin with it, as OpenShift's router does
(pkg/router/metrics/metrics.go): the kubelet's probes stay plain HTTP, and scrapes are encrypted.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: TID251 - its threads end with a request
from ipaddress import ip_address
from socket import AF_INET6, MSG_PEEK, socket
from typing import ClassVar

from prometheus_client import CONTENT_TYPE_LATEST

from router.errors import SettingsError
from router.report.health import Health
from router.supervisor import SUPERVISOR

_REQUEST_DEADLINE_S = 5.0
_STOPS_WITHIN_S = 5.0
_TLS_HANDSHAKE = b"\x16"  # the type of a TLS record that begins a connection (RFC 8446, section 5.1)
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
METRICS = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Page:
    """What one request is answered with."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Request:
    """What a guard may know of a request."""

    authorization: str
    """The header of that name; empty where there is none."""
    is_tls: bool


Guard = Callable[[Request], Page | None]
"""Says how to refuse a request; None lets it through. Called on a thread per request."""


def health_page(health: Health) -> Page:
    """Give a probe's answer: 200 ``ok``, or 503 with a line for each problem."""
    if health.ok:
        return Page(b"ok\n")
    body = "".join(f"{problem}\n" for problem in health.problems).encode()
    return Page(body, status=HTTPStatus.SERVICE_UNAVAILABLE)


class HttpServer:
    """Serves pages until ``stop``.

    Args:
        address: IP address to listen on.
        port: port to listen on.
        pages: for each path, what makes its page; called on a thread per request.
        guards: for paths that are not for everybody, who is let through.
        tls_context: gives the context for the next client that speaks TLS; None for plain HTTP alone.

    Raises:
        SettingsError: the address cannot be bound.
    """

    def __init__(
        self,
        address: str,
        port: int,
        pages: Mapping[str, Callable[[], Page]],
        guards: Mapping[str, Guard] | None = None,
        tls_context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        # A function in a class would become a method; in a tuple it stays what it is.
        attributes = {"pages": pages, "guards": guards or {}, "tls_contexts": (tls_context,) if tls_context else ()}
        handler = type("Handler", (_Handler,), attributes)
        server = _Server6 if ip_address(address).version == 6 else _Server  # noqa: PLR2004 - the protocol's own number
        try:
            self._server = server((address, port), handler)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {address}:{port} ({error.strerror}); choose another address with --listen"
            ) from error
        self._thread = SUPERVISOR.own(
            "http", lambda: self._server.serve_forever(poll_interval=0.2), ask_to_end=self._ask_to_end
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._thread.stop(_STOPS_WITHIN_S)
        self._server.server_close()

    def _ask_to_end(self) -> None:
        if self._thread.is_running:
            self._server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that never ends its request must not keep the router from ending.
    block_on_close = False

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Pass over clients that hang up before they have their answer, or do not get TLS right; tell of everything else."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError | TimeoutError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(BaseHTTPRequestHandler):
    pages: ClassVar[Mapping[str, Callable[[], Page]]] = {}
    guards: ClassVar[Mapping[str, Guard]] = {}
    tls_contexts: ClassVar[tuple[Callable[[], ssl.SSLContext], ...]] = ()
    timeout = _REQUEST_DEADLINE_S
    server_version = "tcp-router"
    sys_version = ""

    def setup(self) -> None:
        """See which protocol the client speaks."""
        plain: socket = self.request
        plain.settimeout(self.timeout)
        if self.tls_contexts and plain.recv(1, MSG_PEEK) == _TLS_HANDSHAKE:
            self.request = self.tls_contexts[0]().wrap_socket(plain, server_side=True)
        super().setup()

    def finish(self) -> None:
        """Say that the answer was whole, and end the connection."""
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            with self.request, contextlib.suppress(OSError):
                # Without waiting for the client to say the same.
                self.request.settimeout(0)
                self.request.unwrap()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        make = self.pages.get(path)
        guard = self.guards.get(path)
        request = Request(self.headers.get("Authorization", ""), isinstance(self.request, ssl.SSLSocket))
        if guard is not None and (refusal := guard(request)) is not None:
            self._answer(refusal)
        elif make is None:
            known = ", ".join(sorted(self.pages))
            self._answer(Page(f"not found; there is {known}\n".encode(), status=HTTPStatus.NOT_FOUND))
        else:
            self._answer(make())

    do_HEAD = do_GET  # noqa: N815 - likewise

    def _answer(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        if page.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, *_: object) -> None:
        """Say nothing: probes and scrapes come every few seconds."""
