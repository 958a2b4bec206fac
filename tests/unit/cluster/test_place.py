"""What makes the place where a watch goes on be given up, and what does not."""

from __future__ import annotations

import pytest

from router.cluster.place import ErrorEvent, Mute, Place
from router.errors import (
    ApiBusy,
    ApiError,
    ApiForbidden,
    ApiGone,
    ApiInvalid,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
    ApiUnreadable,
)


def _at(version: str = "7") -> Place:
    place = Place()
    place.listed(version)
    return place


@pytest.mark.parametrize(
    "error",
    [
        ApiUnreachable("refused"),
        ApiBusy("429", 429),
        ApiBusy("503", 503),
        ApiUnauthorized("401", 401),
        ApiForbidden("403", 403),
        ApiNotFound("404", 404),
    ],
    ids=str,
)
def test_failures_that_say_nothing_of_a_place_leave_it(error: ApiError) -> None:
    """However often they come."""
    place = _at()
    for _ in range(10):
        place.failed(error, is_watching=True)
    assert place.version == "7"


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (ApiGone("410", 410), 1),
        (ApiError("400", 400), 1),
        (ApiInvalid("422", 422), 1),
        (ErrorEvent("ERROR", 500), 2),
        (ApiUnreadable("no JSON"), 2),
        (Mute("silent"), 2),
    ],
    ids=str,
)
def test_a_place_that_is_no_good_is_given_up(error: ApiError, times: int) -> None:
    """At once where the server says so; where the watch only gets nowhere, at the second time."""
    place = _at()
    for _ in range(times):
        assert place.version == "7"
        place.failed(error, is_watching=True)
    assert place.version is None


def test_a_stream_that_said_something_since_is_not_stuck() -> None:
    """Errors in a stream count in a row only; a bookmark of the same place says that the stream is alive."""
    place = _at()
    for _ in range(5):
        place.failed(Mute("silent"), is_watching=True)
        assert not place.reached("7")
    assert place.reached("8")
    assert place.version == "8"
