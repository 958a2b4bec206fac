"""What the API server of tests knows beside its objects: who may do what, what was asked, and how it behaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from tests.support.kube.access import Access
from tests.support.kube.faults import Faults
from tests.support.kube.storage import Storage

_LATE_ROUTES = 2


class Request(NamedTuple):
    """What a client asked, and the HTTP status that it was answered with."""

    method: str
    path: str
    query: dict[str, str]
    status: int
    token: str
    """The bearer token that the client showed; empty for none."""


class ServerState:
    """Shared by the threads of one server."""

    def __init__(self, listen: Callable[[bool], None]) -> None:
        self.storage = Storage()
        self.faults = Faults(self.storage.changed, listen)
        self.access = Access(self.storage)
        self.bookmark_interval_s = 60.0
        self.stopping = threading.Event()
        self._has_routes = True
        self._requests: list[Request] = []
        self._open_watches = 0
        self._bookmarks = 0

    @property
    def requests(self) -> list[Request]:
        """What clients asked so far, in the order of the answers' beginnings."""
        with self.storage.changed:
            return list(self._requests)

    @property
    def open_watches(self) -> int:
        """Watches that are open now."""
        return self._open_watches

    @property
    def bookmarks_asked(self) -> int:
        """How often ``bookmark`` was called."""
        return self._bookmarks

    @property
    def has_routes(self) -> bool:
        """Whether the CRD of Routes is installed; where it goes, the watches of Routes end, and the objects are hidden."""
        return self._has_routes

    @has_routes.setter
    def has_routes(self, there: bool) -> None:
        with self.storage.changed:
            self._has_routes = there
            self.storage.changed.notify_all()

    def install_routes(self) -> None:
        """Install the CRD as a real server does: it says that it is established, and answers 404 to a few requests more."""
        self.has_routes = True
        self.faults.fail("", "/apis/route.openshift.io/", 404, times=_LATE_ROUTES)

    @property
    def tokens(self) -> set[str]:
        """The bearer tokens that are accepted; while there are none, everybody is let in."""
        return self.access.tokens

    @tokens.setter
    def tokens(self, tokens: set[str]) -> None:
        self.access.tokens = tokens

    def bookmark(self) -> None:
        """Send a bookmark now, on all watches that allow it."""
        with self.storage.changed:
            self._bookmarks += 1
            self.storage.changed.notify_all()

    def expire_history(self) -> None:
        """Answer 410 from now on to resourceVersions and continue tokens from before now."""
        self.storage.advance(1)
        self.storage.expire_history()

    def note_request(self, request: Request) -> None:
        """Enter a request into the log."""
        with self.storage.changed:
            self._requests.append(request)

    def note_watch(self, difference: int) -> None:
        """Count a watch that begins or ends."""
        with self.storage.changed:
            self._open_watches += difference
