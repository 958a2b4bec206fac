"""How long a watch pauses before it is begun again, and from where it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from router.cluster.decoding import Head
from router.cluster.handle import Handle
from router.cluster.kinds import ROUTES
from router.cluster.reflector import Pace, Reflector
from router.errors import ApiBusy, ApiError, ApiUnreachable
from router.kube.api import Query
from tests.support.unused_api import UnusedApi

PAUSES_S = (0.2, 15.0)
TURNS = 8


class Pauses(Handle):
    """Notes pauses in the place of making them, and stops after some."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_s: list[float] = []

    def pause(self, seconds: float) -> None:
        """Note it."""
        self.taken_s.append(seconds)
        if len(self.taken_s) == TURNS:
            self.stop()


class CutStreams(UnusedApi):
    """An API with no objects, of which every stream opens and is cut."""

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - as ``Api`` has it
        """Give an empty list."""
        return b'{"metadata":{"resourceVersion":"7"},"items":[]}'

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[CutStreams]:  # noqa: ARG002 - as above
        """Open a stream."""
        yield self

    def lines(self) -> Iterator[bytes]:
        """Be cut."""
        raise ApiUnreachable("cut")
        yield b""

    def close(self) -> None:
        """Nothing waits."""


class Nobody:
    """Takes objects, and counts, and does nothing with it."""

    def begin_list(self) -> None:
        """Begin."""

    def add_page(self, items: object) -> None:
        """Take nothing."""

    def leave_out(self, key: object) -> None:
        """Take nothing back."""

    def end_list(self, resource_version: str) -> None:
        """End."""

    def apply(self, head: Head, raw: object) -> None:
        """Take nothing."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count nothing."""


class LastingStream(CutStreams):
    """A stream with one bookmark, which then says nothing until it may end."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def lines(self) -> Iterator[bytes]:
        """Give the bookmark, and wait."""
        yield b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}'
        self.has_begun.set()
        assert self.may_end.wait(20)


@pytest.mark.parametrize("live_s", [30.0, 0.0])
def test_only_an_open_stream_that_was_heard_lately_is_live(live_s: float) -> None:
    """Before it is open, after silence, and when it has ended, what happens may not be brought."""
    api, handle = LastingStream(), Pauses()
    reflector = Reflector(
        api,
        ROUTES,
        Nobody(),
        handle=handle,
        observer=Nobody(),
        pace=Pace(asks_for_all=False, streams_lists=False, live_s=live_s),
    )
    assert not reflector.is_live
    thread = threading.Thread(target=reflector.run)
    thread.start()
    assert api.has_begun.wait(20)
    assert reflector.is_live == (live_s > 0)
    handle.stop()
    api.may_end.set()
    thread.join(20)
    assert not reflector.is_live


@pytest.mark.parametrize(
    ("well_after_s", "longest_s"),
    [(0.0, PAUSES_S[0]), (1e9, PAUSES_S[1])],
    ids=["streams that lasted", "streams that did not"],
)
def test_pauses_grow_only_while_streams_do_not_last(well_after_s: float, longest_s: float) -> None:
    """A stream that brought nothing but lasted is a success: the fault after it is the first of a row, not the next."""
    handle = Pauses()
    pace = Pace(asks_for_all=False, streams_lists=False, pauses_s=PAUSES_S, well_after_s=well_after_s)
    Reflector(CutStreams(), ROUTES, Nobody(), handle=handle, observer=Nobody(), pace=pace).run()
    assert longest_s / 2 <= handle.taken_s[-1] <= longest_s


class RefusedWatches(CutStreams):
    """An API of which lists go well and watches fail; counts both."""

    def __init__(self, error: ApiError) -> None:
        self.error = error
        self.lists = 0
        self.watched_from: list[str] = []

    def get(self, path: str, query: Query | None = None) -> bytes:
        """Count, and give an empty list."""
        self.lists += 1
        return super().get(path, query)

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[CutStreams]:  # noqa: ARG002 - as above
        """Be refused."""
        self.watched_from.append(query["resourceVersion"])
        raise self.error
        yield self


def test_a_server_that_asks_to_wait_is_asked_to_watch_again_and_nothing_else() -> None:
    """The pause is at least what it asked for, and the place where the watch was is kept, however often it says so."""
    api, handle = RefusedWatches(ApiBusy("429", 429, 30.0)), Pauses()
    Reflector(
        api,
        ROUTES,
        Nobody(),
        handle=handle,
        observer=Nobody(),
        pace=Pace(asks_for_all=False, streams_lists=False, pauses_s=PAUSES_S),
    ).run()
    assert (api.lists, api.watched_from) == (1, ["7"] * TURNS)
    assert handle.taken_s == [30.0] * TURNS


class ErrorsInStreams(RefusedWatches):
    """An API of which each stream brings the same ERROR event at once."""

    def __init__(self, event: bytes) -> None:
        super().__init__(ApiError("never raised"))
        self.event = event

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[CutStreams]:  # noqa: ARG002 - as above
        """Open a stream."""
        self.watched_from.append(query["resourceVersion"])
        yield self

    def lines(self) -> Iterator[bytes]:
        """Give the event."""
        yield self.event


@pytest.mark.parametrize(
    ("event", "lists"),
    [
        (b'{"type":"ERROR","object":{"code":500,"message":"cannot decode"}}', TURNS / 2),
        (b'{"type":"ADDED","object":', TURNS / 2),
        (b'{"type":"ERROR","object":{"code":503,"details":{"retryAfterSeconds":30}}}', 1),
    ],
    ids=["internal error", "unreadable", "unavailable"],
)
def test_what_a_watch_cannot_get_past_is_listed_at_the_second_time(event: bytes, lists: int) -> None:
    """One error in a stream is no reason for a list; a place that no watch gets past is. A server that is busy is waited for."""
    api, handle = ErrorsInStreams(event), Pauses()
    Reflector(
        api,
        ROUTES,
        Nobody(),
        handle=handle,
        observer=Nobody(),
        pace=Pace(asks_for_all=False, streams_lists=False, pauses_s=(0.2, 15.0)),
    ).run()
    assert api.lists == lists
    assert len(api.watched_from) == TURNS
    if lists == 1:
        assert handle.taken_s == [30.0] * TURNS
