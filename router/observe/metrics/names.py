"""What Prometheus scrapes of names that are looked up; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


def show_names(
    registry: CollectorRegistry, states: Callable[[], Mapping[str, int]], lookups: Callable[[], Mapping[str, int]]
) -> None:
    """Show from now on how many names are in which state, and how many lookups had which result, as these say at each scrape."""
    registry.register(_Names(states, lookups))


class _Names(Collector):
    def __init__(self, states: Callable[[], Mapping[str, int]], lookups: Callable[[], Mapping[str, int]]) -> None:
        self._states = states
        self._lookups = lookups

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        states = GaugeMetricFamily(
            "tcp_router_external_names", "DNS names of ExternalName Services that are looked up.", labels=["state"]
        )
        for state, count in sorted(self._states().items()):
            states.add_metric([state], count)
        yield states
        lookups = CounterMetricFamily(
            "tcp_router_external_name_lookups", "Lookups of such names, one for each address family.", labels=["result"]
        )
        for result, count in sorted(self._lookups().items()):
            lookups.add_metric([result], count)
        yield lookups
