"""Namespaces: which of them are of this shard, and what their admins say of those in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from router.admission.policy_values import is_of_policy
from router.cluster.decoding import decode_object
from router.cluster.handle import Handle
from router.cluster.kinds import NAMESPACES
from router.cluster.reflector import WatchObserver
from router.cluster.shard import Shard
from router.cluster.whole import WholeSink
from router.errors import ApiError, ApiForbidden, ApiNotFound
from router.kube.api import Api
from router.objects.decoding import Misfit
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.objects.store import Store
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

READ_S = 15.0
"""Between two looks at namespaces that may not be watched: to watch one takes the right to watch all."""
MISSING_S = 2.0
"""The same while one of them is not there: who asks in it as soon as it is waits for that."""
_DENIED = frozenset({"forbidden", "refused", "absent"})


def kept_namespace(namespace: Namespace) -> Namespace:
    """Give a Namespace without what nobody reads."""
    metadata = namespace.metadata
    said = {key: value for key, value in (metadata.annotations or {}).items() if is_of_policy(key)}
    return Namespace(
        ObjectMeta(name=metadata.name, namespace="", uid=metadata.uid, annotations=said or None, labels=metadata.labels)
    )


class NamespaceSink(WholeSink[Namespace]):
    """The sink of a watch over namespaces.

    One that cannot be decoded is there all the same; what its admin says stays as it was known.

    Args:
        store: is told of each; None where nobody asks what admins say.
        shard: is told which there are; None where it takes them all.
    """

    def __init__(self, store: Store | None, shard: Shard | None) -> None:
        super().__init__(Namespace, NAMESPACES.name, kept_namespace)
        self._store = store
        self._shard = shard
        self._names: set[str] = set()

    @property
    def held(self) -> int:
        """How many namespaces are known."""
        return len(self._names)

    def replace(self, listed: Mapping[ObjectKey, Namespace], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        names = {key.name for key in listed.keys() | undecodable}
        gone = self._names - names
        if self._store is not None:
            self._store.apply({(Namespace, key): each for key, each in listed.items()}, frozenset())
        self._select(names)
        self._forget(gone)

    def put(self, obj: Namespace) -> None:
        """Take one that was added or changed: what it may have before who is in it."""
        if self._store is not None:
            self._store.put(obj)
        if obj.metadata.name not in self._names:
            self._select(self._names | {obj.metadata.name})

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone, or not of this shard any more: who is in it before what it may have."""
        if key.name in self._names:
            self._select(self._names - {key.name})
        self._forget({key.name})

    def _select(self, names: set[str]) -> None:
        self._names = names
        if self._shard is not None:
            self._shard.select(frozenset(names))

    def _forget(self, names: set[str]) -> None:
        if self._store is not None and names:
            self._store.delete(Namespace, *(ObjectKey("", name) for name in names))


class NamespaceReader:
    """Reads some namespaces again and again, in the way that a ``Reflector`` watches; that takes a right in each of them alone.

    Args:
        api: the API server.
        names: of the namespaces.
        sink: takes them.
        handle: stops it.
        observer: counts.
        pauses_s: first and longest pause after a failure.
        read: called when each was read, or may not be.
        clock: seconds of a clock that never goes back.
    """

    def __init__(  # noqa: PLR0913 - what there is to say about it, and a clock with a default
        self,
        api: Api,
        names: tuple[str, ...],
        sink: NamespaceSink,
        *,
        handle: Handle,
        observer: WatchObserver,
        pauses_s: tuple[float, float],
        read: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._names = names
        self._sink = sink
        self._handle = handle
        self._observer = observer
        self._backoff = Backoff(*pauses_s)
        self._read = read
        self._clock = clock
        self._log = log.bind(kind=NAMESPACES.name)
        self.is_listed = False
        """Whether each was read once, or it was said that there is none."""
        self.is_connected = False
        self.problem = self.cause = ""
        self.last_event_s: float | None = None
        self._is_one_missing = False

    def run(self) -> None:
        """Read until the handle is stopped."""
        while not self._handle.is_stopping:
            error = self._turn()
            if self._handle.is_stopping:
                break
            self._note(error)
            usual_s = MISSING_S if self._is_one_missing else READ_S
            self._handle.pause(usual_s if error is None else min(usual_s, self._backoff.pause_s()))

    def _turn(self) -> ApiError | None:
        """Read each; give what went wrong last."""
        problem: ApiError | None = None
        knows_all = True
        self._is_one_missing = False
        for name in self._names:
            try:
                self._take(self._api.get(f"{NAMESPACES.path()}/{name}"))
                self.last_event_s = self._clock()
            except ApiNotFound:
                self._is_one_missing = True
                self._sink.delete(ObjectKey("", name))
            except ApiError as error:
                # What was known of it stays so.
                problem = error
                knows_all &= isinstance(error, ApiForbidden)
        if knows_all:
            self.is_listed |= problem is None
            self._read()
        return problem

    def _take(self, body: bytes) -> None:
        namespace = decode_object(Namespace, body)
        if isinstance(namespace, Misfit):
            self._log.warning("object not decoded", problem=str(namespace))
        else:
            self._sink.put(kept_namespace(namespace))

    def _note(self, error: ApiError | None) -> None:
        self.is_connected = error is None
        if error is None:
            self._backoff.reset()
            if self.problem:
                self._log.info("watch recovered")
            self.problem = self.cause = ""
            return
        cause = self.cause = "forbidden" if isinstance(error, ApiForbidden) else "unreachable"
        self._observer.watch_restarted(NAMESPACES.name, cause)
        if str(error) != self.problem:
            self._log.warning("namespaces not read", cause=cause, problem=str(error))
            self.problem = str(error)


class UnlessDenied:
    """An observer that goes on without a list that the API server does not give.

    Args:
        observer: is told all the same.
        is_listed: says whether there was a list ever.
        give_up: called at each such answer before that.
    """

    def __init__(self, observer: WatchObserver, is_listed: Callable[[], bool], give_up: Callable[[], None]) -> None:
        self._observer = observer
        self._is_listed = is_listed
        self._give_up = give_up

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count, and go on without if need be: namespaces of which nothing is known get nothing new."""
        self._observer.watch_restarted(kind, cause)
        if cause in _DENIED and not self._is_listed():
            self._give_up()
