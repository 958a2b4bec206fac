"""What Prometheus scrapes of the named addresses; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.reconcile.presence import Here


def show_addresses(
    registry: CollectorRegistry, addresses: Mapping[str, tuple[str, ...]], here: Callable[[], Here]
) -> None:
    """Show from now on which addresses this node has.

    Args:
        registry: where metrics are.
        addresses: the IP addresses by name.
        here: says how it stands; any thread.
    """
    registry.register(_Addresses(addresses, here))


class _Addresses(Collector):
    def __init__(self, addresses: Mapping[str, tuple[str, ...]], here: Callable[[], Here]) -> None:
        self._addresses = addresses
        self._here = here

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        here = self._here()
        present = GaugeMetricFamily(
            "tcp_router_address_present", "1 while this node has the address.", labels=["address", "ip"]
        )
        bindable = GaugeMetricFamily(
            "tcp_router_address_bindable",
            "1 while ports of the address can be open here, be it here or not.",
            labels=["address", "ip"],
        )
        for name, ips in self._addresses.items():
            for ip in ips:
                present.add_metric([name, ip], ip in here.present)
                bindable.add_metric([name, ip], ip in here.bindable)
        yield present
        yield bindable
