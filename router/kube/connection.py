"""The connection to one API server: bodies are bytes here, and who asks decodes what he needs of them."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import urllib3

from router import __version__
from router.errors import ApiUnauthorized, ApiUnreachable
from router.kube.api import Query
from router.kube.configuration import SERVICE_ACCOUNT, Credentials, loader
from router.kube.problems import error_of
from router.kube.transport import Call, CallEnded, making, track
from router.settings import KubeSettings

_T = TypeVar("_T")

_PIECE = 1 << 16
_IDLE_CONNECTIONS = 32
_SUCCESS = range(200, 300)
_TRANSPORT_ERRORS = (urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a call may take, seconds."""

    connect_s: float = 5.0
    read_s: float = 10.0
    """Between two pieces of the answer."""
    total_s: float = 30.0
    """From the call to the whole answer; of a watch, to its headers."""


class Connection:
    """One API server, as ``router.kube.api.StoppableApi`` has it; made by ``open``."""

    def __init__(self, credentials: Credentials, deadlines: Deadlines) -> None:
        self._credentials = credentials
        self._deadlines = deadlines
        self._lock = threading.Lock()
        self._under_way: set[Call] = set()
        self._is_closed = False
        self._pools: urllib3.PoolManager | None = None
        self._pools_are_of = 0
        if not self.is_verified:
            # urllib3 would say so at each request; the router says it once, when it starts.
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)

    @classmethod
    def open(
        cls,
        settings: KubeSettings,
        *,
        deadlines: Deadlines | None = None,
        environ: Mapping[str, str] = os.environ,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> Connection:
        """Find the API server and the credentials; nothing is asked of the server yet.

        Args:
            settings: which kubeconfig and context. Without either, and in a pod, its service account.
            deadlines: of every call.
            environ: of the process: where the API server of a pod is, and KUBECONFIG.
            service_account: the folder with a pod's token and CA.

        Raises:
            SettingsError: there is no usable configuration; says which file is wrong and how.
        """
        return cls(Credentials(loader(settings, environ, service_account)), deadlines or Deadlines())

    def sibling(self, deadlines: Deadlines | None = None) -> Connection:
        """Give another connection with the same credentials, which is closed on its own."""
        return Connection(self._credentials, deadlines or self._deadlines)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._credentials.access.host

    @property
    def is_verified(self) -> bool:
        """Whether the server's certificate is verified; a kubeconfig may say ``insecure-skip-tls-verify``."""
        return self._credentials.access.verify_ssl

    def get(self, path: str, query: Query | None = None) -> bytes:
        """GET a path such as ``/api/v1/services``; give the body."""
        return self._call("GET", path, query)

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """PATCH an object or its ``/status``; ``content_type`` says which kind of patch the body is."""
        return self._call("PATCH", path, None, body, content_type)

    def post(self, path: str, body: bytes) -> bytes:
        """POST a new object as JSON."""
        return self._call("POST", path, None, body)

    def put(self, path: str, body: bytes) -> bytes:
        """PUT an object as JSON."""
        return self._call("PUT", path, None, body)

    def delete(self, path: str, body: bytes) -> bytes:
        """DELETE an object; the body is meta/v1 DeleteOptions, with what it must be."""
        return self._call("DELETE", path, None, body)

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[_LineStream]:
        """GET a path as a stream, silent for at most ``read_timeout_s`` seconds; the query has ``watch=true`` and more."""
        with self._calling("WATCH", path) as call:
            response = self._authorized(lambda: self._send(call, "GET", path, query, is_watch=True))
            try:
                yield _LineStream(response, call, path, read_timeout_s)
            finally:
                response.close()

    def close(self) -> None:
        """End the calls that are under way, from any thread; later ones raise ApiUnreachable."""
        with self._lock:
            self._is_closed = True
            under_way = tuple(self._under_way)
            pools = self._pools
        for call in under_way:
            call.end("the router stops")
        if pools is not None:
            pools.clear()

    def _call(
        self, method: str, path: str, query: Query | None, body: bytes | None = None, content_type: str | None = None
    ) -> bytes:
        with self._calling(method, path) as call:
            return self._authorized(lambda: self._whole(call, method, path, query, body, content_type))

    def _authorized(self, ask: Callable[[], _T]) -> _T:
        """Ask; where the credentials are not accepted (401), read them again, and ask once more.

        The one place that answers a 401, for all who use connections. A token that expired, or was rotated, costs nobody anything so.

        Raises:
            ApiUnauthorized: the server accepts none that we have, or they cannot be read again.
        """
        generation, _ = self._credentials.current
        try:
            return ask()
        except ApiUnauthorized:
            self._credentials.refresh()
            if self._credentials.current[0] == generation:
                # They were read a moment ago, and are what was sent.
                raise
        return ask()

    def _whole(  # noqa: PLR0913, PLR0917 - what a request consists of
        self, call: Call, method: str, path: str, query: Query | None, body: bytes | None, content_type: str | None
    ) -> bytes:
        deadlines = self._deadlines
        with call.within(deadlines.total_s, f"no whole answer within {deadlines.total_s:g} s"):
            response = self._send(call, method, path, query, body, content_type)
            answer = _whole_body(response)
            # A body without a length ends where the connection does, and so it does when the call is ended.
            call.check()
            return answer

    def _send(  # noqa: PLR0913, PLR0917 - what a request consists of
        self,
        call: Call,
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None = None,
        content_type: str | None = None,
        *,
        is_watch: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; give the answer, its body unread, if it is one of success."""
        url = self.server + path + (f"?{urlencode(query)}" if query else "")
        deadlines = self._deadlines
        headers = {"Accept": "application/json", "User-Agent": f"tcp-router/{__version__}"}
        if body is not None:
            headers["Content-Type"] = content_type or "application/json"
        headers.update(self._credentials.headers(deadlines.read_s))
        with making(call), call.within(deadlines.total_s, f"no answer within {deadlines.total_s:g} s"):
            response = self._current_pools().request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=deadlines.connect_s, read=deadlines.read_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            if response.status not in _SUCCESS:
                retry_after = response.headers.get("Retry-After")
                said = _whole_body(response)
                raise error_of(method, path, response.status, said, retry_after=retry_after, is_watch=is_watch)
        return response

    @contextmanager
    def _calling(self, method: str, path: str) -> Iterator[Call]:
        """Keep account of a call, and give what goes wrong with the transport our own name."""
        call = Call()
        with self._lock:
            if self._is_closed:
                raise ApiUnreachable(f"{method} {path}: the router stops")
            self._under_way.add(call)
        try:
            yield call
        except (*_TRANSPORT_ERRORS, ApiUnreachable) as error:
            # What else waits in the pool went the same way as a rule; a new connection tells.
            if self._pools is not None:
                self._pools.clear()
            if isinstance(error, ApiUnreachable):
                raise
            reason = call.ended_because or _reason(error)
            raise ApiUnreachable(f"{method} {path} at {self.server}: {reason}") from error
        finally:
            call.finish()
            with self._lock:
                self._under_way.discard(call)

    def _current_pools(self) -> urllib3.PoolManager:
        """Give the pools; new ones where certificates may be others than before."""
        with self._lock:
            generation, access = self._credentials.current
            if self._pools is None or self._pools_are_of != generation:
                pools = access.pools(_IDLE_CONNECTIONS)
                track(pools)
                self._pools, self._pools_are_of = pools, generation
            return self._pools


class _LineStream:
    """The lines of a watch."""

    def __init__(self, response: urllib3.BaseHTTPResponse, call: Call, path: str, read_timeout_s: float) -> None:
        self._response = response
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
        while True:
            piece = self._piece(silent_since_s)
            if not piece:
                break
            *whole, last = piece.split(b"\n")
            if whole:
                whole[0] = b"".join((*rest, whole[0]))
                rest.clear()
                yield from filter(None, whole)
                silent_since_s = time.monotonic()
            rest.append(last)
        if any(rest):
            raise ApiUnreachable(f"WATCH {self._path}: cut in the middle of an object")

    def close(self) -> None:
        """End it from any thread; a reader that waits for a line wakes at once."""
        self._call.end("the stream was closed")

    def _piece(self, silent_since_s: float) -> bytes:
        left_s = silent_since_s + self._read_timeout_s - time.monotonic()
        try:
            if self._call.sock is not None:
                # A millisecond is as good as none; 0 would mean not to wait, which TLS does not take for a timeout.
                self._call.sock.settimeout(max(left_s, 0.001))
            piece = self._response.read1(_PIECE)
            self._call.check()
        except (TimeoutError, urllib3.exceptions.ReadTimeoutError) as error:
            raise ApiUnreachable(f"WATCH {self._path}: silent for {self._read_timeout_s:g} s") from error
        except _TRANSPORT_ERRORS as error:
            reason = self._call.ended_because or _reason(error)
            raise ApiUnreachable(f"WATCH {self._path}: {reason}") from error
        return piece


def _whole_body(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.read()
    finally:
        response.release_conn()


def _reason(error: BaseException) -> str:
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
