"""What objects that ask refer to by name, and who waits until something is known of it.

Who refers to an object of which nothing is known yet goes into the store when there is; until then what was there of him before stays, with
all that this refers to. So nobody is turned away, not for a moment, for what is only being read. That takes ten seconds at most
(``named.NamedPace``): then it is known that the API server says nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from router.admission.client_certificates import config_maps_of
from router.admission.gateway.wishes import annotations_in
from router.admission.kinds import KINDS
from router.cluster.reflector import WatchObserver
from router.kube.api import Api
from router.objects.gateway import TcpRoute, TlsRoute
from router.objects.kinds import Brought, Slot
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.supervisor import Supervisor

if TYPE_CHECKING:
    from router.cluster.named import NamedObjects

_NOTHING: frozenset[ObjectKey] = frozenset()

Make = Callable[[Callable[[ObjectKey], None]], "NamedObjects"]
"""Makes what follows objects by name, of whom to tell that something is known of one."""


class Referred:
    """Keeps account of who refers to what; most refer to nothing, and cost nothing.

    Args:
        make: called with the first reference.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._named: NamedObjects | None = None
        self._lock = threading.Lock()
        self._known = threading.Condition(self._lock)
        self._waiting: dict[Slot, Brought] = {}
        self._waiting_for: dict[ObjectKey, set[Slot]] = {}
        self._held: dict[Slot, frozenset[ObjectKey]] = {}
        """What is followed for an object: all that its version in the store refers to, and that which waits."""
        self.arrived: Callable[[ObjectKey], None] = lambda _: None
        """Called when something is known of an object; any thread. Set before the first reference."""

    def hold_back(
        self, changes: Mapping[Slot, Brought | None], is_ours: Callable[[Brought], bool]
    ) -> Mapping[Slot, Brought | None]:
        """Give those of the changes that need not wait."""
        wanted = {slot: names for slot, obj in changes.items() if (names := _names_of(obj, is_ours))}
        if not wanted:
            return changes
        named = self._following()
        for slot, names in wanted.items():
            self._follow(named, slot, self._held.get(slot, _NOTHING) | names)
        with self._lock:
            late = {slot for slot, names in wanted.items() if not named.knows(names)}
            for slot in late:
                obj = changes[slot]
                if obj is not None:
                    self._waiting[slot] = obj
                    for key in wanted[slot]:
                        self._waiting_for.setdefault(key, set()).add(slot)
        return {slot: obj for slot, obj in changes.items() if slot not in late}

    def published(self, changes: Mapping[Slot, Brought | None], is_ours: Callable[[Brought], bool]) -> None:
        """Follow no longer what only former versions of these referred to: they are out of the store."""
        if self._named is None or not self._held:
            return
        for slot, obj in changes.items():
            if slot in self._held:
                self._follow(self._named, slot, _names_of(obj, is_ours))

    def forget(self, slots: Iterable[Slot]) -> None:
        """Let no version of these wait any longer: there are newer ones."""
        if not self._waiting:
            return
        with self._lock:
            for slot in slots:
                if slot in self._waiting:
                    self._end_waiting(slot)

    def take_due(self, key: ObjectKey) -> Mapping[Slot, Brought]:
        """Give those who waited for an object of which something is known now, and for no other; they wait no more."""
        with self._lock:
            named = self._named
            if named is None:
                return {}
            slots = [slot for slot in self._waiting_for.get(key, ()) if named.knows(_names_of(self._waiting[slot]))]
            return {slot: self._end_waiting(slot) for slot in slots}

    def _end_waiting(self, slot: Slot) -> Brought:
        obj = self._waiting.pop(slot)
        for key in _names_of(obj):
            slots = self._waiting_for[key]
            slots.discard(slot)
            if not slots:
                del self._waiting_for[key]
        self._known.notify_all()
        return obj

    def wait(self, seconds: float) -> None:
        """Wait until nobody waits, so many seconds at most."""
        ends_s = time.monotonic() + seconds
        with self._known:
            while self._waiting and (left_s := ends_s - time.monotonic()) > 0:
                self._known.wait(left_s)

    def stop(self) -> None:
        """Follow nothing any more."""
        if self._named is not None:
            self._named.stop()

    def _following(self) -> NamedObjects:
        if self._named is None:
            self._named = self._make(self.arrived)
        return self._named

    def _follow(self, named: NamedObjects, slot: Slot, names: frozenset[ObjectKey]) -> None:
        former = self._held.get(slot, _NOTHING)
        if names == former:
            return
        if names:
            self._held[slot] = names
        else:
            del self._held[slot]
        named.follow(names - former)
        named.leave(former - names)


def by_name(api: Api, store: Store, account: str, observer: WatchObserver, supervisor: Supervisor) -> Referred:
    """Give what follows objects of an API server by name; ``account`` has to be allowed to get Secrets that count."""

    def make(known: Callable[[ObjectKey], None]) -> NamedObjects:
        # On first use: most routers have none.
        from router.cluster.named import NamedObjects  # noqa: PLC0415 - the line above
        from router.cluster.named_kinds import kinds  # noqa: PLC0415 - likewise

        return NamedObjects(api, store, kinds(account), known, observer, supervisor=supervisor)

    return Referred(make)


def _any(_obj: Brought) -> bool:
    return True


def _names_of(obj: Brought | None, is_ours: Callable[[Brought], bool] = _any) -> frozenset[ObjectKey]:
    """Give what an object of ours refers to in its namespace."""
    if obj is None or isinstance(obj, TcpRoute | TlsRoute):
        return _NOTHING
    if isinstance(obj, TcpRoutePolicy):
        return frozenset(config_maps_of(annotations_in(obj), obj.metadata.namespace))
    keys = KINDS[type(obj)].credentials_of(obj)
    return frozenset(key for key in keys if key.namespace) if keys and is_ours(obj) else _NOTHING
