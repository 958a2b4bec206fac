"""The Services that ask to be served themselves, as the watch over Services brings them; all others are of those who lead to them.

A Service that asks is kept as one that a Route leads to is kept, its endpoints too; the ``Shard`` counts it among those who want it. What
its annotations say is kept of such a Service alone: of a shard that it does not belong to it is a Service like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.admission.service import is_ours, said_by
from router.cluster.decoding import Head, decode_head, decode_object
from router.cluster.followed import Followed
from router.cluster.kept import kept_service
from router.cluster.shard import Shard
from router.objects.core import Service
from router.objects.decoding import Misfit
from router.objects.labels import matcher
from router.objects.meta import ObjectKey

_SIGNS = (b"router-name", b"tcp-router.openshift.io/")
"""Without one of these in its text a Service neither asks nor was told anything."""

Asks = Callable[[Service], bool]


def asks_of(router_name: str, label_selector: str) -> Asks:
    """Give what tells whether a Service is one to look at: of this shard, and asking this router, or told by it that it did.

    Args:
        router_name: of this router.
        label_selector: that of Routes, which holds for Services that ask as well.
    """
    selects = matcher(label_selector)

    def asks(service: Service) -> bool:
        concerns = is_ours(service, router_name) or said_by(service, router_name) is not None
        return concerns and selects(service.metadata.labels or {})

    return asks


def decoder(asks: Asks) -> Callable[[bytes], tuple[Service] | Misfit]:
    """Give what makes of a Service what is kept of it."""

    def decode(raw: bytes) -> tuple[Service] | Misfit:
        service = decode_object(Service, raw)
        if isinstance(service, Misfit):
            return service
        return (kept_service(service, asks=_has_signs(raw) and asks(service)),)

    return decode


class ServiceSink:
    """The sink of one watch over Services.

    Args:
        followed: keeps those that are wanted.
        shard: gives what is told of those that ask.
        asks: tells them.
        namespace: of the watch, empty if it is over all.
    """

    def __init__(self, followed: Followed, shard: Callable[[], Shard], asks: Asks, namespace: str) -> None:
        self._followed = followed
        self._shard = shard
        self._asks = asks
        self._namespace = namespace
        self._listed: dict[ObjectKey, Service] = {}

    def begin_list(self) -> None:
        """Begin to list; of a list that did not come to its end nothing is wanted."""
        self._shard().release(frozenset(self._listed))
        self._listed = {}
        self._followed.begin_list()

    def read_ahead(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Be prepared for Services of the list."""
        self._followed.read_ahead(items)

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take Services of the list: those that ask need not be fetched, for here they are."""
        asking = {}
        for raw in items:
            service = self._asking(raw)
            if service is not None:
                asking[service.key] = service
        self._listed.update(asking)
        self._followed.want_listed(key for key in asking if self._shard().takes(key.namespace))
        self._followed.add_page(items)

    def leave_out(self, key: ObjectKey) -> None:
        """Take no Service of this key for one of the list."""
        if self._listed.pop(key, None) is not None:
            self._shard().release(frozenset({key}))
        self._followed.leave_out(key)

    def end_list(self, resource_version: str) -> None:
        """Take what was listed for all that there is."""
        self._followed.end_list(resource_version)
        listed, self._listed = self._listed, {}
        self._shard().replace(Service, self._namespace, listed)

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take a Service that was added or changed, or (None) deleted."""
        self._followed.apply(head, raw)
        service = self._asking(raw) if raw is not None else None
        if service is not None:
            self._shard().put(service)
        else:
            self._shard().delete(Service, head.key)

    def catch_up(self) -> None:
        """Fetch what could not be fetched when it became wanted."""
        self._followed.catch_up()

    def _asking(self, raw: msgspec.Raw) -> Service | None:
        if not _has_signs(raw):
            return None
        try:
            # In pages and events of a list of one kind an object that cannot be read is told where it is wanted.
            decode_head(raw)
        except msgspec.DecodeError:
            return None
        service = decode_object(Service, raw)
        return service if isinstance(service, Service) and self._asks(service) else None


def _has_signs(raw: bytes | msgspec.Raw) -> bool:
    text = bytes(raw)
    return any(sign in text for sign in _SIGNS)
