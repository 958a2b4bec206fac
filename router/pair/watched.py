"""One cluster of a pair: watched whole, as far as a pair is concerned, and written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec
import structlog

from router.cluster.decoding import Head, decode_head
from router.cluster.handle import Handle
from router.cluster.kinds import PORT_CLAIMS
from router.cluster.reflector import Pace, Reflector, WatchObserver
from router.errors import ApiError
from router.kube.api import Query, StoppableApi, Stream
from router.kube.problems import GRANTING_FILE
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.pair.model import PairSettings, Side
from router.pair.objects import ENDPOINTS, OWN, RESOURCES, SLICES, PairObject
from router.pair.seen import Seen
from router.shapes import Json, reader
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_JOIN_S = 0.9
_GRANTING_FILES = "rbac.yaml of manifests/overlays/pair, or its remote/"
_PACE = Pace(pauses_s=(0.2, 5.0))
"""After hours without an answer all is to be level within seconds of the first; two clusters have two processes that ask, and not a replica on each node."""
_OWN_ALONE = frozenset({ENDPOINTS.name, SLICES.name})
"""Of these only what a pair wrote is watched: there are many, and they change often."""

read_object = reader(PairObject)
read_port_claim = reader(PortClaim)


class Watched:
    """Follows one cluster, from ``start`` to ``stop``.

    Args:
        side: which one it is.
        api: the API server, by a connection of this input's own: ``stop`` closes it.
        settings: where its router is.
        seen: takes what is there.
        observer: counts.
        pace: how often and how long things are done.
        supervisor: owns the threads.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        side: Side,
        api: StoppableApi,
        settings: PairSettings,
        seen: Seen,
        observer: WatchObserver,
        *,
        pace: Pace | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._reflectors: dict[str, Reflector] = {}
        self._threads = []
        named = _Named(api, settings.name(side))
        for resource in RESOURCES.values():
            is_claims = resource is PORT_CLAIMS
            handle = Handle()
            reflector = Reflector(
                named,
                resource,
                _PortClaimSink(seen) if is_claims else _Sink(seen, resource.name),
                handle=handle,
                observer=observer,
                pace=pace or _PACE,
                namespace=settings.router_namespace(side) if is_claims else "",
                label_selector=OWN if resource.name in _OWN_ALONE else "",
            )
            self._reflectors[resource.name] = reflector
            name = f"watch {side} {resource.name}"
            self._threads.append(supervisor.own(name, reflector.run, ask_to_end=handle.stop))

    @property
    def is_synced(self) -> bool:
        """Whether all of it was read once; any thread."""
        return all(each.is_listed for each in self._reflectors.values())

    @property
    def is_connected(self) -> bool:
        """Whether the API server answers as it should, for all that is watched; any thread."""
        return all(each.is_connected for each in self._reflectors.values())

    @property
    def problem(self) -> str:
        """Why not, for a user; empty where it does; any thread."""
        return next((f"{name}: {each.problem}" for name, each in self._reflectors.items() if each.problem), "")

    def start(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the watches, and the calls that they wait in."""
        for thread in self._threads:
            thread.stop(0.0)
        self._api.close()
        for thread in self._threads:
            thread.stop(_JOIN_S)


class _Named:
    """An API server whose problems say which cluster it is of: the log has those of two."""

    def __init__(self, api: StoppableApi, cluster: str) -> None:
        self._api = api
        self._cluster = cluster
        self.patch, self.post, self.put = api.patch, api.post, api.put

    def get(self, path: str, query: Query | None = None) -> bytes:
        """GET a path."""
        with self._saying():
            return self._api.get(path, query)

    @contextmanager
    def answer(self, path: str, query: Query, silence_s: float) -> Iterator[Iterator[bytes]]:
        """GET a path, piece by piece."""
        with self._saying(), self._api.answer(path, query, silence_s) as pieces:
            yield pieces

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[Stream]:
        """GET a path as a stream."""
        with self._saying(), self._api.watch(path, query, read_timeout_s) as stream:
            yield stream

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            text = str(error).replace(GRANTING_FILE, _GRANTING_FILES)
            if not text.startswith(f"{self._cluster}: "):
                error.args = (f"{self._cluster}: {text}",)
            raise


class _Listing:
    """Objects of a list; what cannot be read stays as it was known, and is told."""

    def __init__(self, read: Callable[[Json], object], kind: str) -> None:
        self._read = read
        self._log = log.bind(kind=kind)
        self.objects: dict[ObjectKey, object] = {}
        self.unread: set[ObjectKey] = set()

    def begin_list(self) -> None:
        """Begin to list."""
        self.objects, self.unread = {}, set()

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take objects of the list."""
        for raw in items:
            self.take(raw, self.objects.__setitem__, self.unread.add)

    def leave_out(self, key: ObjectKey) -> None:
        """Take no object of this key for one of the list."""
        self.objects.pop(key, None)
        self.unread.discard(key)

    def take(
        self, raw: msgspec.Raw, take: Callable[[ObjectKey, object], None], skip: Callable[[ObjectKey], None]
    ) -> None:
        """Read one object."""
        try:
            key = decode_head(raw).key
        except msgspec.DecodeError as error:
            self._log.warning("object not decoded", problem=f"metadata: {error}")
            return
        try:
            take(key, self._read(raw))
        except msgspec.DecodeError as error:
            self._log.warning("object not decoded", namespace=key.namespace, name=key.name, problem=str(error))
            skip(key)


class _Sink(_Listing):
    """The sink of a watch over anything but PortClaims."""

    def __init__(self, seen: Seen, resource: str) -> None:
        super().__init__(read_object, resource)
        self._seen = seen
        self._resource = resource

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take what was listed for all that there is."""
        self._seen.replace(self._resource, _of(PairObject, self.objects.values()), self.unread)

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take an object that was added or changed, or (None) deleted."""
        if raw is None:
            self._seen.delete(self._resource, head.key, version=head.metadata.resource_version)
            return
        self.take(raw, lambda _, obj: self._put(obj), lambda _: None)

    def _put(self, obj: object) -> None:
        for each in _of(PairObject, (obj,)):
            self._seen.put(self._resource, each)


class _PortClaimSink(_Listing):
    """The sink of the watch over PortClaims."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(read_port_claim, PORT_CLAIMS.name)
        self._seen = seen

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - likewise
        """Take what was listed for all that there is."""
        listed = {each.metadata.name: each for each in _of(PortClaim, self.objects.values())}
        self._seen.replace_port_claims(listed, [key.name for key in self.unread])

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take one that was added or changed, or (None) deleted."""
        if raw is None:
            self._seen.delete_port_claim(head.key.name, version=head.metadata.resource_version)
            return
        self.take(raw, lambda _, obj: self._put(obj), lambda _: None)

    def _put(self, obj: object) -> None:
        for each in _of(PortClaim, (obj,)):
            self._seen.put_port_claim(each)


def _of(kind: type, objects: Iterable[object]) -> list:  # type: ignore[type-arg]
    return [each for each in objects if isinstance(each, kind)]
