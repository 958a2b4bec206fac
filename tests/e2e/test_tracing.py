"""``--trace-changes``: where the time of a change went, in the log and in the metrics, and nothing of it without the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.observe.tracing.trace import STAGES
from tests.support.cluster import Cluster
from tests.support.exposition import Exposition, promtool_complaints
from tests.support.objects import app, endpoint_slice
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for

_BY_COMMANDS = ("decode", "wake", "admission", "plan", "send", "reply")
_DOCS = Path(__file__).resolve().parents[2] / "docs"


def _traced(router: RouterProcess, kind: str) -> dict[str, float | str]:
    wait_for(lambda: _of(router, kind), f"a change of a {kind} to be traced")
    return _of(router, kind)[-1]


def _of(router: RouterProcess, kind: str) -> list[dict[str, float | str]]:
    return [event for event in router.events("change traced") if event["kind"] == kind]


def _move(cluster: Cluster) -> None:
    new = endpoint_slice("db", cluster.pod(b""))[0]
    cluster.client.patch("EndpointSlice", cluster.namespace, "db-0", {key: new[key] for key in ("endpoints", "ports")})


def test_each_change_is_taken_apart(cluster: Cluster) -> None:
    """A moved endpoint and a Route on a pool port have all stages of commands, a Route elsewhere has a reload; the parts are the whole."""
    port, pool_port, other = free_port(), free_port(), free_port()
    cluster.create(*app("db", port, cluster.pod(b"")))
    router = cluster.router("--trace-changes", "--port-pool", str(pool_port)).start()
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    _move(cluster)
    moved = _traced(router, "EndpointSlice")
    assert (moved["namespace"], moved["name"]) == (cluster.namespace, "db-0")
    for name, at_port in (("pooled", pool_port), ("other", other)):
        cluster.create(*app(name, at_port, cluster.pod(b"")))
        cluster.wait_for_conditions(name, Admitted="True", PortClaimed="True")
    # The first was the start.
    wait_for(
        lambda: sum("reload_ms" in event for event in router.events("change traced")) > 1, "the reload to be traced"
    )
    for event in router.events("change traced"):
        stages = [float(event[key]) for key in event if key.endswith("_ms") and key != "total_ms"]
        assert min(stages) >= 0
        assert sum(stages) == pytest.approx(float(event["total_ms"]), abs=0.01)
        assert ("reload_ms" in event) != ("reply_ms" in event)
    assert [f"{stage}_ms" for stage in _BY_COMMANDS] == [
        key for key in moved if key.endswith("_ms") and key != "total_ms"
    ]
    text = http_get(router.http_port, "/metrics")[1].encode()
    counts = {stage: Exposition(text).value("tcp_router_change_stage_seconds_count", stage=stage) for stage in STAGES}
    assert min(counts.values()) >= 1
    assert promtool_complaints(text) == ""


def test_nothing_is_traced_unasked(cluster: Cluster) -> None:
    """Without the option there is neither a line nor a metric."""
    cluster.create(*app("db", free_port(), cluster.pod(b"")))
    router = cluster.router().start()
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    _move(cluster)
    wait_for(
        lambda: 'runtime_updates_total{result="success"} 1.0' in http_get(router.http_port, "/metrics")[1],
        "the endpoint to be moved",
    )
    assert router.events("change traced") == []
    assert "change_stage" not in http_get(router.http_port, "/metrics")[1]


def test_stages_stand_in_the_docs() -> None:
    """What a stage is stands where its metric does."""
    text = (_DOCS / "metrics.md").read_text()
    assert [stage for stage in STAGES if f"| `{stage}` |" not in text] == []
