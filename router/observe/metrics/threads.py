"""What Prometheus scrapes of the router's threads; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.supervisor import Supervisor


def show_threads(registry: CollectorRegistry, supervisor: Supervisor) -> None:
    """Show from now on which threads run, and how often they died."""
    registry.register(_Threads(supervisor))


class _Threads(Collector):
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        running, deaths = self._supervisor.running, self._supervisor.deaths
        up = GaugeMetricFamily(
            "tcp_router_thread_up", "1 while the thread runs, 0 after its death until it runs again.", labels=["thread"]
        )
        died = CounterMetricFamily("tcp_router_thread_deaths", "Deaths of a thread.", labels=["thread"])
        for name, is_running in sorted(running.items()):
            up.add_metric([name], is_running)
        for name in sorted(running.keys() | deaths.keys()):
            died.add_metric([name], deaths.get(name, 0))
        yield up
        yield died
