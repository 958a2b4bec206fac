"""The sink of a watch of which every object is decoded and kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec
import structlog

from router.cluster.decoding import Head, decode_head, decode_object
from router.objects.decoding import Misfit
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey

log = structlog.get_logger()

_Kind = TypeVar("_Kind", bound=KubernetesObject)


class WholeSink(ABC, Generic[_Kind]):
    """Decodes; what cannot be decoded stays as it was known, and is told. Who derives from it says where objects go.

    Args:
        struct: of the objects.
        kind: their name in the log.
        kept: gives what is kept of one.
        named: the key of their names in the log.
    """

    def __init__(self, struct: type[_Kind], kind: str, kept: Callable[[_Kind], _Kind], *, named: str = "name") -> None:
        self._named = named
        self._struct = struct
        self._kept = kept
        self._log = log.bind(kind=kind)
        self._listed: dict[ObjectKey, _Kind] = {}
        self._undecodable: set[ObjectKey] = set()

    @abstractmethod
    def replace(self, listed: Mapping[ObjectKey, _Kind], undecodable: frozenset[ObjectKey]) -> None:
        """Take these for all that there is; those that cannot be decoded are there, too."""

    @abstractmethod
    def put(self, obj: _Kind) -> None:
        """Take one that was added or changed."""

    @abstractmethod
    def delete(self, key: ObjectKey) -> None:
        """Take note that one is gone."""

    def begin_list(self) -> None:
        """Begin to list."""
        self._listed, self._undecodable = {}, set()

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take objects of the list."""
        for raw in items:
            obj = self._decode(raw)
            if obj is not None:
                self._listed[obj.key] = obj

    def leave_out(self, key: ObjectKey) -> None:
        """Take no object of this key for one of the list."""
        self._listed.pop(key, None)
        self._undecodable.discard(key)

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take what was listed for all that there is."""
        listed, self._listed = self._listed, {}
        self.replace(listed, frozenset(self._undecodable))

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take an object that was added or changed, or (None) deleted."""
        if raw is None:
            self.delete(head.key)
        elif (obj := self._decode(raw)) is not None:
            self.put(obj)

    def _decode(self, raw: msgspec.Raw) -> _Kind | None:
        decoded = decode_object(self._struct, raw)
        if not isinstance(decoded, Misfit):
            return self._kept(decoded)
        try:
            key = decode_head(raw).key
        except msgspec.DecodeError:
            key = ObjectKey("", "")
        self._undecodable.add(key)
        self._log.warning(
            "object not decoded", namespace=key.namespace, **{self._named: key.name}, problem=str(decoded)
        )
        return None
