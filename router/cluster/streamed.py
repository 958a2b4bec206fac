"""Lists as a stream (WatchList): the objects as events of a watch, then a bookmark that says that this was all.

The server encodes, and this router decodes, while they arrive, and neither ever has the whole list in memory; pages come from the server's
database, each when the one before was read, and take twice as long. A server that does not know this refuses it, and is listed in pages then
(https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from router.cluster.decoding import decode_bookmark, decode_event, decode_head, decode_status
from router.errors import ApiBusy, ApiError, ApiInvalid, ApiUnauthorized, ApiUnreachable, ApiUnreadable
from router.kube.api import Api, Query
from router.kube.problems import error_of
from router.objects.meta import ObjectKey

_ALL_SENT = "k8s.io/initial-events-end"
_AT_ONCE = 100
"""So many objects are given to the sink together."""
_SILENCE_S = 5.0
"""A server sends all that there is without a pause; one that knew nothing of this would wait for what happens next."""
_LONGEST_S = 60.0
"""After that pages are asked for: in time for who waits for a server that sends objects and never says that these were all."""
_BAD_REQUEST = 400


class ListSink(Protocol):
    """What of a ``reflector.Sink`` takes lists."""

    def begin_list(self) -> None:
        """Begin to list; forget a list that did not come to its end."""

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take objects of the list."""

    def leave_out(self, key: ObjectKey) -> None:
        """Take no object of this key for one of the list, though it came in a page."""

    def end_list(self, resource_version: str) -> None:
        """Take what was listed for all that there is."""


class NotStreamed(ApiError):
    """This list did not come as a stream; ``is_for_good`` where the server knows of no such streams."""

    def __init__(self, problem: str, *, is_for_good: bool) -> None:
        self.is_for_good = is_for_good
        super().__init__(problem)


@dataclass(slots=True)
class StreamedList:
    """One list.

    Args:
        api: the API server.
        path: of the collection.
        selects: the objects.
        sink: takes them.
        answered: is told when the server begins to answer.
    """

    api: Api
    path: str
    selects: Query
    sink: ListSink
    answered: Callable[[], None]
    _waiting: list[msgspec.Raw] = field(default_factory=list)

    def read(self) -> str:
        """Give all objects to the sink, and the resourceVersion that the list is of.

        Raises:
            NotStreamed: it does not come so; in pages it may.
            ApiUnreachable, ApiUnauthorized, ApiBusy: the server answers nothing now, or cut the list.
        """
        query = {
            **self.selects,
            "watch": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(_LONGEST_S)),
        }
        try:
            return self._read(query)
        except (ApiUnreachable, ApiUnauthorized, ApiBusy):
            # Whoever cannot answer now is not asked for the same in another way.
            raise
        except ApiError as error:
            is_refused = isinstance(error, ApiInvalid) or error.status == _BAD_REQUEST
            is_unknown = isinstance(error, NotStreamed) and error.is_for_good
            raise NotStreamed(str(error), is_for_good=is_refused or is_unknown) from error

    def _read(self, query: Query) -> str:
        with self.api.watch(self.path, query, _SILENCE_S) as stream:
            ends_s = time.monotonic() + _LONGEST_S
            self.answered()
            self.sink.begin_list()
            for line in stream.lines():
                version = self._take(line)
                if version is not None:
                    self.answered()
                    self.sink.end_list(version)
                    return version
                if time.monotonic() > ends_s:
                    break
        raise NotStreamed(f"WATCH {self.path}: objects, and not a word that these are all", is_for_good=True)

    def _take(self, line: bytes) -> str | None:
        """Take one event; give the list's version if it is the last."""
        try:
            event = decode_event(line)
            match event.type:
                case "ADDED":
                    self._waiting.append(event.object)
                    if len(self._waiting) >= _AT_ONCE:
                        self._flush()
                case "MODIFIED" | "DELETED":
                    # While the list is sent the world goes on.
                    self._flush()
                    self.sink.leave_out(decode_head(event.object).key)
                    if event.type == "MODIFIED":
                        self.sink.add_page((event.object,))
                case "BOOKMARK":
                    return self._end(event.object)
                case "ERROR":
                    raise error_of("GET", self.path, decode_status(event.object).code, event.object, is_watch=True)
        except msgspec.DecodeError as error:
            raise ApiUnreadable(f"WATCH {self.path}: an event cannot be read: {error}") from error
        return None

    def _end(self, bookmark: msgspec.Raw) -> str:
        metadata = decode_bookmark(bookmark).metadata
        if (metadata.annotations or {}).get(_ALL_SENT) != "true" or not metadata.resource_version:
            raise NotStreamed(f"WATCH {self.path}: a bookmark, and not a word that this is all", is_for_good=True)
        self._flush()
        return metadata.resource_version

    def _flush(self) -> None:
        """Give the sink what came; a list without any object has a page, too."""
        items, self._waiting = tuple(self._waiting), []
        self.sink.add_page(items)
