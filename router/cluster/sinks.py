"""What the watches over Routes and over namespaces bring, for the ``Shard``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import structlog

from router.cluster.decoding import Head, decode_head
from router.cluster.kept import kept_route
from router.cluster.shard import Shard
from router.cluster.whole import WholeSink
from router.objects.meta import ObjectKey
from router.objects.route import Route

log = structlog.get_logger()


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


class NamespaceSink:
    """The sink of the watch over namespaces that have the label."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._names: set[str] = set()
        self._listed: set[str] = set()

    @property
    def held(self) -> int:
        """How many namespaces are selected."""
        return len(self._names)

    def begin_list(self) -> None:
        """Begin to list."""
        self._listed = set()

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take namespaces of the list."""
        self._listed.update(_names(items))

    def leave_out(self, key: ObjectKey) -> None:
        """Take no namespace of this name for one of the list."""
        self._listed.discard(key.name)

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take what was listed for all that there is."""
        self._names = self._listed
        self._shard.select(frozenset(self._names))

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take a namespace that gained the label, or (None) lost it or is gone."""
        name = head.metadata.name
        if (raw is not None) != (name in self._names):
            self._names = self._names | {name} if raw is not None else self._names - {name}
            self._shard.select(frozenset(self._names))


def _names(items: Iterable[msgspec.Raw]) -> Iterable[str]:
    for raw in items:
        try:
            yield decode_head(raw).metadata.name
        except msgspec.DecodeError as error:
            log.warning("object not decoded", kind="namespaces", problem=f"metadata: {error}")
