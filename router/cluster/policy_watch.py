"""Says to whom it may concern that NetworkPolicies may keep the router out: to askers of whom no endpoint passes its health check.

Looked at are those alone of whom that was so twice in a row, a few namespaces at a time, and what was read of a namespace holds for a
minute: who has thousands of dead endpoints has the API server asked no oftener. What is told goes into the store, as what names resolve to does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from router.admission.endpoints import service_of
from router.admission.network_policy import Passage, RouterPeer, TargetPods, judge
from router.cluster.kinds import NAMESPACES, SERVICES
from router.errors import ApiError, ApiForbidden, ApiNotFound
from router.haproxy.talk.stats import BackendNow
from router.kube.api import Api
from router.kube.pages import Pages
from router.model import ROUTE_KIND, Asker, Model, RouteSection
from router.objects.asker_note import AskerNote
from router.objects.core import Service
from router.objects.meta import Fields, ObjectMeta
from router.objects.networking import NetworkPolicy
from router.objects.store import Store
from router.shapes import reader
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

MAY_BLOCK = "NetworkPolicyMayBlock"
"""What the warning begins with."""
_NAMESPACES_AT_A_TIME = 10
_SERVICES_AT_A_TIME = 20
"""Of one namespace."""
_HOLDS_S = 60.0
_AGAIN_S = 20.0
_FORBIDDEN_S = 600.0
_STOPS_WITHIN_S = 3.0
_MAX_LISTED = 3

Backends = Callable[[], Mapping[str, BackendNow] | None]
"""By the name that an asker's backend has of its own; None while HAProxy does not say."""


class _OnlyMeta(Fields, frozen=True):
    metadata: ObjectMeta


_read_policy = reader(NetworkPolicy)
_read_service = reader(Service)
_read_namespace = reader(_OnlyMeta)


@dataclass(slots=True)
class _Namespace:
    """What was read of a namespace."""

    until_s: float
    policies: tuple[NetworkPolicy, ...] = ()
    selectors: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Of Services, by name; empty where it is not known, or there is none."""
    is_known: bool = True
    """It could be read: else what was told stays until it can."""


class PolicyWatch:
    """Looks, from ``start`` to ``stop``.

    Args:
        api: the API server, by a connection of its own with short deadlines.
        store: is told.
        served: gives what HAProxy serves; None while it serves nothing.
        backends: gives what each backend has now.
        router: gives the router, as policies may name it; the labels of its namespace are added where they can be read.
        every_s: seconds between looks.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - what it looks at, and three with defaults
        self,
        api: Api,
        store: Store,
        served: Callable[[], Model | None],
        backends: Backends,
        router: Callable[[], RouterPeer],
        *,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._store = store
        self._served = served
        self._backends = backends
        self._router = router
        self._every_s = every_s
        self._clock = clock
        self._suspects: frozenset[Asker] = frozenset()
        self._read: dict[str, _Namespace] = {}
        self._labels: tuple[float, Mapping[str, str]] = (0.0, {})
        self._told: dict[Asker, AskerNote] = {}
        self._forbidden: set[str] = set()
        self._stopping = threading.Event()
        self._thread = supervisor.own("network policies", self._run, ask_to_end=self._stopping.set)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Look once."""
        served, backends = self._served(), self._backends()
        if served is None or backends is None:
            return
        failing = {section.asker: section for section in served.routes if _is_failing(section, backends)}
        for asker in self._told.keys() - failing.keys():
            self._tell(asker, "")
        suspects, self._suspects = self._suspects & failing.keys(), frozenset(failing)
        by_namespace: dict[str, list[RouteSection]] = {}
        for asker in sorted(suspects):
            by_namespace.setdefault(asker.namespace, []).append(failing[asker])
        now_s = self._clock()
        self._read = {name: read for name, read in self._read.items() if read.until_s > now_s}
        unread = [name for name in by_namespace if name not in self._read]
        for name in unread[:_NAMESPACES_AT_A_TIME]:
            self._read_namespace(name, by_namespace[name], now_s)
        known = [name for name in by_namespace if name in self._read and self._read[name].is_known]
        if not known:
            return
        router = self._peer(now_s) if any(self._read[name].policies for name in known) else self._router()
        for name in known:
            for section in by_namespace[name]:
                self._tell(section.asker, _doubt(section, self._read[name], router))

    def _read_namespace(self, name: str, sections: Iterable[RouteSection], now_s: float) -> None:
        if self._stopping.is_set():
            return
        try:
            policies = tuple(self._policies(name))
            read = _Namespace(now_s + _HOLDS_S, policies)
            wanted = sorted({service for section in sections for service in _ports(section)}) if policies else ()
            for service in wanted[:_SERVICES_AT_A_TIME]:
                read.selectors[service] = self._selector(name, service)
        except ApiForbidden as error:
            if name not in self._forbidden:
                self._forbidden.add(name)
                log.info("network policies not read", namespace=name, problem=str(error))
            read = _Namespace(now_s + _FORBIDDEN_S)
        except (ApiError, msgspec.DecodeError) as error:
            log.debug("network policies not read", namespace=name, problem=str(error))
            read = _Namespace(now_s + _AGAIN_S, is_known=False)
        self._read[name] = read

    def _policies(self, namespace: str) -> Iterable[NetworkPolicy]:
        pages = Pages(self._api, f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
        while not pages.is_over:
            yield from map(_read_policy, pages.read().items)

    def _selector(self, namespace: str, name: str) -> Mapping[str, str]:
        try:
            return _read_service(self._api.get(f"{SERVICES.path(namespace)}/{name}")).spec.selector or {}
        except (ApiNotFound, ApiForbidden):
            return {}

    def _peer(self, now_s: float) -> RouterPeer:
        """Give the router, with the labels of its namespace; where these cannot be read, it is taken for one that OpenShift's ingress comes from."""
        router = self._router()
        until_s, labels = self._labels
        if now_s >= until_s:
            try:
                read = _read_namespace(self._api.get(f"{NAMESPACES.path()}/{router.namespace}"))
                labels = read.metadata.labels or {}
            except (ApiError, msgspec.DecodeError):
                labels = labels or router.namespace_labels
            self._labels = now_s + _HOLDS_S, labels
        return router.seen_in(labels)

    def _tell(self, asker: Asker, warning: str) -> None:
        former = self._told.get(asker)
        if (former.warning if former is not None else "") == warning:
            return
        note = AskerNote.about(asker, warning, "network policies")
        if warning:
            self._told[asker] = note
            self._store.put(note)
            log.warning("network policies may block", namespace=asker.namespace, asker=str(asker), problem=warning)
        else:
            del self._told[asker]
            self._store.delete(AskerNote, note.key)


def _is_failing(section: RouteSection, backends: Mapping[str, BackendNow]) -> bool:
    """Say whether there are endpoints that are to take connections, and none passes its check."""
    backend = section.backend
    now = backends.get(backend.name)
    if now is None or now.servers_up or not backend.check_interval_ms:
        return False
    return any(server.weight and server.check for server in backend.servers)


def _ports(section: RouteSection) -> Mapping[str, frozenset[int | str]]:
    """Give the ports of the endpoints that are led to, by their Service."""
    ports: dict[str, set[int | str]] = {}
    for server in section.backend.servers:
        if server.weight:
            ports.setdefault(service_of(server.name), set()).add(server.port)
    return {service: frozenset(found) for service, found in ports.items()}


def _doubt(section: RouteSection, namespace: _Namespace, router: RouterPeer) -> str:
    """Give the warning for an asker, empty where policies let the router in to one of its Services at least."""
    asker = section.asker
    policies: set[str] = set()
    for service, ports in _ports(section).items():
        pods = TargetPods(namespace=asker.namespace, labels=namespace.selectors.get(service, {}), ports=ports)
        judged = judge(namespace.policies, pods, router)
        if judged.passage is not Passage.SHUT_OUT:
            return ""
        policies.update(judged.policies)
    names = sorted(policies)
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    kind = "" if asker.kind == ROUTE_KIND else f"{asker.kind.lower()}/"
    return (
        f"{MAY_BLOCK}: none of its endpoints passes its health check, and no NetworkPolicy of those for its pods "
        f"({', '.join(names[:_MAX_LISTED])}{more}) names the router; one that does is printed by: "
        f"tcp-router network-policy {kind}{asker.namespace}/{asker.name}"
    )
