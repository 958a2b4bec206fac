"""Who gets which port and which host: claims in their order, decided per port and per host.

The order is the same everywhere: who holds it by a PortClaim, then whom this replica serves, then the oldest, then by kind, namespace
and name. But for the second, which counts only until a PortClaim is written, it depends on the objects alone, so that every replica
decides alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from router.admission.places import SNI, Hold, Place
from router.admission.request import Request, displayed_host
from router.model import Asker, PortOptions, Spot
from router.model.tls import PortTls

Rank = tuple[int, bool, str]
"""Who comes before whom, whatever its age: those who hold a place come by the age of their PortClaims."""
Order = tuple[Rank, bool, str, tuple[str, str, str, str], str]
"""A place in a queue; its last two parts are whose."""

NEWCOMER: Rank = (2, False, "")
SERVED: Rank = (1, False, "")
"""Of whom this replica serves, while no PortClaim says who holds the place."""


def holder_rank(since: str) -> Rank:
    """Give the rank of who holds a place by a PortClaim that was written then."""
    return (0, not since, since)


class Loss(NamedTuple):
    """To whom a claim lost its host."""

    host: str
    """That which the other has: the same, or the wildcard over it."""
    holder: Asker | None
    """None for a wildcard that is kept out by hosts under it: of several, another would be named after each change."""
    reserved: str = ""
    """For whom an admin keeps the host, and by which PortClaim; then nobody needs to have it."""


_ANY_OPTIONS = PortOptions(timeout_client_ms=0, maxconn=None, tcp_keepalive=False, accept_proxy=False)
"""Of who does not ask: nothing is compared with them."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one asker claims; equal claims are decided equally, whatever else changed on the Route."""

    asker: Asker
    port: int | None
    shares_port: bool
    port_options: PortOptions
    host: str | None
    created: str | None
    host_owner: str = ""
    """As ``Request.host_owner``."""
    address: str = ""
    """The name of that which the port is of."""
    port_rank: Rank = NEWCOMER
    host_rank: Rank = NEWCOMER
    """On the SNI port."""
    port_tls: PortTls | None = None
    """How TLS ends for its host, where it shares a port."""
    remembered_by: str = ""
    """Why this stands for one that does not ask now, or cannot be asked: it keeps others out, and is not served."""

    @classmethod
    def of(cls, request: Request) -> Claim:
        """Give the claim of a Route that may be served."""
        return cls(
            asker=request.asker,
            port=request.port,
            shares_port=request.shares_port,
            port_options=request.options.port,
            host=request.host,
            host_owner=request.host_owner,
            created=request.created,
            address=request.address,
            port_tls=request.port_tls if request.host is not None else None,
        )

    @classmethod
    def remembered(cls, hold: Hold) -> Claim:
        """Give what stands for a holder that does not ask."""
        place, rank = hold.place, holder_rank(hold.since)
        return cls(
            asker=hold.asker,
            port=place.port or None,
            shares_port=bool(place.port and place.host),
            port_options=_ANY_OPTIONS,
            host=place.host or None,
            created=None,
            address=place.address,
            port_rank=rank,
            host_rank=rank,
            remembered_by=f"PortClaim {hold.claim}",
        )

    @classmethod
    def left_out(cls, asker: Asker, places: Iterable[Place]) -> Claim:
        """Give what stands for one that has these places, and of which nothing can be decided."""
        port = next((place for place in places if place.port != SNI), None)
        host = next((place.host for place in places if place.host), None)
        return cls(
            asker=asker,
            port=port.port if port is not None else None,
            shares_port=bool(port is not None and port.host),
            port_options=_ANY_OPTIONS,
            host=host,
            created=None,
            address=port.address if port is not None else "",
            port_rank=SERVED,
            host_rank=SERVED,
            remembered_by="left out for an internal error",
        )

    @property
    def place(self) -> Place:
        """What it is of, as far as its port goes."""
        return Place(self.port or SNI, (self.host or "") if self.shares_port else "", self.address)

    @property
    def where(self) -> Spot:
        """The port, in words."""
        return Spot(self.port or SNI, self.address)

    @property
    def domain_owner(self) -> str:
        """The namespace as whose its host counts, and that owns what is under it."""
        return self.host_owner or self.asker.namespace

    @property
    def whose(self) -> str:
        """Whose it is, in words."""
        return f"{self.asker} ({self.remembered_by})" if self.remembered_by else str(self.asker)

    @property
    def port_order(self) -> Order:
        """The place in the queue for the port, and for the host on a shared port."""
        return self._order(self.port_rank)

    @property
    def port_place(self) -> tuple[Order, str, Spot]:
        """The place in the one order of all claims to ports, which no two share: one asker may be remembered for several."""
        return self.port_order, self.remembered_by, self.where

    @property
    def place_when_served(self) -> tuple[Order, str, Spot]:
        """The same from when it is known to be served: by this, who of several has something is told alike before and after."""
        return self._order(min(self.port_rank, SERVED)), self.remembered_by, self.where

    @property
    def host_order(self) -> Order:
        """The place in the queue for the host on the SNI port."""
        return self._order(self.host_rank)

    def _order(self, rank: Rank) -> Order:
        # Those who hold something come as their claims say, also while one of them asks in vain, of whose age nothing is known then.
        created = self.created if rank >= SERVED else None
        return rank, created is None, created or "", self.asker.order, self.asker.uid


def domain_of(host: str) -> str:
    """Give the wildcard that covers a host: ``.example.com`` for ``db.example.com``, and for ``.example.com`` itself."""
    return host if host.startswith(".") else f".{host.partition('.')[2]}"


def decide_host(claims: Iterable[Claim]) -> Claim | None:
    """Decide one host on the SNI port among those who claim it."""
    return min(claims, key=lambda claim: claim.host_order, default=None)


def host_loss(claim: Claim, loss: Loss, sni_port: int) -> str:
    """Say who has the host of a Route on the SNI port."""
    if loss.reserved:
        return f"host {displayed_host(loss.host)} on the SNI port {sni_port} is reserved for {loss.reserved}"
    if loss.host == claim.host and loss.holder is not None:
        return f"host {displayed_host(loss.host)} is held by {loss.holder} on the SNI port {sni_port}"
    return others_host(claim, loss, f"on the SNI port {sni_port}")


def others_host(claim: Claim, loss: Loss, where: str) -> str:
    """Say that a host, a wildcard over it or one under it is of another namespace."""
    # As OpenShift's router puts it, and whose it is, as this one does.
    host = displayed_host(claim.host or "")
    if loss.holder is None:
        return f"a route in another namespace holds a host under {host} {where}"
    return (
        f"a route in another namespace holds host {host} {where}: {displayed_host(loss.host)} is held by {loss.holder}"
    )
