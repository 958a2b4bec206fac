"""Who asks for any port, which of them has which, and what is to be claimed for the others; kept decided as things change.

Who has a port keeps it: by a PortClaim, or because this replica serves it. All others wait in one line, the oldest first, and get what
``allocation`` chooses for them from the ports that are free: those of which no PortClaim speaks, that no asker names, and that nobody of
these has, on whichever address. What is chosen is served at once where there is nobody who could choose otherwise; else it is a proposal,
the same on every replica, that the leader writes as a PortClaim. A change costs something only if it is about these askers, or about a
port while some wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Set  # noqa: PYI025 - as it is called in collections.abc
from functools import cache, partial

from router.admission.allocation import NO_CHOICE, Auto, Choice, Pool, Terms, Wish, propose
from router.admission.allowance import CLAIMS_UNAVAILABLE, Allowance
from router.admission.claims import Claim
from router.admission.holdings import Holdings, Object, object_of
from router.admission.journal import Touched
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place
from router.admission.pools import Pools
from router.admission.verdicts import Rejection
from router.admission.waiting_line import WaitingLine
from router.model import Asker
from router.settings import AdmissionSettings, PortRanges

_NOTHING: Mapping[Place, Asker] = {}


class Autos:
    """Those who ask for any port.

    Args:
        settings: which ports there are to give, and whether at once.
        ledger: who holds what, and for whom it is reserved.
        claims_on: gives those who claim a port, by whatever they ask for.
        memory: who had what before.
        allowance: says what a namespace may have.
    """

    def __init__(
        self,
        settings: AdmissionSettings,
        ledger: Ledger,
        claims_on: Callable[[int], Mapping[Asker, Claim]],
        memory: Mapping[Place, Asker],
        allowance: Allowance,
    ) -> None:
        self.pools = Pools(settings, allowance)
        self._at_once = settings.auto_at_once
        self._ledger = ledger
        self._claims_on = claims_on
        self._allowance = allowance
        self._version = 0
        self._allowance.let_keep(lambda asker, place: self._having.get(place.port, _NOTHING).get(place) == asker)
        self._had = {asker: place for place, asker in memory.items() if place.port != SNI and not place.host}
        self._asks: dict[Asker, Auto] = {}
        self._by_object: dict[Object, set[Asker]] = {}
        self._having: dict[int, dict[Place, Asker]] = {}
        """By port, who has it."""
        self._holdings = Holdings(ledger)
        self.free = self.pools.to_give  # As bits; for any thread.
        self._waiting = WaitingLine()
        self._chosen: dict[Asker, Choice] = {}
        self._chosen_ports: set[int] = set()
        self._rooms: dict[str, int] = {}
        """How many more ports those namespaces might have for which some wait, where that has an end."""
        self._is_stale = False
        """Whether those who wait are to be chosen for anew."""
        self._is_told = True
        """Whether ``proposed`` is what was chosen."""
        self._can_remember = True
        self._unsettled: set[Asker] = set()
        self._moved: set[int] = set()
        """Ports that somebody got, or lost, since ports were looked at."""
        self.proposed: Mapping[Place, Asker] = _NOTHING
        """What is to be claimed, and for whom; the same object until it is something else."""

    def ask(self, asker: Asker, wish: Wish, has: Place | None) -> None:
        """Take one that asks for any port; nothing is decided before ``settle``.

        Args:
            asker: who.
            wish: what it asks for.
            has: the port that it is served on now, by whatever it asked for before.
        """
        auto = self._asks.get(asker)
        if auto is not None and auto.wish.address != wish.address:
            self.leave(asker)
            auto = None
        if auto is None:
            self._asks[asker] = Auto(wish)
            self._by_object.setdefault(object_of(asker), set()).add(asker)
            if has is not None:
                # Where there is nobody else to choose, the number stays with it on another address.
                self._had[asker] = has._replace(address=wish.address) if self._at_once else has
        elif auto.wish == wish:
            return
        else:
            if asker in self._waiting:
                self._waiting.put(asker, wish)
                self._is_stale = True
            auto.wish = wish
        self._unsettled.add(asker)

    def leave(self, asker: Asker) -> None:
        """Take note of one that asks for no port, or for a certain one."""
        auto = self._asks.get(asker)
        if auto is None:
            return
        self._give(asker, auto, None)
        # Who waited in vain kept nobody else from anything.
        if asker in self._waiting and self._wait(asker, waits=False).port is not None:
            self._is_stale = True
        del self._asks[asker]
        of_object = self._by_object[object_of(asker)]
        of_object.discard(asker)
        if not of_object:
            del self._by_object[object_of(asker)]
        self._unsettled.discard(asker)

    def lose(self, asker: Asker) -> bool:
        """Take from one a port that is another's; say whether it had any."""
        auto = self._asks.get(asker)
        if auto is None or auto.place is None:
            return False
        self._give(asker, auto, None)
        self._unsettled.add(asker)
        return True

    def port(self, asker: Asker) -> int | None:
        """Give the port that one has."""
        place = self._asks[asker].place
        return place.port if place is not None else None

    def having(self) -> Mapping[Place, Asker]:
        """Give who has which port, served or not."""
        return {place: asker for each in self._having.values() for place, asker in each.items()}

    def counts(self, pool: Pool) -> tuple[int, int]:
        """Give how many ports of a pool there are to give, and how many of them are free."""
        return self.pools.counts(pool, self.free)

    def rejection(self, asker: Asker) -> Rejection:
        """Say why one has no port."""
        if not self._at_once and not self._can_remember:
            return CLAIMS_UNAVAILABLE
        return self._allowance.rejection(asker.namespace, self._chosen.get(asker, NO_CHOICE), self._ports(asker))

    def settle(self, touched: Touched, asked: Set[int], *, can_remember: bool) -> set[Asker]:
        """Decide who has what, and what is free; give those whose port is another now, or who wait for one, or do so no more.

        Args:
            touched: the places of which PortClaims may say something else.
            asked: ports that are asked for by others than before.
            can_remember: whether PortClaims can be written.
        """
        changed: set[Asker] = set()
        # Who may have something else may have what it won still.
        self._unsettled.update(self._waiting if self._allowance.version != self._version else ())
        claimed = set(touched.ports)
        for first, last in touched.ranges:
            claimed.update(port for port in (*self._having, *self._holdings.ports) if first <= port <= last)
        concerned = self._unsettled.union(
            *(self._having[port].values() for port in claimed | asked if port in self._having)
        )
        named = {asker for each in self._holdings.take(claimed) for asker in self._by_object.get(each, ())}
        concerned |= named
        while concerned:
            self._unsettled = set()
            changed.update([asker for asker in sorted(concerned) if self._settle_one(asker)])
            # Whose port was another's by a PortClaim.
            concerned = self._unsettled
            changed |= concerned
        # Of who waits still, what was its own may be preferred now, or no more.
        self._is_stale = self._is_stale or not named.isdisjoint(self._waiting.askers)
        ranges = {port for first, last in touched.ranges for port in range(first, last + 1)}
        moved, self._moved = self._moved, set()
        self._look_at(claimed | asked | moved | ranges)
        if can_remember is not self._can_remember:
            self._can_remember, self._is_stale = can_remember, True
            changed |= self._waiting.askers
        return changed

    def choose(self, *, is_settled_anew: bool) -> set[Asker]:
        """Choose for those who wait, where that may be something else than before; give those of whom something else is told.

        Args:
            is_settled_anew: whether namespaces may hold more, or less, than before.
        """
        if is_settled_anew and any(self._allowance.room(each) != room for each, room in self._rooms.items()):
            self._is_stale = True
        is_otherwise, self._version = self._allowance.version != self._version, self._allowance.version
        changed = set(self._waiting.askers) if is_otherwise else set()
        if self._is_stale or is_otherwise:
            changed |= self._choose() | self._told_otherwise()
        elif is_settled_anew:
            changed |= self._told_otherwise()
        moved, self._moved = self._moved, set()
        self._look_at(moved)
        if not self._is_told or (self.proposed and not self._chosen_ports):
            self._is_told = True
            wanted = {self._place(asker, port): asker for asker, (port, _) in self._chosen.items() if port is not None}
            self.proposed = wanted if wanted != self.proposed else self.proposed
        return changed

    def _told_otherwise(self) -> set[Asker]:
        """Give those who get nothing as before, and are told something else."""
        over = {asker.namespace for asker, choice in self._chosen.items() if choice.is_over} if self._rooms else set()
        others = self._allowance.reworded(over)
        return {asker for asker in self._waiting.askers if asker.namespace in others}

    def _ports(self, asker: Asker) -> PortRanges:
        return self.pools.ports(self._asks[asker].wish.pool)

    def _place(self, asker: Asker, port: int) -> Place:
        return Place(port, "", self._asks[asker].wish.address)

    def _settle_one(self, asker: Asker) -> bool:
        """Decide which port one has, and whether it waits; say whether anything is otherwise."""
        auto = self._asks[asker]
        place = self._place_for(asker, auto)
        former, was_waiting = auto.place, asker in self._waiting
        if place != former:
            self._give(asker, auto, place)
        waits = place is None and auto.wish.is_ready
        if waits is not was_waiting:
            chosen = self._wait(asker, waits=waits).port
            if waits or place is None or place.port != chosen:
                # Who gets what was chosen for it leaves to all others what was chosen for them, and may as well be told as to be given it.
                self._is_stale = True
        return place != former or waits is not was_waiting

    def _wait(self, asker: Asker, *, waits: bool) -> Choice:
        """Put one in line, or take it out; give what was chosen for it."""
        self._waiting.put(asker, self._asks[asker].wish if waits else None)
        choice = self._chosen.pop(asker, NO_CHOICE)
        self._chosen_ports.discard(choice.port or 0)
        return choice

    def _place_for(self, asker: Asker, auto: Auto) -> Place | None:
        """Give what one has by a PortClaim, else what it had."""
        held = [
            place
            for port in self._holdings.held(asker, auto.wish.address)
            if self.pools.may_have(asker.namespace, place := self._place(asker, port))
        ]
        had = self._had.pop(asker, None)
        if held:
            has = next((place for place in (auto.place, had) if place in held), None)
            return has or min(held, key=lambda place: self._holdings.age(asker, place))
        return next(
            (place for place in (auto.place, had) if place is not None and self._keeps(asker, auto, place)), None
        )

    def _keeps(self, asker: Asker, auto: Auto, place: Place) -> bool:
        """Say whether one keeps a port that it had, and of which no PortClaim says that it is its own."""
        owner = self._having.get(place.port, _NOTHING).get(place, asker)
        if place.address != auto.wish.address or owner != asker or not self.pools.may_have(asker.namespace, place):
            return False
        if self._ledger.bars(place, asker) is not None:
            return False
        # What is not served keeps nobody out.
        overlaps = partial(self._ledger.overlaps, place.address)
        if not auto.wish.is_ready and any(map(overlaps, self._named_at(place.port))):
            return False
        return all(
            hold.asker == asker
            or not overlaps(hold.place.address)
            or self._ledger.bars(hold.place, hold.asker) is not None
            for hold in self._ledger.holds(place.port)
        )

    def _give(self, asker: Asker, auto: Auto, place: Place | None) -> None:
        if auto.place is not None:
            # What was won is told no more when the rest is, or when this one has it no more.
            self._is_told = self._is_told and auto.place not in self.proposed
            there = self._having[auto.place.port]
            del there[auto.place]
            if not there:
                del self._having[auto.place.port]
            self._moved.add(auto.place.port)
        auto.place = place
        if place is None:
            return
        there = self._having.setdefault(place.port, {})
        displaced = there.get(place)
        if displaced is not None:
            self._asks[displaced].place = None
            self._unsettled.add(displaced)
        there[place] = asker
        self._moved.add(place.port)

    def _named_at(self, port: int) -> Iterator[str]:
        """Give the addresses on which somebody asks for this very port."""
        return (claim.address for each, claim in self._claims_on(port).items() if each not in self._asks)

    def _is_named(self, port: int) -> bool:
        return any(True for _ in self._named_at(port))

    def _look_at(self, ports: Collection[int]) -> None:
        """Look again which of these ports are free."""
        for port in ports:
            if not self.pools.to_give >> port & 1:
                continue
            is_free = port not in self._having and not self._ledger.speaks_of(port) and not self._is_named(port)
            if is_free is not bool(self.free >> port & 1):
                self.free ^= 1 << port
                self._is_stale = self._is_stale or is_free or port in self._chosen_ports

    def _choose(self) -> set[Asker]:
        """Choose for all that wait; give those of whom something else is told."""
        self._is_stale = self._is_told = False
        former, self._chosen = self._chosen, {}
        if self._waiting and self.pools.to_give and (self._at_once or self._can_remember):
            of_namespace = cache(self.pools.terms)

            def terms(asker: Asker) -> Terms:
                wish = self._asks[asker].wish
                return of_namespace(asker.namespace, wish.address, wish.pool)

            self._chosen = propose(
                self._waiting,
                self._ports,
                self.free,
                terms,
                lambda each: self._preferred(each, terms),
                lambda each: self._asks[each].wish.wanted,
            )
        rooms = {each: self._allowance.room(each) for each in {asker.namespace for asker in self._chosen}}
        self._rooms = {namespace: room for namespace, room in rooms.items() if room is not None}
        changed = {each for each in self._waiting.askers if former.get(each) != self._chosen.get(each, NO_CHOICE)}
        if self._at_once:
            for asker, (port, _) in self._chosen.items():
                if port is not None:
                    self._give(asker, self._asks[asker], self._place(asker, port))
                    self._waiting.put(asker, None)
            self._chosen = {asker: choice for asker, choice in self._chosen.items() if choice.port is None}
        self._chosen_ports = {port for port, _ in self._chosen.values() if port is not None}
        return changed

    def _preferred(self, asker: Asker, terms: Callable[[Asker], Terms]) -> int | None:
        """Give a port that was its own, and can be nobody else's as long as PortClaims say so."""
        had = self._holdings.had(asker)
        may_have = self.pools.to_give & terms(asker).ports if had else 0
        return next(
            (port for port in had if may_have >> port & 1 and port not in self._having and not self._is_named(port)),
            None,
        )
