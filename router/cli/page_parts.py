"""The page for people of a running router, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.haproxy.talk.stats import BackendNow
from router.objects.store import Objects
from router.observe.health import Health
from router.observe.http import Hub, Page
from router.observe.metrics.router import Metrics
from router.observe.page.live import Live
from router.observe.page.overview import Overviews
from router.observe.page.served import ServedPage
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, RenderSettings, RouterPodSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster

PAGES = ("/", "/plain", "/page.js", "/page.css", "/page/rows", "/page/events", "/page/router")
BELOW = ("/page/asker/", "/page/free/")
"""The paths, and the beginnings of paths, that are guarded as /ports is."""


@dataclass(frozen=True, slots=True)
class PageParts:
    """What makes it."""

    pages: Mapping[str, Callable[[], Page]] = field(default_factory=dict)
    below: Mapping[str, Callable[[str], Page]] = field(default_factory=dict)
    hub: Hub = field(default_factory=Hub)


def page_parts(  # noqa: PLR0913 - what there is to see
    admission: AdmissionSettings,
    settings: RenderSettings,
    *,
    haproxy_build: str,
    snapshot: Callable[[], Snapshot],
    counts: Callable[[], Mapping[str, BackendNow] | None],
    objects: Objects,
    readiness: Callable[[], Health],
    liveness: Callable[[], Health],
    metrics: Metrics,
    stack: ExitStack,
    cluster: Cluster | None = None,
    own_pod: RouterPodSettings | None = None,
) -> PageParts:
    """Make it, and begin to keep what it shows of the past."""
    hub = Hub()
    live = Live(snapshot, counts, objects, lambda: hub.viewers, hub.tell)
    overviews = Overviews(
        router_name=admission.router_name,
        haproxy_build=haproxy_build,
        snapshot=snapshot,
        readiness=readiness,
        liveness=liveness,
        registry=metrics.registry,
        objects=objects,
        stats_socket=settings.stats_socket,
        master_socket=settings.master_socket,
        pods=cluster.pods_now if cluster is not None else dict,
        leader=(lambda: cluster.election.holder) if cluster is not None else str,
        shares_figures=own_pod is not None,
    )
    if cluster is not None and own_pod is not None:
        _share(cluster, own_pod, overviews, stack)
    served = ServedPage(
        settings=admission,
        live=live,
        overviews=overviews,
        snapshot=snapshot,
        objects=objects,
        stats_socket=settings.stats_socket,
    )
    stack.callback(live.stop)
    metrics.tell_of_reloads(live.loaded)
    live.start()
    return PageParts(served.pages(), served.below(), hub)


def _share(cluster: Cluster, own_pod: RouterPodSettings, overviews: Overviews, stack: ExitStack) -> None:
    """Tell the other replicas how this one is, from now on."""
    from router.status.own_pod import OwnPod, of_figures  # noqa: PLC0415 - where that is wanted

    connection = cluster.to_say()
    stack.callback(connection.close)
    pod = OwnPod(connection, own_pod.namespace, own_pod.own_name, of_figures(overviews.figures))
    stack.callback(pod.stop)
    pod.start()
