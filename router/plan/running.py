"""What the HAProxy that runs is known to have: what it was loaded with, and what was changed since; frozen.

A HAProxy that was just loaded has each Route in a section of its own. Later, Routes come to be served by sections of the pool,
and sections come to serve nobody; the next reload makes all that straight again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from router.model import Bind, Model, RouteSection, Spot, binds, frontend_name
from router.model.bases import Base
from router.model.changed import changed
from router.plan.commands import Command, close_frontend
from router.plan.endings import EndingFiles
from router.plan.gates import Gates
from router.plan.leaving import Leaving, ServerName

K = TypeVar("K")
V = TypeVar("V")


def _nothing() -> Mapping[K, V]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Compared with what is wanted by ``router.plan``."""

    model: Model
    """What it serves now; its pool is what it was loaded with."""
    named: Mapping[str, RouteSection]
    """The sections of askers that it was loaded with, by backend. HAProxy knows names alone: an asker that was made again has the same."""
    pool: Mapping[Spot, RouteSection]
    """The sections of the pool that it was loaded with, by where they listen."""
    sni_pool: tuple[RouteSection, ...]
    """Those of them without a port."""
    tls_pool: tuple[RouteSection, ...] = ()
    """And those in which TLS ends."""
    hosts_files: Mapping[Spot, str]
    """By shared port, the path by which it knows the map of hosts."""
    owners_file: str
    """The path by which it knows the map of the pool's owners."""
    limits_file: str = ""
    """The path by which it knows the map of the limits of namespaces; empty where it has none."""
    ending_files: Mapping[Spot, EndingFiles] = field(default_factory=_nothing)
    """By shared port, what it has for hosts whose TLS ends there; only of ports that were loaded with such hosts."""
    gates: Mapping[Spot, Gates] = field(default_factory=_nothing)
    """By shared port, the sockets that it has for hosts whose clients are asked for certificates, and whose they are now."""
    authorities: frozenset[str] = frozenset()
    """The paths of the files by which servers are verified, of those that it was loaded with."""
    more_authorities: frozenset[str] = frozenset()
    """And of those that it was told since: none is taken away before the next reload."""
    moved: Mapping[str, RouteSection] = field(default_factory=_nothing)
    """The sections of the pool that serve somebody, by the backend that it would have of its own."""
    owners: Mapping[str, str] = field(default_factory=_nothing)
    """The same the other way: by backend of the pool, the backend that whoever it serves would have."""
    fronts: frozenset[str] = frozenset()
    """The backends of the pool's ports that lead on to such a place."""
    closed: frozenset[str] = frozenset()
    """Those of ``named``, and of ``added``, that serve nobody now."""
    bases: Mapping[Base, str] = field(default_factory=_nothing)
    """What backends that are added can take up, and the ``defaults`` sections that say so; none where it adds no backends while it runs."""
    leads_file: str = ""
    """The path by which it knows the map of the pool's ports that lead to backends which were added."""
    added: Mapping[str, RouteSection] = field(default_factory=_nothing)
    """The sections of askers whose backends were added since, by backend; with a port it is one of the pool."""
    deleted: frozenset[str] = frozenset()
    """Those of ``named`` that were deleted since."""
    left: frozenset[str] = frozenset()
    """Those that serve nobody and are to be deleted when they have no servers left."""
    leaving: Leaving = field(default_factory=Leaving)
    """Servers that get no new connections and are to be deleted when they have none left."""
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    """By backend, the allowlist in force, where it is another than the one loaded."""

    def place(self, name: str) -> RouteSection | None:
        """Give the section, as it was loaded, that serves whoever has this backend; None if none does."""
        moved = self.moved.get(name)
        if moved is not None:
            return moved
        return self.own(name) if name not in self.closed else None

    def own(self, name: str) -> RouteSection | None:
        """Give an asker's own section, served or not; None if HAProxy has none of that name."""
        added = self.added.get(name)
        return added or (self.named.get(name) if name not in self.deleted else None)

    def binds_at(self, spot: Spot) -> Iterable[Bind]:
        """Give what is bound where something was loaded, be it open or closed."""
        if not spot.address:
            return (Bind(spot.port),)
        place = self.pool.get(spot)
        loaded_there = Model((place,) if place is not None else tuple(self.named.values()))
        return [bind for bind, found in binds(loaded_there).items() if found == spot]

    def sections(self) -> Model:
        """Give all that was loaded or is served, also what serves nobody now and may again."""
        closed = (self.own(name) for name in sorted(self.closed))
        return replace(self.model, routes=(*self.model.routes, *(own for own in closed if own is not None)))

    def without_leaving(self, gone: frozenset[ServerName]) -> Running:
        """Give the same with these servers deleted."""
        return changed(self, leaving=self.leaving.without(gone))

    def without_backends(self, gone: frozenset[str]) -> Running:
        """Give the same with these deleted, of those that are left."""
        return replace(
            self,
            added={name: section for name, section in self.added.items() if name not in gone},
            deleted=self.deleted | (gone & self.named.keys()),
            closed=self.closed - gone,
            left=self.left - gone,
        )


def loaded(  # noqa: PLR0913, PLR0917 - the names of all that is changed
    model: Model,
    hosts_files: Mapping[Spot, str],
    owners_file: str,
    ending_files: Mapping[Spot, EndingFiles] = MappingProxyType({}),
    limits_file: str = "",
    gates: Mapping[Spot, Gates] = MappingProxyType({}),
) -> Running:
    """Give what a HAProxy has that was just loaded with ``model``, once ``close_idle_ports`` has been carried out."""
    return Running(
        model=model,
        named={section.backend.name: section for section in model.routes},
        pool={section.frontend.spot: section for section in model.pool if section.frontend is not None},
        sni_pool=tuple(section for section in model.pool if section.frontend is None and section.slot is None),
        tls_pool=tuple(section for section in model.pool if section.slot is not None),
        hosts_files=hosts_files,
        owners_file=owners_file,
        ending_files=ending_files,
        limits_file=limits_file,
        gates=gates,
    )


def close_idle_ports(running: Running) -> Iterator[Command]:
    """Close all that listens and serves nobody: HAProxy opens all that it is loaded with."""
    for spot, section in running.pool.items():
        if section.backend.name not in running.owners and section.backend.name not in running.fronts:
            yield close_frontend(frontend_name(*spot))
    for name in sorted(running.closed - running.added.keys()):
        own = running.own(name)
        if own is not None and own.frontend is not None:
            yield close_frontend(frontend_name(*own.frontend.spot))
