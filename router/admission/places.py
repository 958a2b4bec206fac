"""What PortClaims are about: ports and hosts, who won them, and for whom they are reserved; values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from router.model import Asker
from router.objects.portclaim import ClaimHolder, PortClaim

SNI = 0
"""The port of claims to hosts on the SNI port, whatever its number is."""


class Place(NamedTuple):
    """What a claim is of: a whole port (``host`` is empty), or a host on a shared port, as ``SniHost.host`` spells it."""

    port: int
    host: str = ""
    address: str = ""
    """The name of an address of ``--address``; empty is ``--bind-address``."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A place that somebody won."""

    claim: str
    """The name of the PortClaim."""
    asker: Asker
    place: Place
    since: str

    @property
    def order(self) -> tuple[bool, str, tuple[str, str, str, str], str, str]:
        """The place among those who hold something of one port, as in their queue (``claims.Order``)."""
        return not self.since, self.since, self.asker.order, self.asker.uid, self.claim


@dataclass(frozen=True, slots=True)
class Reservation:
    """A port, or a host on it, that an admin keeps for somebody, or from everybody."""

    claim: str
    holder: ClaimHolder

    def allows(self, asker: Asker) -> bool:
        """Whether it is kept for this asker.

        What the reservation leaves empty may be anything, but a namespace it must say. Its uid says nothing: who turns what was won
        into a reservation by another namespace and name need not think of it.
        """
        if not self.holder.namespace:
            return False
        wanted = _fields(self.holder)[:-1]
        return all(each in {"", there} for each, there in zip(wanted, asker[:-1], strict=True))

    def __str__(self) -> str:
        return f"{self.whom} by PortClaim {self.claim}"

    @property
    def whom(self) -> str:
        """For whom it is, in words."""
        return describe(self.holder)


def place_of(claim: PortClaim) -> Place:
    """Give what a claim is of; of a range its first port."""
    return Place(claim.spec.port, claim.spec.host.removeprefix("*"), claim.spec.address)


def describe(holder: ClaimHolder) -> str:
    """Say for whom a claim is, as people do."""
    if holder.name:
        return str(asker_of(holder))
    return f"namespace {holder.namespace}" if holder.namespace else "nobody"


def asker_of(holder: ClaimHolder) -> Asker:
    """Give who holds a claim."""
    return Asker(*_fields(holder))


def _fields(holder: ClaimHolder) -> tuple[str, str, str, str, str, str]:
    return holder.group, holder.kind, holder.namespace, holder.name, holder.section, holder.uid


def hold_of(name: str, claim: PortClaim) -> Hold:
    """Give what was won by a claim."""
    asker = asker_of(claim.spec.holder or ClaimHolder())
    return Hold(name, asker, place_of(claim), claim.metadata.creation_timestamp or "")


def is_as_won(claim: PortClaim) -> bool:
    """Whether nobody changed the spec since the claim was made; the API server counts (metadata.generation)."""
    return claim.metadata.generation <= 1
