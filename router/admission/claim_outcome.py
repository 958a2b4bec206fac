"""What became of one claim."""

from __future__ import annotations

from dataclasses import dataclass

from router.admission.verdicts import Rejection


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What became of one claim."""

    rejection: Rejection | None = None
    host_loss: str = ""
    """Who has its host on the SNI port, where it is served by its external port all the same."""
    warning: str = ""
    """What it has by its having had it before alone."""
