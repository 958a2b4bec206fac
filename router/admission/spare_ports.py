"""Ports of ``--auto-ports`` that are to be ready in the pool: how many that are, and which.

They are as many as the busiest hour of a week took and had at one time: then no hour of those that were would have needed a reload, had the pool been full
when it began. What is given up is the pool's again, so that it counts no more: nobody makes the pool large by having one port after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile

from router.admission.allocation import port_bits
from router.model import Spot
from router.settings import PortRanges

FEWEST = 10
"""Also where nothing is known yet: a team that comes with a handful of Routes is served at once."""
MOST = 1_000
"""Each costs memory, and time at each reload, as a Route does."""
_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
_DAYS = 7
_NOTHING_KNOWN: Mapping[int, int] = {}


class SparePorts:
    """What is known of them. ``wanted``, ``ready`` and ``choose`` are for any thread, all else for one.

    Args:
        ports: those of ``--auto-ports``.
        clock: gives seconds since the epoch.
        days: what ``days`` said before.
    """

    def __init__(self, ports: PortRanges, clock: Callable[[], float], days: Mapping[int, int] = _NOTHING_KNOWN) -> None:
        self.ports = ports
        self._bits = port_bits(ports)
        self._clock = clock
        self._days = dict(days)
        self._hour: dict[int, float] = {}
        """By port that somebody has, when it was last taken, the oldest first; of the last hour."""
        self._ready = 0
        self.free: Callable[[], int] = lambda: -1
        """Gives the ports that whoever asks for any can get, as bits."""

    @property
    def days(self) -> Mapping[int, int]:
        """How many ports of those that the busiest hour took somebody had at one time, by day since the epoch."""
        return self._days

    @property
    def busiest(self) -> int:
        """How many ports of those that the busiest hour took somebody had at one time."""
        return max(self._days.values(), default=0)

    @property
    def wanted(self) -> int:
        """How many are to be ready when HAProxy is loaded."""
        return min(max(self.busiest, FEWEST), MOST)

    @property
    def ready(self) -> int:
        """Those that HAProxy was loaded with, as bits: who asks for any port gets one of these first."""
        return self._ready

    def take(self, spots: Iterable[Spot], given_up: Iterable[Spot] = ()) -> None:
        """Take note of ports on which somebody is served now, and was not before.

        Args:
            spots: where that is.
            given_up: where somebody was served, and is not any more; before all of the others.
        """
        now_s = self._clock()
        for port, address in given_up:
            if not address:
                self._hour.pop(port, None)
        for port, address in spots:
            if not address and self._bits >> port & 1:
                self._hour.pop(port, None)
                self._hour[port] = now_s
        for port in [port for port, _ in takewhile(lambda each: each[1] <= now_s - _HOUR_S, self._hour.items())]:
            del self._hour[port]
        today = int(now_s // _DAY_S)
        days = {day: count for day, count in self._days.items() if today - _DAYS < day <= today}
        if self._hour:
            days[today] = max(days.get(today, 0), len(self._hour))
        self._days = days

    def choose(self, taken: Iterable[int]) -> tuple[int, ...]:
        """Give the ports to have ready, sorted: the lowest that are free, so that replicas choose alike.

        Args:
            taken: ports that are not to be had, whoever has them.
        """
        left, not_ours = self._bits & self.free(), set(taken)
        chosen: list[int] = []
        while left and len(chosen) < self.wanted:
            lowest = left & -left
            left ^= lowest
            port = lowest.bit_length() - 1
            if port not in not_ours:
                chosen.append(port)
        return tuple(chosen)

    def declare(self, spots: Iterable[Spot]) -> None:
        """Take note of the ports of the pool that HAProxy was loaded with."""
        self._ready = sum(1 << port for port, address in set(spots) if not address) & self._bits
