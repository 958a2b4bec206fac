"""What a claim's conditions say of its pair; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from router.pair.model import Target, Write
from router.pair.objects import CLAIMS, PairObject
from router.pair.spec import conditions

COPIED, LINKED, PEER_REACHABLE = "Copied", "Linked", "PeerReachable"
TYPES = (COPIED, LINKED, PEER_REACHABLE)
_ON_THE_WAY = frozenset({"NotCopied", "NotLinked", "Pairing", "PeerPortUnknown"})
"""Of which there is no Event: each new claim is so for a moment."""
_MAX_MESSAGE = 1024


class Said(NamedTuple):
    """One condition, but for its times."""

    type: str
    status: str
    reason: str
    message: str


def former(claim: PairObject, kind: str) -> Said | None:
    """Give what a claim says of a type of condition."""
    found = next((each for each in conditions(claim) if each["type"] == kind), None)
    if found is None:
        return None
    return Said(kind, str(found.get("status")), str(found.get("reason")), str(found.get("message", "")))


def status_write(claim: PairObject, said: Iterable[Said], now: str) -> Write | None:
    """Give what makes a claim say this; None where it does. Conditions of others stay as they are.

    Args:
        claim: as it is.
        said: of each type at most one; a type that is not among these stays as it is.
        now: the time.
    """
    listed = [dict(each) for each in conditions(claim)]
    told = []
    generation = claim.metadata.generation
    for each in said:
        message = each.message if len(each.message) <= _MAX_MESSAGE else f"{each.message[: _MAX_MESSAGE - 3]}..."
        wanted: dict[str, Any] = {"type": each.type, "status": each.status, "reason": each.reason, "message": message}
        if generation:
            wanted["observedGeneration"] = generation
        place = next((index for index, known in enumerate(listed) if known["type"] == each.type), None)
        known = listed[place] if place is not None else {}
        since = known.get("lastTransitionTime") if known.get("status") == each.status else None
        if known and since is not None and all(known.get(key) == value for key, value in wanted.items()):
            continue
        if each.reason not in _ON_THE_WAY and any(known.get(key) != wanted[key] for key in ("status", "reason")):
            told.append((each.status, each.reason, message))
        wanted["lastTransitionTime"] = since or now
        if place is None:
            listed.append(wanted)
        else:
            listed[place] = wanted
    if listed == [dict(each) for each in conditions(claim)]:
        return None
    return Write(
        target=Target("local", CLAIMS.name, claim.metadata.namespace, claim.name),
        verb="status",
        claim=claim.name,
        body={"status": {"conditions": listed}},
        uid=claim.metadata.uid,
        version=claim.metadata.resource_version,
        told=tuple(told),
    )
