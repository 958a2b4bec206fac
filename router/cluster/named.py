"""Follows single objects by their names, as long as somebody refers to them: each is asked for, and watched, by that one name.

So the router needs no right to read all objects of a kind, and it has none: who refers to an object grants the reading of that one. What is
found goes into the store as a ``Credential``; what is not there, or may not be read, does so, too, and says why.

Where an account is named, an object counts only while the API server says (SubjectAccessReview) that this account may get it. That is asked again
and again, for nobody tells of a right that was withdrawn. Where the API server does not answer, what it said last holds.

How much is done at a time has bounds, for who may write Routes may refer to any number of names: so many objects are watched, each with a
thread and a connection, and the others are looked at again after a while; and the looks at those of one namespace keep a distance.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count

import msgspec
import structlog

from router.cluster.handle import Handle
from router.cluster.named_object import Named, NamedKind, NamedPace
from router.cluster.reflector import Pace, Reflector, WatchObserver
from router.cluster.single import SingleSink
from router.errors import ApiError, ApiForbidden, ApiNotFound
from router.kube.api import Api
from router.kube.reviews import is_allowed
from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_LOOKERS = 4
_STOPS_WITHIN_S = 1.0


class NamedObjects:
    """Follows them, from the first reference to ``stop``.

    Args:
        api: the API server.
        store: is told.
        kind_of: gives the kind and the name of the object that a credential's key means.
        known: called when something is known of an object of which nothing was known before; any thread.
        observer: counts.
        pace: how often, and how many at a time.
        watch_pace: that of the watches.
        clock: seconds of a clock that never goes back.
        supervisor: owns the threads.
    """

    def __init__(  # noqa: PLR0913 - what it works with, and four with defaults
        self,
        api: Api,
        store: Store,
        kind_of: Callable[[ObjectKey], tuple[NamedKind, str]],
        known: Callable[[ObjectKey], None],
        observer: WatchObserver,
        *,
        pace: NamedPace | None = None,
        watch_pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._store = store
        self._kind_of = kind_of
        self._tell_known = known
        self._observer = observer
        self._pace = pace or NamedPace()
        # Of one object a stream is no faster than a page.
        self._watch_pace = watch_pace or Pace(streams_lists=False)
        self._clock = clock
        self._supervisor = supervisor
        self._condition = threading.Condition()
        self._named: dict[ObjectKey, Named] = {}
        self._due: list[tuple[float, int, Named]] = []
        """A heap: when, in which order, and whom to look at; those that are gone are passed over."""
        self._numbers = count()
        self._next_of_namespace: dict[str, float] = {}
        self._of_namespace: Counter[str] = Counter()
        self._watched: Counter[str] = Counter()
        """By namespace, as the one above."""
        self._is_stopping = False
        self._threads = [
            supervisor.own("named objects", self._run, ask_to_end=self._ask_to_end) for _ in range(_LOOKERS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def held(self) -> int:
        """How many objects are referred to; any thread."""
        return len(self._named)

    def knows(self, keys: Iterable[ObjectKey]) -> bool:
        """Say whether something is known of each; any thread."""
        with self._condition:
            return all((named := self._named.get(key)) is not None and named.known is not None for key in keys)

    def follow(self, keys: Iterable[ObjectKey]) -> None:
        """Follow these, once more each; any thread."""
        with self._condition:
            for key in keys:
                named = self._named.get(key)
                if named is None:
                    kind, name = self._kind_of(key)
                    named = self._named[key] = Named(key, kind, name, self._clock(), self._pace.retry_s)
                    self._of_namespace[key.namespace] += 1
                    self._look_in(named, 0.0)
                named.users += 1

    def leave(self, keys: Iterable[ObjectKey]) -> None:
        """Follow these, once less each; what nobody follows is in the store no longer. Any thread."""
        gone = []
        with self._condition:
            for key in keys:
                named = self._named[key]
                named.users -= 1
                if not named.users:
                    del self._named[key]
                    named.is_gone = True
                    gone.append(named)
                    self._of_namespace[key.namespace] -= 1
                    if not self._of_namespace[key.namespace]:
                        del self._of_namespace[key.namespace]
                        self._next_of_namespace.pop(key.namespace, None)
        for named in gone:
            self._end_watch(named)
            with self._condition:
                if named.key not in self._named:
                    self._store.delete(Credential, named.key)

    def stop(self) -> None:
        """Follow nothing any more; the store keeps what it has."""
        with self._condition:
            threads = [named.watch for named in self._named.values() if named.watch is not None]
        for thread in self._threads:
            thread.stop(0.0)
        for watch, _ in threads:
            watch.stop(0.0)
        ends_s = time.monotonic() + _STOPS_WITHIN_S
        for owned in (*self._threads, *(watch for watch, _ in threads)):
            owned.stop(max(0.0, ends_s - time.monotonic()))

    def _ask_to_end(self) -> None:
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def _look_in(self, named: Named, seconds: float) -> None:
        """Have one looked at, not before so many seconds; the condition is held."""
        namespace = named.key.namespace
        at_s = max(self._clock() + seconds, self._next_of_namespace.get(namespace, 0.0) if not seconds else 0.0)
        if not seconds:
            self._next_of_namespace[namespace] = at_s + self._pace.distance_s
        named.turn = next(self._numbers)
        heapq.heappush(self._due, (at_s, named.turn, named))
        self._condition.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            named, turn = due
            seconds = self._pace.again_s
            try:
                seconds = self._look(named)
            finally:
                with self._condition:
                    if not named.is_gone and named.turn == turn:
                        self._look_in(named, seconds)

    def _next(self) -> tuple[Named, int] | None:
        """Wait for one to look at, and give the number of that look; None at the end."""
        with self._condition:
            while not self._is_stopping:
                if not self._due:
                    self._condition.wait()
                    continue
                left_s = self._due[0][0] - self._clock()
                if left_s > 0:
                    self._condition.wait(left_s)
                    continue
                _, turn, named = heapq.heappop(self._due)
                if not named.is_gone and named.turn == turn:
                    return named, turn
            return None

    def _look(self, named: Named) -> float:
        """Review one, and read it; give the seconds until it is looked at again.

        Of one that is watched the watch says what is in it. That it may not be read any more only a request tells: a watch that is open goes on.
        """
        pace = self._pace
        with named.order:
            try:
                if not self._is_granted(named):
                    self._end_watch(named)
                    self._take(named, Credential.lacking(named.key, Lack.NOT_GRANTED, named.kind.account))
                    return pace.again_s
                found = self._read(named)
            except ApiError as error:
                return self._unanswered(named, error)
            named.problem, named.retry_s = "", pace.retry_s
            if found.lack is Lack.FORBIDDEN:
                self._end_watch(named)
            if named.watch is None:
                self._take(named, found)
            if found.lack is not Lack.FORBIDDEN:
                self._begin_watch(named)
        return pace.review_s if named.watch is not None else pace.again_s

    def _is_granted(self, named: Named) -> bool:
        """Say whether the account may get the object, as was said less than a while ago, or is now."""
        account = named.kind.account
        if not account:
            return True
        now_s = self._clock()
        if named.reviewed_s is not None and now_s - named.reviewed_s < self._pace.review_s:
            return True
        attributes = {
            "verb": "get",
            "group": named.kind.resource.group,
            "resource": named.kind.resource.name,
            "namespace": named.key.namespace,
            "name": named.name,
        }
        is_granted = is_allowed(self._api, {"user": account}, attributes)
        named.reviewed_s = now_s if is_granted else None
        return is_granted

    def _read(self, named: Named) -> Credential:
        try:
            body = self._api.get(f"{named.kind.resource.path(named.key.namespace)}/{named.name}")
        except ApiNotFound:
            return Credential.lacking(named.key, Lack.ABSENT)
        except ApiForbidden:
            return Credential.lacking(named.key, Lack.FORBIDDEN)
        return self._decoded(named, body)

    def _decoded(self, named: Named, body: bytes | msgspec.Raw | None) -> Credential:
        if body is None:
            return Credential.lacking(named.key, Lack.ABSENT)
        found = named.kind.read(bytes(body))
        # Whatever it says itself: it is that which was asked for.
        return msgspec.structs.replace(found, metadata=Credential.lacking(named.key, Lack.NOTHING).metadata)

    def _unanswered(self, named: Named, error: ApiError) -> float:
        """Take note that the API server did not say: what it said last holds, and after a while that it says nothing is told."""
        is_refused = isinstance(error, ApiForbidden)
        is_late = is_refused or self._clock() - named.since_s >= self._pace.patience_s
        if named.known is None and is_late:
            self._take(named, Credential.lacking(named.key, Lack.UNKNOWN, str(error)))
        if named.problem != str(error):
            named.problem = str(error)
            about = {"namespace": named.key.namespace, "name": named.name, "problem": named.problem}
            log.warning("object not read", kind=named.kind.resource.name, **about)
        seconds, named.retry_s = named.retry_s, min(2 * named.retry_s, self._pace.again_s)
        return self._pace.again_s if is_refused else seconds

    def _take(self, named: Named, found: Credential) -> None:
        """Tell the store, and whoever waits; ``order`` is held."""
        with self._condition:
            former, named.known = named.known, found
            if named.is_gone:
                return
            if former != found:
                self._store.put(found)
        if former is None:
            self._tell_known(named.key)

    def _begin_watch(self, named: Named) -> None:
        namespace = named.key.namespace
        with self._condition:
            is_room = self._watched.total() < self._pace.watched
            if not is_room or self._watched[namespace] >= self._pace.watched_of_namespace or named.is_gone:
                return
            if named.watch is not None or self._is_stopping or self._clock() < named.unwatched_until_s:
                return
            self._watched[namespace] += 1
            handle = Handle()
            reflector = Reflector(
                self._api,
                named.kind.resource,
                SingleSink(lambda raw: self._see(named, handle, raw)),
                handle=handle,
                observer=_Watching(self._observer, lambda: self._lost(named, handle)),
                pace=self._watch_pace,
                namespace=namespace,
                name=named.name,
            )
            # Of all of them the same name: metrics have it for a label.
            thread = self._supervisor.own("watch named object", reflector.run, ask_to_end=handle.stop)
            named.watch = thread, handle
        thread.start()

    def _see(self, named: Named, handle: Handle, raw: msgspec.Raw | None) -> None:
        """Take what a watch brought, unless it was ended meanwhile."""
        found = self._decoded(named, raw)
        with named.order:
            if not handle.is_stopping:
                self._take(named, found)

    def _lost(self, named: Named, handle: Handle) -> None:
        """Look soon at one that may not be watched now; called by the watch."""
        with self._condition:
            if named.watch is None or named.watch[1] is not handle or named.is_gone:
                return
            named.unwatched_until_s = self._clock() + self._pace.again_s
            self._look_in(named, 0.0)
        self._end_watch(named)

    def _end_watch(self, named: Named) -> None:
        with self._condition:
            watch, named.watch = named.watch, None
            if watch is not None:
                self._watched[named.key.namespace] -= 1
                self._watched += Counter()  # without those of nought
        if watch is not None:
            watch[0].stop(0.0)


class _Watching:
    """An observer that tells when a watch is refused."""

    def __init__(self, observer: WatchObserver, refused: Callable[[], None]) -> None:
        self._observer = observer
        self._refused = refused

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count, and tell."""
        self._observer.watch_restarted(kind, cause)
        if cause == "forbidden":
            self._refused()
