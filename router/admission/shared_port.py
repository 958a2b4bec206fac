"""A port that many share, on which one host after the other is decided alone, as it would be among all the others; pure.

What becomes of a host depends on who claims it and on a wildcard over it, and on two claims beside: that which comes first on the port,
and that whose options all have. So where a host has one claimant, and nobody claims a wildcard over it, and none of these two is
concerned, nothing else is looked at. In all other cases the port is decided as a whole (``port_book``), which defines what is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.admission.claims import NEWCOMER, Claim, domain_of
from router.admission.lines import Line, Lines
from router.admission.places import Place
from router.admission.port_decision import AddressDecision, PortDecision
from router.admission.verdicts import Rejection
from router.model import Asker

_FROM = 4
"""Claims to a port, from which on this is worth remembering."""


@dataclass(slots=True)
class Changed:
    """What is otherwise on a shared port."""

    rejections: dict[Asker, Rejection | None] = field(default_factory=dict)
    has: dict[Place, Claim | None] = field(default_factory=dict)
    """Who has a host now; None is nobody."""


class SharedPort:
    """One port, as it was last decided as a whole.

    Args:
        lines: who stands in which line.
        decision: of the port.
        claims: to the port, as they are now.
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
    """

    def __init__(
        self, lines: Lines, decision: AddressDecision, claims: Mapping[Asker, Claim], *, owns_domains: bool
    ) -> None:
        self._lines = lines
        self._decision = decision
        self._claims = claims
        self._claimants: dict[str, tuple[Asker, ...]] = {}
        """By host, whether they have it or not."""
        for claim in claims.values():
            if claim.shares_port:
                self._claimants[claim.host or ""] = (*self._claimants.get(claim.host or "", ()), claim.asker)
        self._remembered = {claim.asker for claim in decision.hosts.values() if claim.remembered_by}
        """Who is remembered to have something, or was since."""
        hosts = {*self._claimants, *decision.hosts} if owns_domains else set()
        self._wild = {host for host in hosts if host.startswith(".")}

    @classmethod
    def of(
        cls, lines: Lines, line: Line, decision: PortDecision, claims: Mapping[Asker, Claim], *, owns_domains: bool
    ) -> SharedPort | None:
        """Give a port that was just decided; None for one that has to be decided as a whole each time, or is so at no cost."""
        alone = decision.alone
        if len(claims) < _FROM or alone is None or not alone.first.shares_port or line.tolerated:
            return None
        if any(claim.address or claim.remembered_by for claim in claims.values()):
            return None
        return cls(lines, alone, claims, owns_domains=owns_domains)

    def settle(self, former: Mapping[Asker, Claim | None], touched: Iterable[Place]) -> Changed | None:
        """Decide what changed.

        Args:
            former: of those whose claim is another, what it was.
            touched: what PortClaims may say otherwise now.

        Returns:
            What is otherwise by that; None if the port has to be decided as a whole. Then this is of no use any more.
        """
        changed, told_by = Changed(), self._decision.told_by
        for asker, before in former.items():
            if not self._change(before, self._claims.get(asker), changed):
                return None
        for place in touched:
            if not self._touch(place):
                return None
        if self._decision.told_by != told_by:
            changed.rejections.update({claim.asker: self._decision.told(claim) for claim in self._decision.lost})
        return changed

    def _change(self, former: Claim | None, current: Claim | None, changed: Changed) -> bool:
        if any(claim is not None and (claim.address or claim.remembered_by) for claim in (former, current)):
            return False
        stand, barred = self._lines.stand(current) if current is not None and current.shares_port else (None, None)
        if former is not None and not self._leave(former, stand, changed):
            return False
        if current is None:
            return True
        if not current.shares_port:
            return self._join_whole(current, changed)
        return self._join(current, stand, barred, changed)

    def _leave(self, former: Claim, there: Claim | None, changed: Changed) -> bool:
        asker, host = former.asker, former.host or ""
        if not former.shares_port:
            # What it holds of the port by PortClaims it is remembered for, once it does not ask for the whole of it.
            if any(holder == asker for _, holder in self._lines.at(former.where.port)):
                return False
            self._decision.forget(asker)
            return True
        others = tuple(each for each in self._claimants.pop(host) if each != asker)
        if others or self._is_tied(host):
            return False
        taken = self._decision.hosts.get(host)
        if taken is None or taken.asker != asker:
            self._decision.forget(asker)
            return True
        if taken.remembered_by or not self._decision.release(taken):
            return False
        changed.has[former.place] = None
        return self._remember(former.place, there)

    def _join(self, current: Claim, stand: Claim | None, barred: Rejection | None, changed: Changed) -> bool:
        asker, host = current.asker, current.host or ""
        others = self._claimants.get(host, ())
        self._claimants[host] = (*others, asker)
        if others or self._is_tied(host):
            return False
        if barred is not None:
            changed.rejections[asker] = barred
            return True
        setting, taken = self._decision.setting, self._decision.hosts.get(host)
        if stand is None or setting is None:
            return False
        is_own = taken is not None and taken.asker == asker
        if stand.port_rank != NEWCOMER and (
            stand.port_options != setting.port_options or (taken is not None and not is_own)
        ):
            return False
        if taken is not None and is_own and not self._decision.release(taken):
            # It was remembered to have it, and comes before others by that.
            return False
        if self._decision.offer(stand):
            changed.rejections[asker] = None
            changed.has[current.place] = current
        else:
            changed.rejections[asker] = self._decision.told(stand)
        return True

    def _join_whole(self, current: Claim, changed: Changed) -> bool:
        """Refuse the port as a whole to who has nothing of it."""
        asker = current.asker
        if asker in self._remembered or self._lines.keeps(asker, current.place) or not self._decision.is_of_several:
            return False
        barred = self._lines.barred(current)
        if barred is None and self._decision.offer(current):
            return False
        changed.rejections[asker] = barred or self._decision.told(current)
        return True

    def _touch(self, place: Place) -> bool:
        host = place.host
        if not host or place.address or self._is_tied(host) or self._lines.is_reserved(place):
            return False
        claimants, taken = self._claimants.get(host, ()), self._decision.hosts.get(host)
        if not claimants:
            if taken is not None and not (taken.remembered_by and self._decision.release(taken)):
                return False
            return self._lines.holder(place) not in self._claims and self._remember(place, None)
        if taken is None or taken.remembered_by or claimants != (taken.asker,):
            return False
        if self._lines.holder(place) not in {None, taken.asker}:
            return False
        stand, _ = self._lines.stand(self._claims[taken.asker])
        return stand is not None and self._decision.replace(taken, stand)

    def _remember(self, place: Place, there: Claim | None) -> bool:
        """Let whoever is remembered to have a place stand in for himself."""
        claim = self._lines.remembered(place, there)
        if claim is None:
            return True
        self._remembered.add(claim.asker)
        return self._decision.offer(claim)

    def _is_tied(self, host: str) -> bool:
        """Say whether what becomes of a host depends on others."""
        return host.startswith(".") or domain_of(host) in self._wild
