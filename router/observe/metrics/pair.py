"""What Prometheus scrapes of ``tcp-router pair``; docs/metrics.md lists all."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router import __version__
from router.observe.metrics.threads import show_threads
from router.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class PairReadings:
    """Where to read at each scrape; by cluster is by its name."""

    is_leader: Callable[[], bool]
    connected: Callable[[], Mapping[str, bool]]
    """By cluster, whether its API server answers."""
    claims: Callable[[], Mapping[str, int]]
    """By state."""
    reach: Callable[[], tuple[int, int]]
    """How many claims' other sides take connections, and how many do not."""
    writes: Callable[[], Mapping[str, Mapping[str, int]]]
    """By cluster and result."""


class PairMetrics:
    """The metrics of a pair, in a registry of their own; implements ``reflector.WatchObserver``.

    Args:
        supervisor: whose threads are shown.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("tcp_router_build", "Versions in use.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._restarts = Counter(
            "tcp_router_watch_restarts",
            "Lists and watches of the API servers that had to be begun again.",
            ["kind", "cause"],
            registry=self.registry,
        )
        show_threads(self.registry, supervisor)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count."""
        self._restarts.labels(kind, cause).inc()

    def read(self, readings: PairReadings) -> None:
        """Show these from now on."""
        self.registry.register(_Pair(readings))

    def exposition(self) -> bytes:
        """Give what is scraped."""
        return generate_latest(self.registry)


class _Pair(Collector):
    def __init__(self, readings: PairReadings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        readings = self._readings
        yield GaugeMetricFamily(
            "tcp_router_pair_leader", "1 while this process writes, and not another.", readings.is_leader()
        )
        connected = GaugeMetricFamily(
            "tcp_router_pair_api_connected",
            "1 while the API server of a cluster answers as it should.",
            labels=["cluster"],
        )
        for cluster, is_connected in sorted(readings.connected().items()):
            connected.add_metric([cluster], is_connected)
        yield connected
        claims = GaugeMetricFamily(
            "tcp_router_pair_claims", "Claims of the first cluster, by how far they are paired.", labels=["state"]
        )
        for state, count in sorted(readings.claims().items()):
            claims.add_metric([state], count)
        yield claims
        reach = GaugeMetricFamily(
            "tcp_router_pair_peers",
            "Claims whose other side takes connections from here, or does not.",
            labels=["reachable"],
        )
        for value, count in zip(("yes", "no"), readings.reach(), strict=True):
            reach.add_metric([value], count)
        yield reach
        writes = CounterMetricFamily(
            "tcp_router_pair_writes", "Requests that write to a cluster, by result.", labels=["cluster", "result"]
        )
        for cluster, results in sorted(readings.writes().items()):
            for result, count in sorted(results.items()):
                writes.add_metric([cluster, result], count)
        yield writes
