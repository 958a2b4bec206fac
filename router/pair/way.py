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
    _was_open: bool = False

    def is_open(self, now_s: float) -> bool:
        """Say whether something can be written there now; that it cannot is remembered for ``opens``."""
        is_open = self.is_synced() and self.is_connected() and self.outage.resume_s <= now_s
        self._was_open &= is_open
        return is_open

    def opens(self, now_s: float) -> bool:
        """Say whether something can be written there again, since it was last said that it can: what was decided meanwhile is to be decided anew."""
        is_open = self.is_open(now_s)
        is_news = is_open and not self._was_open
        self._was_open = is_open
        return is_news


@dataclass(frozen=True, slots=True)
class Standing:
    """How many claims there are, as metrics have it."""

    claims: int = 0
    paired: int = 0
    waiting: int = 0
    refused: int = 0
    orphans: int = 0
