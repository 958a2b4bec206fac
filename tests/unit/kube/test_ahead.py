"""Lists that are asked for before there is anybody to take them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from router.cluster.kinds import ENDPOINTS, PORT_CLAIMS, ROUTES, SERVICES, SLICES
from router.errors import ApiUnreachable
from router.kube.ahead import Ahead, paths
from router.kube.api import Query
from router.supervisor import Supervisor
from tests.support.unused_api import UnusedApi
from tests.support.waiting import wait_for


class _Api(UnusedApi):
    """Gives each path as its answer, counted; the first ones fail where that is said."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.failures = failures
        self.is_closed = False
        self._lock = threading.Lock()

    @contextmanager
    def answer(self, path: str, query: Query, silence_s: float) -> Iterator[Iterator[bytes]]:  # noqa: ARG002 - as ``Api`` has it
        """Answer."""
        with self._lock:
            self.asked.append(f"{path} {dict(query)}")
            number = self.asked.count(f"{path} {dict(query)}")
            fails = self.failures > 0
            self.failures -= fails
        if fails:
            raise ApiUnreachable("away")
        try:
            yield iter([f"{path} {number}".encode()])
        finally:
            self.ended.append(path)

    def close(self) -> None:
        """End."""
        self.is_closed = True


def _read(api: Ahead, path: str, **query: str) -> bytes:
    with api.answer(path, query, 1.0) as pieces:
        return b"".join(pieces)


def test_an_answer_is_for_who_asks_first() -> None:
    """It was asked for before that; who asks again is given another one, and so is who asks for something else."""
    server = _Api()
    api = Ahead(server, ("/a", "/b"), Supervisor())
    wait_for(lambda: sorted(server.asked) == ["/a {}", "/b {}"], "both to be asked for")
    assert _read(api, "/a", labelSelector="x") == b"/a 1"
    assert (_read(api, "/a"), server.ended) == (b"/a 1", ["/a", "/a"])
    assert len(server.asked) == 3
    assert _read(api, "/a") == b"/a 2"
    assert _read(api, "/b") == b"/b 1"
    assert _read(api, "/c") == b"/c 1"
    api.close()
    assert server.is_closed


def test_who_was_asked_too_early_is_asked_again() -> None:
    """A server that was away then may be there now; what it says now counts."""
    server = _Api(failures=1)
    api = Ahead(server, ("/a",), Supervisor())
    wait_for(lambda: server.failures == 0, "it to be asked")
    assert _read(api, "/a") == b"/a 2"


def test_what_is_asked_for_is_what_is_read() -> None:
    """The paths are those of the kinds."""
    assert paths("", slices=True) == (ROUTES.path(), SERVICES.path(), SLICES.resource.path())
    assert paths("ns", slices=False)[2:] == (ENDPOINTS.resource.path(), PORT_CLAIMS.path("ns"))
