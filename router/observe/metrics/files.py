"""What Prometheus scrapes of HAProxy's need for open files; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.haproxy.process.descriptors import STEPS
from router.reconcile.room import Files


def show_files(registry: CollectorRegistry, now: Callable[[], Files]) -> None:
    """Show from now on how many files HAProxy needs and may have, as ``now`` says at each scrape."""
    registry.register(_Files(now))


class _Files(Collector):
    def __init__(self, now: Callable[[], Files]) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        files = self._now()
        yield GaugeMetricFamily(
            "tcp_router_haproxy_files_needed",
            "Open files that one HAProxy worker needs to serve everything that is asked for.",
            value=files.needed,
        )
        yield GaugeMetricFamily(
            "tcp_router_haproxy_files_limit", "Open files that one HAProxy worker may have.", value=files.limit
        )
        without = GaugeMetricFamily(
            "tcp_router_done_without",
            "1 for what HAProxy does without because it may not have enough open files, 0 for what not.",
            labels=["what"],
        )
        for step in STEPS:
            without.add_metric([step.value], step in files.saved)
        yield without
