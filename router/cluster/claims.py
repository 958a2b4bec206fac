"""PortClaims of the router's own namespace, as they are: all of them are read, by every replica."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from router.cluster.handle import Handle
from router.cluster.kept import kept_claim
from router.cluster.reflector import WatchObserver
from router.cluster.whole import WholeSink
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.store import Store

log = structlog.get_logger()

_KIND_GOES_S = 60.0
"""An API server that is told to delete a kind deletes its objects first, one by one, and they are told like any others."""


class ClaimSink(WholeSink[PortClaim]):
    """The sink of the watch over PortClaims.

    What cannot be decoded stays as it was known: a claim is not lost because somebody wrote one that this version cannot read.
    So do claims that went because their whole kind did: of that nobody has to take an admin's reservations for lifted.

    Args:
        store: is told.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(PortClaim, "portclaims", kept_claim)
        self._store = store
        self._clock = clock
        self._known: dict[ObjectKey, PortClaim] = {}
        self._gone: deque[tuple[float, PortClaim]] = deque()
        """Those that went lately, and when."""

    @property
    def held(self) -> int:
        """How many claims are known."""
        return len(self._known)

    def replace(self, listed: Mapping[ObjectKey, PortClaim], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        self._store.remember(does=True)
        gone = self._known.keys() - listed.keys() - undecodable
        for key in gone:
            self._forget(key)
        self._known.update(listed)
        self._store.apply(
            {(PortClaim, key): claim for key, claim in listed.items()}, frozenset((PortClaim, key) for key in gone)
        )

    def put(self, obj: PortClaim) -> None:
        """Take one that was added or changed."""
        self._known[obj.key] = obj
        self._store.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._forget(key)
        self._store.delete(PortClaim, key)

    def kind_never_was(self) -> None:
        """Take note that the API server has no such kind, and that it is done without."""
        self._store.remember(does=False)

    def kind_is_gone(self) -> None:
        """Take back what went just before the API server said that it has no such kind (any more)."""
        since_s = self._clock() - _KIND_GOES_S
        back = {claim.key: claim for went_s, claim in self._gone if went_s >= since_s and claim.key not in self._known}
        self._gone.clear()
        if back:
            log.warning(
                "portclaims went with their kind", claims=len(back), consequence="they hold as they were last known"
            )
            self._known.update(back)
            self._store.put(*back.values())

    def _forget(self, key: ObjectKey) -> None:
        claim = self._known.pop(key, None)
        if claim is None:
            return
        now_s = self._clock()
        while self._gone and self._gone[0][0] < now_s - _KIND_GOES_S:
            self._gone.popleft()
        self._gone.append((now_s, claim))


class UntilRead:
    """An observer that tells the sink when the kind is gone, and gives up waiting for a kind that never was, where that is allowed.

    Args:
        observer: is told all the same.
        sink: of the watch.
        handle: of the watch, which has to list again when the kind comes back: with it nothing came that was there before.
        is_listed: says whether there was a list ever.
        may_give_up: says whether to do without: all else was read, and the kind is not required.
        give_up: called then.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - whom it tells, and what it asks
        self,
        observer: WatchObserver,
        sink: ClaimSink,
        handle: Handle,
        is_listed: Callable[[], bool],
        may_give_up: Callable[[], bool],
        give_up: Callable[[], None],
    ) -> None:
        self._observer = observer
        self._sink = sink
        self._handle = handle
        self._is_listed = is_listed
        self._may_give_up = may_give_up
        self._give_up = give_up

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count, and do what is to be done about a kind that is absent."""
        self._observer.watch_restarted(kind, cause)
        if cause != "absent":
            return
        if self._is_listed():
            self._sink.kind_is_gone()
            self._handle.request_list()
        elif self._may_give_up():
            self._sink.kind_never_was()
            self._give_up()
