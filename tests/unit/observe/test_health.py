"""What /readyz says while inputs cannot be read, or nothing was applied yet."""

from __future__ import annotations

import pytest

from router.observe.health import ready
from router.reconcile.snapshot import Snapshot

_ABSENT = "routes: this cluster has no Route API: install the Route CRD"


def test_what_is_missing_is_said_until_all_is_read() -> None:
    """Before the first sync the answer has what to do; later the same problem is no reason not to be ready."""
    assert ready(Snapshot(), [_ABSENT]).problems == ("the inputs have not synced yet", _ABSENT)
    assert ready(Snapshot(synced=True, configured=True), [_ABSENT]).ok


def test_a_haproxy_that_serves_what_it_had_is_ready_and_stale() -> None:
    """Until something is applied, what the router before this one left running counts, whatever keeps this one from more."""
    health = ready(Snapshot(), [_ABSENT], kept_ports=2)
    stale = "stale: HAProxy serves on 2 ports what it had before this router started"
    assert (health.problems, health.notes) == ((), (stale, "the inputs have not synced yet", _ABSENT))
    health = ready(Snapshot(synced=True, problem="disk full"), kept_ports=1)
    assert health.ok
    assert health.notes[1:] == ("no configuration has been applied yet: disk full",)
    assert ready(Snapshot(synced=True, configured=True), kept_ports=2).notes == ()


@pytest.mark.parametrize(
    ("snapshot", "takes_traffic", "kept_ports"),
    [(Snapshot(), True, 0), (Snapshot(), False, 2), (Snapshot(stopping=True), True, 2)],
    ids=["nothing kept", "HAProxy is down", "the router stops"],
)
def test_what_is_kept_does_not_count_where_it_serves_nobody(
    snapshot: Snapshot, *, takes_traffic: bool, kept_ports: int
) -> None:
    """An empty HAProxy, one that is not there, and a router that is about to end are not ready."""
    assert not ready(snapshot, takes_traffic=takes_traffic, kept_ports=kept_ports).ok
