"""Keeps account of ports that are given to who asks for any, for those who write PortClaims: what is spare, and what has to cool down; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from router.admission import Verdict
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place, asker_of, place_of
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.portclaim import ClaimHolder
from router.settings import PortRanges


class Given:
    """Who is served on a port that was given to it, what else PortClaims say it won, and who waits for such a port.

    Args:
        ports: what is given; where that is nothing, nothing is kept account of.
        ledger: the claims.
    """

    def __init__(self, ports: PortRanges, ledger: Ledger) -> None:
        self._ports = ports
        self._ledger = ledger
        self._at: dict[Asker, Place] = {}
        self._claims: dict[str, tuple[Asker, Place]] = {}
        """Those that were won, by their names."""
        self._won: dict[Asker, set[Place]] = {}
        self._wants: dict[Asker, int] = {}
        """Ports that somebody asks for by number, and somebody else holds."""
        self._wanted: Counter[int] = Counter()

    def take(self, names: Iterable[str]) -> None:
        """Take note of claims that changed."""
        for name in names if self._ports.ranges else ():
            former = self._claims.pop(name, None)
            if former is not None:
                holder, place = former
                self._won[holder].discard(place)
                if not self._won[holder]:
                    del self._won[holder]
            claim = self._ledger.claim(name)
            if claim is not None and claim.spec.origin == "Won":
                holder, place = asker_of(claim.spec.holder or ClaimHolder()), place_of(claim)
                self._claims[name] = holder, place
                self._won.setdefault(holder, set()).add(place)

    def serve(self, asker: Asker, verdict: Verdict | None, places: Iterable[Place]) -> Iterator[Place]:
        """Take note of what became of one, and what it has; give the places for whose claims that matters."""
        if not self._ports.ranges:
            return
        was_at, was_wanted = self._at.pop(asker, None), self._wants.pop(asker, None)
        if verdict is not None and verdict.auto and (at := next((each for each in places if each.port != SNI), None)):
            self._at[asker] = at
        if self._at.get(asker) != was_at:
            yield from self._won.get(asker, ())
        asked = verdict.port if verdict is not None and verdict.reason is Reason.PORT_ALREADY_CLAIMED else None
        if asked is not None and asked in self._ports:
            self._wants[asker] = asked
        wanted = self._wants.get(asker)
        if wanted == was_wanted:
            return
        for port, change in ((was_wanted, -1), (wanted, 1)):
            if port is not None:
                self._wanted[port] += change
                yield from self._ledger.places(port)

    def cools(self, place: Place) -> bool:
        """Say whether a place that is given up is to stay claimed for a while: nobody who asks for any port gets it; who names it does not wait."""
        return not place.host and place.port in self._ports and not self._wanted[place.port]

    def is_elsewhere(self, place: Place, asker: Asker) -> bool:
        """Say whether one that asks for any port is served on another one."""
        return self._at.get(asker, place) != place
