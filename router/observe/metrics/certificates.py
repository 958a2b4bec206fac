"""What Prometheus scrapes of certificates; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.model import Model
from router.observe.certificates import certificates


def show_certificates(registry: CollectorRegistry, applied: Callable[[], Model | None]) -> None:
    """Show from now on until when certificates are valid that clients are shown, of what HAProxy serves at each scrape."""
    registry.register(_Certificates(applied))


class _Certificates(Collector):
    def __init__(self, applied: Callable[[], Model | None]) -> None:
        self._applied = applied

    def collect(self) -> Iterator[Metric]:
        """Give the metric as it is now."""
        expiry = GaugeMetricFamily(
            "tcp_router_certificate_expiry_timestamp_seconds",
            "Until when the certificate is valid that clients of a Route are shown, where the router ends TLS.",
            labels=["kind", "namespace", "route"],
        )
        model = self._applied()
        for asker, certificate in dict(certificates(model)).items() if model is not None else ():
            expiry.add_metric([asker.kind, asker.namespace, asker.name], certificate.not_after_s)
        yield expiry
