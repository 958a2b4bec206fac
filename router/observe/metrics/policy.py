"""What Prometheus scrapes of the policies of namespaces, and of TCPRoutePolicies; docs/metrics.md lists all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.admission.gateway.states import PolicyState
from router.admission.places import SNI
from router.objects.tcp_route_policy import POLICY_KIND
from router.reconcile.snapshot import Snapshot

_WORST_FIRST, _IN_FORCE = ("Invalid", "Conflicted", "TargetNotFound"), "Accepted"


def show_policy(registry: CollectorRegistry, snapshot: Callable[[], Snapshot]) -> None:
    """Show from now on what namespaces have of what they may, as ``snapshot`` says at each scrape."""
    registry.register(_Policy(snapshot))


class _Policy(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        snapshot = self._snapshot()
        policy, held = snapshot.policy, _held(snapshot)
        ports = GaugeMetricFamily(
            "tcp_router_namespace_ports",
            "Ports that are served for a namespace, where it may have so many only.",
            labels=["of_namespace"],
        )
        most = GaugeMetricFamily(
            "tcp_router_namespace_ports_max", "How many ports a namespace may hold.", labels=["of_namespace"]
        )
        # Namespaces that have the router's default are shown while they have something.
        limits = {**dict.fromkeys(held, policy.default_max_ports), **policy.max_ports}
        for namespace, limit in sorted(limits.items()):
            if limit is not None:
                ports.add_metric([namespace], len(held.get(namespace, ())))
                most.add_metric([namespace], limit)
        yield ports
        yield most
        yield GaugeMetricFamily(
            "tcp_router_invalid_namespace_policies",
            "Namespaces of which what their admins say of ports does not parse, or contradicts others.",
            value=len(policy.problems),
        )
        if snapshot.gateway_api:
            yield _of_routes(snapshot)


def _of_routes(snapshot: Snapshot) -> Metric:
    """Count TCPRoutePolicies by the worst that they are told of a target."""
    counts = dict.fromkeys((*_WORST_FIRST, _IN_FORCE), 0)
    for key, state in snapshot.gateway_api.items():
        if key.kind == POLICY_KIND and isinstance(state, PolicyState) and state.ancestors:
            told = {each.accepted.reason for each in state.ancestors}
            counts[next((each for each in _WORST_FIRST if each in told), _IN_FORCE)] += 1
    family = GaugeMetricFamily(
        "tcp_router_tcproutepolicies", "TCPRoutePolicies by the worst that they are told of a target.", labels=["state"]
    )
    for state_name, count in counts.items():
        family.add_metric([state_name], count)
    return family


def _held(snapshot: Snapshot) -> dict[str, set[tuple[int, str]]]:
    held: dict[str, set[tuple[int, str]]] = {}
    for verdict in snapshot.verdicts.values():
        for place in verdict.places:
            if place.port != SNI:
                held.setdefault(verdict.asker.namespace, set()).add((place.port, place.address))
    return held
