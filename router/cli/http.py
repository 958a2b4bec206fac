"""The HTTP port of a running router, put together: what is given at which path, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.cli.explanations import explanations
from router.cli.ip_versions import listen_on_this_host
from router.cli.metrics import Protection
from router.cli.own_addresses import reached_by
from router.cli.page_parts import PageParts, page_parts
from router.cli.run_settings import RunSettings
from router.haproxy.talk.stats import BackendNow
from router.objects.store import Store
from router.observe.health import Health
from router.observe.http import METRICS, HttpServer, Hub, Page, health_page
from router.observe.http_turn import HttpTurn
from router.observe.metrics.router import Metrics
from router.observe.ports import AddressNow
from router.observe.ports_page import PortsPage
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, RenderSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What of the router is shown; each from any thread."""

    snapshot: Callable[[], Snapshot]
    sessions: Callable[[], Mapping[str, BackendNow] | None]
    addresses: Callable[[], Mapping[str, AddressNow]]
    readiness: Callable[[], Health]
    liveness: Callable[[], Health]
    haproxy_build: str


def serve_http(  # noqa: PLR0913, PLR0917 - what is served, and to whom
    options: RunSettings,
    admission: AdmissionSettings,
    settings: RenderSettings,
    cluster: Cluster | None,
    store: Store,
    metrics: Metrics,
    seen: Seen,
    protected: Protection,
    stack: ExitStack,
) -> tuple[str, HttpTurn | None]:
    """Answer on the HTTP port, at once or, on the host's network, when it is our turn; give its address, and the turn."""
    pages: dict[str, Callable[[], Page]] = {
        "/metrics": lambda: Page(metrics.exposition(), METRICS),
        "/ports": PortsPage(
            seen.snapshot, seen.sessions, reached_by(options, cluster), seen.addresses, options.sni_port
        ),
        "/healthz": lambda: health_page(seen.liveness()),
        "/readyz": lambda: health_page(seen.readiness()),
    }
    below = explanations(options, admission, seen.snapshot, store, settings, cluster)
    parts = PageParts()
    if options.page:
        parts = page_parts(
            admission,
            settings,
            haproxy_build=seen.haproxy_build,
            snapshot=seen.snapshot,
            counts=seen.sessions,
            objects=store.objects,
            readiness=seen.readiness,
            liveness=seen.liveness,
            metrics=metrics,
            stack=stack,
            cluster=cluster,
            own_pod=cluster.settings.router_pods if cluster is not None and options.share_figures else None,
        )
    return _listen(options, {**pages, **parts.pages}, {**below, **parts.below}, protected, parts.hub, stack)


def _listen(  # noqa: PLR0913, PLR0917 - what is served, and to whom
    options: RunSettings,
    pages: Mapping[str, Callable[[], Page]],
    below: Mapping[str, Callable[[str], Page]],
    protected: Protection,
    hub: Hub,
    stack: ExitStack,
) -> tuple[str, HttpTurn | None]:
    """Answer on the HTTP port, at once or, on the host's network, when it is our turn; give its address, and the turn."""
    address, port = options.http_address

    def make() -> HttpServer:
        host = listen_on_this_host(address)
        server = HttpServer(host, port, pages, protected.guards, protected.tls_context, below=below)
        hub.attach(server)
        return server

    if options.host_network:
        turn = HttpTurn(make)
        stack.callback(turn.stop)
        turn.start()
        return f"{address}:{port}", turn
    http = make()
    stack.callback(http.stop)
    http.start()
    return f"{address}:{http.port}", None
