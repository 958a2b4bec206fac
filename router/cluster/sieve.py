"""Picks those objects of a collection that belong to some Services, and decodes them; the others are passed over by their metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from router.cluster.decoding import Head, decode_head
from router.cluster.kinds import FollowedKind
from router.objects.decoding import Misfit
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey

log = structlog.get_logger()

Objects = tuple[KubernetesObject, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What the store has of one object of the API; of Endpoints that can be several slices, or none."""

    service: ObjectKey
    objects: Objects

    def slots(self, key: ObjectKey) -> tuple[Slot, ...]:
        """Give where the store has what was made of the object of this key, which is most often one of the same name."""
        if len(self.objects) == 1:
            (obj,) = self.objects
            return ((type(obj), key if obj.metadata.name == key.name else obj.key),)
        return tuple((type(obj), key if obj.metadata.name == key.name else obj.key) for obj in self.objects)


@dataclass(slots=True)
class Sifted:
    """What became of some objects."""

    held: dict[ObjectKey, Held] = field(default_factory=dict)
    undecodable: set[ObjectKey] = field(default_factory=set)
    """Keys of objects that belong to the Services and cannot be decoded."""
    others: set[ObjectKey] = field(default_factory=set)
    """Services that the other objects belong to."""

    def add(self, more: Sifted) -> None:
        """Take the objects of another page, too; the other Services are told page by page."""
        self.held.update(more.held)
        self.undecodable |= more.undecodable

    def leave_out(self, key: ObjectKey) -> None:
        """Have no object of this key."""
        self.held.pop(key, None)
        self.undecodable.discard(key)


class Sieve:
    """For the objects of one kind."""

    def __init__(self, kind: FollowedKind) -> None:
        self.kind = kind
        self._log = log.bind(kind=kind.resource.name)
        self._ahead: dict[int, tuple[msgspec.Raw, Head, Objects | Misfit]] = {}
        """By the identity of the bytes, which are held so that no others come to have it."""

    def read_ahead(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Decode objects that will be sifted, while there is nothing else to do: it is not known yet which of them are wanted."""
        for raw in items:
            with contextlib.suppress(msgspec.DecodeError):
                self._ahead[id(raw)] = raw, decode_head(raw), self.kind.decode(raw)

    def forget(self) -> None:
        """Forget what was read ahead."""
        self._ahead = {}

    def sift(self, items: tuple[msgspec.Raw, ...], services: Mapping[ObjectKey, ObjectKey]) -> Sifted:
        """Take those that belong to these Services; each is given with itself, to be held once for all."""
        sifted = Sifted()
        for raw in items:
            ahead = self._ahead.pop(id(raw), None)
            try:
                head = decode_head(raw) if ahead is None else ahead[1]
            except msgspec.DecodeError as error:
                self._log.warning("object not decoded", problem=f"metadata: {error}")
                continue
            belongs_to = self.kind.service_of(head)
            service = services.get(belongs_to)
            if service is None:
                sifted.others.add(belongs_to)
                continue
            key = head.key
            objects = self._told(key, ahead[2]) if ahead is not None else self.decode(key, raw)
            if objects is None:
                sifted.undecodable.add(key)
            else:
                sifted.held[service if key == service else key] = Held(service, objects)
        return sifted

    def decode(self, key: ObjectKey, raw: msgspec.Raw) -> Objects | None:
        """Give what the store gets of an object; None, and a log line, if it cannot be decoded."""
        return self._told(key, self.kind.decode(raw))

    def _told(self, key: ObjectKey, decoded: Objects | Misfit) -> Objects | None:
        if isinstance(decoded, Misfit):
            self._log.warning("object not decoded", namespace=key.namespace, name=key.name, problem=str(decoded))
            return None
        return decoded
