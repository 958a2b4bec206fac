"""The current objects, and which of them changed since last asked.

Inputs write from threads of their own; one reconcile thread reads. What inputs write waits in an inbox until the reconcile
thread takes it, so that ``objects`` never changes under its reader and needs no lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from router.objects.asker_note import AskerNote
from router.objects.changes import Changes as Changes  # noqa: PLC0414 - what the store gives is taken from here
from router.objects.cis import TransportServer
from router.objects.core import RouterPod, Service
from router.objects.credential import Credential
from router.objects.discovery import EndpointSlice
from router.objects.gateway import Gateway, ListenerSet, TlsRoute
from router.objects.gateway_changes import asks_alike, is_part, slots_in
from router.objects.gateway_objects import GATEWAY_API, GatewayObjects
from router.objects.kinds import AskingObject, KubernetesObject, Slot, may_ask
from router.objects.meta import ObjectKey
from router.objects.namespace import Namespace, PortPolicy
from router.objects.pair_note import PairNote
from router.objects.portclaim import PortClaim
from router.objects.porter import TransportServerClaim
from router.objects.portnote import PortNote
from router.objects.resolved import ResolvedName
from router.objects.route import Route
from router.supervisor.bell import Bell
from router.supervisor.way import WAY

_GATEWAY_API, _LISTENING = frozenset(GATEWAY_API), frozenset({Gateway, ListenerSet})
_ASKING = (TransportServerClaim, TransportServer, Gateway, ListenerSet)
"""Kinds whose objects are all there to ask, beside Routes."""


@dataclass(slots=True)
class Objects:
    """The objects as the reconcile thread sees them; only ``Store.take`` writes here."""

    routes: dict[ObjectKey, Route] = field(default_factory=dict)
    services: dict[ObjectKey, Service] = field(default_factory=dict)
    slices: dict[ObjectKey, dict[str, EndpointSlice]] = field(default_factory=dict)
    """By the key of their Service, then by their own name."""
    routers: dict[ObjectKey, RouterPod] = field(default_factory=dict)
    claims: dict[ObjectKey, PortClaim] = field(default_factory=dict)
    namespaces: dict[ObjectKey, Namespace] = field(default_factory=dict)
    credentials: dict[ObjectKey, Credential] = field(default_factory=dict)
    policy: dict[ObjectKey, PortPolicy] = field(default_factory=dict)
    """One, or none."""
    notes: dict[ObjectKey, PortNote] = field(default_factory=dict)
    asker_notes: dict[ObjectKey, AskerNote] = field(default_factory=dict)
    pair_notes: dict[ObjectKey, PairNote] = field(default_factory=dict)
    server_claims: dict[ObjectKey, TransportServerClaim] = field(default_factory=dict)
    transport_servers: dict[ObjectKey, TransportServer] = field(default_factory=dict)
    gateway_api: GatewayObjects = field(default_factory=GatewayObjects)
    remembers: bool = True
    """Whether PortClaims remember who holds what; False where the API server has no such kind, or is not asked for it."""

    @property
    def port_policy(self) -> PortPolicy | None:
        """What a file says of the ports of namespaces; None without one."""
        return next(iter(self.policy.values()), None)

    names: dict[ObjectKey, ResolvedName] = field(default_factory=dict)
    """By the key of their Service."""

    def everything(self) -> Changes:
        """Give the changes that name every object, for a full rebuild."""
        services = frozenset(self.services) | frozenset(self.slices)
        askers: set[Slot] = {(Route, key) for key in self.routes}
        askers.update((Service, key) for key, service in self.services.items() if may_ask(service))
        askers.update((kind, key) for kind in _ASKING for key in self.of(kind))
        return Changes(
            frozenset(askers),
            services,
            frozenset(self.routers),
            frozenset(self.claims),
            frozenset(self.namespaces),
            frozenset(self.credentials),
            has_policy=bool(self.policy),
            notes=frozenset(self.notes) | frozenset(self.asker_notes),
            pair_notes=frozenset(self.pair_notes),
            gateway_api=self.gateway_api.slots(),
        )

    def asking(self, slot: Slot) -> AskingObject | None:
        """Give an object of a kind that may ask; None if it is not there."""
        kind, key = slot
        return self.of(kind).get(key)

    def of(self, kind: type[KubernetesObject]) -> Mapping[ObjectKey, AskingObject]:
        """Give the objects of one kind that may ask."""
        if kind is Route:
            return self.routes
        if kind is TransportServer:
            return self.transport_servers
        if kind in {Gateway, ListenerSet, TlsRoute}:
            return self.gateway_api.by_kind[kind]
        return self.server_claims if kind is TransportServerClaim else self.services


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Store:
    """Where inputs put objects and the reconcile thread finds them.

    Args:
        sources: the names of the inputs that must each report ``synced`` before ``is_synced``.
    """

    def __init__(self, sources: frozenset[str] = frozenset()) -> None:
        self.objects = Objects()
        self._by_kind: dict[type[KubernetesObject], dict[ObjectKey, Any]] = {
            RouterPod: self.objects.routers,
            PortClaim: self.objects.claims,
            Namespace: self.objects.namespaces,
            PortPolicy: self.objects.policy,
            ResolvedName: self.objects.names,
            PortNote: self.objects.notes,
            Credential: self.objects.credentials,
            AskerNote: self.objects.asker_notes,
            PairNote: self.objects.pair_notes,
            **self.objects.gateway_api.by_kind,
        }
        """Where those are that nobody asks by."""
        self._asking: dict[type[KubernetesObject], dict[ObjectKey, Any]] = {
            TransportServerClaim: self.objects.server_claims,
            TransportServer: self.objects.transport_servers,
        }
        """Where those are that are there to ask, beside Routes."""
        self._inbox: dict[Slot, KubernetesObject | None] = {}
        self._oldest_arrival_s: float | None = None
        self._unsynced = set(sources)
        self._lock = threading.RLock()
        self._bell = Bell()
        self._remembers = True
        self._late: dict[str, dict[Slot, KubernetesObject]] = {}  # what asks and waits, by namespace; of the reader
        self._slice_owner: dict[ObjectKey, str] = {}
        """The name of each slice's Service, which is of the same namespace."""

    def put(self, *objects: KubernetesObject) -> None:
        """Add objects or replace those of the same kind and key."""
        self._receive({(type(obj), obj.key): obj for obj in objects})

    def delete(self, kind: type[KubernetesObject], *keys: ObjectKey) -> None:
        """Remove objects; those that are not there are passed over."""
        self._receive({(kind, key): None for key in keys})

    def apply(self, present: Mapping[Slot, KubernetesObject], absent: frozenset[Slot], *, wakes: bool = True) -> None:
        """Put and delete in one step, so that no reader sees half of it.

        Args:
            present: what to put.
            absent: what to delete.
            wakes: whether to end ``wait``; False where more follows at once, without which this is of no use.
        """
        self._receive({**dict.fromkeys(absent), **present}, wakes=wakes)

    def remember(self, *, does: bool) -> None:
        """Say whether PortClaims remember who holds what; they do where nothing else is said."""
        with self._lock:
            if self._remembers is not does:
                self._remembers = does
                self._bell.ring()

    def mark_synced(self, source: str) -> None:
        """Say that this input has put everything that there was when it started."""
        with self._lock:
            self._unsynced.discard(source)
            self._bell.ring()

    @property
    def is_synced(self) -> bool:
        """Whether every input has put everything that there was when it started.

        A reader who wants to act on all of it asks this first and takes then: what an input put, it put before.
        """
        return not self._unsynced

    @property
    def lacking(self) -> frozenset[str]:
        """The inputs that have not put everything yet."""
        with self._lock:
            return frozenset(self._unsynced)

    @property
    def has_news(self) -> bool:
        """Whether anything arrived since the last ``take``."""
        return bool(self._inbox)

    @property
    def has_part(self) -> bool:
        """Whether what arrived is perhaps one of several objects that were written together and come by several watches, as a listener and its route do."""
        with self._lock:
            return is_part(self._inbox)

    def wake(self) -> None:
        """End the current or the next ``wait`` early."""
        self._bell.ring()

    def wait(self, timeout_s: float) -> None:
        """Wait until something arrived since the last ``wait``, or ``wake`` was called, at most ``timeout_s`` seconds."""
        self._bell.wait(timeout_s)

    def take(self, late: Collection[str] = ()) -> tuple[Changes, float | None]:
        """Move what arrived into ``objects``.

        Args:
            late: namespaces in which what asks waits, as if they had not arrived yet; those that are gone do not wait.

        Returns:
            The keys that changed, and when the oldest of these changes arrived (``time.monotonic``), None without any.
        """
        with self._lock:
            inbox, self._inbox = self._inbox, {}
            arrived_s, self._oldest_arrival_s = self._oldest_arrival_s, None
            remembers = self._remembers
        inbox = self._due(inbox, late)
        try:
            changes = self._move(inbox)
        except BaseException:
            with self._lock:
                # None may be lost. Some may have been moved: whoever asked decides about everything anew.
                self._inbox = {**inbox, **self._inbox}
                self._oldest_arrival_s = arrived_s
            raise
        if remembers is not self.objects.remembers:
            self.objects.remembers = remembers
            changes = changes.but(has_memory=True)
        return changes, arrived_s if changes else None

    def _due(
        self, inbox: dict[Slot, KubernetesObject | None], late: Collection[str]
    ) -> dict[Slot, KubernetesObject | None]:
        if not late and not self._late:
            return inbox
        due: dict[Slot, KubernetesObject | None] = {}
        for slot, obj in inbox.items():
            _, key = slot
            if may_ask(obj) and obj is not None and key.namespace in late:
                self._late.setdefault(key.namespace, {})[slot] = obj
                continue
            self._late.get(key.namespace, {}).pop(slot, None)
            due[slot] = obj
        for namespace in self._late.keys() - set(late):
            due.update(self._late.pop(namespace))
        return due

    def _move(self, inbox: Mapping[Slot, KubernetesObject | None]) -> Changes:
        askers: set[Slot] = set()
        services: set[ObjectKey] = set()
        changed: dict[type[KubernetesObject], set[ObjectKey]] = {}
        told: dict[type[KubernetesObject], set[ObjectKey]] = {}
        for (kind, key), obj in inbox.items():
            if kind is Route:
                if _set(self.objects.routes, key, obj if isinstance(obj, Route) else None):
                    askers.add((Route, key))
            elif kind in self._asking:
                if _set(self._asking[kind], key, obj):
                    askers.add((kind, key))
            elif kind is Service:
                asked = may_ask(self.objects.services.get(key)) or may_ask(obj)
                if _set(self.objects.services, key, obj if isinstance(obj, Service) else None):
                    services.add(key)
                    askers.update([(Service, key)] if asked else [])
            elif kind in self._by_kind:
                there = self._by_kind[kind]
                former = there.get(key)
                if _set(there, key, obj):
                    of = told if asks_alike(kind, former, obj) else changed
                    of.setdefault(kind, set()).add(key)
            else:
                services.update(self._take_slice(key, obj))
        moved = _changes(frozenset(askers), frozenset(services), changed)
        return moved if not told else moved.but(told=slots_in(told))

    def _take_slice(self, key: ObjectKey, obj: KubernetesObject | None) -> Iterable[ObjectKey]:
        """Move one slice; give the Services that it changes."""
        former_name = self._slice_owner.get(key)
        current = obj.service if isinstance(obj, EndpointSlice) else None
        touched = []
        if former_name is not None and (current is None or current.name != former_name):
            former = ObjectKey(key.namespace, former_name)
            slices = self.objects.slices[former]
            del slices[key.name], self._slice_owner[key]
            if not slices:
                del self.objects.slices[former]
            touched.append(former)
        if current is not None and isinstance(obj, EndpointSlice):
            self._slice_owner[key] = current.name
            if _set(self.objects.slices.setdefault(current, {}), key.name, obj):
                touched.append(current)
        return touched

    def _receive(self, arrivals: Mapping[Slot, KubernetesObject | None], *, wakes: bool = True) -> None:
        if not arrivals:
            return
        with self._lock:
            self._inbox.update(arrivals)
            self._oldest_arrival_s = self._oldest_arrival_s or time.monotonic()
            if wakes:
                WAY.take()
                self._bell.ring()


def _set(mapping: dict[_Key, _Value], key: _Key, value: _Value | None) -> bool:
    """Set or, for None, delete; say whether that changed anything."""
    if value is None:
        return mapping.pop(key, None) is not None
    if mapping.get(key) == value:
        # The former object stays: who sees the same one again knows without a look that nothing changed.
        return False
    mapping[key] = value
    return True


def _changes(
    askers: frozenset[Slot], services: frozenset[ObjectKey], others: Mapping[type[KubernetesObject], set[ObjectKey]]
) -> Changes:
    """Give what changed; ``others`` are of kinds that nobody asks by."""
    if not others:
        # As when endpoints move, and Routes come and go.
        return Changes(askers, services)
    gateway_api = slots_in({kind: others[kind] for kind in others if kind in _GATEWAY_API})
    askers |= {slot for slot in gateway_api if slot[0] in _LISTENING}
    if others.keys() <= _GATEWAY_API:
        return Changes(askers, services, gateway_api=gateway_api)

    def of(*kinds: type[KubernetesObject]) -> frozenset[ObjectKey]:
        return frozenset(key for kind in kinds for key in others.get(kind, ()))

    return Changes(
        askers,
        services | of(ResolvedName),
        of(RouterPod),
        of(PortClaim),
        of(Namespace),
        of(Credential),
        has_policy=PortPolicy in others,
        notes=of(PortNote, AskerNote),
        pair_notes=of(PairNote),
        gateway_api=gateway_api,
    )
