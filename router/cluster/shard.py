"""What asks in this router's shard: which Routes of those that the API has go into the store, and what else they, and Services that ask, make wanted.

Every Route, and every Service that asks, that the watches bring is kept here, also of namespaces that ``--namespace-selector`` does not take now, so that a
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

from router.admission.gateway.backends import services_of
from router.admission.kinds import KINDS
from router.cluster.referred import Referred
from router.objects.core import Service
from router.objects.gateway import TcpRoute, TlsRoute
from router.objects.kinds import ASKING, AskingObject, Brought, Slot
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Store
from router.objects.tcp_route_policy import TcpRoutePolicy

log = structlog.get_logger()

_FIRST_READ_S = 12.0
"""So long a first list waits for what its Routes refer to by name: by then it is known, or that the API server does not say."""


class Follower(Protocol):
    """Who keeps objects of the Services that Routes refer to, or that ask themselves."""

    def knows(self, services: frozenset[ObjectKey]) -> bool:
        """Say whether ``want`` has to ask the API server nothing for these Services, as it is now."""

    def want(self, services: frozenset[ObjectKey]) -> None:
        """Have the objects of these Services in the store when this returns, if the API server lets."""

    def drop(self, services: frozenset[ObjectKey]) -> None:
        """Have them there no longer."""


class Shard:
    """Brings Routes, and what else asks, into the store, after the objects that they refer to.

    Args:
        store: is told of every change.
        is_ours: whether an object is this router's; only what such ones refer to is followed. Of Services those that ask come here alone.
        followers: of Services and of their endpoints.
        executor: to ask several followers at a time.
        referred: what else they refer to, by name.
        selects_namespaces: whether only Routes of the namespaces that ``select`` names go into the store.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        store: Store,
        is_ours: Callable[[AskingObject], bool],
        followers: tuple[Follower, ...],
        executor: Executor,
        *,
        referred: Referred,
        selects_namespaces: bool,
    ) -> None:
        self._store = store
        self._is_ours = is_ours
        self._followers = followers
        self._executor = executor
        self._referred = referred
        referred.arrived = self._arrived
        self._lock = threading.Lock()
        """Held for an instant only, so that no watch waits for what is fetched."""
        self._publishing = threading.Lock()
        """Held by who brings Routes into the store."""
        self._pending: dict[Slot, Brought | None] = {}
        """What is to be published: the objects of all events that came while others were."""
        self._is_scheduled = False
        self._failure: BaseException | None = None
        self._objects: dict[type[Brought], dict[str, dict[ObjectKey, Brought]]] = {
            kind: {} for kind in (*ASKING.values(), TcpRoute, TlsRoute, TcpRoutePolicy)
        }
        """By kind, then by namespace."""
        self._selected: frozenset[str] | None = frozenset() if selects_namespaces else None
        self._references: dict[Slot, tuple[ObjectKey, ...]] = {}
        """Of Routes in the store that are ours, and of Services that ask: of each the Services that it leads to."""
        self._users: Counter[ObjectKey] = Counter()
        """How many refer to a Service."""

    def held(self, kind: type[Brought] = Route) -> int:
        """Give how many of a kind are kept."""
        return sum(map(len, tuple(self._objects[kind].values())))

    @property
    def has_others_than_routes(self) -> bool:
        """Whether anything but Routes asks to be served."""
        return any(
            self.takes(namespace)
            for kind, members in self._objects.items()
            if kind not in {Route, TcpRoutePolicy}
            for namespace in tuple(members)
        )

    def takes(self, namespace: str) -> bool:
        """Say whether what asks in a namespace is of this shard."""
        return self._selected is None or namespace in self._selected

    def put(self, obj: Brought) -> None:
        """Take a Route, or a Service that asks, that was added or changed."""
        with self._lock:
            key = obj.key
            self._objects[type(obj)].setdefault(key.namespace, {})[key] = obj
            self._will_publish({(type(obj), key): obj})
        self._schedule()

    def delete(self, kind: type[Brought], key: ObjectKey) -> None:
        """Take note that one is gone, or asks no more; one that was not there is passed over."""
        with self._lock:
            if kind is Service and key not in self._objects[kind].get(key.namespace, ()):
                return
            self._forget(kind, key)
            self._will_publish({(kind, key): None})
        self._schedule()

    def replace(
        self,
        kind: type[Brought],
        namespace: str,
        objects: Mapping[ObjectKey, Brought],
        kept: frozenset[ObjectKey] = frozenset(),
    ) -> None:
        """Take these for all of a kind in a namespace (empty: in all); those of ``kept`` stay as they are."""
        with self._lock:
            there = {
                key
                for name, members in self._objects[kind].items()
                if not namespace or name == namespace
                for key in members
            }
            gone = there - objects.keys() - kept
            for key in gone:
                self._forget(kind, key)
            for key, obj in objects.items():
                self._objects[kind].setdefault(key.namespace, {})[key] = obj
            changes: dict[Slot, Brought | None] = dict.fromkeys((kind, key) for key in gone)
            changes.update({(kind, key): obj for key, obj in objects.items()})
            self._will_publish(changes)
        self._flush()
        if not self._store.is_synced:
            # Nobody who was served before this router began is closed for what is only being read.
            self._referred.wait(_FIRST_READ_S)

    def release(self, services: frozenset[ObjectKey]) -> None:
        """Have Services no longer that were wanted for what a list said that did not come to its end."""
        if not services:
            return
        with self._publishing:
            unused = frozenset(service for service in services if self._users[service] <= 0)
            if unused:
                self._drop(unused)

    def select(self, namespaces: frozenset[str]) -> None:
        """Take what asks in these namespaces only from now on."""
        with self._lock:
            former = self._selected or frozenset()
            self._selected = namespaces
            changes: dict[Slot, Brought | None] = {}
            for kind, by_namespace in self._objects.items():
                for name in former - namespaces:
                    changes.update(dict.fromkeys((kind, key) for key in by_namespace.get(name, ())))
                for name in namespaces - former:
                    changes.update({(kind, key): obj for key, obj in by_namespace.get(name, {}).items()})
            self._pending.update(changes)
        self._flush()

    def _forget(self, kind: type[Brought], key: ObjectKey) -> None:
        members = self._objects[kind].get(key.namespace, {})
        members.pop(key, None)
        if not members:
            self._objects[kind].pop(key.namespace, None)

    def _will_publish(self, changes: Mapping[Slot, Brought | None]) -> None:
        self._pending.update({slot: obj for slot, obj in changes.items() if self.takes(slot[1].namespace)})

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
                known = {slot: obj for slot, obj in self._pending.items() if self._is_known(obj)}
                for slot in known:
                    del self._pending[slot]
                self._referred.forget(known)
            self._publish(known)
        finally:
            self._publishing.release()

    def _is_known(self, obj: Brought | None) -> bool:
        """Say whether an object refers to nothing that must be fetched."""
        services = self._services_of(obj)
        return not services or all(follower.knows(services) for follower in self._followers)

    def _services_of(self, obj: Brought | None) -> frozenset[ObjectKey]:
        """Give what is to be followed for an object: nothing for those of others. Only Services that ask come here."""
        if obj is None or not self._concerns_us(obj):
            return frozenset()
        if isinstance(obj, TcpRoutePolicy):
            return frozenset()
        if isinstance(obj, TcpRoute | TlsRoute):
            return services_of(obj.spec.rules, obj.metadata.namespace)
        return KINDS[type(obj)].services_of(obj)

    def _concerns_us(self, obj: Brought) -> bool:
        return isinstance(obj, Service | TcpRoute | TlsRoute | TcpRoutePolicy) or self._is_ours(obj)

    def _arrived(self, key: ObjectKey) -> None:
        """Publish those that waited for an object that is named."""
        with self._lock:
            for slot, obj in self._referred.take_due(key).items():
                # What came meanwhile is newer.
                self._pending.setdefault(slot, obj)
        self._schedule()

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
                self._referred.forget(changes)
            try:
                self._publish(changes)
            except BaseException:
                with self._lock:
                    # What came meanwhile is newer. Whoever publishes next takes these along.
                    self._pending = {**changes, **self._pending}
                raise

    def _publish(self, changes: Mapping[Slot, Brought | None]) -> None:
        """Bring Routes into the store, or out of it: first what they newly refer to, at last what nobody refers to now.

        Services that ask are brought by those who follow what is referred to.
        """
        changes = self._referred.hold_back(changes, self._concerns_us)
        if not changes:
            return
        before = {service for slot in changes for service in self._references.get(slot, ())}
        for slot, obj in changes.items():
            self._users.subtract(self._references.pop(slot, ()))
            references = self._services_of(obj)
            if references:
                # As a tuple, which is a quarter as large.
                self._references[slot] = tuple(references)
                self._users.update(references)
        after = {service for slot in changes for service in self._references.get(slot, ())}
        unused = frozenset(service for service in before if self._users[service] <= 0)
        for service in unused:
            del self._users[service]
        wanted = frozenset(after - before)
        if wanted:
            self._want(wanted)
        brought = {slot: obj for slot, obj in changes.items() if slot[0] is not Service}
        self._store.apply(
            {slot: obj for slot, obj in brought.items() if obj is not None},
            frozenset(slot for slot, obj in brought.items() if obj is None),
        )
        if len(brought) < len(changes):
            self._store.wake()
        self._referred.published(changes, self._concerns_us)
        if unused:
            self._drop(unused)

    def _drop(self, services: frozenset[ObjectKey]) -> None:
        for follower in self._followers:
            follower.drop(services)

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
