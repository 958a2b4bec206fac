"""How one cluster of a pair is followed and written to, and how it stands with claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from router.pair.hands import Hands
from router.pair.seen import Seen
from router.status.outage import Outage
from router.status.pacing import TokenBucket

_PER_SECOND, _BURST = 100.0, 100


@dataclass(slots=True)
class Way:
    """How one cluster is followed, and written to."""

    seen: Seen
    hands: Hands
    is_synced: Callable[[], bool]
    is_connected: Callable[[], bool]
    outage: Outage
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(_PER_SECOND, _BURST))
    was_open: bool = False

    def is_open(self, now_s: float) -> bool:
        """Whether something can be written there now."""
        return self.is_synced() and self.is_connected() and self.outage.resume_s <= now_s


@dataclass(frozen=True, slots=True)
class Standing:
    """How many claims there are, as metrics have it."""

    claims: int = 0
    paired: int = 0
    waiting: int = 0
    refused: int = 0
    orphans: int = 0
