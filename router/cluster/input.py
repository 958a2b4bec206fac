"""Keeps the store equal to an API server: the threads, and how the kinds depend on each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from router.cluster import gateways
from router.cluster.asking import Asks, ServiceSink, decoder
from router.cluster.claims import ClaimSink, UntilRead
from router.cluster.followed import Followed
from router.cluster.handle import Handle
from router.cluster.held_back import HeldBack
from router.cluster.kinds import (
    NAMESPACES,
    PODS,
    PORT_CLAIMS,
    ROUTES,
    SERVER_CLAIMS,
    SERVICES,
    TRANSPORT_SERVERS,
    FollowedKind,
    Resource,
    services,
)
from router.cluster.namespaces import NamespaceReader, NamespaceSink, UnlessDenied
from router.cluster.optional import OptionalWatch, counting, optional_watches
from router.cluster.referred import by_name
from router.cluster.reflector import Pace, Reflector, Sink, WatchObserver
from router.cluster.routers import RouterPods, UnlessAbsent, UnlessForbidden
from router.cluster.scoped import Announcing, Scoped
from router.cluster.shard import Shard
from router.cluster.sinks import RouteSink
from router.cluster.sources import KindState, endpoints_kind, follows_namespaces, source_name
from router.cluster.watch import Watch, state_of
from router.cluster.withheld import WithheldKinds
from router.kube.api import StoppableApi
from router.objects.core import RouterPod
from router.objects.kinds import AskingObject
from router.objects.store import Store
from router.settings import ClaimSettings, KubeSettings, RouterPodSettings
from router.supervisor import SUPERVISOR, Pool, Supervisor

log = structlog.get_logger()

_JOIN_S = 0.9
_WITHOUT_ROUTES_S = 600.0
"""So long what Routes may lead to, which was listed along with them, waits for them; by then it is out of date, and listed once more."""
_FETCHING = 4
"""Threads that fetch: one publishes Routes, another may wait to do so, and two followers are asked at a time."""


class KubeInput:
    """Reads an API server into the store, and follows its changes; on an outage the store keeps what it has.

    Services and endpoints are kept only of those that a Route of ours refers to. They are listed along with Routes, and looked through after them.

    Args:
        api: the API server, by a connection of this input's own: ``stop`` closes it.
        store: is told with each change; made with ``sources_of(settings)``.
        settings: what to watch.
        is_ours: whether an object is this router's; of Services those that ask are looked at alone.
        asks: whether a Service is one to look at for itself.
        observer: counts.
        pace: how often and how long things are done.
        machine: gives what the process knows of its own addresses, where the API server does not show the routers' pods.
        supervisor: owns the threads.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        api: StoppableApi,
        store: Store,
        settings: KubeSettings,
        is_ours: Callable[[AskingObject], bool],
        observer: WatchObserver,
        *,
        asks: Asks = lambda _service: False,
        pace: Pace | None = None,
        machine: Callable[[], RouterPod] | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._store = store
        self._observer = observer
        self._pace = pace or Pace()
        self._settings = settings
        self._supervisor = supervisor
        self._executor = Pool("kube fetch", _FETCHING, supervisor=supervisor)
        self._asks = asks
        self._routes_known = threading.Event()
        self._services_known = threading.Event()
        """Those that ask are in the shard: then it is known whose endpoints are wanted."""
        self._held_by: dict[str, Callable[[], int]] = {}
        """What tells how many objects of a kind are kept."""
        self._watches: list[Watch] = []
        self._withheld = WithheldKinds(observer, api, store)

        scopes = settings.namespaces or ("",)
        self._referred = by_name(api, store, settings.external_certificate_account, observer, supervisor)
        followers = tuple(self._follow(kind, scopes) for kind in (services(decoder(asks)), endpoints_kind(settings)))
        self._shard = Shard(
            store,
            is_ours,
            followers,
            self._executor,
            referred=self._referred,
            selects_namespaces=bool(settings.namespace_selector),
        )
        for namespace in scopes:
            self._follow_routes(namespace)
        for watch in optional_watches(settings, store, self._shard):
            self._follow_optional(watch)
        if follows_namespaces(settings):
            self._follow_namespaces(settings)
        self._router_pods: RouterPods | None = None
        if settings.router_pods is not None and machine is not None:
            self._router_pods = self._follow_routers(settings.router_pods, machine)
        if settings.claims is not None:
            self._follow_claims(settings.claims)
        self._unknown = {watch.source for watch in self._watches if self._is_first(watch.resource)}
        self._unlisted = {watch.source for watch in self._watches if watch.resource is SERVICES}
        self._does_without_routes = False
        self._sources_lock = threading.Lock()

    @property
    def kinds(self) -> Mapping[str, KindState]:
        """How it stands with each kind, by its plural; any thread."""
        return {name: self._state(name) for name in sorted({watch.resource.name for watch in self._needed()})}

    @property
    def is_connected(self) -> bool:
        """Whether every watch had an answer as it should be when last asked; any thread."""
        return all(watch.reflector.is_connected and watch.thread.is_running for watch in self._needed())

    @property
    def router_pods(self) -> RouterPods | None:
        """Where routers run; None where they are not looked for. Any thread."""
        return self._router_pods

    def start(self) -> None:
        """Begin to watch, on threads of their own."""
        for watch in self._watches:
            watch.thread.start()

    def stop(self) -> None:
        """End the threads, and the calls that they wait in; the store keeps what it has."""
        for watch in self._watches:
            watch.thread.stop(0.0)
        self._api.close()
        ends_s = time.monotonic() + _JOIN_S
        for watch in self._watches:
            watch.thread.stop(max(0.0, ends_s - time.monotonic()))
        self._referred.stop()
        # After those who give it work.
        self._executor.shutdown(wait=False)

    def _follow(self, kind: FollowedKind, scopes: tuple[str, ...]) -> Scoped:
        """Make the watches of a kind of which only some objects are kept."""
        members: dict[str, tuple[Followed, Reflector, Handle]] = {}
        for namespace in scopes:
            followed, handle = Followed(kind, self._api, self._store), Handle()
            is_services = kind.resource is SERVICES
            sink = ServiceSink(followed, lambda: self._shard, self._asks, namespace) if is_services else followed
            members[namespace] = (followed, self._add_followed(kind.resource, sink, handle, namespace), handle)
        scoped = Scoped(members)
        self._held_by[kind.resource.name] = lambda: sum(followed.held for followed, _, _ in members.values())
        return scoped

    def _add_followed(self, resource: Resource, sink: Sink, handle: Handle, namespace: str) -> Reflector:
        # Where Services cannot be read, their endpoints are not waited with.
        observer = UnlessForbidden(self._observer, lambda: reflector.is_listed, self._services_known.set)
        reflector = self._add(resource, sink, handle, namespace, "", observer if resource is SERVICES else None)
        return reflector

    def _add(  # noqa: PLR0913, PLR0917 - what there is to say about a watch
        self,
        resource: Resource,
        sink: Sink,
        handle: Handle,
        namespace: str,
        label_selector: str,
        observer: WatchObserver | None = None,
    ) -> Reflector:
        source = source_name(resource, namespace)
        is_first = self._is_first(resource)
        # Everything is listed at the same time, and taken in its order: endpoints when it is known which Services ask.
        lists: Sink = HeldBack(sink, self._services_known) if isinstance(sink, Followed) else sink
        if isinstance(sink, Followed | ServiceSink):
            lists = HeldBack(lists, self._routes_known, longest_s=_WITHOUT_ROUTES_S, ahead=sink.read_ahead)
        reflector = Reflector(
            self._api,
            resource,
            Announcing(lists, lambda: self._listed(source, is_first=is_first)),
            handle=handle,
            observer=observer or self._observer,
            pace=self._pace,
            catch_up=sink.catch_up if isinstance(sink, Followed | ServiceSink) else lambda: None,
            namespace=namespace,
            label_selector=label_selector,
        )
        self._own(resource, reflector, handle, source, reflector.run)
        return reflector

    def _own(
        self,
        resource: Resource,
        reflector: Reflector | NamespaceReader,
        handle: Handle,
        source: str,
        target: Callable[[], None],
    ) -> None:
        thread = self._supervisor.own(f"watch {source}", target, ask_to_end=lambda: self._ask_to_end(handle))
        self._watches.append(Watch(resource, reflector, handle, thread, source))

    def _is_first(self, resource: Resource) -> bool:
        """Say whether it tells which Services are wanted, so that all else waits for it."""
        return resource in {ROUTES, SERVER_CLAIMS, TRANSPORT_SERVERS, *gateways.RESOURCES} or (
            resource is NAMESPACES and bool(self._settings.namespace_selector)
        )

    def _ask_to_end(self, handle: Handle) -> None:
        handle.stop()
        self._routes_known.set()
        self._services_known.set()

    def _listed(self, source: str, *, is_first: bool) -> None:
        """Take note that a list is in the store."""
        if is_first:
            self._know(source)
        with self._sources_lock:
            self._unlisted.discard(source)
            if not self._unlisted:
                self._services_known.set()
        self._store.mark_synced(source)

    def _know(self, source: str) -> None:
        """Take note that all that this source can bring is known, be it nothing."""
        with self._sources_lock:
            self._unknown.discard(source)
            if not self._unknown:
                self._routes_known.set()

    def _without_routes(self, source: str, absent_s: float) -> None:
        """Take note that the API server has no Routes: Services are read all the same, and where one asks that is all there is to wait for."""
        self._know(source)
        routes = {watch.source for watch in self._watches if watch.resource is ROUTES}
        claims = self._settings.claims
        if claims is not None and not claims.required:
            routes.add(source_name(PORT_CLAIMS, claims.namespace))
        if absent_s >= self._pace.absent_s and self._shard.has_others_than_routes and self._store.lacking <= routes:
            log.info("served without routes", reason=ROUTES.absent)
            self._does_without_routes = True
            self._store.mark_synced(source)

    def _needed(self) -> list[Watch]:
        """Give the watches; without those that may not be had, where the router does without."""
        claims = self._settings.claims
        optional = {PODS} if claims is None or claims.required else {PODS, PORT_CLAIMS}
        optional |= {ROUTES} if self._does_without_routes else set()
        optional |= {SERVER_CLAIMS, TRANSPORT_SERVERS, *gateways.RESOURCES} - (
            gateways.REQUIRED if self._settings.gateway_api == "on" else set()
        )
        known = (watch for watch in self._watches if watch.resource not in optional or watch.reflector.is_listed)
        return [*known, *(watch for watch in self._watches if self._withheld.said_of(watch.source))]

    def _follow_routes(self, namespace: str) -> None:
        self._held_by[ROUTES.name] = self._shard.held
        source = source_name(ROUTES, namespace)
        observer = UnlessAbsent(
            self._observer, lambda: reflector.is_listed, lambda seconds: self._without_routes(source, seconds)
        )
        selector = self._settings.route_selector
        reflector = self._add(ROUTES, RouteSink(self._shard, namespace), Handle(), namespace, selector, observer)

    def _follow_optional(self, watch: OptionalWatch) -> None:
        """Make a watch over a kind for which nothing waits where it cannot be had, for Routes need none."""
        resource, namespace, sink, selector = watch
        source = source_name(resource, namespace)
        self._held_by[resource.name] = counting(sink, self._held_by.get(resource.name))

        def do_without() -> None:
            self._know(source)
            self._store.mark_synced(source)

        observer = self._withheld.observer(resource, namespace, source, lambda: reflector.is_listed, do_without)
        reflector = self._add(resource, sink, Handle(), namespace, selector, observer)

    def _follow_namespaces(self, settings: KubeSettings) -> None:
        """Make the watch over namespaces, or what reads those that are named; without rights, nothing new is claimed in them."""
        selects = bool(settings.namespace_selector)
        handle, source = Handle(), source_name(NAMESPACES, "")
        sink = NamespaceSink(self._store if settings.reads_namespaces else None, self._shard if selects else None)
        self._held_by[NAMESPACES.name] = lambda: sink.held

        def read() -> None:
            self._store.mark_synced(source)

        if selects or not settings.namespaces:
            watched = UnlessDenied(self._observer, lambda: selects or reflector.is_listed, read)
            reflector = self._add(NAMESPACES, sink, handle, "", settings.namespace_selector, watched)
            return
        named = NamespaceReader(
            self._api,
            settings.namespaces,
            sink,
            handle=handle,
            observer=self._observer,
            pauses_s=self._pace.pauses_s,
            read=read,
        )
        self._own(NAMESPACES, named, handle, source, named.run)

    def _follow_routers(self, pods: RouterPodSettings, machine: Callable[[], RouterPod]) -> RouterPods:
        """Make the watch over the routers' own pods; the store does not wait for it where that is in vain."""
        sink = RouterPods(self._store, pods.own_name, machine)
        self._held_by[PODS.name] = lambda: sink.held
        source = source_name(PODS, pods.namespace)

        def give_up() -> None:
            sink.give_up()
            self._store.mark_synced(source)

        observer = UnlessForbidden(self._observer, lambda: reflector.is_listed, give_up)
        reflector = self._add(PODS, sink, Handle(), pods.namespace, pods.selector, observer)
        return sink

    def _follow_claims(self, claims: ClaimSettings) -> None:
        """Make the watch over PortClaims; the store waits for it, unless the API has no such kind and none is required."""
        sink, handle = ClaimSink(self._store), Handle()
        self._held_by[PORT_CLAIMS.name] = lambda: sink.held
        source = source_name(PORT_CLAIMS, claims.namespace)
        observer = UntilRead(
            self._observer,
            sink,
            handle,
            lambda: reflector.is_listed,
            lambda: not claims.required and self._store.lacking == {source},
            lambda: self._store.mark_synced(source),
        )
        reflector = self._add(PORT_CLAIMS, sink, handle, claims.namespace, "", observer)

    def _state(self, name: str) -> KindState:
        watches = [watch for watch in self._watches if watch.resource.name == name]
        withheld = (self._withheld.said_of(watch.source) for watch in watches)
        return state_of(watches, self._held_by[name](), next(filter(None, withheld), ""))
