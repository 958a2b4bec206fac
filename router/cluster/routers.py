"""The routers' own pods, as far as the API server lets them be seen: where a Route must not lead to."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import structlog

from router.cluster.decoding import Head, decode_pod_now, decode_router_pod
from router.cluster.machine import MACHINE
from router.cluster.reflector import WatchObserver
from router.objects.core import PodNow, RouterPod
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Store

log = structlog.get_logger()

_AS_IT_SHOULD = frozenset({"ended", "wanted"})


class RouterPods:
    """The sink of the watch over the routers' pods, and what stands in for it where that is not allowed.

    Without it the router knows of itself what the process knows. This is less than what every replica knows of all, but a
    router that may not see pods serves Routes all the same.

    Args:
        store: is told.
        own_name: of the pod that this process is in; while the list does not have it, the machine's addresses count too.
        machine: gives what the process knows of itself.
    """

    def __init__(self, store: Store, own_name: str, machine: Callable[[], RouterPod]) -> None:
        self._store = store
        self._own_name = own_name
        self._machine = machine
        self._known: dict[ObjectKey, RouterPod] = {}
        self._listed: dict[ObjectKey, RouterPod] = {}
        self._listed_now: dict[ObjectKey, PodNow] = {}
        self._has_given_up = False
        self.nodes: frozenset[str] | None = None
        """Where replicas of this router run; None while the API server has not told. Any thread."""
        self.addresses: frozenset[str] = frozenset()
        """Of these pods and of their nodes, as far as the API server has told. Any thread."""

        self.now: dict[ObjectKey, PodNow] = {}
        """How each is, for people: beside the store, for nothing is decided by it. Any thread; never changed, but replaced."""

    @property
    def held(self) -> int:
        """How many pods are known."""
        return len(self._known)

    def begin_list(self) -> None:
        """Begin to list."""
        self._listed, self._listed_now = {}, {}

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take pods of the list."""
        for raw in items:
            pod = _decoded(raw)
            if pod is not None:
                self._listed[pod.key] = pod
                self._listed_now[pod.key] = decode_pod_now(raw)

    def leave_out(self, key: ObjectKey) -> None:
        """Take no pod of this key for one of the list."""
        self._listed.pop(key, None)
        self._listed_now.pop(key, None)

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take what was listed for all that there is."""
        self.now = self._listed_now
        self._take(self._listed)
        self._listed, self._listed_now = {}, {}

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take a pod that was added or changed, or (None) deleted."""
        pod = _decoded(raw) if raw is not None else None
        others = {key: known for key, known in self._known.items() if key != head.key}
        others_now = {key: known for key, known in self.now.items() if key != head.key}
        self.now = others_now if pod is None or raw is None else {**others_now, pod.key: decode_pod_now(raw)}
        self._take(others if pod is None else {**others, pod.key: pod})

    def give_up(self) -> None:
        """Go on without the API server's word, if it never gave any."""
        if not self._has_given_up:
            self._has_given_up = True
            log.warning(
                "pods of the routers cannot be seen",
                consequence="endpoints that are another replica are not told from others",
                permission="list and watch pods in the router's own namespace (docs/kubernetes.md)",
            )
        self._store.put(self._machine())

    def _take(self, known: dict[ObjectKey, RouterPod]) -> None:
        gone = frozenset((RouterPod, key) for key in self._known.keys() - known.keys())
        present: dict[Slot, RouterPod] = {(RouterPod, key): pod for key, pod in known.items()}
        machine = (RouterPod, MACHINE)
        if any(key.name == self._own_name for key in known):
            # Every replica shall decide alike, so by what every replica knows.
            gone |= {machine}
        else:
            present[machine] = self._machine()
        self._known = known
        self.addresses = frozenset(address for pod in known.values() for address in pod.addresses)
        # A second router's pods may be selected, too, lest Routes lead to them.
        ours = {pod.app for key, pod in known.items() if key.name == self._own_name}
        self.nodes = frozenset(pod.node for pod in known.values() if pod.node and (not ours or pod.app in ours))
        self._store.apply(present, gone)


class UnlessForbidden:
    """An observer that gives up waiting for the first list when it fails.

    Args:
        observer: is told all the same.
        is_listed: says whether there was a list ever.
        give_up: called at each failure before that.
    """

    def __init__(self, observer: WatchObserver, is_listed: Callable[[], bool], give_up: Callable[[], None]) -> None:
        self._observer = observer
        self._is_listed = is_listed
        self._give_up = give_up

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count, and go on without if need be."""
        self._observer.watch_restarted(kind, cause)
        if cause not in _AS_IT_SHOULD and not self._is_listed():
            self._give_up()


class UnlessAbsent:
    """An observer that tells when the API server says that it has no such kind, and never had since the start.

    Args:
        observer: is told all the same.
        is_listed: says whether there was a list ever.
        absent: called at each such answer before that, with the seconds since the first of those in a row.
    """

    def __init__(self, observer: WatchObserver, is_listed: Callable[[], bool], absent: Callable[[float], None]) -> None:
        self._observer = observer
        self._is_listed = is_listed
        self._absent = absent
        self._since_s: float | None = None

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count, and tell."""
        self._observer.watch_restarted(kind, cause)
        if cause != "absent" or self._is_listed():
            self._since_s = None
            return
        now_s = time.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        self._absent(now_s - self._since_s)


def _decoded(raw: msgspec.Raw) -> RouterPod | None:
    try:
        return decode_router_pod(raw)
    except msgspec.DecodeError as error:
        log.warning("object not decoded", kind="pods", problem=str(error))
        return None
