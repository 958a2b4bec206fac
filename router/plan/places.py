"""Which place serves whom, while a plan is made: sections as they were loaded, and those of the pool; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.model import Model, RouteSection, Spot
from router.model.changed import changed
from router.model.stages import door, led_by
from router.plan.gates import Gates
from router.plan.leaving import Leaving
from router.plan.running import Running
from router.plan.section_text import ClientFile

_MOST_AUTHORITIES = 64
"""Files that HAProxy is told between two reloads: it keeps each until the next one, 48 KiB at most."""
Kept = tuple[dict[str, RouteSection], dict[str, str], set[str], set[str], Mapping[str, RouteSection], frozenset[str]]


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
        # Others than the above are seldom changed: a change is a new value.
        self.added = running.added
        self.left = running.left
        self.more_authorities = running.more_authorities

    def own(self, name: str) -> RouteSection | None:
        """Give an asker's own section that serves nobody, and can serve whoever it is for again; None if there is none."""
        own = self._running.own(name) if name in self.closed else None
        # The port of one that was added is the pool's, and leads elsewhere.
        return own if own is not None and (own.frontend is None or name not in self.added) else None

    def has_name(self, name: str) -> bool:
        """Say whether HAProxy has a backend of this name."""
        return name in self.added or self._running.own(name) is not None

    def port_for(self, section: RouteSection) -> RouteSection | None:
        """Give the port of the pool that nobody uses and that listens as a section wants to."""
        if section.frontend is None:
            return None
        port = self._running.pool.get(section.frontend.spot)
        if port is None or port.backend.name in self.owners or port.backend.name in self.fronts:
            return None
        return port if port.frontend == section.frontend else None

    def add(self, name: str, section: RouteSection) -> None:
        """Have a section whose backend is added; its port leads there."""
        self.added = {**self.added, name: section}
        self.closed.discard(name)
        if section.frontend is not None:
            self.fronts.add(self._running.pool[section.frontend.spot].backend.name)

    def reopen(self, name: str) -> None:
        """Have an asker's own section serve again."""
        self.closed.discard(name)
        self.left -= {name}

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

    @property
    def known_authorities(self) -> frozenset[str]:
        """The files by which servers can be verified already."""
        return self._running.authorities | self.more_authorities

    def can_tell(self, file: ClientFile | None) -> bool:
        """Say whether HAProxy can be told of those by which servers are verified, if it does not know them already."""
        is_known = file is None or file.name in self.known_authorities
        return is_known or len(self.more_authorities) < _MOST_AUTHORITIES

    def take(self, name: str, place: RouteSection) -> None:
        """Have a place of the pool serve somebody, named by the backend that he has or would have."""
        self.moved[name] = place
        self.owners[place.backend.name] = name
        if place.slot is not None:
            self.fronts.add(door(place))

    def forget(self, name: str) -> RouteSection | None:
        """Let go of the place that serves somebody; give it, if it, or its port, is of the pool. It is not free by that."""
        moved = self.moved.pop(name, None)
        if moved is not None:
            return moved
        self.closed.add(name)
        added, own = self.added.get(name), self._running.own(name)
        # Nothing else in the configuration names the backend of one without a port, or of one that was added.
        if self._running.bases and own is not None and (added or own.frontend is None) and own.stages is None:
            self.left |= {name}
        return added if added is not None and added.frontend is not None else None

    def release(self, place: RouteSection) -> None:
        """Have a place of the pool free for others."""
        self.owners.pop(place.backend.name, None)
        self.fronts.discard(door(place))
        if place.frontend is not None and (port := self._running.pool.get(place.frontend.spot)) is not None:
            self.fronts.discard(port.backend.name)

    def kept(self) -> Kept:
        """Give what ``restore`` takes back."""
        return dict(self.moved), dict(self.owners), set(self.fronts), set(self.closed), self.added, self.left

    def restore(self, kept: Kept) -> None:
        """Have it as it was."""
        self.moved, self.owners, self.fronts, self.closed, self.added, self.left = kept

    def afterwards(
        self,
        model: Model,
        leaving: Leaving,
        networks: Mapping[str, tuple[str, ...]],
        gates: Mapping[Spot, Gates],
    ) -> Running:
        """Give what HAProxy has when all is done.

        Args:
            model: what it serves then.
            leaving: servers that are to be deleted then.
            networks: allowlists that are other ones then than those loaded.
            gates: whose the sockets of single hosts are then.
        """
        return changed(
            self._running,
            model=model,
            gates=gates,
            added=self.added,
            left=self.left,
            moved=self.moved,
            owners=self.owners,
            more_authorities=self.more_authorities,
            fronts=frozenset(self.fronts),
            closed=frozenset(self.closed),
            leaving=leaving,
            networks=networks,
        )
