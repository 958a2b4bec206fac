"""Keeps the store equal to an API server: the threads, and how the kinds depend on each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from router.cluster.claims import ClaimSink, UntilRead
from router.cluster.decoding import Head
from router.cluster.followed import Followed
from router.cluster.handle import Handle
from router.cluster.kinds import (
    ENDPOINTS,
    NAMESPACES,
    PODS,
    PORT_CLAIMS,
    ROUTES,
    SERVICES,
    SLICES,
    FollowedKind,
    Resource,
)
from router.cluster.reflector import Pace, Reflector, Sink, WatchObserver
from router.cluster.routers import RouterPods, UnlessForbidden
from router.cluster.shard import Shard
from router.cluster.sinks import NamespaceSink, RouteSink
from router.kube.api import StoppableApi
from router.objects.core import RouterPod
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Store
from router.settings import ClaimSettings, KubeSettings, RouterPodSettings
from router.supervisor import SUPERVISOR, OwnedThread, Pool, Supervisor

_JOIN_S = 0.9
_FETCHING = 4
"""Threads that fetch: one publishes Routes, another may wait to do so, and two followers are asked at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindState:
    """How it stands with one kind, over all of its watches."""

    is_synced: bool
    """It was listed to its end, once."""
    is_connected: bool
    """The API server answered as it should when last asked."""
    held: int
    """Objects kept in memory."""
    last_event_s: float | None
    """When the server last sent something (``time.monotonic``)."""
    problem: str
    """Why it is not connected, for a user."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """One watch and its thread."""

    resource: Resource
    reflector: Reflector
    handle: Handle
    thread: OwnedThread
    source: str


class KubeInput:
    """Reads an API server into the store, and follows its changes; on an outage the store keeps what it has.

    Routes are read first, as Services and endpoints are kept only of those that a Route of ours refers to.

    Args:
        api: the API server, by a connection of this input's own: ``stop`` closes it.
        store: is told with each change; made with ``sources_of(settings)``.
        settings: what to watch.
        is_ours: whether a Route is this router's.
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
        is_ours: Callable[[Route], bool],
        observer: WatchObserver,
        *,
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
        self._routes_known = threading.Event()
        self._followed: list[tuple[_Scoped, tuple[Followed, ...]]] = []
        self._watches: list[_Watch] = []

        scopes = settings.namespaces or ("",)
        followers = tuple(self._follow(kind, scopes) for kind in _followed_kinds(settings))
        self._shard = Shard(
            store, is_ours, followers, self._executor, selects_namespaces=bool(settings.namespace_selector)
        )
        for namespace in scopes:
            self._add(ROUTES, RouteSink(self._shard, namespace), Handle(), namespace, settings.route_selector)
        self._namespaces = NamespaceSink(self._shard)
        if settings.namespace_selector:
            self._add(NAMESPACES, self._namespaces, Handle(), "", settings.namespace_selector)
        self._router_pods: RouterPods | None = None
        if settings.router_pods is not None and machine is not None:
            self._router_pods = self._follow_routers(settings.router_pods, machine)
        self._claims = self._follow_claims(settings.claims) if settings.claims is not None else None
        self._unknown = {watch.source for watch in self._watches if watch.resource in {ROUTES, NAMESPACES}}
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
    def router_nodes(self) -> frozenset[str] | None:
        """Where routers run; None where that is not known. Any thread."""
        return self._router_pods.nodes if self._router_pods is not None else None

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
        # After those who give it work.
        self._executor.shutdown(wait=False)

    def _follow(self, kind: FollowedKind, scopes: tuple[str, ...]) -> _Scoped:
        """Make the watches of a kind of which only some objects are kept."""
        members: dict[str, tuple[Followed, Reflector, Handle]] = {}
        for namespace in scopes:
            followed, handle = Followed(kind, self._api, self._store), Handle()
            members[namespace] = (followed, self._add(kind.resource, followed, handle, namespace, ""), handle)
        scoped = _Scoped(members)
        self._followed.append((scoped, tuple(followed for followed, _, _ in members.values())))
        return scoped

    def _add(  # noqa: PLR0913, PLR0917 - what there is to say about a watch
        self,
        resource: Resource,
        sink: Sink,
        handle: Handle,
        namespace: str,
        label_selector: str,
        observer: WatchObserver | None = None,
    ) -> Reflector:
        source = _source(resource, namespace)
        is_first = resource in {ROUTES, NAMESPACES}
        reflector = Reflector(
            self._api,
            resource,
            _Announcing(sink, lambda: self._listed(source, is_first=is_first)),
            handle=handle,
            observer=observer or self._observer,
            pace=self._pace,
            catch_up=sink.catch_up if isinstance(sink, Followed) else lambda: None,
            namespace=namespace,
            label_selector=label_selector,
        )
        target = (
            reflector.run if is_first or resource in {PODS, PORT_CLAIMS} else lambda: self._run_after_routes(reflector)
        )
        thread = self._supervisor.own(f"watch {source}", target, ask_to_end=lambda: self._ask_to_end(handle))
        self._watches.append(_Watch(resource, reflector, handle, thread, source))
        return reflector

    def _ask_to_end(self, handle: Handle) -> None:
        handle.stop()
        self._routes_known.set()

    def _run_after_routes(self, reflector: Reflector) -> None:
        self._routes_known.wait()
        reflector.run()

    def _listed(self, source: str, *, is_first: bool) -> None:
        """Take note that a list is in the store."""
        if is_first:
            with self._sources_lock:
                self._unknown.discard(source)
                if not self._unknown:
                    self._routes_known.set()
        self._store.mark_synced(source)

    def _needed(self) -> list[_Watch]:
        """Give the watches; without those that may not be had, where the router does without."""
        claims = self._settings.claims
        optional = {PODS} if claims is None or claims.required else {PODS, PORT_CLAIMS}
        return [watch for watch in self._watches if watch.resource not in optional or watch.reflector.is_listed]

    def _follow_routers(self, pods: RouterPodSettings, machine: Callable[[], RouterPod]) -> RouterPods:
        """Make the watch over the routers' own pods; the store does not wait for it where that is in vain."""
        sink = RouterPods(self._store, pods.own_name, machine)
        source = _source(PODS, pods.namespace)

        def give_up() -> None:
            sink.give_up()
            self._store.mark_synced(source)

        observer = UnlessForbidden(self._observer, lambda: reflector.is_listed, give_up)
        reflector = self._add(PODS, sink, Handle(), pods.namespace, pods.selector, observer)
        return sink

    def _follow_claims(self, claims: ClaimSettings) -> ClaimSink:
        """Make the watch over PortClaims; the store waits for it, unless the API has no such kind and none is required."""
        sink, handle = ClaimSink(self._store), Handle()
        source = _source(PORT_CLAIMS, claims.namespace)
        observer = UntilRead(
            self._observer,
            sink,
            handle,
            lambda: reflector.is_listed,
            lambda: not claims.required and self._store.lacking == {source},
            lambda: self._store.mark_synced(source),
        )
        reflector = self._add(PORT_CLAIMS, sink, handle, claims.namespace, "", observer)
        return sink

    def _state(self, name: str) -> KindState:
        watches = [watch for watch in self._watches if watch.resource.name == name]
        reflectors = [watch.reflector for watch in watches]
        problems = [watch.thread.problem or watch.reflector.problem for watch in watches]
        events_s = [reflector.last_event_s for reflector in reflectors if reflector.last_event_s is not None]
        return KindState(
            is_synced=all(reflector.is_listed for reflector in reflectors),
            is_connected=all(watch.reflector.is_connected and watch.thread.is_running for watch in watches),
            held=self._held(name),
            last_event_s=max(events_s, default=None),
            problem=next(filter(None, problems), ""),
        )

    def _held(self, name: str) -> int:
        if name == ROUTES.name:
            return self._shard.held
        if name == NAMESPACES.name:
            return self._namespaces.held
        if name == PODS.name and self._router_pods is not None:
            return self._router_pods.held
        if name == PORT_CLAIMS.name and self._claims is not None:
            return self._claims.held
        return sum(
            followed.held
            for _, members in self._followed
            for followed in members
            if followed.kind.resource.name == name
        )


class _Announcing:
    """A sink that tells, too, when a list is in."""

    def __init__(self, sink: Sink, listed: Callable[[], None]) -> None:
        self.begin_list = sink.begin_list
        self.add_page = sink.add_page
        self._sink = sink
        self._listed = listed

    def end_list(self, resource_version: str) -> None:
        """Pass it on, and tell."""
        self._sink.end_list(resource_version)
        self._listed()

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Pass it on."""
        self._sink.apply(head, raw)


class _Scoped:
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


def sources_of(settings: KubeSettings) -> frozenset[str]:
    """Give the names by which a store knows the watches: it is synced when each was listed."""
    scopes = settings.namespaces or ("",)
    names = {_source(kind.resource, scope) for kind in _followed_kinds(settings) for scope in scopes}
    names |= {_source(ROUTES, scope) for scope in scopes}
    if settings.router_pods is not None:
        names.add(_source(PODS, settings.router_pods.namespace))
    if settings.claims is not None:
        names.add(_source(PORT_CLAIMS, settings.claims.namespace))
    return frozenset(names | ({NAMESPACES.name} if settings.namespace_selector else set()))


def _followed_kinds(settings: KubeSettings) -> tuple[FollowedKind, ...]:
    return (SERVICES, ENDPOINTS if settings.endpoints == "endpoints" else SLICES)


def _source(resource: Resource, namespace: str) -> str:
    return f"{resource.name} in {namespace}" if namespace else resource.name
