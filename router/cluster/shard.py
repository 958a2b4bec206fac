"""The Routes of this router's shard: which of those that the API has go into the store, and what else they make wanted.

Every Route that the watches bring is kept here, also of namespaces that ``--namespace-selector`` does not take now, so that a
namespace that gains the label comes at once, and as it is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Protocol

import structlog

from router.admission.route import services_of
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Store

log = structlog.get_logger()


class Follower(Protocol):
    """Who keeps objects of the Services that Routes refer to."""

    def knows(self, services: frozenset[ObjectKey]) -> bool:
        """Say whether ``want`` has to ask the API server nothing for these Services, as it is now."""

    def want(self, services: frozenset[ObjectKey]) -> None:
        """Have the objects of these Services in the store when this returns, if the API server lets."""

    def drop(self, services: frozenset[ObjectKey]) -> None:
        """Have them there no longer."""


class Shard:
    """Brings Routes into the store, after the objects that they refer to.

    Args:
        store: is told of every change.
        is_ours: whether a Route is this router's; only what such Routes refer to is followed.
        followers: of Services and of their endpoints.
        executor: to ask several followers at a time.
        selects_namespaces: whether only Routes of the namespaces that ``select`` names go into the store.
    """

    def __init__(
        self,
        store: Store,
        is_ours: Callable[[Route], bool],
        followers: tuple[Follower, ...],
        executor: Executor,
        *,
        selects_namespaces: bool,
    ) -> None:
        self._store = store
        self._is_ours = is_ours
        self._followers = followers
        self._executor = executor
        self._lock = threading.Lock()
        """Held for an instant only, so that no watch waits for what is fetched."""
        self._publishing = threading.Lock()
        """Held by who brings Routes into the store."""
        self._pending: dict[ObjectKey, Route | None] = {}
        """What is to be published: the Routes of all events that came while others were."""
        self._is_scheduled = False
        self._failure: BaseException | None = None
        self._routes: dict[str, dict[ObjectKey, Route]] = {}
        """By namespace."""
        self._selected: frozenset[str] | None = frozenset() if selects_namespaces else None
        self._references: dict[ObjectKey, frozenset[ObjectKey]] = {}
        """Of Routes in the store that are ours."""
        self._users: Counter[ObjectKey] = Counter()
        """How many Routes refer to a Service."""

    @property
    def held(self) -> int:
        """How many Routes are kept."""
        return sum(map(len, tuple(self._routes.values())))

    def put(self, route: Route) -> None:
        """Take a Route that was added or changed."""
        with self._lock:
            key = route.key
            self._routes.setdefault(key.namespace, {})[key] = route
            self._will_publish({key: route})
        self._schedule()

    def delete(self, key: ObjectKey) -> None:
        """Take note that a Route is gone."""
        with self._lock:
            self._forget(key)
            self._will_publish({key: None})
        self._schedule()

    def replace(self, namespace: str, routes: Mapping[ObjectKey, Route], kept: frozenset[ObjectKey]) -> None:
        """Take these for all Routes of a namespace (empty: of all); those of ``kept`` stay as they are."""
        with self._lock:
            there = {
                key for name, members in self._routes.items() if not namespace or name == namespace for key in members
            }
            gone = there - routes.keys() - kept
            for key in gone:
                self._forget(key)
            for key, route in routes.items():
                self._routes.setdefault(key.namespace, {})[key] = route
            changes: dict[ObjectKey, Route | None] = {**dict.fromkeys(gone), **routes}
            self._will_publish(changes)
        self._flush()

    def select(self, namespaces: frozenset[str]) -> None:
        """Take Routes of these namespaces only from now on."""
        with self._lock:
            former = self._selected or frozenset()
            self._selected = namespaces
            changes: dict[ObjectKey, Route | None] = {}
            for name in former - namespaces:
                changes.update(dict.fromkeys(self._routes.get(name, ())))
            for name in namespaces - former:
                changes.update(self._routes.get(name, {}))
            self._pending.update(changes)
        self._flush()

    def _is_selected(self, namespace: str) -> bool:
        return self._selected is None or namespace in self._selected

    def _forget(self, key: ObjectKey) -> None:
        members = self._routes.get(key.namespace, {})
        members.pop(key, None)
        if not members:
            self._routes.pop(key.namespace, None)

    def _will_publish(self, changes: Mapping[ObjectKey, Route | None]) -> None:
        self._pending.update({key: route for key, route in changes.items() if self._is_selected(key.namespace)})

    def _schedule(self) -> None:
        """Have what is pending published: at once if nothing must be fetched for it, else soon.

        What comes until then goes with it, which is fetched together.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise RuntimeError("Routes cannot be published") from failure
            if self._is_scheduled or not self._pending:
                return
        self._publish_known()
        with self._lock:
            if self._is_scheduled or not self._pending:
                return
            self._is_scheduled = True
        # An executor that was shut down takes nothing any more: the input stops.
        with suppress(RuntimeError):
            self._executor.submit(self._flush).add_done_callback(self._published)

    def _publish_known(self) -> None:
        """Publish what is pending and needs no fetch, unless somebody else publishes."""
        if not self._publishing.acquire(blocking=False):
            return
        try:
            with self._lock:
                known = {key: route for key, route in self._pending.items() if self._is_known(route)}
                for key in known:
                    del self._pending[key]
            self._publish(known)
        finally:
            self._publishing.release()

    def _is_known(self, route: Route | None) -> bool:
        """Say whether a Route refers to nothing that must be fetched."""
        if route is None or not self._is_ours(route):
            return True
        services = services_of(route)
        return all(follower.knows(services) for follower in self._followers)

    def _published(self, job: Future[None]) -> None:
        """Look at what became of a job: the watch that comes next ends by its failure, and that is seen."""
        error = job.exception()
        if error is not None:
            log.critical("routes not published", problem=repr(error))
            self._failure = error

    def _flush(self) -> None:
        """Publish all that is pending; when this returns it is in the store."""
        with self._publishing:
            with self._lock:
                # Not earlier: jobs that wait here, one after the other, would leave the executor no thread to fetch with.
                self._is_scheduled = False
                changes, self._pending = self._pending, {}
            try:
                self._publish(changes)
            except BaseException:
                with self._lock:
                    # What came meanwhile is newer. Whoever publishes next takes these along.
                    self._pending = {**changes, **self._pending}
                raise

    def _publish(self, changes: Mapping[ObjectKey, Route | None]) -> None:
        """Bring Routes into the store, or out of it: first what they newly refer to, at last what nobody refers to now."""
        if not changes:
            return
        before = {service for key in changes for service in self._references.get(key, ())}
        for key, route in changes.items():
            self._users.subtract(self._references.pop(key, ()))
            if route is not None and self._is_ours(route):
                references = services_of(route)
                self._references[key] = references
                self._users.update(references)
        after = {service for key in changes for service in self._references.get(key, ())}
        unused = frozenset(service for service in before if self._users[service] <= 0)
        for service in unused:
            del self._users[service]
        wanted = frozenset(after - before)
        if wanted:
            self._want(wanted)
        self._store.apply(
            {(Route, key): route for key, route in changes.items() if route is not None},
            frozenset((Route, key) for key, route in changes.items() if route is None),
        )
        if unused:
            for follower in self._followers:
                follower.drop(unused)

    def _want(self, services: frozenset[ObjectKey]) -> None:
        if all(follower.knows(services) for follower in self._followers):
            for follower in self._followers:
                follower.want(services)
            return
        # At the same time, and what they raise is raised here.
        first, *others = self._followers
        jobs = [self._executor.submit(follower.want, services) for follower in others]
        first.want(services)
        for job in jobs:
            job.result()
