"""Watches: the history of a resource as a stream of events, with bookmarks, time limits and faults."""

from __future__ import annotations

import bisect
import json
import time
from collections.abc import Iterator
from typing import Any

from tests.support.kube.connection import Connection, Cut
from tests.support.kube.resources import Target
from tests.support.kube.selectors import Matcher
from tests.support.kube.state import ServerState
from tests.support.kube.statuses import StatusError, failure, too_old
from tests.support.kube.storage import Change, Object, Stored

_LONGEST_S = 3600.0
_LOOK_S = 0.2
"""How often a stream that has nothing to say looks whether the client is still there."""


class Watch:
    """One watch; ``serve`` runs until it ends.

    Raises:
        StatusError: it cannot begin.
    """

    def __init__(self, state: ServerState, target: Target, query: dict[str, str], matches: Matcher) -> None:
        self._state = state
        self._storage = state.storage
        self._faults = state.faults
        self._target = target
        self._resource = target.resource
        self._matches = matches
        self._bookmarks = query.get("allowWatchBookmarks") in {"true", "1"}
        self._ends_s = time.monotonic() + min(float(query.get("timeoutSeconds") or _LONGEST_S), _LONGEST_S)
        self._cuts = self._faults.cuts
        self._bookmarks_asked = state.bookmarks_asked
        self._bookmark_s = time.monotonic() + state.bookmark_interval_s
        self._first: list[bytes] = []
        self._owes_end = False
        """Of a WatchList: it has to say that all was sent. What happens before that comes before it, as what happens."""
        self._position = 0
        self._refusal: StatusError | None = None
        self._begin(query.get("resourceVersion", ""))
        if query.get("sendInitialEvents") == "true":
            if query.get("resourceVersionMatch") != "NotOlderThan" or not self._bookmarks:
                raise failure(422, "sendInitialEvents: Forbidden: needs resourceVersionMatch and bookmarks", "Invalid")
            self._owes_end = True

    def serve(self, connection: Connection) -> None:
        """Send events until the time is up.

        Raises:
            Cut: a fault, the client, or the server's end.
        """
        connection.begin_stream()
        self._state.note_watch(1)
        try:
            self._serve(connection)
        finally:
            self._state.note_watch(-1)
        connection.send_chunk(b"")

    def _begin(self, version: str) -> None:
        as_status = self._faults.gone_for(self._resource)
        history = self._storage.history(self._resource)
        gone = too_old(self._storage.oldest - 1, self._storage.oldest)
        if as_status:
            raise gone
        if as_status is False:
            self._refusal = gone
        elif version in {"", "0"}:
            # "Get state and start": synthetic ADDED events for what is there.
            stored = self._storage.list(self._resource, self._target.namespace)
            self._first = [_event("ADDED", item.body) for item in stored if self._matches(item.obj)]
            self._position = len(history)
        elif not version.isdigit():
            raise failure(400, f'invalid resource version "{version}": strconv.ParseUint: parsing "{version}"')
        elif int(version) < self._storage.oldest:
            self._refusal = too_old(int(version), self._storage.oldest)
        else:
            self._position = bisect.bisect_right(history, int(version), key=lambda change: change.version)

    def _serve(self, connection: Connection) -> None:
        while True:
            events, over = self._next(connection)
            for event in events:
                connection.send_chunk(event, cut=self._faults.cut_for(self._resource, "watch"))
            if over:
                return

    def _next(self, connection: Connection) -> tuple[list[bytes], bool]:
        """Wait for what is to be sent next; say too whether it is the last."""
        while True:
            with self._storage.changed:
                if self._is_to_end():
                    raise Cut
                if not self._faults.silent:
                    code = self._faults.error_for(self._resource)
                    if code is not None:
                        return [_error(failure(code, "ordered by a test"))], True
                    if self._refusal is not None:
                        return [_error(self._refusal)], True
                    events = [*self._first, *self._news()]
                    self._first = []
                    if self._owes_end:
                        events.append(self._bookmark_event({"k8s.io/initial-events-end": "true"}))
                        self._owes_end = False
                    over = time.monotonic() >= self._ends_s
                    events += self._bookmark(last=over)
                    if events or over:
                        return events, over
                self._storage.changed.wait(min(_LOOK_S, max(self._ends_s - time.monotonic(), 0.001)))
            if connection.client_left():
                raise Cut

    def _is_to_end(self) -> bool:
        is_hidden = not self._state.has(self._resource)
        return self._state.stopping.is_set() or self._faults.cuts != self._cuts or is_hidden

    def _news(self) -> Iterator[bytes]:
        changes = self._storage.history(self._resource)[self._position :]
        self._position += len(changes)
        for change in changes:
            yield from self._told(change)

    def _told(self, change: Change) -> Iterator[bytes]:
        """Say a change as this watch sees it: an object that comes to match is new, one that ceases to is deleted."""
        was, now = self._sees(change.old), self._sees(change.new)
        if now is not None:
            yield _event("MODIFIED" if was is not None else "ADDED", now.body)
        elif was is not None:
            yield _event("DELETED", was.body if change.new is None else _at(was.obj, change.version))

    def _sees(self, stored: Stored | None) -> Stored | None:
        if stored is None or self._target.namespace not in {"", stored.obj["metadata"].get("namespace")}:
            return None
        return stored if self._matches(stored.obj) else None

    def _bookmark(self, *, last: bool) -> list[bytes]:
        asked = self._state.bookmarks_asked != self._bookmarks_asked
        if not self._bookmarks or not (last or asked or time.monotonic() >= self._bookmark_s):
            return []
        self._bookmarks_asked = self._state.bookmarks_asked
        self._bookmark_s = time.monotonic() + self._state.bookmark_interval_s
        return [self._bookmark_event()]

    def _bookmark_event(self, annotations: dict[str, str] | None = None) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(self._storage.version), "creationTimestamp": None}
        if annotations is not None:
            metadata["annotations"] = annotations
        obj = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        return _event("BOOKMARK", json.dumps(obj).encode())


def _at(obj: Object, version: int) -> bytes:
    moved: dict[str, Any] = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
    return json.dumps(moved).encode()


def _error(error: StatusError) -> bytes:
    return _event("ERROR", json.dumps(error.body).encode())


def _event(kind: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
