"""TCPRoutePolicies are counted by what became of them."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from router.admission.gateway.states import ACCEPTED, AncestorState, PolicyState, Said, State, StateKey
from router.objects.tcp_route_policy import POLICY_KIND, PolicyTarget
from router.observe.metrics.policy import show_policy
from router.reconcile.snapshot import Snapshot
from tests.support.exposition import Exposition


def shown(states: Mapping[StateKey, State]) -> dict[str, float]:
    """Give the counts by state."""
    registry = CollectorRegistry()
    show_policy(registry, lambda: Snapshot(gateway_api=states))
    found = Exposition(generate_latest(registry))
    names = ("Accepted", "Conflicted", "Invalid", "TargetNotFound")
    return {name: value for name in names for value in found.values("tcp_router_tcproutepolicies", state=name)}


def told(name: str, *reasons: str) -> PolicyState:
    """Make what a policy is told, of a target for each reason."""
    ancestors = tuple(
        AncestorState(PolicyTarget("Gateway", f"{number}"), Said(ACCEPTED, reason == "Accepted", reason))
        for number, reason in enumerate(reasons)
    )
    return PolicyState(key=StateKey(POLICY_KIND, "team", name), uid="", generation=1, ancestors=ancestors)


def test_each_is_counted_once_by_the_worst_that_it_is_told() -> None:
    """One that is of nobody here is not counted; without Gateways there is nothing to show."""
    policies = [
        told("a", "Accepted"),
        told("b", "Accepted", "Conflicted"),
        told("c", "Conflicted", "Invalid"),
        told("d", "TargetNotFound", "Accepted"),
        told("e", "Accepted"),
        told("f"),
    ]
    assert shown({each.key: each for each in policies}) == {"Accepted": 2, "Conflicted": 1, "Invalid": 1, "TargetNotFound": 1}  # fmt: skip
    assert shown({}) == {}
