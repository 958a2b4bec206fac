"""Lists, page by page: what is asked, and what begins anew."""

from __future__ import annotations

import json

import pytest

from router.errors import ApiError, ApiGone, ApiUnreachable, ApiUnreadable
from router.kube.api import Query
from router.kube.pages import Pages
from tests.support.unused_api import UnusedApi

_GONE = ApiGone("the continue token has expired", 410)


class Answers(UnusedApi):
    """Gives one answer after another, and remembers the queries."""

    def __init__(self, *answers: bytes | ApiError) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    def get(self, path: str, query: Query | None = None) -> bytes:
        """Give the next answer."""
        assert path == "/things"
        self.asked.append(dict(query or {}))
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


def _page(*items: int, go_on: str = "") -> bytes:
    return json.dumps({"metadata": {"resourceVersion": "7", "continue": go_on}, "items": items}).encode()


def _read_all(pages: Pages) -> list[tuple[list[bytes], bool]]:
    read = []
    while not pages.is_over:
        page = pages.read()
        assert page.resource_version == "7"
        read.append(([bytes(item) for item in page.items], page.is_first))
    return read


def test_pages_follow_each_other() -> None:
    """Each page is asked for by the token of the one before, with the same selector and limit."""
    api = Answers(_page(1, 2, go_on="a"), _page(3, 4, go_on="b"), _page(5))
    assert _read_all(Pages(api, "/things", {"labelSelector": "x"}, 2)) == [
        ([b"1", b"2"], True),
        ([b"3", b"4"], False),
        ([b"5"], False),
    ]
    base = {"labelSelector": "x", "limit": "2"}
    assert api.asked == [base, {**base, "continue": "a"}, {**base, "continue": "b"}]


def test_an_empty_list_is_one_page() -> None:
    """Where there is nothing, ``items`` may be null or absent."""
    api = Answers(b'{"metadata": {"resourceVersion": "7"}, "items": null}')
    assert _read_all(Pages(api, "/things")) == [([], True)]


def test_pages_that_took_too_long_begin_anew_as_one() -> None:
    """A token that expired begins the list again, without a limit; its first page says that the former ones do not count."""
    api = Answers(_page(1, go_on="a"), _GONE, _page(1, 2))
    assert _read_all(Pages(api, "/things", {"labelSelector": "x"}, 1)) == [([b"1"], True), ([b"1", b"2"], True)]
    assert api.asked[-1] == {"labelSelector": "x"}


def test_gone_at_the_first_page_is_told() -> None:
    """Only a list that has begun can begin anew."""
    with pytest.raises(ApiGone):
        Pages(Answers(_GONE), "/things").read()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(ApiUnreachable("away"), ApiUnreachable, id="away"),
        pytest.param(b"<html>", ApiUnreadable, id="no JSON"),
    ],
)
def test_after_a_failure_the_same_page_comes_next(fault: bytes | ApiError, error: type[ApiError]) -> None:
    """A page that could not be had is asked for again, and nothing is skipped."""
    api = Answers(_page(1, go_on="a"), fault, _page(2))
    pages = Pages(api, "/things", size=1)
    pages.read()
    with pytest.raises(error):
        pages.read()
    assert not pages.is_over
    assert _read_all(pages) == [([b"2"], False)]
    assert api.asked[1] == api.asked[2]
