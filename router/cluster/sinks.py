"""What the watches over Routes and TransportServerClaims bring, for the ``Shard``."""

from __future__ import annotations

from collections.abc import Mapping

from router.cluster.kept import kept_route
from router.cluster.shard import Shard
from router.cluster.whole import WholeSink
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


class ServerClaimSink(WholeSink[TransportServerClaim]):
    """The sink of one watch over TransportServerClaims; ``namespace`` is empty if over all."""

    def __init__(self, shard: Shard, namespace: str) -> None:
        super().__init__(TransportServerClaim, "transportserverclaims", lambda claim: claim)
        self._shard = shard
        self._namespace = namespace

    def replace(self, listed: Mapping[ObjectKey, TransportServerClaim], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is."""
        self._shard.replace(TransportServerClaim, self._namespace, listed, undecodable)

    def put(self, obj: TransportServerClaim) -> None:
        """Take one that was added or changed."""
        self._shard.put(obj)

    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""
        self._shard.delete(TransportServerClaim, key)
