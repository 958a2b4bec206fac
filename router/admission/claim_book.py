"""All claims at a time, kept decided: after a change, only the ports and hosts that it concerns are decided again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set  # noqa: PYI025 - as it is called in collections.abc

from router.admission.address_use import NOBODY, AddressUse
from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import Claim, Loss, decide_host, domain_of, host_loss
from router.admission.dirty_ports import DirtyPorts
from router.admission.domains import Domain, Domains
from router.admission.journal import Touched
from router.admission.ledger import Ledger
from router.admission.lines import Lines
from router.admission.places import SNI, Place
from router.admission.policy import Policies, PolicyTouched
from router.admission.port_book import DecidedPort, PortBook
from router.admission.shared_frontends import SharedFrontends, sni_host
from router.admission.verdicts import Reason, Rejection, forfeited
from router.model import Asker, PortOptions, SharedFrontend, SniHost, Spot
from router.ordered import SortedMap, shared
from router.settings import MAX_PORT

_UNDECIDED = ClaimOutcome()
_NO_CLAIMS: Mapping[Asker, Claim] = {}


class ClaimBook:
    """The claims of all that may be served.

    Args:
        sni_port: the port shared by all passthrough Routes with a host; 0 is none.
        sni_options: its options.
        ledger: who holds what, and for whom it is reserved.
        served: whom this replica serves already, which counts where no PortClaim says who holds a place.
        policies: what namespaces may have.
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
        overlapping: the names of addresses that overlap with ``--bind-address``.
        address_use: says who may come to use which address.
        spare_gates: of each shared port (``SharedFrontends``).
    """

    def __init__(  # noqa: PLR0913 - what a decision goes by
        self,
        sni_port: int,
        sni_options: PortOptions,
        ledger: Ledger,
        served: Mapping[Place, Asker],
        policies: Policies,
        *,
        owns_domains: bool = True,
        overlapping: Collection[str] = (),
        address_use: AddressUse = NOBODY,
        spare_gates: int = 0,
    ) -> None:
        self._sni_port = sni_port
        self._lines = Lines(ledger, served, policies, overlapping, address_use)
        self._overlapping, self._owns_domains = overlapping, owns_domains
        self._domains = Domains()
        """Of the SNI port, where they are owned."""
        self._claims: dict[Asker, Claim] = {}
        self._by_port: dict[int, dict[Asker, Claim]] = {}
        self._seekers: dict[str, dict[Asker, Claim]] = {}
        """Claims to the SNI port: of those only that were not rejected for their external port."""
        self._by_host: dict[str, dict[Asker, Claim]] = {}
        """The same as they stand in line, with those who are remembered and without those from whom the host is kept, as last settled."""
        self.ports = PortBook(
            self._lines,
            policies,
            lambda port: self._by_port.get(port, {}),
            owns_domains=owns_domains,
            overlapping=overlapping,
        )
        self._port_rejections: dict[Asker, Rejection] = {}
        self._tolerated: dict[Asker, Rejection] = {}
        """Who has his port only because he had it before, and what he would be told otherwise."""
        self._host_losses: dict[Asker, Loss] = {}
        self._shared, self._sni_options = SharedFrontends(spare_gates), sni_options
        self._sni_hosts: SortedMap[str, SniHost] = SortedMap()
        self._served_on: dict[int, frozenset[str]] = {}
        """By port, the addresses on which somebody has it."""
        self._turned_ports: set[int] = set()
        """Those that became served, or ceased to be, since ``take_turned_ports``."""
        self._dirty_claims: set[Asker] = set()
        self._dirty_ports = DirtyPorts()
        self._dirty_hosts: set[str] = set()
        self._restanding: set[str] = set()
        """Hosts that somebody else has since they were last lined up."""
        self._publish_sni_port()

    def put(self, asker: Asker, claim: Claim | None) -> None:
        """Put an asker's claim, None if it has none (any more). Nothing is decided before ``settle``."""
        former = self._claims.get(asker)
        if former == claim:
            return
        if former is not None and former.port is not None:
            del self._by_port[former.port][asker]
            self.ports.claimed.remove(asker.namespace, former.where)
            self._dirty_ports.claim(former.port, asker, former)
        self.ports.dirty.add(asker.namespace)
        # Wherever its host takes it on the SNI port, it has to go through its own port first.
        self._leave_host(asker, former)
        self._port_rejections.pop(asker, None)
        self._host_losses.pop(asker, None)
        self._tolerated.pop(asker, None)
        if claim is None:
            del self._claims[asker]
        else:
            self._claims[asker] = claim
            if claim.port is not None:
                self._by_port.setdefault(claim.port, {})[asker] = claim
                self.ports.claimed.add(asker.namespace, claim.where)
                self._dirty_ports.claim(claim.port, asker, None)
        self._dirty_claims.add(asker)

    def touch(self, touched: Touched) -> None:
        """Take note of what PortClaims may say otherwise now."""
        self._dirty_ports.touch(touched.places)
        self._touch_ranges(touched.ranges)
        self._dirty_hosts.update(touched.hosts)
        self.ports.dirty |= self._lines.take_holders()

    def touch_policies(self, touched: PolicyTouched) -> None:
        """Take note of what namespaces may be let have otherwise now."""
        if touched.everything:
            self._touch_ranges([(1, MAX_PORT)])
            self.ports.dirty |= {*self.ports.claimed.namespaces(), *self._lines.held.namespaces()}
        self._touch_ranges(touched.ranges)
        for namespace in touched.namespaces:
            self._dirty_ports.whole |= self.ports.ports(namespace)
        self.ports.dirty |= touched.namespaces

    def _touch_ranges(self, ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            known = (*self._by_port, *self._lines.held_ports())
            self._dirty_ports.whole.update(port for port in known if first <= port <= last)

    def dirty_ports(self) -> Set[int]:
        """Give the ports about which ``settle`` will decide."""
        return self._dirty_ports.ports

    def claims_on(self, port: int) -> Mapping[Asker, Claim]:
        """Give those who claim a port, whether they get it or not."""
        return self._by_port.get(port, _NO_CLAIMS)

    def has_lost(self, asker: Asker) -> bool:
        """Say whether the port that an asker claims is another's, or kept for another, or nothing that its namespace may have."""
        rejection = self._port_rejections.get(asker)
        return rejection is not None and rejection.takes_port

    def place_of(self, asker: Asker) -> Place | None:
        """Give the port that an asker has to itself, as last settled."""
        claim = self._claims.get(asker)
        has_it = (
            claim is not None and claim.port and not claim.shares_port and self._lines.served.get(claim.place) == asker
        )
        return claim.place if claim is not None and has_it else None

    def served(self) -> Mapping[Place, Asker]:
        """Give who has which place, as last settled."""
        return self._lines.served

    def settle(self) -> set[Asker]:
        """Decide what changed since the last time, and say whose outcome may be another now."""
        changed, self._dirty_claims = self._dirty_claims, set()
        ports = {port for port in self._dirty_ports.ports if not self._settle_hosts(port, changed)}
        self._dirty_ports = DirtyPorts()
        decided, reworded = self.ports.settle(ports)
        for port, each in decided.items():
            changed |= self._settle_port(port, each)
        for asker in reworded & self._claims.keys():
            self._reword(asker)
        changed |= reworded
        if self._sni_port:
            for asker in changed:
                self._seek_host(asker)
            hosts, self._dirty_hosts = self._dirty_hosts | self._restanding, set()
            self._restanding = set()
            for host in hosts:
                self._line_up(host)
            if self._owns_domains:
                hosts |= self._settle_domains(hosts)
            for host in hosts:
                changed |= self._settle_host(host)
            self._publish_sni_port()
        return changed

    def _settle_hosts(self, port: int, changed: set[Asker]) -> bool:
        """Decide a port by what is otherwise, without a look at all claims to it; say whether that could be."""
        dirty = self._dirty_ports
        is_known = port not in dirty.whole
        hosts = self.ports.settle_hosts(port, dirty.former(port), dirty.touched(port)) if is_known else None
        if hosts is None:
            return False
        changed |= self._reject(hosts.rejections)
        for place, claim in hosts.has.items():
            self._lines.settled_place(place, claim.asker if claim is not None else None)
            self._shared.change(Spot(port), place.host, claim)
        return True

    def outcome(self, asker: Asker) -> ClaimOutcome:
        """Give what became of an asker's claim."""
        rejection = self._port_rejections.get(asker)
        if rejection is not None:
            return ClaimOutcome(rejection=rejection)
        loss, refusal = self._host_losses.get(asker), self._tolerated.get(asker)
        told = refusal.message if refusal is not None else self.ports.warning(asker)
        warning = f"{told}; who had it before keeps it" if told else ""
        if loss is None:
            return ClaimOutcome(warning=warning) if warning else _UNDECIDED
        claim = self._claims[asker]
        said = host_loss(claim, loss, self._sni_port)
        if claim.port is None:
            return ClaimOutcome(rejection=Rejection(Reason.HOST_ALREADY_CLAIMED, said))
        return ClaimOutcome(host_loss=said, warning=warning)

    def served_on(self, port: int) -> Set[str]:
        """Give the addresses on which somebody has an external port, as last settled."""
        return self._served_on.get(port, frozenset())

    def take_turned_ports(self) -> set[int]:
        """Give the ports that became served, or ceased to be, since this was last asked."""
        turned, self._turned_ports = self._turned_ports, set()
        return turned

    def shared_frontends(self) -> tuple[SharedFrontend, ...]:
        """Give the SNI port and the shared external ports, sorted; the same objects where nothing changed."""
        return self._shared.values()

    def _settle_port(self, port: int, decided: DecidedPort) -> set[Asker]:
        claims = self._by_port.get(port, {})
        changed = self._tolerate(claims, decided.tolerated) | self._reject(decided.rejections)
        stand = [claim for asker, claim in claims.items() if asker not in self._port_rejections]
        served = [claim for claim in stand if not claim.remembered_by]
        # Who is left out has what it had, where it is nobody else's.
        self._lines.settled(port, [*(claim for claim in stand if claim.remembered_by), *served])
        if not claims:
            self._by_port.pop(port, None)
        former, current = self.served_on(port), shared(frozenset([claim.address for claim in served]))
        if former != current:
            self._turned_ports.add(port)
            self._served_on[port] = current
            if not current:
                del self._served_on[port]
        for address in former | current:
            self._shared.share(Spot(port, address), [claim for claim in served if claim.address == address])
        return changed

    def _reject(self, rejections: Mapping[Asker, Rejection | None]) -> set[Asker]:
        """Remember why some have no port, or that they have; give for whom that is news."""
        news = {asker for asker, rejection in rejections.items() if self._port_rejections.get(asker) != rejection}
        for asker in news:
            rejection = rejections[asker]
            if rejection is None:
                del self._port_rejections[asker]
            else:
                self._port_rejections[asker] = rejection
        return news

    def _reword(self, asker: Asker) -> None:
        """Tell one who claims nothing, because of what its namespace holds, what that is now."""
        former, over = self._port_rejections.get(asker), self.ports.over(asker)
        if former is not None and former.reason is Reason.PORT_QUOTA_EXCEEDED and over is not None:
            self._port_rejections[asker] = forfeited(over) if former.forfeits else over

    def _tolerate(self, askers: Iterable[Asker], refusals: Mapping[Asker, Rejection]) -> set[Asker]:
        """Remember who has his port only because he had it before; give for whom that is news."""
        news = {asker for asker in askers if self._tolerated.get(asker) != refusals.get(asker)}
        for asker in news:
            self._tolerated.pop(asker, None)
        self._tolerated.update(refusals)
        return news

    def _line_up(self, host: str) -> None:
        """Let those who seek a host on the SNI port stand in line."""
        line = self._lines.of_host(host, self._seekers.get(host, {}).values())
        if line:
            self._by_host[host] = line
        else:
            self._by_host.pop(host, None)

    def _seek_host(self, asker: Asker) -> None:
        """Put a claim to its host in line, or take it out where its port was lost."""
        claim = self._claims.get(asker)
        if claim is None or claim.host is None:
            return
        if asker in self._port_rejections:
            self._leave_host(asker, claim)
        elif self._seekers.setdefault(claim.host, {}).get(asker) is not claim:
            self._seekers[claim.host][asker] = claim
            self._dirty_hosts.add(claim.host)

    def _leave_host(self, asker: Asker, claim: Claim | None) -> None:
        if (
            claim is not None
            and claim.host is not None
            and self._seekers.get(claim.host, {}).pop(asker, None) is not None
        ):
            if not self._seekers[claim.host]:
                del self._seekers[claim.host]
            self._dirty_hosts.add(claim.host)

    def _settle_domains(self, hosts: set[str]) -> set[str]:
        """Decide who has the wildcards over some hosts; give the hosts, and wildcards, that are to be settled for that."""
        more = set()
        for host in hosts:
            if host != domain_of(host):
                self._domains.of(host).put(host, decide_host(self._by_host.get(host, {}).values()))
        for name in {domain_of(host) for host in hosts}:
            wildcards = self._by_host.get(name, {})
            more |= self._domains.of(name).settle(wildcards.values(), are_others=name in hosts)
        return more

    def _settle_host(self, host: str) -> set[Asker]:
        claims = self._by_host.get(host, {})
        domain = self._domains.of(host) if self._owns_domains else Domain()
        if self._owns_domains and host == domain_of(host):
            winner, others = domain.wildcard, Loss(host, None)
        else:
            winner = decide_host(claim for claim in claims.values() if not domain.keeps_out(claim))
            others = Loss(domain_of(host), domain.wildcard.asker if domain.wildcard is not None else None)
        is_served = winner is not None and not winner.remembered_by
        entry = sni_host(winner) if winner is not None and is_served else None
        has_it = winner is not None and (is_served or winner.asker in self._seekers.get(host, ()))
        if self._lines.settled_host(host, winner.asker if winner is not None and has_it else None):
            # Who has it comes before others from now on, also in what is decided about its domain.
            self._restanding.add(host)
        if self._sni_hosts.get(host) != entry:
            self._sni_hosts.put(host, entry)
        changed = set()
        for asker in self._seekers.get(host, ()):
            # Who has it is told before what keeps it from others, which is not so any more when that one comes first by what it holds.
            loss = (
                None if winner is not None and asker == winner.asker else Loss(host, winner.asker) if winner else others
            )
            if asker not in claims and (bar := self._lines.bar(Place(SNI, host), asker)):
                loss = Loss(host, None, bar)
            if self._host_losses.get(asker) != loss:
                changed.add(asker)
                if loss is None:
                    del self._host_losses[asker]
                else:
                    self._host_losses[asker] = loss
        if self._owns_domains:
            self._domains.forget_if_empty(domain_of(host))
        return changed

    def _publish_sni_port(self) -> None:
        if self._sni_port:
            self._shared.publish(Spot(self._sni_port), self._sni_options, self._sni_hosts.values())
