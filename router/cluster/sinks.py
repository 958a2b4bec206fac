"""What the watches over Routes, TransportServerClaims and TransportServers bring, for the ``Shard``."""

from __future__ import annotations

from collections.abc import Mapping

from router.cluster.kept import kept_route
from router.cluster.shard import Shard
from router.cluster.whole import WholeSink
from router.objects.cis import TransportServer
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.objects.route import Route


class RouteSink(WholeSink[Route]):
    """The sink of one watch over Routes; ``namespace`` is empty if over all."""

    def __init__(self, shard: Shard, namespace: str) -> None:
        super().__init__(Route, "routes", kept_route, named="route")
        self._shard = shard
        self._namespace = namespace

    def replace(self, listed: Mapping[ObjectKey, Route], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        self._shard.replace(Route, self._namespace, listed, undecodable)

    def put(self, obj: Route) -> None:
        """Take one that was added or changed."""
        self._shard.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._shard.delete(Route, key)


_Asking = TransportServerClaim | TransportServer


class AskerSink(WholeSink[_Asking]):
    """The sink of one watch over objects of a kind that is there to ask, kept as they are; ``namespace`` is empty if over all."""

    def __init__(self, struct: type[_Asking], kind: str, shard: Shard, namespace: str) -> None:
        super().__init__(struct, kind, lambda obj: obj)
        self._asking: type[_Asking] = struct
        self._shard = shard
        self._namespace = namespace

    def replace(self, listed: Mapping[ObjectKey, _Asking], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        self._shard.replace(self._asking, self._namespace, listed, undecodable)

    def put(self, obj: _Asking) -> None:
        """Take one that was added or changed."""
        self._shard.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._shard.delete(self._asking, key)
