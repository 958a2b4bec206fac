"""Routes on their way into the store: in batches, after what they refer to, and never lost without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from router.cluster.named import NamedObjects
from router.cluster.referred import Referred
from router.cluster.shard import Shard
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteSpec, RouteTarget
from router.objects.store import Store
from tests.support.waiting import wait_for

_DEADLINE_S = 10.0


class _Follower:
    """Notes what is wanted; the first fetch waits until it may go on."""

    def __init__(self, fails: BaseException | None = None) -> None:
        self.wanted: list[frozenset[ObjectKey]] = []
        self.known: frozenset[ObjectKey] = frozenset()
        self.fetching = threading.Event()
        self.may_go_on = threading.Event()
        self._fails = fails

    def knows(self, services: frozenset[ObjectKey]) -> bool:
        """Say so of those that are told to be known, and of nothing."""
        return services <= self.known

    def want(self, services: frozenset[ObjectKey]) -> None:
        """Note, and wait for what is not known."""
        self.wanted.append(services)
        if services <= self.known:
            return
        self.fetching.set()
        assert self.may_go_on.wait(_DEADLINE_S)
        if self._fails is not None:
            raise self._fails

    def drop(self, services: frozenset[ObjectKey]) -> None:
        """Do nothing: it holds nothing."""


def _nobody(_known: Callable[[ObjectKey], None]) -> NamedObjects:
    raise AssertionError("no Route refers to anything by name")


def _route(name: str) -> Route:
    return Route(metadata=ObjectMeta(name=name, namespace="team"), spec=RouteSpec(to=RouteTarget(name=name)))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Threads to fetch with, as many as the input has."""
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture
def make(executor: ThreadPoolExecutor) -> Callable[[_Follower], tuple[Shard, Store]]:
    """Make a shard of all Routes, with one follower."""

    def made(follower: _Follower) -> tuple[Shard, Store]:
        store = Store()
        shard = Shard(
            store, lambda _: True, (follower,), executor, referred=Referred(_nobody), selects_namespaces=False
        )
        return shard, store

    return made


def _names(store: Store) -> set[str]:
    store.take()
    return {key.name for key in store.objects.routes}


def test_routes_that_come_during_a_fetch_are_fetched_together(make: Callable[[_Follower], tuple[Shard, Store]]) -> None:
    """No event waits for a fetch; what came meanwhile is one fetch more, and no Route is in the store before its own."""
    follower = _Follower()
    shard, store = make(follower)
    shard.put(_route("first"))
    assert follower.fetching.wait(_DEADLINE_S)
    for number in range(5):
        shard.put(_route(f"later-{number}"))
    shard.put(_route("gone"))
    shard.delete(Route, ObjectKey("team", "gone"))
    assert _names(store) == set()
    follower.may_go_on.set()
    wait_for(lambda: len(_names(store)) == 6, "all Routes")
    assert [len(wanted) for wanted in follower.wanted] == [1, 5]


def test_routes_whose_services_are_known_do_not_wait(make: Callable[[_Follower], tuple[Shard, Store]]) -> None:
    """They are in the store when the event was taken; but not before what is under way, lest an older Route come last."""
    follower = _Follower()
    follower.known = frozenset({ObjectKey("team", "known"), ObjectKey("team", "other")})
    shard, store = make(follower)
    shard.put(_route("known"))
    assert _names(store) == {"known"}
    shard.delete(Route, ObjectKey("team", "known"))
    assert _names(store) == set()

    shard.put(_route("fetched"))
    assert follower.fetching.wait(_DEADLINE_S)
    shard.put(_route("other"))
    assert _names(store) == set()
    follower.may_go_on.set()
    wait_for(lambda: _names(store) == {"fetched", "other"}, "both Routes")


def test_publishing_that_fails_ends_the_watch(make: Callable[[_Follower], tuple[Shard, Store]]) -> None:
    """A fault of our own is told, and the watch that brings the next Route ends by it: nobody believes that all is well."""
    follower = _Follower(fails=ValueError("a bug"))
    follower.may_go_on.set()
    shard, _ = make(follower)
    with structlog.testing.capture_logs() as lines:
        shard.put(_route("first"))
        wait_for(lambda: lines, "the log line")
    assert [line["event"] for line in lines] == ["routes not published"]

    def is_refused() -> bool:
        try:
            shard.put(_route("second"))
        except RuntimeError as error:
            return isinstance(error.__cause__, ValueError)
        return False

    wait_for(is_refused, "the next event to be refused")
