"""What PortClaims say of the port of one asker, in words."""

from __future__ import annotations

from collections.abc import Iterator

from router.admission import Verdict
from router.objects.portclaim import PortClaim
from router.observe.explanation.facts import Facts
from router.observe.explanation.words import Step


def claims_shown(facts: Facts, verdict: Verdict) -> Iterator[Step]:
    """Give the PortClaims of its port, or of its host on the port that hosts share."""
    for claim in sorted(facts.objects.claims.values(), key=lambda each: each.metadata.name):
        if facts.ledger and claim.spec.ledger != facts.ledger:
            continue
        if _is_about(claim, verdict):
            yield Step("PortClaim", "yes", _claim_in_words(claim))


def _is_about(claim: PortClaim, verdict: Verdict) -> bool:
    spec = claim.spec
    if verdict.port is None or spec.port == 0:
        return bool(verdict.host) and spec.host == verdict.host and spec.port in {0, verdict.port}
    is_within = spec.port <= verdict.port <= (spec.port_end or spec.port)
    return is_within and spec.address == verdict.address and spec.host in {"", verdict.host or ""}


def _claim_in_words(claim: PortClaim) -> str:
    spec, holder = claim.spec, claim.spec.holder
    what = "reserved" if spec.origin == "Reserved" else "won"
    section = f" port {holder.section}" if holder is not None and holder.section else ""
    whom = f" for {holder.kind} {holder.namespace}/{holder.name}{section}" if holder is not None else " for nobody"
    since = f" since {claim.metadata.creation_timestamp}" if claim.metadata.creation_timestamp else ""
    used = f", last used {claim.status.last_used}" if claim.status.last_used else ""
    return f"{claim.metadata.name}: {what}{whom}{since}{used}"
