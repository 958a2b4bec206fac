"""Who gets an external port, and which host on it: claims in their order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from operator import attrgetter

from router.admission.claims import Claim, Loss, domain_of, others_host
from router.admission.options import EXTERNAL_TCP_PORT_SNI, port_option_difference
from router.admission.request import displayed_host
from router.admission.verdicts import Reason, Rejection
from router.model import Asker, Spot


def decide_port(claims: Iterable[Claim], *, owns_domains: bool, overlapping: Collection[str] = ()) -> PortDecision:
    """Decide one external port among those who claim it, on whichever address.

    Args:
        claims: those who claim it, and those who are remembered to have it.
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
        overlapping: the names of addresses that overlap with ``--bind-address``.
    """
    queue = list(claims)
    if len(queue) > 1:
        queue.sort(key=lambda claim: claim.port_place)
    decision = PortDecision(owns_domains=owns_domains, overlapping=overlapping)
    for claim in queue:
        decision.offer(claim)
    return decision


class PortDecision:
    """One external port, as it is decided claim by claim, in their order.

    On each address the first decides whether the port is dedicated or shared and, if shared, the first that asks decides with which
    options. Who has it on ``--bind-address`` has it on all addresses that overlap with that.

    Args:
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
        overlapping: the names of such addresses.
    """

    def __init__(self, *, owns_domains: bool, overlapping: Collection[str] = ()) -> None:
        self._owns_domains = owns_domains
        self._overlapping = overlapping
        self._by_address: dict[str, AddressDecision] = {}
        self._beside: list[Claim] = []
        """Those who lost it to somebody on another address."""

    def offer(self, claim: Claim) -> bool:
        """Decide the next claim; say whether it has the port, or its host on it."""
        decision = self._by_address.get(claim.address)
        if decision is None:
            if self._first_beside(claim) is not None:
                if not claim.remembered_by:
                    self._beside.append(claim)
                return False
            decision = self._by_address[claim.address] = AddressDecision(claim, owns_domains=self._owns_domains)
            return True
        return decision.offer(claim)

    @property
    def alone(self) -> AddressDecision | None:
        """That of ``--bind-address``, if it is the only one."""
        return self._by_address.get("") if len(self._by_address) == 1 and not self._beside else None

    def decided(self) -> dict[Asker, Rejection | None]:
        """Give what became of all who were offered it, but for those who are remembered."""
        decided = {claim.asker: self.rejection(claim) for claim in self._beside}
        for each in self._by_address.values():
            decided |= each.decided()
        return decided

    def rejection(self, claim: Claim) -> Rejection | None:
        """Say what keeps one from it who was not offered it; None if nothing does."""
        decision = self._by_address.get(claim.address)
        if decision is not None:
            return decision.rejection(claim)
        first = self._first_beside(claim)
        return _held_beside(claim, first) if first is not None else None

    def _first_beside(self, claim: Claim) -> Claim | None:
        """Give who comes before a claim on an address that overlaps with its own."""
        if claim.address:
            over = self._by_address.get("") if claim.address in self._overlapping else None
            return over.first if over is not None else None
        firsts = (each.first for address, each in self._by_address.items() if address in self._overlapping)
        return min(firsts, key=attrgetter("place_when_served"), default=None)


def _held_beside(claim: Claim, first: Claim) -> Rejection:
    covers = (
        f", on all addresses of the router, {claim.address} too"
        if claim.address
        else "; without an address of its own this one would have it there, too"
    )
    return Rejection(Reason.PORT_ALREADY_CLAIMED, f"port {first.where} is held by {first.whose}{covers}")


class AddressDecision:
    """A port of one address; ``first`` has it."""

    def __init__(self, first: Claim, *, owns_domains: bool) -> None:
        self.first = first
        self.setting: Claim | None = None if first.remembered_by else first
        """Whose options all have."""
        self._has: set[Asker] = set() if first.remembered_by else {first.asker}
        self._taken = _Hosts(owns_domains=owns_domains)
        self._taken.add(first)
        self._lost: dict[Asker, Claim] = {}

    @property
    def hosts(self) -> Mapping[str, Claim]:
        """Who has which host."""
        return self._taken.by_host

    @property
    def lost(self) -> Collection[Claim]:
        """Those who have not got it."""
        return self._lost.values()

    @property
    def told_by(self) -> tuple[str, Asker | None]:
        """What those who have not got it are told of others depends on this, but for their host."""
        return self.first.whose, self.setting.asker if self.setting is not None else None

    @property
    def is_of_several(self) -> bool:
        """Whether several have something of it."""
        return len(self._has) > 1

    def offer(self, claim: Claim) -> bool:
        """Decide the next claim; say whether it has the port, or its host on it."""
        if _port_rejection(claim, self.first, self.setting) is not None or self._taken.loss(claim) is not None:
            if not claim.remembered_by:
                self._lost[claim.asker] = claim
            return False
        self._taken.add(claim)
        self.first = _first(self.first, claim)
        if not claim.remembered_by:
            self._has.add(claim.asker)
            self.setting = _first(self.setting or claim, claim)
        return True

    def forget(self, asker: Asker) -> None:
        """Take note that one who has not got it asks no more."""
        self._lost.pop(asker, None)

    def release(self, claim: Claim) -> bool:
        """Have nobody at the host of a claim that has it; say whether that can be, or others have to be looked at."""
        if claim.asker == self.first.asker or (self.setting is not None and claim.asker == self.setting.asker):
            return False
        del self._taken.by_host[claim.host or ""]
        if not claim.remembered_by:
            self._has.discard(claim.asker)
        return True

    def replace(self, former: Claim, current: Claim) -> bool:
        """Have a claim in the place of an equal one of another rank; say whether that can be, or others have to be looked at."""
        for each in (self.first, self.setting):
            if each is not None and each.asker == former.asker and current.place_when_served > each.place_when_served:
                return False
        self._taken.by_host[current.host or ""] = current
        self.first, self.setting = _first(self.first, current), _first(self.setting or current, current)
        return True

    def decided(self) -> dict[Asker, Rejection | None]:
        """Give what became of all who were offered it, but for those who are remembered."""
        decided: dict[Asker, Rejection | None] = dict.fromkeys(self._has)
        # Told when all is decided, so that it is told alike when those who have something now come first by their status.
        decided.update({claim.asker: self.told(claim) for claim in self._lost.values()})
        return decided

    def told(self, claim: Claim) -> Rejection:
        """Say what keeps one from it who has not got it."""
        return self.rejection(claim) or Rejection(Reason.HOST_ALREADY_CLAIMED, _said(claim, None, claim.where))

    def rejection(self, claim: Claim) -> Rejection | None:
        """Say what keeps one from it who was not offered it; None if nothing does."""
        rejection = _port_rejection(claim, self.first, self.setting)
        if rejection is not None:
            return rejection
        loss = self._taken.loss(claim)
        return Rejection(Reason.HOST_ALREADY_CLAIMED, _said(claim, loss, claim.where)) if loss is not None else None


def _first(one: Claim, other: Claim) -> Claim:
    """Give whom of two that have a port together the others are told of."""
    return min(one, other, key=attrgetter("place_when_served"))


class _Hosts:
    """The hosts of a port that are taken so far."""

    def __init__(self, *, owns_domains: bool) -> None:
        self._owns_domains = owns_domains
        self.by_host: dict[str, Claim] = {}
        self._namespaces: dict[str, set[str]] = {}
        """Of single hosts, by domain."""

    def add(self, claim: Claim) -> None:
        """Take the claim's host, if it has one."""
        if claim.host is not None:
            self.by_host[claim.host] = claim
            if not claim.host.startswith("."):
                self._namespaces.setdefault(domain_of(claim.host), set()).add(claim.domain_owner)

    def loss(self, claim: Claim) -> Loss | None:
        """Say who has the claim's host, by name or by another namespace's wildcard over it, or host under it."""
        host, namespace = claim.host or "", claim.domain_owner
        holder = self.by_host.get(host)
        if holder is not None:
            return Loss(host, holder.asker)
        if not self._owns_domains:
            return None
        domain = domain_of(host)
        if host == domain:
            # Of several namespaces the second is another's, if the first is not.
            kept_out = any(each != namespace for each in islice(self._namespaces.get(domain, ()), 2))
            return Loss(host, None) if kept_out else None
        wildcard = self.by_host.get(domain)
        return Loss(domain, wildcard.asker) if wildcard is not None and wildcard.domain_owner != namespace else None


def _said(claim: Claim, loss: Loss | None, port: Spot) -> str:
    if loss is None or (loss.host == claim.host and loss.holder is not None):
        held_by = f" is held by {loss.holder}" if loss is not None else " is held"
        return f"host {displayed_host(claim.host or '')} on port {port}{held_by}"
    return others_host(claim, loss, f"on port {port}")


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
