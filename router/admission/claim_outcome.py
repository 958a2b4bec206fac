"""What became of one claim."""

from __future__ import annotations

import msgspec

from router.admission.verdicts import Rejection


class ClaimOutcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one claim."""

    rejection: Rejection | None = None
    host_loss: str = ""
    """Who has its host on the SNI port, where it is served by its external port all the same."""
    warning: str = ""
    """What it has by its having had it before alone."""
