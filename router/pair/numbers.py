"""Which port a claim is to have in both clusters: the same, where that can be; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.admission.allocation import first_choice, next_free
from router.model import Asker
from router.objects.portclaim import PortClaim
from router.objects.porter import CLAIM_KIND, GROUP
from router.pair.model import Corner, PairSettings, Side
from router.pair.objects import PairObject, is_own
from router.pair.spec import Asked, address_name, said_port


@dataclass(frozen=True, slots=True)
class Held:
    """What PortClaims of one side say of a claim."""

    port: int = 0
    """0 where it has none."""
    own: PortClaim | None = None
    """The reservation that a pair made for it, whether it counts or not."""
    is_void: bool = False
    """That reservation must go: another address is asked for, or somebody else had the port first."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The ports to be had; 0 where nothing can be said yet, or there is none."""

    local: int = 0
    remote: int = 0

    def of(self, side: Side) -> int:
        """Give that of a side."""
        return self.local if side == "local" else self.remote


def held(corner: Corner, claim: PairObject, other: str) -> Held:
    """Give what a claim has in one cluster.

    Args:
        corner: of that cluster.
        claim: in the first cluster.
        other: the name of the cluster on the other side of this one.
    """
    address = address_name(claim)
    all_of_it = [each for each in corner.port_claims.get(claim.name, ()) if _is_whole(each)]
    own = next((each for each in all_of_it if is_own(each.metadata.labels, other)), None)
    served = said_port(corner.claims.get(claim.name))
    counting = [each for each in all_of_it if each.spec.address == address and each is not own]
    counting.sort(key=lambda each: (each.spec.port != served, each.spec.origin == "Won", each.spec.port))
    has_other = bool(counting) and counting[0].spec.port == served
    is_void = own is not None and (
        own.spec.address != address
        # It got a number by itself in the moment in which this one was reserved, and keeps that.
        or (has_other and own.spec.port != served)
        or _is_contested(corner, own, claim.name, served)
    )
    if own is not None and not is_void:
        return Held(own.spec.port, own)
    return Held(counting[0].spec.port if counting else 0, own, is_void)


def decide_numbers(  # noqa: PLR0913 - what there is in two clusters
    claim: PairObject,
    wish: Asked,
    settings: PairSettings,
    free: Mapping[Side, int],
    has: Numbers,
    *,
    is_alone: bool,
) -> Numbers:
    """Decide which numbers a claim shall have.

    What it has it keeps. On the other side the same is wanted; where that is taken, the next that is free there. Where it has none, the first that
    is free in both is taken, from the choice of the allocation's hash on, or the port that it requests.

    Args:
        claim: in the first cluster.
        wish: what it asks for.
        settings: of the admin.
        free: the ports that are free, as bits; the other side is not in it while nothing can be had there.
        has: the ports that it has.
        is_alone: it is served in the first cluster, whatever becomes of the other one.
    """
    local, remote = free["local"], free.get("remote")
    start = _start(claim, wish, settings, local & (local if remote is None else remote))
    if has.local or has.remote:
        there = 0 if remote is None else _same(has.local, remote, start)
        return Numbers(has.local or _same(has.remote, local, start), has.remote or there)
    if remote is None:
        return Numbers(next_free(local, start) or 0) if is_alone else Numbers()
    both = next_free(local & remote, start)
    if both is not None:
        return Numbers(both, both)
    return Numbers(next_free(local, start) or 0, next_free(remote, start) or 0)


def _same(port: int, free: int, start: int) -> int:
    return port if free >> port & 1 else next_free(free, start) or 0


def _start(claim: PairObject, wish: Asked, settings: PairSettings, free: int) -> int:
    """Give the port from which on one is looked for that is free.

    One that is requested lies strictly between the first and the last, as Porter has it.
    """
    ranges = settings.claim_ports.ranges
    if wish.requested and ranges[0][0] < wish.requested < ranges[-1][1] and free >> wish.requested & 1:
        return wish.requested
    asker = Asker(GROUP, CLAIM_KIND, claim.metadata.namespace, claim.name)
    return first_choice(asker, settings.claim_ports)


def _is_whole(claim: PortClaim) -> bool:
    return bool(claim.spec.port) and not claim.spec.host and claim.spec.port_end is None


def _is_contested(corner: Corner, own: PortClaim, name: str, served: int) -> bool:
    """Say whether a port was won by somebody else in the moment in which it was reserved: who is served by the reservation already keeps it."""
    if served == own.spec.port:
        return False
    return any(
        each.spec.origin == "Won"
        and each.spec.address == own.spec.address
        and (
            each.spec.holder is None
            or (each.spec.holder.kind, each.spec.holder.namespace, each.spec.holder.name)
            != (CLAIM_KIND, own.spec.holder.namespace if own.spec.holder else "", name)
        )
        for each in corner.at.get(own.spec.port, ())
    )
