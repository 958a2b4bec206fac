"""In which way a collection is listed, and what is asked for when that does not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from router.cluster import listing
from router.cluster.listing import Listing
from router.errors import ApiBusy, ApiError, ApiForbidden, ApiNotFound, ApiUnreachable, ApiUnreadable
from router.kube.api import Query
from tests.unit.cluster.test_streamed import _END, _Api, _event, _Sink

_ALL = json.dumps({
    "metadata": {"resourceVersion": "5"},
    "items": [{"metadata": {"name": "a", "namespace": "team", "resourceVersion": "4"}}],
}).encode()  # fmt: skip


class _All(_Api):
    """Answers a list in one piece by these bytes, or exceptions, one after another; and streams and pages as their base does."""

    def __init__(self, *answers: bytes | ApiError) -> None:
        super().__init__(_event("ADDED", "s"), _event("BOOKMARK", version=8, **_END))
        self.answers = list(answers)
        self.wholes = 0

    @contextmanager
    def answer(self, path: str, query: Query, silence_s: float) -> Iterator[Iterator[bytes]]:  # noqa: ARG002 - as ``Api`` has it
        """Begin to answer."""
        assert query == {"labelSelector": "a=b"}
        self.wholes += 1
        yield self._pieces(self.answers.pop(0))

    @staticmethod
    def _pieces(answer: bytes | ApiError) -> Iterator[bytes]:
        if isinstance(answer, ApiError):
            yield _ALL[:20]
            raise answer
        yield answer


def _listing(api: _All, sink: _Sink, *, streams: bool = True) -> Listing:
    return Listing(
        api=api, path="/x", selects={"labelSelector": "a=b"}, sink=sink, answered=lambda: None,
        log=structlog.get_logger(), page_size=500, asks_for_all=True, streams=streams,
    )  # fmt: skip


def test_one_answer_is_asked_for_first() -> None:
    """It is the list, and nothing else is asked."""
    api, sink = _All(_ALL, _ALL), _Sink()
    lists = _listing(api, sink)
    assert (lists.read(), lists.read()) == ("5", "5")
    assert sink.known == {"a": 4}
    assert (api.wholes, api.asked, api.pages) == (2, [], 0)


@pytest.mark.parametrize("error", [ApiUnreachable("cut"), ApiBusy("later", 429, 1.0)], ids=["cut", "busy"])
def test_after_an_answer_that_was_cut_others_are_smaller(error: ApiError) -> None:
    """There is a pause as after any failure; the next list is a stream, and when that came, one answer is asked for again."""
    api, sink = _All(error, _ALL), _Sink()
    lists = _listing(api, sink)
    with pytest.raises(type(error)):
        lists.read()
    assert sink.known is None
    assert (api.asked, api.pages) == ([], 0)
    assert lists.read() == "8"
    assert sink.known == {"s": 7}
    assert lists.read() == "5"


def test_pages_come_last() -> None:
    """Where there are no streams."""
    api, sink = _All(ApiUnreachable("cut")), _Sink()
    lists = _listing(api, sink, streams=False)
    with pytest.raises(ApiUnreachable):
        lists.read()
    assert (lists.read(), api.pages) == ("9", 1)


@pytest.mark.parametrize(
    "answer",
    [_ALL[:-3], b"rubbish", _ALL.replace(b'"5"', b'"5", "continue": "x"')],
    ids=["not all", "no list", "a part"],
)
def test_what_is_not_all_of_a_list_is_asked_for_in_another_way_at_once(answer: bytes) -> None:
    """The server answers well otherwise."""
    api, sink = _All(answer), _Sink()
    assert _listing(api, sink).read() == "8"
    assert sink.known == {"s": 7}


@pytest.mark.parametrize("error", [ApiForbidden("no", 403), ApiNotFound("no", 404)], ids=["forbidden", "absent"])
def test_who_says_no_is_not_asked_in_other_ways(error: ApiError) -> None:
    """It would say no to them, too, each time."""
    api = _All(error, _ALL)
    lists = _listing(api, _Sink())
    with pytest.raises(type(error)):
        lists.read()
    assert (lists.read(), api.asked, api.pages) == ("5", [], 0)


def test_an_answer_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that comes too slowly the next is a stream."""
    monkeypatch.setattr(listing, "_LONGEST_S", 0.0)
    lists = _listing(_All(_ALL), _Sink())
    with pytest.raises(ApiUnreachable, match="no whole answer within"):
        lists.read()
    assert lists.read() == "8"


def test_unreadable_is_what_it_is_called() -> None:
    """Where nothing else does, either."""
    api = _All(b"rubbish")
    api.get = lambda path, query=None: b"rubbish"  # type: ignore[method-assign] # noqa: ARG005 - as ``Api`` has it
    with pytest.raises(ApiUnreadable, match="the answer is no list"):
        _listing(api, _Sink(), streams=False).read()
