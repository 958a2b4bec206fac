"""What Prometheus scrapes of certificates, those of clients too; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.model import Model
from router.observe.certificates import certificates
from router.observe.clients import clients


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
        authorities = GaugeMetricFamily(
            "tcp_router_client_ca_expiry_timestamp_seconds",
            "Until when the first CA is valid that the certificates of a Route's clients are verified by.",
            labels=["kind", "namespace", "route"],
        )
        lists = GaugeMetricFamily(
            "tcp_router_client_crl_next_update_timestamp_seconds",
            "Until when the first list of revoked certificates of a Route's clients is good; from then on they are all refused.",
            labels=["kind", "namespace", "route"],
        )
        for asker, each in dict(clients(model)).items() if model is not None else ():
            labels = [asker.kind, asker.namespace, asker.name]
            authorities.add_metric(labels, each.until_s)
            if each.revoked_until_s:
                lists.add_metric(labels, each.revoked_until_s)
        yield authorities
        yield lists
