"""What the watches over objects bring that ask, or lead others that ask to Services, for the ``Shard``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, cast

from router.cluster.kept import kept_route
from router.cluster.reflector import Sink
from router.cluster.shard import Shard
from router.cluster.whole import WholeSink
from router.objects.cis import TransportServer
from router.objects.kinds import Brought
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.objects.route import Route

_Kind = TypeVar("_Kind", bound=Brought)


class Counted(Sink, Protocol):
    """A sink that knows how many objects there are."""

    counts_all: bool
    """Whether these are the objects of all watches over its kind."""

    @property
    def held(self) -> int:
        """How many are known."""


class ShardSink(WholeSink[_Kind]):
    """The sink of one watch.

    Args:
        struct: of the objects.
        kind: their name in the log.
        kept: gives what is kept of one.
        shard: takes them.
        namespace: of the watch; empty if over all.
        named: the key of their names in the log.
    """

    counts_all = True

    def __init__(  # noqa: PLR0913, PLR0917 - of what, to whom
        self,
        struct: type[_Kind],
        kind: str,
        kept: Callable[[_Kind], _Kind],
        shard: Shard,
        namespace: str,
        named: str = "name",
    ) -> None:
        super().__init__(struct, kind, kept, named=named)
        self._kind = cast("type[Brought]", struct)
        self._shard = shard
        self._namespace = namespace

    @property
    def held(self) -> int:
        """How many are known."""
        return self._shard.held(self._kind)

    def replace(self, listed: Mapping[ObjectKey, _Kind], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        self._shard.replace(self._kind, self._namespace, listed, undecodable)

    def put(self, obj: _Kind) -> None:
        """Take one that was added or changed."""
        self._shard.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._shard.delete(self._kind, key)


class RouteSink(ShardSink[Route]):
    """The sink of one watch over Routes; ``namespace`` is empty if over all."""

    def __init__(self, shard: Shard, namespace: str) -> None:
        super().__init__(Route, "routes", kept_route, shard, namespace, "route")


_Asking = TransportServerClaim | TransportServer


class AskerSink(ShardSink[_Asking]):
    """The sink of one watch over objects of a kind that is there to ask, kept as they are; ``namespace`` is empty if over all."""

    def __init__(self, struct: type[_Asking], kind: str, shard: Shard, namespace: str) -> None:
        super().__init__(struct, kind, lambda obj: obj, shard, namespace)
