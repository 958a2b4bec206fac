"""Holds the objects of those Services that Routes of ours refer to, and of no others.

Two ways lead here. The watch brings every change of the collection, in order, and what belongs to no wanted Service is passed
over by its metadata. When a Service becomes wanted, its objects are fetched by a list of their own, which may be newer or older than
what the watch has brought so far. So the resourceVersion of that list is a floor: of this Service, events up to it are part of the
list and are passed over, and events after it that came while the list was under way were noted and are applied on top of it.

When the whole collection is listed again, the watch goes on from that list, and what happened before is never brought. So that list
must win over a fetch that is older. It covers the Services that were wanted when its first page came: whoever is wanted later is
fetched later than that page was made, and thus newer.

What the watch brings of new Services that nobody refers to is kept for a while (``recent``). It is what would be held had they been
wanted from the beginning, so it needs no floor, and no request when a Route comes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from itertools import groupby

import msgspec
import structlog

from router.cluster.decoding import Head, version_number
from router.cluster.fetching import Fetch, list_some
from router.cluster.kinds import FollowedKind
from router.cluster.members import Members, with_member, without_member
from router.cluster.recent import Recent
from router.cluster.sieve import Held, Sieve, Sifted
from router.errors import ApiError
from router.kube.api import Api
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey
from router.objects.store import Store

log = structlog.get_logger()

_ONE_BY_ONE = 4
"""Of so many Services of a namespace the objects are fetched one by one; of more, all of the namespace are listed."""
_ALL: Mapping[str, str] = {}
_REFUSED = frozenset({400, 404, 422})
"""The server understood what was asked, and will not say anything else to it: there are no such objects."""


class Followed:
    """The sink of one watch over one such collection.

    Args:
        kind: of the objects.
        api: to fetch with.
        store: is told of every change.
        recent: what is known of Services that nobody refers to.
    """

    def __init__(self, kind: FollowedKind, api: Api, store: Store, recent: Recent | None = None) -> None:
        self.kind = kind
        self._api = api
        self._store = store
        self._sieve = Sieve(kind)
        self.read_ahead = self._sieve.read_ahead
        self._log = log.bind(kind=kind.resource.name)
        self._lock = threading.Lock()
        self._wanted: dict[ObjectKey, ObjectKey] = {}
        """Services, each with itself: there are many objects, and they shall all hold the same key."""
        self._held: dict[ObjectKey, Held] = {}
        self._keys: dict[ObjectKey, Members] = {}
        """Of what is held, by Service."""
        self._floors: dict[ObjectKey, int] = {}
        self._fetches: list[Fetch] = []
        self._recent = recent or Recent()
        self._has_begun = False
        self._to_list: dict[ObjectKey, ObjectKey] | None = None
        """The Services that the list under way will bring; None before its first page."""
        self._missing: set[ObjectKey] = set()
        """Wanted Services of which nothing could be fetched yet."""
        self._fetched: set[ObjectKey] = set()
        """The Services that were fetched since the list began."""
        self._listed = Sifted()

    @property
    def held(self) -> int:
        """How many objects of the API are kept."""
        return len(self._held)

    def knows(self, services: Iterable[ObjectKey], *, is_live: bool = True) -> bool:
        """Say whether ``want`` has to ask the API server nothing for these Services, as it is now."""
        with self._lock:
            return not self._has_begun or all(
                service in self._wanted or (is_live and service in self._recent) for service in services
            )

    def want(self, services: Iterable[ObjectKey], *, may_fetch: bool = True, is_live: bool = True) -> bool:
        """Keep the objects of these Services from now on; when this returns, the store has them.

        Args:
            services: keys of Services.
            may_fetch: whether it is any use to ask the API server now.
            is_live: whether the watch is known to bring what happens; if not, what it brought before may be out of date.

        Returns:
            Whether that worked. If not, ``catch_up`` is to be called when it is some use.
        """
        with self._lock:
            # Not as a difference of sets: that would look at all that are wanted already.
            new = {service for service in services if service not in self._wanted}
            self._wanted.update((service, service) for service in new)
            if not self._has_begun:
                return True
            if is_live:
                self._take_recent(new)
            else:
                self._recent.forget(new)
            if not new:
                return True
            if not may_fetch:
                self._missing |= new
                return False
        return self._fetch_all(new) is None

    def want_listed(self, services: Iterable[ObjectKey]) -> None:
        """Keep the objects of these Services from now on, all of which the next page of the list under way brings.

        Of no object an earlier page, or a fetch, can say more than that page does.
        """
        with self._lock:
            for service in services:
                if service not in self._wanted:
                    self._wanted[service] = service
                    if self._to_list is not None:
                        self._to_list[service] = service

    def catch_up(self) -> None:
        """Fetch what could not be fetched when it became wanted.

        Raises:
            ApiError: it cannot be fetched now, either; what is missing still is.
        """
        with self._lock:
            missing = self._missing
        error = self._fetch_all(missing)
        if error is not None:
            raise error

    def _fetch_all(self, services: Iterable[ObjectKey]) -> ApiError | None:
        """Fetch the objects of these Services; give what went wrong last. Those are missing then."""
        problem: ApiError | None = None
        for namespace, group in groupby(sorted(services), key=lambda service: service.namespace):
            members = set(group)
            by_name = ((self.kind.selector(service.name), {service}) for service in sorted(members))
            for selector, some in by_name if len(members) <= _ONE_BY_ONE else ((_ALL, members),):
                error = self._fetch(some, namespace, selector)
                problem = error or problem
                with self._lock:
                    still = {service for service in some if error is not None and service in self._wanted}
                    self._missing = (self._missing - some) | still
        return problem

    def _note_recent(self, service: ObjectKey, key: ObjectKey, raw: msgspec.Raw | None) -> None:
        """Keep an object of a Service that nobody refers to, or (None) know nothing more of it."""
        if raw is not None:
            self._recent.put(service, key, raw)
        else:
            self._recent.delete(key)

    def _take_recent(self, services: set[ObjectKey]) -> None:
        """Hold what the watch brought of Services before they were wanted; leave those of which it is not all in the set."""
        known: dict[ObjectKey, Held | None] = {}
        for service in tuple(services):
            if service in self._recent:
                services.discard(service)
                for key, raw in self._recent.take(service).items():
                    objects = self._sieve.decode(key, raw)
                    if objects is not None:
                        known[service if key == service else key] = Held(service, objects)
        # The Route for which they are wanted follows at once.
        self._publish(known, wakes=False)

    def drop(self, services: Iterable[ObjectKey]) -> None:
        """Keep the objects of these Services no longer; the store loses them."""
        services = tuple(services)
        absent: set[Slot] = set()
        with self._lock:
            for service in services:
                self._wanted.pop(service, None)
                self._fetched.discard(service)
                if self._to_list is not None:
                    self._to_list.pop(service, None)
                self._floors.pop(service, None)
                self._missing.discard(service)
                for fetch in self._fetches:
                    fetch.services.discard(service)
                for key in tuple(self._keys.get(service, ())):
                    absent.update(self._set(key, None))
            self._recent.forget(services)
            self._store.apply({}, frozenset(absent))

    def begin_list(self) -> None:
        """Begin to list; forget a list that did not come to its end."""
        self._sieve.forget()
        with self._lock:
            self._to_list, self._fetched, self._listed = None, set(), Sifted()
            self._recent.begin_list()

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take objects of the list."""
        with self._lock:
            self._has_begun = True
            if self._to_list is None:
                self._to_list = dict(self._wanted)
            to_list = self._to_list
        # What is dropped from it meanwhile is left out at the end.
        sifted = self._sieve.sift(items, to_list)
        self._listed.add(sifted)
        with self._lock:
            self._recent.forget(sifted.others)

    def leave_out(self, key: ObjectKey) -> None:
        """Take no object of this key for one of the list."""
        self._listed.leave_out(key)

    def end_list(self, resource_version: str) -> None:
        """Take what was listed for all that there is of the Services that were wanted when its first page came."""
        version = version_number(resource_version)
        with self._lock:
            to_list, self._to_list = set(self._to_list or ()), None
            self._missing -= to_list
            for fetch in self._fetches:
                fetch.services -= to_list
            newer = {service for service in to_list & self._fetched if self._is_old(service, version)}
            self._replace(to_list - newer, self._listed, version)
            self._listed = Sifted()
            self._recent.end_list()

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take an object that was added or changed, or (None) deleted."""
        key = head.key
        version = version_number(head.metadata.resource_version)
        with self._lock:
            belongs_to = self.kind.service_of(head)
            service = self._wanted.get(belongs_to)
            former = self._held.get(key)
            if former is None or not self._is_old(former.service, version):
                self._note_recent(belongs_to, key, raw if service is None else None)
            if (service is None or raw is None) and key not in self._held and not self._fetches:
                return
            current: Held | None = None
            if service is not None and raw is not None:
                objects = self._sieve.decode(key, raw)
                if objects is None:
                    return
                current = Held(service, objects)
            for fetch in self._fetches:
                fetch.events[key] = (version, current)
            self._apply_event(key, version, current)

    def _apply_event(self, key: ObjectKey, version: int | None, current: Held | None) -> None:
        former = self._held.get(key)
        if former is not None and self._is_old(former.service, version):
            return
        if current is not None and (
            self._is_old(current.service, version)
            or (self._fetches and any(current.service in fetch.services for fetch in self._fetches))
        ):
            current = None
            if former is None:
                return
        self._publish({key: current})

    def _is_old(self, service: ObjectKey, version: int | None) -> bool:
        floor = self._floors.get(service)
        return floor is not None and version is not None and version <= floor

    def _fetch(self, services: set[ObjectKey], namespace: str, selector: Mapping[str, str]) -> ApiError | None:
        """List the objects of some Services of a namespace and take them; give what went wrong, None if nothing did."""
        fetch = Fetch(set(services))
        with self._lock:
            self._fetches.append(fetch)
        try:
            version, listed = list_some(
                self._api, self._sieve, namespace, selector, {service: service for service in services}
            )
        except ApiError as error:
            named = [str(key) for key in sorted(services)]
            if error.status not in _REFUSED:
                self._log.info("objects not fetched", services=named, problem=str(error))
                with self._lock:
                    self._fetches.remove(fetch)
                return error
            # Never a reason to list what is everybody's. What the watch brings of them is taken all the same.
            self._log.warning("objects refused", services=named, problem=str(error))
            version, listed = None, Sifted()
        with self._lock:
            self._fetches.remove(fetch)
            for key, (event_version, held) in fetch.events.items():
                if version is None or event_version is None or event_version > version:
                    listed.held.pop(key, None)
                    listed.undecodable.discard(key)
                    if held is not None and held.service in fetch.services:
                        listed.held[key] = held
            for key in listed.held:
                # The watch may have brought it for another Service; that was before this.
                self._recent.delete(key)
            # The Route for which they were fetched follows at once.
            self._replace(fetch.services, listed, version, wakes=False)
            self._fetched |= fetch.services
        return None

    def _replace(
        self,
        services: Iterable[ObjectKey],
        listed: Sifted,
        version: int | None,
        *,
        wakes: bool = True,
    ) -> None:
        """Take this for all objects of these Services; what could not be decoded stays as it is."""
        changes: dict[ObjectKey, Held | None] = {}
        among = set(services)
        for service in among:
            changes.update(dict.fromkeys(key for key in self._keys.get(service, ()) if key not in listed.undecodable))
            if version is not None:
                self._floors[service] = version
        changes.update({key: held for key, held in listed.held.items() if held.service in among})
        self._publish(changes, wakes=wakes)

    def _publish(self, changes: Mapping[ObjectKey, Held | None], *, wakes: bool = True) -> None:
        present: dict[Slot, KubernetesObject] = {}
        absent: set[Slot] = set()
        for key, current in changes.items():
            absent.update(self._set(key, current))
            if current is not None:
                present.update(zip(current.slots(key), current.objects, strict=True))
        self._store.apply(present, frozenset(absent - present.keys()), wakes=wakes)

    def _set(self, key: ObjectKey, current: Held | None) -> tuple[Slot, ...]:
        """Hold this; give the slots that the store has of what was held before."""
        former = self._held.pop(key, None)
        if current is not None:
            self._held[key] = current
        before = former.service if former is not None else None
        after = current.service if current is not None else None
        if before != after:
            if before is not None:
                others = without_member(self._keys.pop(before), key)
                if others:
                    self._keys[before] = others
            if after is not None:
                self._keys[after] = with_member(self._keys.get(after, ()), key)
        return former.slots(key) if former is not None else ()
