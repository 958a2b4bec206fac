"""What the leader has to do about the PortClaims of one place, decided from what it serves there and what is known; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from router.admission.ledger import Ledger, Reason, Standing
from router.admission.places import Place, asker_of, describe, place_of
from router.model import Asker
from router.objects.portclaim import ClaimCondition, ClaimHolder, PortClaim, PortClaimStatus

IN_FORCE = "InForce"
"""The type of the condition that says whether a claim counts."""
_HASH_DIGITS = 10
_STRANGE_S = 60.0
"""How long a router that begins may take to say that a reservation is of its ledger."""


@dataclass(frozen=True, slots=True)
class Create:
    """Write that somebody has a place."""

    name: str
    place: Place
    asker: Asker
    is_proposed: bool = False
    """It has it only when this is written."""


@dataclass(frozen=True, slots=True)
class Remake:
    """Write it anew in the place of a claim that somebody changed, that a reservation overruled, or whose holder was made again."""

    claim: PortClaim
    place: Place
    asker: Asker
    is_proposed: bool = False
    """It has it only when this is written."""

    @property
    def name(self) -> str:
        """Of the claim."""
        return self.claim.metadata.name


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether the holder of a claim, whom this replica does not serve there, still asks for it; if not, delete the claim."""

    claim: PortClaim
    cools: bool = False
    """Not before it was released for a while: what is free is given to whoever asks for any port."""
    is_spare: bool = False
    """Its holder asks for any port, and is served on another one."""
    is_forfeited: bool = False
    """Its holder must not have it, by a policy that is enforced on holders: whether it asks is nothing to that."""

    @property
    def name(self) -> str:
        """Of the claim."""
        return self.claim.metadata.name


@dataclass(frozen=True, slots=True)
class Tell:
    """Write a claim's status; times that are news are the moment of writing."""

    claim: PortClaim
    status: PortClaimStatus
    least_age_s: float = 0.0
    """Of the claim, before this is written; as long others may have a word about it."""

    @property
    def name(self) -> str:
        """Of the claim."""
        return self.claim.metadata.name


Work = Create | Remake | Check | Tell


def work_on(  # noqa: PLR0913 - what is so of a place
    place: Place,
    served: Asker | None,
    ledger: Ledger,
    *,
    is_proposed: bool = False,
    cools: bool = False,
    is_elsewhere: Callable[[Asker], bool] = lambda _: False,
    forfeits: Callable[[Asker], bool] = lambda _: False,
) -> tuple[Work, ...]:
    """Decide what is to be done about a place's claims, of which none is written for ever: what was done comes back by the watch.

    Args:
        place: the port, or the host.
        served: whom this replica serves there, or would if it were not for its node; None is nobody.
        ledger: the claims as they are known.
        is_proposed: ``served`` is to be served there when the claim is written.
        cools: what is given up here has to be released for a while first.
        is_elsewhere: says whether one asks for any port, and is served on another one.
        forfeits: says whether one must not have what it holds here.
    """
    won = ledger.won(place)
    wanted = _write(place, served, ledger, is_proposed=is_proposed) if served is not None else None
    remade = wanted.name if isinstance(wanted, Remake) else ""
    checks = [
        Check(claim, cools, is_elsewhere(_holder(claim)), forfeits(_holder(claim)))
        for claim in won
        if claim.metadata.name != remade and _holder(claim) != served
    ]
    return (*((wanted,) if wanted is not None else ()), *checks)


def telling(name: str, served: Asker | None, ledger: Ledger) -> Tell | None:
    """Decide what a claim's status has to say, None where it says so.

    Args:
        name: of the claim.
        served: whom this replica serves at its place; None is nobody.
        ledger: the claims as they are known.
    """
    claim, standing = ledger.claim(name), ledger.standing(name)
    if claim is None or standing is None:
        return None
    condition = _condition(claim, standing)
    former = next((each for each in claim.status.conditions or () if each.type == IN_FORCE), None)
    others = tuple(each for each in claim.status.conditions or () if each.type != IN_FORCE)
    is_same = former is not None and _said(former) == _said(condition)
    is_used = served is not None and standing.reason is Reason.IN_FORCE
    status = PortClaimStatus(
        holder=describe(claim.spec.holder or ClaimHolder()),
        last_used=claim.status.last_used,
        released_at=None if is_used or claim.spec.port_end else claim.status.released_at or NOW,
        conditions=(*others, former if former is not None and is_same else condition),
    )
    return Tell(claim, status) if status != claim.status else None


def stranger(claim: PortClaim, ledger: str) -> Tell | None:
    """Decide what to tell of a reservation of another ledger, of which no router says anything: there is none, as a rule for a typo.

    Args:
        claim: of another ledger.
        ledger: that of this router.
    """
    conditions = claim.status.conditions or ()
    if claim.spec.origin != "Reserved" or any(each.type == IN_FORCE for each in conditions):
        return None
    condition = ClaimCondition(
        type=IN_FORCE,
        status="Unknown",
        reason="UnknownLedger",
        message=f"no router goes by the ledger {claim.spec.ledger}; one that goes by {ledger} runs here",
        last_transition_time=NOW,
        observed_generation=claim.metadata.generation,
    )
    holder = describe(claim.spec.holder or ClaimHolder())
    status = msgspec.structs.replace(claim.status, holder=holder, conditions=(*conditions, condition))
    return Tell(claim, status, _STRANGE_S)


NOW = "now"
"""Stands for the time at which a status is written."""


def claim_name(ledger: str, place: Place, *, hashed: bool = False) -> str:
    """Give the name of the claim to a place, the same on every replica, so that of two that write it the API server refuses one.

    Args:
        ledger: its name.
        place: the port, or the host.
        hashed: with the hash also where the port says it all.
    """
    if not place.host and not place.address and not hashed:
        return f"{ledger}-{place.port}"
    digest = hashlib.sha256(f"{place.address}|{place.port}|{displayed(place.host)}".encode()).hexdigest()
    return f"{ledger}-{place.port}-{digest[:_HASH_DIGITS]}"


def displayed(host: str) -> str:
    """Write a host as PortClaims have it: ``*.example.com`` for ``.example.com``."""
    return f"*{host}" if host.startswith(".") else host


def _write(place: Place, served: Asker, ledger: Ledger, *, is_proposed: bool) -> Create | Remake | None:
    """Decide how it is to be written that somebody has a place; None where it is, or must not be."""
    hold = ledger.hold(place)
    if hold is not None and hold.asker == served:
        return None
    former = ledger.claim(hold.claim) if hold is not None else None
    if is_proposed and hold is not None and former is not None and hold.asker.unnumbered == served.unnumbered:
        # It was made again, so that the one of that uid is gone.
        return Remake(former, place, served, is_proposed)
    is_kept = any(each.holder.name for each in ledger.reservations(place))
    if (
        is_kept
        or ledger.bars(place, served) is not None
        or (hold is not None and ledger.bars(place, hold.asker) is None)
    ):
        # Claims say otherwise, and what is served follows them at the next turn. What is kept for one object nobody has to remember beside.
        return None
    for hashed in (False, True):
        name = claim_name(ledger.name, place, hashed=hashed)
        taken = ledger.claim(name)
        if taken is None:
            return Create(name, place, served, is_proposed)
        if taken.spec.origin == "Won" and place_of(taken) == place:
            return Remake(taken, place, served, is_proposed)
    return None


def _holder(claim: PortClaim) -> Asker:
    return asker_of(claim.spec.holder or ClaimHolder())


def _condition(claim: PortClaim, standing: Standing) -> ClaimCondition:
    if standing.reason is Reason.OVERRULED:
        message = f"PortClaim {standing.by} counts in its place"
    elif standing.reason is Reason.CHANGED:
        message = "its spec was changed after it was won, so that it says nothing; the leading router makes it anew"
    else:
        message = ""
    return ClaimCondition(
        type=IN_FORCE,
        status="True" if standing.reason is Reason.IN_FORCE else "False",
        reason=str(standing.reason),
        message=message,
        last_transition_time=NOW,
        observed_generation=claim.metadata.generation,
    )


def _said(condition: ClaimCondition) -> tuple[str, str, str, int]:
    return condition.status, condition.reason, condition.message, condition.observed_generation
