"""The named addresses of a running router, put together: what follows them, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.observe.metrics.router import Metrics
from router.observe.ports import AddressNow
from router.reconcile.absence import Absence
from router.reconcile.presence import Here, Presence
from router.settings import RenderSettings, RouterPodSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Addresses:
    """What there is of them; without any, nothing that costs something."""

    presence: Presence
    absence: Absence = field(default_factory=lambda: Absence({}))
    here: Callable[[], Here] = Here
    by_name: Mapping[str, tuple[str, ...]] | None = None
    hostnames: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many IP addresses each is."""
        return {name: len(ips) for name, ips in (self.by_name or {}).items()}

    def now(self) -> Mapping[str, AddressNow]:
        """Say where clients reach each, and whether it is on this node, whole; any thread."""
        here = self.here()
        return {
            name: AddressNow(self.hostnames.get(name, ips[0]), here.present.issuperset(ips))
            for name, ips in (self.by_name or {}).items()
        }

    def notes(self) -> Iterator[str]:
        """Say which are not on this node; any thread."""
        here = self.here()
        for name, ips in (self.by_name or {}).items():
            absent = [ip for ip in ips if ip not in here.present]
            if absent:
                is_open = all(ip in here.bindable for ip in absent)
                ports = "its ports are open here all the same" if is_open else "its ports are not open here"
                yield f"address {name} ({', '.join(absent)}) is not on this node: {ports}"


def follow_addresses(  # noqa: PLR0913, PLR0917 - who is told
    settings: RenderSettings,
    hostnames: Mapping[str, str],
    changed: Callable[[], None],
    metrics: Metrics,
    stack: ExitStack,
    cluster: Cluster | None,
) -> Addresses:
    """Follow the addresses of ``--address``, if there are any, and say on the pod which are here."""
    if not settings.addresses:
        return Addresses(Presence())
    from router.cluster.whereabouts import Whereabouts  # noqa: PLC0415 - where there are any
    from router.observe.metrics.addresses import show_addresses  # noqa: PLC0415 - likewise

    pods = cluster.settings.router_pods if cluster is not None else None
    tellers = [changed]

    def tell() -> None:
        for teller in tellers:
            teller()

    whereabouts = Whereabouts((ip for ips in settings.addresses.values() for ip in ips), tell)
    if cluster is not None and pods is not None:
        tellers.append(_say_on_pod(cluster, pods, lambda: whereabouts.now().present, stack))
    stack.callback(whereabouts.stop)
    whereabouts.start()
    show_addresses(metrics.registry, settings.addresses, whereabouts.now)
    return Addresses(
        Presence(settings.addresses, whereabouts.now),
        # A router that sees no replicas does not know what they have.
        Absence({} if cluster is not None and pods is None else settings.addresses, pods.own_name if pods else ""),
        whereabouts.now,
        settings.addresses,
        hostnames,
    )


def _say_on_pod(
    cluster: Cluster, pods: RouterPodSettings, present: Callable[[], frozenset[str]], stack: ExitStack
) -> Callable[[], None]:
    from router.status.own_pod import OwnPod, of_addresses  # noqa: PLC0415 - where there are addresses

    connection = cluster.to_say()
    stack.callback(connection.close)
    pod = OwnPod(connection, pods.namespace, pods.own_name, of_addresses(present))
    stack.callback(pod.stop)
    pod.start()
    return pod.changed
