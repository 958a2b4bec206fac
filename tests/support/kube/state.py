"""What the API server of tests knows beside its objects: who may do what, what was asked, and how it behaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from tests.support.kube.access import Access
from tests.support.kube.faults import Faults
from tests.support.kube.resources import OLDER, PORT_CLAIMS, ROUTES, TRANSPORT_SERVER_CLAIMS, Resource
from tests.support.kube.storage import Storage

_LATE = 2


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
        self.streams_lists = False
        """Whether it knows WatchLists; a server that does not refuses them, before anything else that a test has ordered."""
        self.stopping = threading.Event()
        self._absent: frozenset[Resource] = frozenset(OLDER)
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

    def has(self, resource: Resource) -> bool:
        """Whether the server has the resource: a custom one only while its CRD is installed."""
        return resource not in self._absent

    def set_custom(self, resource: Resource, *, there: bool) -> None:
        """Install a CRD, or take it away: then the watches of its objects end, and the objects are hidden."""
        with self.storage.changed:
            self._absent = self._absent - {resource} if there else self._absent | {resource}
            self.storage.changed.notify_all()

    @property
    def has_routes(self) -> bool:
        """Whether the CRD of Routes is installed."""
        return self.has(ROUTES)

    @has_routes.setter
    def has_routes(self, there: bool) -> None:
        self.set_custom(ROUTES, there=there)

    @property
    def has_port_claims(self) -> bool:
        """Whether the CRD of PortClaims is installed."""
        return self.has(PORT_CLAIMS)

    @has_port_claims.setter
    def has_port_claims(self, there: bool) -> None:
        self.set_custom(PORT_CLAIMS, there=there)

    @property
    def has_server_claims(self) -> bool:
        """Whether the CRD of TransportServerClaims is installed."""
        return self.has(TRANSPORT_SERVER_CLAIMS)

    @has_server_claims.setter
    def has_server_claims(self, there: bool) -> None:
        self.set_custom(TRANSPORT_SERVER_CLAIMS, there=there)

    def install(self, resource: Resource) -> None:
        """Install a CRD as a real server does: it says that it is established, and answers 404 to a few requests more."""
        self.set_custom(resource, there=True)
        self.faults.fail("", f"{resource.prefix}/", 404, times=_LATE)

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
