"""Watches over one kind, one for each namespace that is followed, as one; and how a list that is in is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from router.cluster.decoding import Head
from router.cluster.followed import Followed
from router.cluster.handle import Handle
from router.cluster.reflector import Reflector, Sink
from router.objects.meta import ObjectKey


class Announcing:
    """A sink that tells, too, when a list is in."""

    def __init__(self, sink: Sink, listed: Callable[[], None]) -> None:
        self.begin_list = sink.begin_list
        self.add_page = sink.add_page
        self.leave_out = sink.leave_out
        self._sink = sink
        self._listed = listed

    def end_list(self, resource_version: str) -> None:
        """Pass it on, and tell."""
        self._sink.end_list(resource_version)
        self._listed()

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Pass it on."""
        self._sink.apply(head, raw)


class Scoped:
    """One kind's followers: one for all namespaces (named by the empty text), or one for each; a ``shard.Follower``."""

    def __init__(self, members: Mapping[str, tuple[Followed, Reflector, Handle]]) -> None:
        self._members = members

    def knows(self, services: frozenset[ObjectKey]) -> bool:
        """Say whether ``want`` has to ask the API server nothing for these Services, as it is now."""
        return all(
            followed.knows(
                (service for service in services if namespace in {"", service.namespace}), is_live=reflector.is_live
            )
            for namespace, (followed, reflector, _) in self._members.items()
        )

    def want(self, services: frozenset[ObjectKey]) -> None:
        """Have the objects of these Services in the store when this returns, if the API server lets."""
        for namespace, (followed, reflector, handle) in self._members.items():
            within = [service for service in services if namespace in {"", service.namespace}]
            if within and not followed.want(within, may_fetch=reflector.is_connected, is_live=reflector.is_live):
                handle.request_fetch()

    def drop(self, services: frozenset[ObjectKey]) -> None:
        """Have them there no longer."""
        for namespace, (followed, _, _) in self._members.items():
            followed.drop(service for service in services if namespace in {"", service.namespace})
