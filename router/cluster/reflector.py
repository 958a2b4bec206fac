"""Keeps a sink equal to one collection of the API: list in pages, watch from there, and begin again as the API demands."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from router.cluster.decoding import Head, decode_event, decode_head, decode_status
from router.cluster.handle import Handle
from router.cluster.kinds import Resource
from router.cluster.listing import Listing
from router.cluster.place import ErrorEvent, Mute, Place
from router.cluster.streamed import ListSink
from router.errors import (
    ApiBusy,
    ApiError,
    ApiForbidden,
    ApiGone,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
    ApiUnreadable,
)
from router.kube.api import Api
from router.kube.pages import SIZE
from router.kube.problems import error_of
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_CAUSES: tuple[tuple[type[ApiError], str], ...] = (
    (ApiGone, "gone"),
    (ApiUnauthorized, "unauthorized"),
    (ApiForbidden, "forbidden"),
    (ApiNotFound, "absent"),
    (ApiUnreachable, "unreachable"),
    (ApiBusy, "busy"),
    (ApiUnreadable, "undecodable"),
)
_INTERNAL_ERROR = 500
_GONE_AT_MOST = 2
"""So often in a row a server may answer that a resourceVersion is too old before that counts as an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often and how long things are done; seconds but for the first three."""

    asks_for_all: bool = True
    """Whether lists are asked for in one answer first."""
    streams_lists: bool = True
    """Whether they are asked for as streams, before they are in pages."""
    page_size: int = SIZE
    pauses_s: tuple[float, float] = (0.2, 15.0)
    """First and longest pause after a failure; each is shortened at random, by up to a half."""
    well_after_s: float = 1.0
    """A stream that lasted this long counts as success, whatever its end: pauses after it are short again."""
    watch_s: tuple[float, float] = (300.0, 600.0)
    """What the server is told to end a stream after, at random between these."""
    bookmark_silence_s: float = 150.0
    """Servers that send bookmarks do so about each minute; without any for this long, the stream is dead."""
    unproven_watch_s: tuple[float, float] = (60.0, 90.0)
    """The same as ``watch_s`` before the first bookmark: nothing tells a dead stream from a quiet one but its end."""
    live_s: float = 30.0
    """A stream on which nothing came for this long may be dead; by then TCP has noticed a peer that is gone."""
    absent_s: float = 30.0
    """How long the server has to say that it has no Routes until Services that ask are served without; it may be about to have them."""
    grace_s: float = 15.0
    """How much later than the server's own end of a stream silence counts as a failure."""


class Sink(ListSink, Protocol):
    """What a reflector feeds; called on its thread."""

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take an object that was added or changed, or (None) deleted."""


class WatchObserver(Protocol):
    """Who counts; may be called from any thread, must not block. The rest is in ``KubeInput.kinds``."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count a stream or list of this kind that has to be begun again.

        The causes: ended (as it should), gone, error_event, unauthorized, forbidden, absent, unreachable (cut and silent
        too), busy, undecodable, wanted (objects of more Services are to be fetched), refused (any other status).
        """


class Reflector:
    """Lists and watches one collection until it is stopped.

    Args:
        api: the API server.
        resource: what to watch.
        catch_up: fetches what is missing when that is requested, on this thread; raises ApiError.
        namespace: of these objects only; empty is all.
        label_selector: of these objects only; empty is all.
        name: of the one object; empty is all.
        sink: takes the objects.
        handle: stops it.
        observer: counts.
        pace: how often and how long.
    """

    def __init__(  # noqa: PLR0913 - what there is to say about a watch
        self,
        api: Api,
        resource: Resource,
        sink: Sink,
        *,
        handle: Handle,
        observer: WatchObserver,
        pace: Pace,
        catch_up: Callable[[], None] = lambda: None,
        namespace: str = "",
        label_selector: str = "",
        name: str = "",
    ) -> None:
        self._api = api
        self._resource = resource
        self._paths = resource.paths(namespace)
        """The first is asked; each that the server has not goes to the end."""
        fields = f"metadata.name={name}" if name else resource.fields
        selectors = {"labelSelector": label_selector, "fieldSelector": fields}
        self._selector: Mapping[str, str] = {key: value for key, value in selectors.items() if value}
        self._sink = sink
        self._handle = handle
        self._catch_up = catch_up
        self._is_behind = False
        self._observer = observer
        self._pace = pace
        self._log = log.bind(kind=resource.name, **({"in_namespace": namespace} if namespace else {}))
        self._place = Place()
        self._gets_bookmarks = False
        self._gone_in_a_row = 0
        self._backoff = Backoff(*pace.pauses_s)
        self._listing = Listing(
            api=api,
            path=self._paths[0],
            selects=self._selector,
            sink=sink,
            answered=self._answered,
            log=self._log,
            page_size=pace.page_size,
            asks_for_all=pace.asks_for_all,
            streams=pace.streams_lists,
        )
        self._is_watching = False
        self._cannot_watch = False
        """What went wrong was a watch. A list that goes well says nothing about that: each needs a permission of its own."""
        self._stream_opened_s: float | None = None
        self._made_progress = False
        self._is_streaming = False
        self.is_listed = False
        """Whether a list came to its end, ever."""
        self.is_connected = False
        """Whether the API server answered as it should when last asked."""
        self.problem = ""
        """Why not, for a user."""
        self.cause = ""
        """The same in a word, as ``WatchObserver`` has them."""
        self.last_event_s: float | None = None
        """When the server last sent something, bookmarks too (``time.monotonic``)."""

    @property
    def is_live(self) -> bool:
        """Whether what happens is brought at once: a stream is open, and the server was heard from lately; any thread."""
        heard_s = self.last_event_s
        return self._is_streaming and heard_s is not None and time.monotonic() - heard_s < self._pace.live_s

    def run(self) -> None:
        """Keep the sink equal to the collection until the handle is stopped; begins with a list."""
        self._resume_at = None
        while not self._handle.is_stopping:
            self._stream_opened_s = None
            self._is_watching = False
            self._made_progress = False
            error = self._turn()
            if self._handle.is_stopping:
                break
            self._rest(error)

    def _turn(self) -> ApiError | None:
        """List if need be, then watch until the stream ends; give what ended it, None for an end as it should be."""
        try:
            self._is_behind |= self._handle.take_fetch_request()
            if self._handle.take_list_request():
                self._place.forget()
            if self._place.version is None:
                self._place.listed(self._list())
                self.is_listed = True
            if self._is_behind:
                # What is missing, not all there is; the watch goes on from where it was.
                self._catch_up()
                self._is_behind = False
            if not self._handle.is_fetch_wanted and self._place.version is not None:
                self._is_watching = True
                self._watch(self._place.version)
        except ApiError as error:
            self._place.failed(error, is_watching=self._is_watching)
            if isinstance(error, ApiNotFound) and len(self._paths) > 1:
                # It may be there in another version.
                self._place.forget()
            return error
        return None

    def _list(self) -> str:
        """Give all objects to the sink, of the newest version that the server has; return the list's resourceVersion."""
        absent: list[ApiNotFound] = []
        for _ in self._paths:
            try:
                return self._listing.read()
            except ApiNotFound as error:
                absent.append(error)
                self._paths = (*self._paths[1:], self._paths[0])
                self._listing.path = self._paths[0]
        raise absent[0]

    def _watch(self, resource_version: str) -> None:
        """Give changes to the sink until the stream ends."""
        watch_s = random.uniform(*(self._pace.watch_s if self._gets_bookmarks else self._pace.unproven_watch_s))  # noqa: S311 - to spread load
        silence_s = watch_s + self._pace.grace_s
        if self._gets_bookmarks:
            silence_s = min(silence_s, self._pace.bookmark_silence_s)
        query = {
            **self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(watch_s))),
        }
        has_said_something = False
        opened_s = math.inf
        with self._api.watch(self._paths[0], query, silence_s) as stream:
            try:
                if not self._handle.attach(stream):
                    return
                self._stream_opened_s = opened_s = time.monotonic()
                self._answered()
                self._is_streaming = True
                for line in stream.lines():
                    has_said_something = True
                    self._take(line)
            except ApiUnreachable as error:
                if self._handle.is_fetch_wanted:
                    return  # closed for that
                if self._gets_bookmarks and not has_said_something and time.monotonic() - opened_s >= silence_s:
                    raise Mute(str(error)) from error
                raise
            finally:
                self._is_streaming = False
                self._handle.attach(None)

    def _take(self, line: bytes) -> None:
        """Take one event of the stream."""
        self.last_event_s = time.monotonic()
        try:
            event = decode_event(line)
            if event.type == "ERROR":
                self._raise_error(event.object)
        except msgspec.DecodeError as error:
            raise ApiUnreadable(f"WATCH {self._paths[0]}: an event cannot be read: {error}") from error
        try:
            head = decode_head(event.object)
        except msgspec.DecodeError as error:
            self._log.warning("object not decoded", problem=f"metadata: {error}")
            return
        if event.type == "BOOKMARK":
            self._gets_bookmarks = True
        elif event.type in {"ADDED", "MODIFIED", "DELETED"}:
            self._sink.apply(head, None if event.type == "DELETED" else event.object)
        # After the object is taken: what is not taken must come again.
        if head.metadata.resource_version:
            self._made_progress |= self._place.reached(head.metadata.resource_version)

    def _raise_error(self, status: bytes) -> None:
        error = error_of("GET", self._paths[0], decode_status(status).code, status, is_watch=True)
        # What the server cannot do now it can later; 500 is what it says of an event that it cannot give.
        if isinstance(error, ApiGone) or (isinstance(error, ApiBusy) and error.status != _INTERNAL_ERROR):
            raise error
        raise ErrorEvent(str(error), error.status) from error

    def _answered(self) -> None:
        """Take note that the server answers as it should."""
        self.last_event_s = time.monotonic()
        if self._cannot_watch and not self._is_watching:
            return
        self._cannot_watch = False
        if self._is_watching:
            self._gone_in_a_row = 0
        if self.problem:
            self._log.info("watch recovered")
        self.problem = self.cause = ""
        self.is_connected = True

    def _rest(self, error: ApiError | None) -> None:
        """Report how a turn ended, and pause before the next."""
        cause = self._cause(error)
        self._observer.watch_restarted(self._resource.name, cause)
        now_s = time.monotonic()
        lasted = self._stream_opened_s is not None and now_s - self._stream_opened_s >= self._pace.well_after_s
        if lasted or self._made_progress:
            self._backoff.reset()
        if lasted and error is None:
            return
        pause_s = self._backoff.pause_s() * random.uniform(0.5, 1.0)  # noqa: S311 - to spread load
        if isinstance(error, ApiBusy) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s)
        if error is not None:
            self._failed(error, cause, pause_s)
        self._handle.pause(pause_s)

    def _failed(self, error: ApiError, cause: str, pause_s: float) -> None:
        if isinstance(error, ApiGone):
            self._gone_in_a_row += 1
        is_gone = isinstance(error, ApiGone) and self._gone_in_a_row <= _GONE_AT_MOST
        if self._stream_opened_s is not None or is_gone:
            # Streams end in many ways; whether the server is there, the next request tells. One who says "gone" is there.
            self._log.info("watch restarts", cause=cause, problem=str(error))
            return
        self.is_connected = False
        self.cause = cause
        self._cannot_watch = self._is_watching
        problem = f"{self._resource.absent} ({error})" if isinstance(error, ApiNotFound) else str(error)
        if problem != self.problem:
            # Before the log says so: who reads the line and asks /readyz is told the same.
            self.problem = problem
            self._log.warning("watch failed", cause=cause, problem=problem, retry_in_seconds=round(pause_s, 1))

    def _cause(self, error: ApiError | None) -> str:
        if error is None:
            return "wanted" if self._handle.is_fetch_wanted else "ended"
        if isinstance(error, ErrorEvent):
            return "error_event"
        return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "refused")
