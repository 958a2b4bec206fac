"""Who is reached where by a model, kept level as models change: only what is otherwise is looked at.

While somebody's port is set aside everybody's changes ask this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from router.model import Asker, Model, RouteSection, SharedFrontend, Spot
from router.ordered import differences


class Listening:
    """Follows one model after the other.

    Args:
        model: the first one.
    """

    def __init__(self, model: Model | None = None) -> None:
        self._routes: tuple[RouteSection, ...] = ()
        self._shared: tuple[SharedFrontend, ...] = ()
        self._alone: dict[Spot, Asker] = {}
        self._have_one: set[Asker] = set()
        self._at: dict[Spot, SharedFrontend] = {}
        self._hosts: dict[Asker, Counter[Spot]] = {}
        """Of those who are reached by hosts, how many of these on which shared port."""
        if model is not None:
            self.follow(model)

    def follow(self, model: Model) -> None:
        """Take this for the model from now on."""
        gone, new = differences(self._routes, model.routes)
        for spot, asker in _alone(gone):
            del self._alone[spot]
            self._have_one.discard(asker)
        for spot, asker in _alone(new):
            self._alone[spot] = asker
            self._have_one.add(asker)
        self._routes = model.routes
        former, current = differences(self._shared, model.shared)
        self._follow_hosts({each.spot: each for each in former}, {each.spot: each for each in current})
        self._shared = model.shared

    def __contains__(self, spot: object) -> bool:
        return spot in self._alone or spot in self._at

    def cost_by(self, ports: Mapping[Spot, object]) -> Iterator[tuple[Asker, Spot | None]]:
        """Give those who are not reached without these ports, each with the one that it has alone; None where hosts led to it, on these only."""
        shared = [frontend for spot in ports if (frontend := self._at.get(spot)) is not None]
        for spot in ports:
            if (asker := self._alone.get(spot)) is not None:
                yield asker, spot
        for asker in dict.fromkeys(host.asker for frontend in shared for host in frontend.hosts):
            if asker not in self._have_one and self._hosts[asker].keys() <= ports.keys():
                yield asker, None

    def _follow_hosts(self, former: Mapping[Spot, SharedFrontend], current: Mapping[Spot, SharedFrontend]) -> None:
        for spot in former.keys() | current.keys():
            before = former[spot].hosts if spot in former else ()
            after = current[spot].hosts if spot in current else ()
            gone, new = differences(before, after)
            for host in new:
                self._hosts.setdefault(host.asker, Counter())[spot] += 1
            for host in gone:
                of = self._hosts[host.asker]
                of[spot] -= 1
                if not of[spot]:
                    del of[spot]
                if not of:
                    del self._hosts[host.asker]
            if spot in current:
                self._at[spot] = current[spot]
            else:
                del self._at[spot]


def _alone(routes: Iterable[RouteSection]) -> Iterator[tuple[Spot, Asker]]:
    return ((section.frontend.spot, section.asker) for section in routes if section.frontend is not None)
