"""What those who write statuses on the writing thread share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from router.kube.api import Api
from router.status.outage import Outage
from router.status.pacing import TokenBucket
from router.status.route import Identity


@dataclass(slots=True, kw_only=True)
class Desk:
    """The API server, the pace, what was counted, and when nothing may be written."""

    api: Api
    identity: Identity
    """The address by which clients reach the router may become another; all else stays."""
    bucket: TokenBucket
    """Each request takes from it."""
    outage: Outage
    counts: Counter[str]
    """Writes by result (docs/status.md)."""
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    nodes: Callable[[], frozenset[str] | None]
    """Where routers of ours run, None where that is not known."""
    may_write: Callable[[], bool]
    """Asked before each request: whether this replica leads, and the router goes on."""
