"""Which place serves whom, while a plan is made: sections as they were loaded, and those of the pool; pure."""

from __future__ import annotations

from collections.abc import Iterable

from router.model import RouteSection
from router.model.stages import door, led_by
from router.plan.running import Running


class Places:
    """What is known of them; changed as the plan goes on.

    Args:
        running: as it is before.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self.moved = dict(running.moved)
        """As in ``Running``, and so are the others."""
        self.owners = dict(running.owners)
        self.fronts = set(running.fronts)
        self.closed = set(running.closed)

    def free_for(self, section: RouteSection) -> RouteSection | None:
        """Give a place of the pool that nobody uses, if there is one where a Route can be."""
        if section.frontend is None:
            return self._first_free(self._running.sni_pool)
        port = self._running.pool.get(section.frontend.spot)
        if port is None or port.backend.name in self.owners or port.backend.name in self.fronts:
            return None
        if section.frontend.tls is None:
            return port
        slot = self._first_free(self._running.tls_pool)
        return led_by(slot, port) if slot is not None else None

    def _first_free(self, places: Iterable[RouteSection]) -> RouteSection | None:
        return next((place for place in places if place.backend.name not in self.owners), None)

    def take(self, name: str, place: RouteSection) -> None:
        """Have a place of the pool serve somebody, named by the backend that he has or would have."""
        self.moved[name] = place
        self.owners[place.backend.name] = name
        if place.slot is not None:
            self.fronts.add(door(place))

    def forget(self, name: str) -> RouteSection | None:
        """Let go of the place that serves somebody; give it, if it is one of the pool. It is not free by that."""
        moved = self.moved.pop(name, None)
        if moved is None:
            self.closed.add(name)
        return moved

    def release(self, place: RouteSection) -> None:
        """Have a place of the pool free for others."""
        self.owners.pop(place.backend.name, None)
        self.fronts.discard(door(place))

    def kept(self) -> tuple[dict[str, RouteSection], dict[str, str], set[str], set[str]]:
        """Give what ``restore`` takes back."""
        return dict(self.moved), dict(self.owners), set(self.fronts), set(self.closed)

    def restore(self, kept: tuple[dict[str, RouteSection], dict[str, str], set[str], set[str]]) -> None:
        """Have it as it was."""
        self.moved, self.owners, self.fronts, self.closed = kept
