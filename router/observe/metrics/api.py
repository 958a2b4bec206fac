"""What Prometheus scrapes about the API server: how it is watched, and what is written to it; docs/metrics.md lists all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class KindState(Protocol):
    """How it stands with one kind that is watched; ``cluster.KindState`` is one."""

    @property
    def is_connected(self) -> bool:
        """Whether the API server answered as it should when last asked."""

    @property
    def held(self) -> int:
        """Objects kept in memory."""

    @property
    def last_event_s(self) -> float | None:
        """When the server last sent something (``time.monotonic``)."""

    @property
    def is_forbidden(self) -> bool:
        """Whether the API server does not let it be read."""


@dataclass(frozen=True, slots=True)
class ApiReadings:
    """Where to read at each scrape."""

    kinds: Callable[[], Mapping[str, KindState]]
    is_leader: Callable[[], bool]
    status_writes: Callable[[], Mapping[str, int]]
    """By result."""
    events: Callable[[], Mapping[str, int]]
    """By result."""
    queued: Callable[[], int]
    claim_writes: Callable[[], Mapping[str, int]] = dict
    """By result."""
    claims_queued: Callable[[], int] = lambda: 0
    service_writes: Callable[[], Mapping[str, int] | None] = lambda: None
    """By result; None without a Service in front to be kept level."""
    not_published: Callable[[], int] = lambda: 0


class ApiMetrics:
    """Counts restarts of watches, and shows the rest from ``read`` on; implements ``cluster.WatchObserver``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._restarts = Counter(
            "tcp_router_watch_restarts",
            "Lists and watches of the API server that had to be begun again.",
            ["kind", "cause"],
            registry=registry,
        )

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count a stream or list of this kind that has to be begun again."""
        self._restarts.labels(kind, cause).inc()

    def read(self, readings: ApiReadings) -> None:
        """Show these from now on."""
        self._registry.register(_Readings(readings))


class _Readings(Collector):
    def __init__(self, readings: ApiReadings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        kinds = self._readings.kinds()
        # The clock that never goes back, as seconds since the epoch: where the system's clock is set right, so are these.
        epoch_s = time.time() - time.monotonic()
        held = GaugeMetricFamily("tcp_router_objects", "Objects of the API server kept in memory.", labels=["kind"])
        heard = GaugeMetricFamily(
            "tcp_router_last_event_timestamp_seconds",
            "When the API server last sent something, seconds since the epoch.",
            labels=["kind"],
        )
        forbidden = GaugeMetricFamily(
            "tcp_router_kind_forbidden", "1 while the router may not read a kind.", labels=["kind"]
        )
        for name, kind in sorted(kinds.items()):
            forbidden.add_metric([name], kind.is_forbidden)
            held.add_metric([name], kind.held)
            if kind.last_event_s is not None:
                # Rounded, so that it stays the same number until something comes.
                heard.add_metric([name], round(epoch_s + kind.last_event_s, 2))
        yield held
        yield heard
        yield forbidden
        yield GaugeMetricFamily(
            "tcp_router_api_connected",
            "1 while the API server answers all watches.",
            value=all(kind.is_connected for kind in kinds.values()),
        )
        yield GaugeMetricFamily(
            "tcp_router_leader", "1 while this replica is the one that writes.", value=self._readings.is_leader()
        )
        yield _by_result("tcp_router_status_writes", "Writes of Routes' status.", self._readings.status_writes())
        yield _by_result("tcp_router_events", "Events about Routes.", self._readings.events())
        yield from self._claims(kinds.get("portclaims"))
        yield from self._published(self._readings.service_writes())
        yield GaugeMetricFamily(
            "tcp_router_status_queue", "Routes that wait for a look at their status.", value=self._readings.queued()
        )

    def _published(self, writes: Mapping[str, int] | None) -> Iterator[Metric]:
        """Give the metrics of the Service in front, where there is one to be kept level."""
        if writes is None:
            return
        yield _by_result("tcp_router_service_writes", "Writes of the Service in front of the router.", writes)
        yield GaugeMetricFamily(
            "tcp_router_ports_not_published",
            "Ports that are served and cannot be had by the Service in front of the router.",
            value=self._readings.not_published(),
        )

    def _claims(self, claims: KindState | None) -> Iterator[Metric]:
        """Give the metrics of PortClaims, where there are any to go by."""
        if claims is None:
            return
        yield GaugeMetricFamily(
            "tcp_router_claims_known",
            "1 while PortClaims are known as the API server has them; 0 while the last known ones hold.",
            value=claims.is_connected,
        )
        yield _by_result("tcp_router_claim_writes", "Requests about PortClaims.", self._readings.claim_writes())
        yield GaugeMetricFamily(
            "tcp_router_claims_queue",
            "What waits to be done about PortClaims, where this replica leads.",
            value=self._readings.claims_queued(),
        )


def _by_result(name: str, documentation: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=["result"])
    for result, count in sorted(counts.items()):
        family.add_metric([result], count)
    return family
