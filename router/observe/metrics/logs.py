"""What Prometheus scrapes of the router's log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


def show_lost_lines(registry: CollectorRegistry, lost: Callable[[], int]) -> None:
    """Show from now on how many log lines were lost, as ``lost`` says at each scrape."""
    registry.register(_Lost(lost))


class _Lost(Collector):
    def __init__(self, lost: Callable[[], int]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        """Give the counter as it is now."""
        yield CounterMetricFamily(
            "tcp_router_log_lines_lost", "Log lines that could not be written.", value=self._lost()
        )
