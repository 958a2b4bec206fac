"""The connection to one API server: bodies are bytes here, and who asks decodes what he needs of them."""

from __future__ import annotations

import os
import threading
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
from router.kube.body import TRANSPORT_ERRORS, Body, LineStream, reason_of, whole_body
from router.kube.configuration import SERVICE_ACCOUNT, Credentials, loader
from router.kube.problems import error_of
from router.kube.transport import Call, making, track
from router.settings import KubeSettings

_T = TypeVar("_T")

_IDLE_CONNECTIONS = 32
_SUCCESS = range(200, 300)
_WRITES = frozenset({"PATCH", "POST", "PUT", "DELETE"})
"""Nobody is served later by what these say: they tell what is so."""


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
    def answer(self, path: str, query: Query, silence_s: float) -> Iterator[Iterator[bytes]]:
        """GET a path; give the body piece by piece as it comes, silent for at most ``silence_s`` seconds."""
        with self._calling("GET", path) as call:
            response = self._authorized(lambda: self._send(call, "GET", path, query))
            body = Body(response, call, f"GET {path}")
            try:
                yield body.pieces(silence_s)
            finally:
                # What was read to its end leaves a connection for the watch that follows.
                response.release_conn() if body.is_over else response.close()

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[LineStream]:
        """GET a path as a stream, silent for at most ``read_timeout_s`` seconds; the query has ``watch=true`` and more."""
        with self._calling("WATCH", path) as call:
            response = self._authorized(lambda: self._send(call, "GET", path, query, is_watch=True))
            try:
                yield LineStream(response, call, path, read_timeout_s)
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
            answer = whole_body(response)
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
                said = whole_body(response)
                raise error_of(method, path, response.status, said, retry_after=retry_after, is_watch=is_watch)
        return response

    @contextmanager
    def _calling(self, method: str, path: str) -> Iterator[Call]:
        """Keep account of a call, and give what goes wrong with the transport our own name."""
        call = Call(gives_way=method in _WRITES)
        with self._lock:
            if self._is_closed:
                raise ApiUnreachable(f"{method} {path}: the router stops")
            self._under_way.add(call)
        try:
            yield call
        except (*TRANSPORT_ERRORS, ApiUnreachable) as error:
            # What else waits in the pool went the same way as a rule; a new connection tells.
            if self._pools is not None:
                self._pools.clear()
            if isinstance(error, ApiUnreachable):
                raise
            reason = call.ended_because or reason_of(error)
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
