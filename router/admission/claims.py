"""Who gets which port and which host: claims in their order, decided per port and per host.

The order is the same everywhere: who holds it by a PortClaim, then whom this replica serves, then the oldest, then by kind, namespace
and name. But for the second, which counts only until a PortClaim is written, it depends on the objects alone, so that every replica
decides alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

import msgspec

from router.admission.options import EXTERNAL_TCP_PORT_SNI, port_option_difference
from router.admission.places import SNI, Hold, Place
from router.admission.request import Request, displayed_host
from router.admission.verdicts import Reason, Rejection
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
    def whose(self) -> str:
        """Whose it is, in words."""
        return f"{self.asker} ({self.remembered_by})" if self.remembered_by else str(self.asker)

    @property
    def port_order(self) -> Order:
        """The place in the queue for the port, and for the host on a shared port."""
        return self._order(self.port_rank)

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


def decide_port(
    claims: Iterable[Claim], *, owns_domains: bool, overlapping: Collection[str] = ()
) -> dict[Asker, Rejection | None]:
    """Decide one external port among those who claim it, on whichever address; None is to have it.

    On each address the first in the queue decides whether the port is dedicated or shared and, if shared, the first that asks decides
    with which options. Who has it on ``--bind-address`` has it on all addresses that overlap with that.

    Args:
        claims: those who claim it, and those who are remembered to have it.
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
        overlapping: the names of such addresses.
    """
    queue = list(claims)
    if len(queue) > 1:
        queue.sort(key=lambda claim: claim.port_order)
    if not any(claim.address for claim in queue):
        return _decide_address(queue, owns_domains=owns_domains) if queue else {}
    decided: dict[Asker, Rejection | None] = {}
    by_address: dict[str, list[Claim]] = {}
    for claim in queue:
        if claim.address not in by_address and (first := _first_beside(claim, by_address, overlapping)) is not None:
            if not claim.remembered_by:
                decided[claim.asker] = Rejection(
                    Reason.PORT_ALREADY_CLAIMED, f"port {first.where} is held by {first.whose}{_covers(claim)}"
                )
            continue
        by_address.setdefault(claim.address, []).append(claim)
    for of_address in by_address.values():
        decided |= _decide_address(of_address, owns_domains=owns_domains)
    return decided


def _first_beside(claim: Claim, by_address: Mapping[str, list[Claim]], overlapping: Collection[str]) -> Claim | None:
    """Give who comes before a claim on an address that overlaps with its own."""
    if claim.address:
        return by_address[""][0] if claim.address in overlapping and "" in by_address else None
    firsts = (queue[0] for address, queue in by_address.items() if address in overlapping)
    return min(firsts, key=lambda first: first.port_order, default=None)


def _covers(claim: Claim) -> str:
    if claim.address:
        return f", on all addresses of the router, {claim.address} too"
    return "; without an address of its own this one would have it there, too"


def _decide_address(queue: list[Claim], *, owns_domains: bool) -> dict[Asker, Rejection | None]:
    """Decide a port of one address among those in its queue."""
    first, *others = queue
    setting: Claim | None = None if first.remembered_by else first
    decided: dict[Asker, Rejection | None] = {} if first.remembered_by else {first.asker: None}
    taken = _Hosts(owns_domains=owns_domains)
    taken.add(first)
    without_host = []
    for claim in others:
        rejection = _port_rejection(claim, first, setting)
        if not claim.remembered_by:
            decided[claim.asker] = rejection
        if rejection is None and taken.loss(claim) is None:
            taken.add(claim)
            setting = setting if setting is not None or claim.remembered_by else claim
        elif rejection is None and not claim.remembered_by:
            without_host.append(claim)
    # Told when all is decided, so that it is told alike when those who have something now come first by their status.
    for claim in without_host:
        decided[claim.asker] = _port_rejection(claim, first, setting) or Rejection(
            Reason.HOST_ALREADY_CLAIMED, _said(claim, taken.loss(claim), claim.where)
        )
    return decided


class _Hosts:
    """The hosts of a port that are taken so far."""

    def __init__(self, *, owns_domains: bool) -> None:
        self._owns_domains = owns_domains
        self._by_host: dict[str, Claim] = {}
        self._namespaces: dict[str, set[str]] = {}
        """Of single hosts, by domain."""

    def add(self, claim: Claim) -> None:
        """Take the claim's host, if it has one."""
        if claim.host is not None:
            self._by_host[claim.host] = claim
            if not claim.host.startswith("."):
                self._namespaces.setdefault(domain_of(claim.host), set()).add(claim.asker.namespace)

    def loss(self, claim: Claim) -> Loss | None:
        """Say who has the claim's host, by name or by another namespace's wildcard over it, or host under it."""
        host, namespace = claim.host or "", claim.asker.namespace
        holder = self._by_host.get(host)
        if holder is not None:
            return Loss(host, holder.asker)
        if not self._owns_domains:
            return None
        domain = domain_of(host)
        if host == domain:
            # Of several namespaces the second is another's, if the first is not.
            kept_out = any(each != namespace for each in islice(self._namespaces.get(domain, ()), 2))
            return Loss(host, None) if kept_out else None
        wildcard = self._by_host.get(domain)
        return Loss(domain, wildcard.asker) if wildcard is not None and wildcard.asker.namespace != namespace else None


def decide_host(claims: Iterable[Claim]) -> Claim | None:
    """Decide one host on the SNI port among those who claim it."""
    return min(claims, key=lambda claim: claim.host_order, default=None)


def host_loss(claim: Claim, loss: Loss, sni_port: int) -> str:
    """Say who has the host of a Route on the SNI port."""
    if loss.reserved:
        return f"host {displayed_host(loss.host)} on the SNI port {sni_port} is reserved for {loss.reserved}"
    if loss.host == claim.host and loss.holder is not None:
        return f"host {displayed_host(loss.host)} is held by {loss.holder} on the SNI port {sni_port}"
    return _others_host(claim, loss, f"on the SNI port {sni_port}")


def _said(claim: Claim, loss: Loss | None, port: Spot) -> str:
    if loss is None or (loss.host == claim.host and loss.holder is not None):
        held_by = f" is held by {loss.holder}" if loss is not None else " is held"
        return f"host {displayed_host(claim.host or '')} on port {port}{held_by}"
    return _others_host(claim, loss, f"on port {port}")


def _others_host(claim: Claim, loss: Loss, where: str) -> str:
    # As OpenShift's router puts it, and whose it is, as this one does.
    host = displayed_host(claim.host or "")
    if loss.holder is None:
        return f"a route in another namespace holds a host under {host} {where}"
    return (
        f"a route in another namespace holds host {host} {where}: {displayed_host(loss.host)} is held by {loss.holder}"
    )


def _port_rejection(claim: Claim, first: Claim, setting: Claim | None) -> Rejection | None:
    if not first.shares_port:
        return Rejection(Reason.PORT_ALREADY_CLAIMED, f"port {claim.where} is held by {first.whose}")
    if not claim.shares_port:
        return Rejection(
            Reason.PORT_ALREADY_CLAIMED,
            f"port {claim.where} is held by {first.whose}, which shares it with Routes "
            f"that have the annotation {EXTERNAL_TCP_PORT_SNI}",
        )
    if setting is not None and not claim.remembered_by and claim.port_options != setting.port_options:
        key, wanted, held = port_option_difference(claim.port_options, setting.port_options)
        return Rejection(
            Reason.INVALID_ANNOTATION,
            f"annotation {key} is {wanted}, but {held} on {setting.asker}, which holds port {claim.where}; "
            "Routes that share a port must agree on it",
        )
    return None
