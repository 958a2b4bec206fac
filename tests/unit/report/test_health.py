"""What /readyz says while inputs cannot be read."""

from __future__ import annotations

from router.report.health import ready
from router.snapshot import Snapshot

_ABSENT = "routes: this cluster has no Route API: install the Route CRD"


def test_what_is_missing_is_said_until_all_is_read() -> None:
    """Before the first sync the answer has what to do; later the same problem is no reason not to be ready."""
    assert ready(Snapshot(), [_ABSENT]).problems == ("the inputs have not synced yet", _ABSENT)
    assert ready(Snapshot(synced=True, configured=True), [_ABSENT]).ok
