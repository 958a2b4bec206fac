"""Lists as a stream: what is taken for all that there is, and when pages are asked for in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from router.cluster import streamed
from router.cluster.handle import Handle
from router.cluster.kinds import ROUTES
from router.cluster.reflector import Pace, Reflector
from router.cluster.streamed import NotStreamed, StreamedList
from router.errors import (
    ApiBusy,
    ApiError,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
    ApiUnreadable,
)
from router.kube.api import Query
from router.objects.meta import ObjectKey
from tests.support.unused_api import UnusedApi

_END: dict[str, Any] = {"annotations": {"k8s.io/initial-events-end": "true"}}


def _event(kind: str, name: str = "", version: int = 7, **metadata: Any) -> bytes:
    named = {"name": name, "namespace": "team"} if name else {}
    return json.dumps({
        "type": kind, "object": {"metadata": {"resourceVersion": str(version), **named, **metadata}}
    }).encode()  # fmt: skip


class _Api(UnusedApi):
    """Answers a WatchList by these lines, or an exception; and pages by an empty list."""

    def __init__(self, *lines: bytes | ApiError) -> None:
        self.lines_to_give = lines
        self.asked: list[Query] = []
        self.pages = 0

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[_Api]:  # noqa: ARG002 - as ``Api`` has it
        """Open the stream."""
        self.asked.append(query)
        first = self.lines_to_give[0] if self.lines_to_give else b""
        if isinstance(first, ApiError) and len(self.lines_to_give) == 1:
            raise first
        yield self

    def lines(self) -> Iterator[bytes]:
        """Give the lines."""
        for line in self.lines_to_give:
            if isinstance(line, ApiError):
                raise line
            yield line

    def close(self) -> None:
        """Nothing waits."""

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - as above
        """Give an empty list."""
        self.pages += 1
        return b'{"metadata":{"resourceVersion":"9"},"items":[]}'


class _Sink:
    """Knows what it was told, by name; each with its version."""

    def __init__(self) -> None:
        self.listed: dict[str, int] = {"of another list": 1}
        self.known: dict[str, int] | None = None
        self.version = ""

    def begin_list(self) -> None:
        """Begin."""
        self.listed = {}

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take them."""
        for raw in items:
            metadata = json.loads(bytes(raw))["metadata"]
            self.listed[metadata["name"]] = int(metadata["resourceVersion"])

    def leave_out(self, key: ObjectKey) -> None:
        """Take it back."""
        assert key.namespace == "team"
        self.listed.pop(key.name, None)

    def end_list(self, resource_version: str) -> None:
        """That was all."""
        self.known, self.version = self.listed, resource_version

    def apply(self, head: object, raw: object) -> None:
        """Take an event, which is of no list."""


def _read(*lines: bytes | ApiError) -> tuple[_Sink, _Api]:
    sink, api = _Sink(), _Api(*lines)
    StreamedList(api, "/x", {"labelSelector": "a=b"}, sink, lambda: None).read()
    return sink, api


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_all_that_was_sent_is_the_list(count: int) -> None:
    """However many objects; of what follows the last bookmark nothing is read. The server is asked as it demands."""
    sink, api = _read(
        *(_event("ADDED", f"r{number}") for number in range(count)),
        _event("BOOKMARK", version=8, **_END),
        _event("ADDED", "later"),
    )
    assert sink.known == {f"r{number}": 7 for number in range(count)}
    assert sink.version == "8"
    (query,) = api.asked
    assert query["labelSelector"] == "a=b"
    assert (query["watch"], query["sendInitialEvents"], query["allowWatchBookmarks"]) == ("true", "true", "true")
    assert query["resourceVersionMatch"] == "NotOlderThan"
    assert "resourceVersion" not in query


def test_what_happens_meanwhile_is_in_the_list() -> None:
    """Objects that change, go and come again while the list is sent are there as they were last."""
    sink, _ = _read(
        *(_event("ADDED", name) for name in ("a", "b", "c", "d")),
        _event("MODIFIED", "a", 8),
        _event("DELETED", "b", 9),
        _event("DELETED", "c", 10),
        _event("ADDED", "c", 11),
        _event("ADDED", "e", 12),
        _event("BOOKMARK", version=12, **_END),
    )
    assert sink.known == {"a": 8, "c": 11, "d": 7, "e": 12}


@pytest.mark.parametrize(
    ("lines", "is_for_good"),
    [
        pytest.param([ApiInvalid("sendInitialEvents: Forbidden", 422)], True, id="a server that does not know it"),
        pytest.param([ApiError("bad", 400)], True, id="one that finds it wrong"),
        pytest.param([_event("ADDED", "a"), _event("BOOKMARK")], True, id="one that takes no notice"),
        pytest.param([_event("ADDED", "a"), _event("BOOKMARK", version=0, **_END)[:-40] + b"}}}"], False, id="rubbish"),
        pytest.param([_event("ADDED", "a")], True, id="an end without a word"),
        pytest.param([ApiForbidden("no", 403)], False, id="no permission"),
        pytest.param([ApiNotFound("no", 404)], False, id="no such kind"),
        pytest.param([_event("ADDED", "a"), b"{"], False, id="no JSON"),
        pytest.param([b'{"type":"ERROR","object":{"code":410}}'], False, id="gone"),
    ],
)
def test_pages_may_do_where_a_stream_does_not(lines: list[bytes | ApiError], is_for_good: bool) -> None:  # noqa: FBT001 - a case
    """Nothing of such a list is taken for all that there is, and pages are asked for at once; for good, where streams are unknown."""
    sink, api = _Sink(), _Api(*lines)
    with pytest.raises(NotStreamed) as raised:
        StreamedList(api, "/x", {}, sink, lambda: None).read()
    assert raised.value.is_for_good == is_for_good
    assert sink.known is None


@pytest.mark.parametrize(
    "error",
    [ApiUnreachable("cut"), ApiUnauthorized("no", 401), ApiBusy("later", 429, 5.0)],
    ids=["unreachable", "unauthorized", "busy"],
)
@pytest.mark.parametrize("first", [[], [_event("ADDED", "a")]], ids=["at once", "in the midst"])
def test_who_cannot_answer_is_not_asked_in_another_way_at_once(error: ApiError, first: list[bytes]) -> None:
    """There is a pause as after any failure, and then pages; after them a stream is tried again."""
    api, sink = _Api(*first, error), _Sink()
    handle = Handle()
    pauses: list[tuple[int, int]] = []

    def pause(_: float) -> None:
        pauses.append((len(api.asked), api.pages))
        if len(pauses) == 2:
            handle.stop()

    handle.pause = pause  # type: ignore[method-assign, assignment]
    Reflector(api, ROUTES, sink, handle=handle, observer=_Nobody(), pace=Pace(asks_for_all=False)).run()
    assert pauses[0] == (1, 0)
    # The pages, and the watch from there, which fares as the stream did.
    assert pauses[1] == (2, 1)
    assert api.asked[1]["resourceVersion"] == "9"


class _Nobody:
    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count nothing."""


def test_a_server_that_never_says_that_this_was_all_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that takes no notice of what was asked for, and on which there is always something new."""
    monkeypatch.setattr(streamed, "_LONGEST_S", 0.0)
    with pytest.raises(NotStreamed) as raised:
        _read(*(_event("ADDED", f"r{number}") for number in range(1_000)), ApiUnreadable("not read so far"))
    assert raised.value.is_for_good
