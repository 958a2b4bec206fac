"""What is said of a kind that may not be read, by what the API server says that it has."""

from __future__ import annotations

import pytest

from router.cluster.gateways import GATEWAYS, POLICIES
from router.cluster.withheld import WithheldKinds
from router.errors import ApiError, ApiForbidden, ApiNotFound, ApiUnreachable
from router.kube.api import Query
from router.objects.store import Store
from tests.support.unused_api import UnusedApi

LISTED = b'{"kind": "APIResourceList", "resources": [{"name": "portclaims"}, {"name": "tcproutepolicies"}]}'
OTHERS = b'{"kind": "APIResourceList", "resources": [{"name": "portclaims"}]}'


class Discovery(UnusedApi):
    """Says what it has, or fails."""

    def __init__(self, answer: bytes | ApiError) -> None:
        self.answers = answer
        self.asked: list[str] = []

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - as the others have it
        """Answer."""
        self.asked.append(path)
        if isinstance(self.answers, ApiError):
            raise self.answers
        return self.answers


class Counting:
    """An observer."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def watch_restarted(self, kind: str, cause: str) -> None:  # noqa: ARG002 - one kind is enough here
        """Count."""
        self.causes.append(cause)


@pytest.mark.parametrize(
    ("cause", "answer", "is_withheld"),
    [
        pytest.param("forbidden", LISTED, True, id="there"),
        pytest.param("refused", LISTED, True, id="there and refused"),
        pytest.param("forbidden", OTHERS, False, id="its CRD is not there"),
        pytest.param("forbidden", ApiNotFound("none", 404), False, id="nor its version"),
        pytest.param("forbidden", ApiForbidden("no", 403), True, id="not said"),
        pytest.param("forbidden", ApiUnreachable("away"), True, id="no answer"),
        pytest.param("forbidden", b"<html>", True, id="no list"),
        pytest.param("absent", LISTED, False, id="absent"),
    ],
)
def test_what_cannot_be_ruled_out_counts_as_there(cause: str, answer: bytes | ApiError, *, is_withheld: bool) -> None:
    """The store is told, and all the same not kept waiting; taken back when it turns out that there is nothing."""
    store, api, counting, gone_on = Store(), Discovery(answer), Counting(), list[int]()
    kinds = WithheldKinds(counting, api, store)
    observer = kinds.observer(POLICIES, "team", "policies in team", lambda: False, lambda: gone_on.append(1))
    observer.watch_restarted("tcproutepolicies", cause)
    store.take()
    assert [each.namespace for each in store.objects.gateway_api.unread] == (["team"] if is_withheld else [])
    assert bool(kinds.said_of("policies in team")) is is_withheld
    assert (gone_on, counting.causes) == ([1], [cause])
    observer.watch_restarted("tcproutepolicies", "absent")
    store.take()
    assert not store.objects.gateway_api.unread
    assert kinds.said_of("policies in team") == ""


def test_nothing_is_said_of_what_was_read_nor_of_an_outage_nor_of_kinds_that_let_nobody_in() -> None:
    """What was known last holds; an API server that is away is waited for; without Gateways there is nothing to get at."""
    store, api, gone_on = Store(), Discovery(LISTED), list[int]()
    kinds = WithheldKinds(Counting(), api, store)
    known, unknown = (lambda: True), (lambda: False)
    for resource, is_listed, cause in ((POLICIES, known, "forbidden"), (POLICIES, unknown, "unreachable"), (GATEWAYS, unknown, "forbidden")):  # fmt: skip
        observer = kinds.observer(resource, "", resource.name, is_listed, lambda: gone_on.append(1))
        observer.watch_restarted(resource.name, cause)
        assert not store.take()[0].gateway_api
        assert kinds.said_of(resource.name) == ""
    assert api.asked == []
    assert gone_on == [1]
