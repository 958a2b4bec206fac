"""What changes of objects of the Gateway API are: each status that is written comes back, and asks for nothing else; and what is written together comes in parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from router.objects.gateway import Gateway, ListenerSet, TcpRoute, TlsRoute
from router.objects.gateway_objects import GATEWAY_API
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey

_TOLD = frozenset({Gateway, ListenerSet, TcpRoute, TlsRoute})
"""Kinds of which there are many."""
_API = frozenset(GATEWAY_API)
_PARTS = 8
"""More at a time, and what comes next is no matter."""


def is_part(arrived: Collection[Slot]) -> bool:
    """Say whether what arrived is perhaps one of several objects that were written together and come by several watches."""
    return len(arrived) <= _PARTS and any(kind in _API for kind, _ in arrived)


def asks_alike(kind: type[KubernetesObject], former: Any, obj: Any) -> bool:  # noqa: ANN401 - two of that kind, or None
    """Say whether two objects of one of these kinds differ in what they are told alone."""
    if kind not in _TOLD or former is None or obj is None:
        return False
    metadata = replace(obj.metadata, resource_version=former.metadata.resource_version)
    return bool(metadata == former.metadata and obj.spec == former.spec)


def slots_in(objects: Mapping[type[KubernetesObject], Iterable[ObjectKey]]) -> frozenset[Slot]:
    """Give the slots of objects, by kind."""
    return frozenset((kind, key) for kind, keys in objects.items() for key in keys)
