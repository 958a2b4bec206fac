"""Metrics about the API server."""

from __future__ import annotations

import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest

from router.observe.metrics.api import ApiMetrics, ApiReadings
from tests.support.exposition import Exposition


@dataclass(frozen=True)
class Kind:
    """How it stands with a kind."""

    last_event_s: float | None
    is_connected: bool = True
    held: int = 3
    is_forbidden: bool = False


def exposed(**kinds: Kind) -> Exposition:
    """Give what is shown of these kinds."""
    registry = CollectorRegistry()
    ApiMetrics(registry).read(
        ApiReadings(kinds=lambda: kinds, is_leader=lambda: True, status_writes=dict, events=dict, queued=lambda: 0)
    )
    return Exposition(generate_latest(registry))


def test_last_event_is_a_time_of_the_wall_clock() -> None:
    """Silence of the API server is told by when it was last heard; of one that never was, nothing is told."""
    shown = exposed(routes=Kind(time.monotonic() - 100), services=Kind(None))
    (at_s,) = shown.values("tcp_router_last_event_timestamp_seconds")
    assert time.time() - 160 < at_s < time.time() - 90
    assert not shown.values("tcp_router_last_event_timestamp_seconds", kind="services")


def test_kinds_that_may_not_be_read_are_shown_by_their_names() -> None:
    """1 for each of them, 0 for all others."""
    shown = exposed(routes=Kind(None), tcproutepolicies=Kind(None, is_connected=False, is_forbidden=True))
    assert shown.values("tcp_router_kind_forbidden", kind="routes") == [0]
    assert shown.values("tcp_router_kind_forbidden", kind="tcproutepolicies") == [1]


def test_nothing_is_told_by_its_age() -> None:
    """A time that passed since something is Prometheus' to compute: no name of ours says age."""
    shown = exposed(routes=Kind(time.monotonic()))
    assert not [name for name in shown.families if "_age_" in name]


def test_the_service_in_front_is_shown_where_there_is_one() -> None:
    """How often it was written, and how many ports it lacks; nothing without it."""

    def shown(writes: dict[str, int] | None) -> str:
        registry = CollectorRegistry()
        readings = ApiReadings(
            kinds=dict,
            is_leader=lambda: True,
            status_writes=dict,
            events=dict,
            queued=lambda: 0,
            service_writes=lambda: writes,
            not_published=lambda: 2,
        )
        ApiMetrics(registry).read(readings)
        return generate_latest(registry).decode()

    assert "tcp_router_ports_not_published" not in shown(None)
    assert 'tcp_router_service_writes_total{result="applied"} 3.0' in shown({"applied": 3})
    assert "tcp_router_ports_not_published 2.0" in shown({})
