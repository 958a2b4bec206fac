"""Decides external ports, and how many of them a namespace may hold, in one pass over all claims that have to do with each other.

Who holds something comes first, then the oldest. Each gets its port if it is free at that moment and its namespace holds fewer than it
may; who is over that claims nothing. So what becomes of a claim depends on those before it, of its port and of its namespace, and on no
other. Only a namespace that claims more ports than it may hold ties ports together like this: it is called full here. What is decided
again after a change are the claims to ports that changed; where a claim of a full namespace comes to have its port, or loses it, those of
that namespace after it; and where one of these comes to be within what it may hold, or over it, those of its port after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from router.admission.claims import NEWCOMER, SERVED, Claim
from router.admission.full import Count, Full, Key, Where, key_of, over_quota
from router.admission.lines import Line, Lines
from router.admission.places import Place
from router.admission.policy import Policies
from router.admission.port_decision import PortDecision, decide_port
from router.admission.quotas import NamespacePorts
from router.admission.shared_port import Changed, SharedPort
from router.admission.verdicts import Rejection, forfeited
from router.model import Asker, Spot


@dataclass(frozen=True, slots=True)
class DecidedPort:
    """What became of those who claim one port."""

    rejections: Mapping[Asker, Rejection | None]
    tolerated: Mapping[Asker, Rejection]
    """Who stands in line only because he had the port before, and why he would not otherwise."""


class PortBook:
    """The claims to external ports, kept decided.

    Args:
        lines: who stands in which line.
        policies: how many ports each namespace may hold.
        claims_to: gives the claims to a port.
        owns_domains: whether hosts and the wildcard over them must be of one namespace.
        overlapping: the names of addresses that overlap with ``--bind-address``.
    """

    def __init__(
        self,
        lines: Lines,
        policies: Policies,
        claims_to: Callable[[int], Mapping[Asker, Claim]],
        *,
        owns_domains: bool,
        overlapping: Collection[str],
    ) -> None:
        self.lines = lines
        self.policies = policies
        self.claims_to = claims_to
        self.owns_domains = owns_domains
        self.overlapping = overlapping
        self.claimed = NamespacePorts()
        self.dirty: set[str] = set()
        """Namespaces that may claim another number of ports now, or may hold another."""
        self.full: dict[str, Full] = {}
        self.shared: dict[int, SharedPort] = {}
        """Those of which one host after the other can be decided."""
        self.stood: dict[int, dict[Key, tuple[str, Where]]] = {}
        """By port, where claims of full namespaces stood when it was last looked at."""

    def ports(self, namespace: str) -> set[int]:
        """Give the ports that somebody of a namespace claims, or holds."""
        return self.claimed.ports(namespace) | self.lines.held.ports(namespace)

    def held(self, namespace: str) -> set[Spot]:
        """Give the ports that somebody of a namespace has, or holds by a PortClaim, as last settled."""
        return {*self.lines.had.of(namespace), *self.lines.held.of(namespace)}

    def holders(self, namespace: str) -> Mapping[Spot, Asker]:
        """Give the same with one each that has it."""
        found: dict[Spot, Asker] = {}
        for port in {spot.port for spot in self.held(namespace)}:
            for place, asker in self.lines.at(port):
                if asker.namespace == namespace:
                    spot = Spot(port, place.address)
                    found[spot] = min(found.get(spot, asker), asker)
        return found

    def settle(self, ports: set[int]) -> tuple[Mapping[int, DecidedPort], set[Asker]]:
        """Decide these ports again, and all that this concerns; give what became of them, and who is told something else beside."""
        opened, reworded = self._look_at_namespaces(ports)
        if self.full:
            self.shared.clear()
        if not self.full:
            self.stood.clear()
            return {port: self._decided(port) for port in ports}, reworded
        sweep = _Sweep(self, opened, ports)
        for port in sweep.decided:
            # What is remembered of it is not so any more.
            self.shared.pop(port, None)
        return sweep.decided, reworded | sweep.reworded

    def settle_hosts(self, port: int, former: Mapping[Asker, Claim | None], touched: Iterable[Place]) -> Changed | None:
        """Decide some hosts of a port again, without a look at its others; None where that is not enough."""
        shared = self.shared.pop(port, None)
        if shared is None or self.full or any(self._most_if_full(each) is not None for each in self.dirty):
            return None
        changed = shared.settle(former, touched)
        if changed is not None:
            self.shared[port] = shared
        return changed

    def over(self, asker: Asker) -> Rejection | None:
        """Say that an asker claims nothing because of what its namespace holds already."""
        full = self.full.get(asker.namespace)
        return over_quota(full) if full is not None and asker in full.over else None

    def warning(self, asker: Asker) -> str:
        """Say that an asker has its port only because it had it before, though its namespace holds too many; empty if not."""
        full = self.full.get(asker.namespace)
        return full.refusal if full is not None and asker in full.tolerated else ""

    def _look_at_namespaces(self, ports: set[int]) -> tuple[set[str], set[Asker]]:
        """Find out which namespaces are full now, and add the ports that others leave; give those that are so otherwise than before.

        Beside them, give those who have no warning any more.
        """
        dirty, self.dirty = self.dirty, set()
        opened: set[str] = set()
        reworded: set[Asker] = set()
        for namespace in dirty:
            most, former = self._most_if_full(namespace), self.full.get(namespace)
            if most is None and former is not None:
                del self.full[namespace]
                ports.update(former.over.values())
                reworded |= former.tolerated
            elif most is not None and (former is None or former.most != most or self.lines.may_exceed(namespace)):
                self.full[namespace] = Full(most) if former is None else replace(former, most=most)
                opened.add(namespace)
        return opened, reworded

    def _most_if_full(self, namespace: str) -> int | None:
        most = self.policies.max_ports(namespace)
        if most is None:
            return None
        claimed, held = self.claimed.of(namespace), self.lines.held.of(namespace)
        if len(claimed) + len(held) <= most or len(claimed | held) <= most:
            return None
        return most

    def _decided(self, port: int) -> DecidedPort:
        claims = self.claims_to(port)
        line = self.lines.of_port(port, claims.values())
        decision = decide_port(line.queue, owns_domains=self.owns_domains, overlapping=self.overlapping)
        shared = SharedPort.of(self.lines, line, decision, claims, owns_domains=self.owns_domains)
        if shared is not None:
            self.shared[port] = shared
        else:
            self.shared.pop(port, None)
        return _finished(line, decision.decided())


class _Sweep:
    """One pass: claims are taken in their order, and those that turn out to be concerned are put among them."""

    def __init__(self, book: PortBook, namespaces: set[str], ports: set[int]) -> None:
        self._book = book
        self._full = book.full
        self._lines: dict[int, Line] = {}
        self._decisions: dict[int, PortDecision] = {}
        self._counts: dict[str, Count] = {}
        self._heap: list[tuple[Where, int, Claim]] = []
        self._queued: set[Key] = set()
        self._holds: dict[Key, bool] = {}
        """What was decided in this pass."""
        self._begin(namespaces, ports)
        while self._heap:
            place, _, claim = heappop(self._heap)
            self._decide(place, claim)
        self.reworded: set[Asker] = set()
        for namespace, count in self._counts.items():
            self._note(namespace, count)
        self.decided = {port: self._finished(port) for port in self._decisions}

    def _begin(self, namespaces: set[str], ports: set[int]) -> None:
        for port in ports:
            former = self._book.stood.get(port, {})
            self._line(port)
            current = self._book.stood.get(port, {})
            # Of a full namespace whose claims stand elsewhere, or are gone, those after them may be within what it may hold.
            for key in former.keys() | current.keys():
                if former.get(key) != current.get(key):
                    moved = [stood[key] for stood in (former, current) if key in stood]
                    namespaces |= {namespace for namespace, place in moved if self._matters(key, namespace, place)}
                    self._forget(key, former, current)
        for port in ports:
            self._open_port(port, None)
        for namespace in namespaces & self._full.keys():
            self._open_namespace(namespace, None)

    def _matters(self, key: Key, namespace: str, place: Where) -> bool:
        """Say whether others of its namespace depend on a claim: not on one that comes after all that may be held, and has nothing."""
        full, ((rank, *_), *_) = self._full.get(namespace), place
        return full is None or rank < NEWCOMER or key in full.having or len(full.spots) < full.most

    def _forget(self, key: Key, former: Mapping[Key, tuple[str, Where]], current: Mapping[Key, object]) -> None:
        """Let go of a claim that is gone."""
        if key not in current and (full := self._full.get(former[key][0])) is not None:
            full.over.pop(key, None)

    def _line(self, port: int) -> Line:
        line = self._lines.get(port)
        if line is None:
            book = self._book
            line = self._lines[port] = book.lines.of_port(port, book.claims_to(port).values())
            stood = {
                key_of(claim): (claim.asker.namespace, claim.port_place)
                for claim in line.queue
                if claim.asker.namespace in self._full
            }
            if stood:
                book.stood[port] = stood
            else:
                book.stood.pop(port, None)
        return line

    def _open_port(self, port: int, until: Where | None) -> PortDecision:
        """Decide a port again, from the beginning or from a place in the order on; those before it stay as they are."""
        book = self._book
        decision = self._decisions[port] = PortDecision(
            owns_domains=book.owns_domains,
            overlapping=book.overlapping,
        )
        earlier: list[tuple[Where, int, Claim]] = []
        for claim in self._line(port).queue:
            place = claim.port_place
            if until is None or place > until:
                self._push(place, claim)
            elif place < until and not self._was_over(claim):
                earlier.append((place, len(earlier), claim))
        for _, _, claim in sorted(earlier):
            decision.offer(claim)
        return decision

    def _open_namespace(self, namespace: str, until: Where | None) -> Count:
        """Count again what a namespace holds, from the beginning or from a place in the order on."""
        count = self._counts[namespace] = Count(self._full[namespace].most)
        for port in self._book.ports(namespace):
            for claim in self._line(port).queue:
                if claim.asker.namespace != namespace:
                    continue
                place = claim.port_place
                if until is None or place > until:
                    self._push(place, claim)
                elif place < until and self._has(claim):
                    count.add(claim)
        return count

    def _push(self, place: Where, claim: Claim) -> None:
        key = key_of(claim)
        if key not in self._queued:
            self._queued.add(key)
            heappush(self._heap, (place, len(self._queued), claim))

    def _decide(self, place: Where, claim: Claim) -> None:
        namespace, key = claim.asker.namespace, key_of(claim)
        full, count = self._full.get(namespace), self._counts.get(namespace)
        was_over, had = self._was_over(claim), self._has(claim)
        if count is not None:
            is_over = count.is_full_for(claim) and self._may_lose(claim)
        elif full is not None and not had and claim.port_rank >= NEWCOMER:
            is_over = full.is_over(claim)
        else:
            is_over = was_over
        decision = self._decisions.get(claim.where.port)
        if decision is None and is_over is not was_over:
            decision = self._open_port(claim.where.port, place)
        # A claim that is remembered is its namespace's, whoever has the port in its place.
        has = had if decision is None else not is_over and (decision.offer(claim) or bool(claim.remembered_by))
        self._holds[key] = has
        if full is None:
            return
        if is_over:
            full.over[key] = claim.where.port
        else:
            full.over.pop(key, None)
        if count is None and has is not had:
            count = self._open_namespace(namespace, place)
        if count is not None and has:
            count.add(claim)

    def _may_lose(self, claim: Claim) -> bool:
        """Say whether a claim can be over what its namespace may hold: who holds something keeps it, unless that is enforced."""
        return claim.port_rank >= NEWCOMER or (
            self._book.policies.enforces and not self._book.policies.closed(claim.asker.namespace)
        )

    def _was_over(self, claim: Claim) -> bool:
        full = self._full.get(claim.asker.namespace)
        return full is not None and key_of(claim) in full.over

    def _has(self, claim: Claim) -> bool:
        """Say whether a claim has its port, as it was decided in this pass or before."""
        decided = self._holds.get(key_of(claim))
        if decided is not None:
            return decided
        if claim.remembered_by:
            return not self._was_over(claim)
        return self._book.lines.served.get(claim.place) == claim.asker

    def _finished(self, port: int) -> DecidedPort:
        line, decision = self._line(port), self._decisions[port]
        decided = decision.decided()
        for claim in line.queue:
            if not claim.remembered_by and self._was_over(claim):
                # Who would not get it anyway is told so: that does not depend on who of its namespace had something before.
                refusal = decision.rejection(claim) or over_quota(self._full[claim.asker.namespace])
                decided[claim.asker] = forfeited(refusal) if claim.port_rank < SERVED else refusal
        return _finished(line, decided)

    def _note(self, namespace: str, count: Count) -> None:
        """Remember what a namespace holds; all that are over that are told in other words."""
        full, refusal, tolerated = self._full[namespace], count.refusal(namespace), count.tolerated()
        if refusal != full.refusal:
            self.reworded.update(key for key in full.over if isinstance(key, Asker))
            self.reworded |= full.tolerated | tolerated
        self.reworded |= full.tolerated ^ tolerated
        full.refusal, full.tolerated, full.over = refusal, tolerated, self._over_from_now_on(namespace, count)
        full.spots, full.having = frozenset(count.holders), count.having()

    def _over_from_now_on(self, namespace: str, count: Count) -> dict[Key, int]:
        """Give the claims that are over what a namespace may hold: who has got something comes before who has not, whatever its age."""
        former = self._full[namespace].over
        over = {}
        for port in self._book.ports(namespace):
            for claim in self._line(port).queue:
                key = key_of(claim)
                if claim.asker.namespace != namespace or self._has(claim):
                    continue
                if count.is_full_for(claim) if claim.port_rank >= SERVED else key in former:
                    over[key] = port
        return over


def _finished(line: Line, decided: dict[Asker, Rejection | None]) -> DecidedPort:
    for asker, refusal in line.tolerated.items():
        if decided[asker] is not None:
            # Who lost it is told what he would be told, had he never had it.
            decided[asker] = refusal
    return DecidedPort({**decided, **line.barred}, line.tolerated)
