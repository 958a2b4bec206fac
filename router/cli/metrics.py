"""The metrics of a running router: the parts behind ``/metrics`` put together."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.cli.page_parts import BELOW, PAGES
from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.haproxy.talk.workers import Workers
from router.observe.access import MetricsAccess, local_only, needs_tls
from router.observe.certificate import CertificateFiles
from router.observe.http import Guard
from router.observe.metrics.haproxy import HaproxyMetrics
from router.observe.metrics.router import Metrics
from router.settings import RenderSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster

EXPLAIN, PROBE = "/explain/", "/probe/"
FOR_PEOPLE = ("/ports", EXPLAIN, PROBE, *PAGES, *BELOW)
"""What may be read without TLS from this machine or pod, as by a port-forward."""
_COMMAND_S = 2.0


@dataclass(frozen=True, slots=True)
class Protection:
    """What the HTTP port needs to protect the metrics and the table of ports."""

    guards: dict[str, Guard]
    tls_context: Callable[[], ssl.SSLContext] | None


def haproxy_metrics(options: RunSettings, settings: RenderSettings, metrics: Metrics) -> HaproxyMetrics:
    """Make what counts for HAProxy, and show it among the metrics; it is not started."""
    workers = Workers(settings.stats_socket, settings.master_socket, _COMMAND_S)
    of_haproxy = HaproxyMetrics(workers, lambda: metrics.owners, options.metrics_server_limit)
    metrics.show_haproxy(of_haproxy)
    return of_haproxy


def protection(options: RunSettings, cluster: Cluster | None, stack: ExitStack) -> Protection:
    """Make what the options say of TLS and of who may read the metrics; what must be undone goes on the stack.

    Raises:
        SettingsError: the options do not go together, or the certificate cannot be used.
    """
    certificate, key = options.metrics_tls_cert, options.metrics_tls_key
    if (certificate is None) != (key is None):
        raise SettingsError("--metrics-tls-cert and --metrics-tls-key go together: give both or neither")
    guard: Guard | None = None
    if options.metrics_auth == "kubernetes":
        if cluster is None:
            raise SettingsError("--metrics-auth kubernetes needs an API server, and --manifests has none")
        to_review = cluster.to_review()
        stack.callback(to_review.close)
        guard = MetricsAccess(to_review, options.router_name)
    if certificate is not None and key is not None:
        files = CertificateFiles(certificate, key)
        for_people = needs_tls(guard, but_locally=True)
        guards = {"/metrics": needs_tls(guard), **dict.fromkeys(FOR_PEOPLE, for_people)}
        context: Callable[[], ssl.SSLContext] | None = files.context
    else:
        guards, context = {} if guard is None else dict.fromkeys(("/metrics", *FOR_PEOPLE), guard), None
    if guard is None:
        # Whoever asks for it has the router connect to pods.
        guards[PROBE] = local_only
    return Protection(guards, context)
