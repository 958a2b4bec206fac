"""What Events say of a claim's pair; pure."""

from __future__ import annotations

from router.objects.porter import CLAIM_KIND
from router.pair.objects import PairObject
from router.status.notices import MAX_NOTE, Notice


def notice(claim: PairObject, told: tuple[str, str, str]) -> Notice:
    """Give the Event that goes with a condition that changed.

    Args:
        claim: whose it is.
        told: status, reason and message of the condition.
    """
    status, reason, message = told
    note = message.encode()[:MAX_NOTE].decode(errors="ignore")
    return Notice(
        claim.metadata.namespace,
        claim.name,
        claim.metadata.uid,
        "Normal" if status == "True" else "Warning",
        "Pair",
        reason,
        note or reason,
        CLAIM_KIND,
    )
