"""What tells copies from other claims, and the finalizer that holds a claim until all that was written for it is gone; pure."""

from __future__ import annotations

from router.pair.model import PairSettings, Target, Write
from router.pair.objects import CLAIMS, COPIED_FROM, FINALIZER, PairObject


def has_finalizer(claim: PairObject) -> bool:
    """Say whether something was written for a claim."""
    return FINALIZER in (claim.metadata.finalizers or ())


def is_copy(claim: PairObject, settings: PairSettings) -> bool:
    """Say whether a claim of the other cluster is a copy that this pair made."""
    return (claim.metadata.labels or {}).get(COPIED_FROM) == settings.local_name


def without_finalizer(claim: PairObject) -> Write:
    """Give what lets a claim go."""
    return _finalizers(claim, [each for each in claim.metadata.finalizers or () if each != FINALIZER])


def with_finalizer(claim: PairObject) -> Write:
    """Give what holds a claim until all is taken back."""
    return _finalizers(claim, [*(claim.metadata.finalizers or ()), FINALIZER])


def _finalizers(claim: PairObject, finalizers: list[str]) -> Write:
    return Write(
        target=Target("local", CLAIMS.name, claim.metadata.namespace, claim.name),
        verb="patch",
        claim=claim.name,
        body={"metadata": {"finalizers": finalizers or None}},
        uid=claim.metadata.uid,
        version=claim.metadata.resource_version,
    )
