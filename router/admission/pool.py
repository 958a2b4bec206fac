"""The port pool: sections declared to HAProxy in advance, so that a Route is served without a reload; pure.

Each port of the pool is a frontend with a backend of its own, without servers, and kept closed. A Route that asks for nothing
out of the ordinary is served by it at once; the next reload, whenever it comes, gives the Route a section of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from router.admission.options import read_options
from router.admission.spare_ports import SparePorts
from router.model import (
    NOBODY,
    Frontend,
    Model,
    RouteSection,
    SharedFrontend,
    Slot,
    Spot,
    Step,
    pool_backend_name,
    spots,
)
from router.model.tls import PortTls
from router.ordered import differences
from router.settings import MAX_PORT, PortRanges, RouteDefaults

_NO_ADDRESSES: Mapping[str, PortRanges] = MappingProxyType({})
_OF_AN_ADDRESS = 100_000
"""More than there are ports and places of the SNI pool."""
_BEFORE_TLS_ENDS = 1 << 30
"""More than all addresses together have."""
EVERYBODY = ("0.0.0.0/0", "::/0")
"""The allowlist of a section of the pool, so that a Route's own can take its place."""


class PortPool:
    """The sections of the pool; the same objects from one configuration to the next.

    Several threads may use one.

    Args:
        wanted: the ports of the pool.
        sni_backends: how many Routes that are reached through shared ports only can be served without a reload.
        defaults: what a Route gets that asks for nothing.
        of_addresses: the ports of the pool of named addresses.
        overlapping: the names of those that overlap with ``--bind-address``.
        slots: how many of its ports can come to end TLS without a reload.
        shown: what these show as long as they serve nobody; needed for any.
        spare: chooses ports beside those that are wanted; None chooses none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what an admin chooses
        self,
        wanted: PortRanges,
        sni_backends: int,
        defaults: RouteDefaults,
        of_addresses: Mapping[str, PortRanges] = _NO_ADDRESSES,
        overlapping: Collection[str] = (),
        slots: int = 0,
        shown: PortTls | None = None,
        spare: SparePorts | None = None,
    ) -> None:
        self._overlapping = overlapping
        self._spare = spare
        self._defaults = defaults
        every = {"": wanted, **of_addresses}
        all_spots = sorted(Spot(port, address) for address, ranges in every.items() for port in ranges)
        numbers = range(1, slots + 1) if shown is not None else ()
        self._slots = tuple(_slot(number, shown, defaults) for number in numbers if shown is not None)
        self._by_spot = {spot: self._of_port(spot) for spot in all_spots}
        self._spares: dict[Spot, RouteSection] = {}
        """Sections of spare ports, made as they are chosen."""
        self._sni = tuple(_section(None, defaults, f"sni:{number}") for number in range(1, sni_backends + 1))
        self._staged = tuple(replace(section, stages=()) for section in self._sni)
        """The same where shared ports end TLS."""
        self._last: tuple[tuple[RouteSection, ...], tuple[SharedFrontend, ...], frozenset[Spot]] = (), (), frozenset()
        """The Routes and shared ports of the last model, and where they are."""
        self._free: tuple[frozenset[Spot], tuple[RouteSection, ...]] | None = None
        """Where something was, and the sections with a port that were left."""

    def sections(
        self, model: Model, unavailable: Collection[Spot] = (), declared: Collection[Spot] | None = None
    ) -> tuple[RouteSection, ...]:
        """Give the sections to declare beside a model, sorted by port: those of ports that it does not use itself.

        Args:
            model: what shall be served.
            unavailable: ports that cannot be had.
            declared: those that HAProxy has in advance already, where no spare ones are to be chosen anew.
        """
        of_hosts = self._staged if any(shared.ends_tls or shared.gates for shared in model.shared) else self._sni
        if (not self._by_spot and self._spare is None) or Step.POOL in model.saved:
            return of_hosts
        used, free = self._used(model), self._free
        if free is None or free[0] is not used or unavailable:
            not_ours = used | set(unavailable) | self._overlapped(used)
            free = used, tuple(section for spot, section in self._by_spot.items() if spot not in not_ours)
        if not unavailable:
            self._free = free
        of_ports = free[1] if self._spare is None else self._with_spare(free[1], used, unavailable, declared)
        return (*of_ports, *of_hosts, *self._slots)

    def _with_spare(
        self,
        others: tuple[RouteSection, ...],
        used: frozenset[Spot],
        unavailable: Collection[Spot],
        declared: Collection[Spot] | None,
    ) -> tuple[RouteSection, ...]:
        """Give these sections and those of spare ports; what is chosen depends on more than the model, so that nothing is remembered of it but the sections."""
        not_ours = used | set(unavailable) | self._overlapped(used)
        if self._spare is None:
            return others
        if declared is None:
            chosen = self._spare.choose(spot.port for spot in not_ours if not spot.address)
            spares = [Spot(port) for port in chosen]
        else:
            spares = [spot for spot in declared if spot not in not_ours and spot not in self._by_spot]
        made = self._spares
        # The same objects again, so that what was rendered of them is remembered.
        self._spares = {spot: made.get(spot) or self._of_port(spot) for spot in spares}
        of_spots = {each.frontend.spot: each for each in others if each.frontend is not None} | self._spares
        return tuple(of_spots[spot] for spot in sorted(of_spots))

    def _of_port(self, spot: Spot) -> RouteSection:
        return replace(_section(spot, self._defaults), stages=() if self._slots else None)

    def _used(self, model: Model) -> frozenset[Spot]:
        """Give where something is open for a model: the same object as the last time where, as after most changes, none came or went."""
        routes, shared, used = self._last
        gone, new = (spots(Model(sections)) for sections in differences(routes, model.routes))
        former, current = spots(Model((), shared)), spots(Model((), model.shared))
        if gone != new or former != current:
            used = (used - gone - former) | new | current
        self._last = model.routes, model.shared, used
        return used

    def _overlapped(self, used: frozenset[Spot]) -> set[Spot]:
        """Give the spots of the pool whose port is open on an address that theirs overlaps with."""
        overlapping = self._overlapping
        if not overlapping:
            return set()
        inside = {Spot(each.port, name) for each in used if not each.address for name in overlapping}
        return inside | {Spot(each.port) for each in used if each.address in overlapping}


def allowlist_id(section: RouteSection, addresses: Sequence[str] = ()) -> int:
    """Give the number by which HAProxy knows the allowlist of a section of the pool: its port, or for a place ``sni:1`` 65536.

    Args:
        section: of the pool.
        addresses: the names of all addresses; the ports of each have numbers of their own.
    """
    if section.frontend is None:
        return MAX_PORT + int(section.backend.name.rpartition(":")[2])
    port, address = section.frontend.spot
    return port + (_OF_AN_ADDRESS * (addresses.index(address) + 1) if address else 0)


def allowlist_id_before(section: RouteSection) -> int:
    """Give the same of the list of those whose TLS ends before they are led to a place; no two lists of HAProxy have one number."""
    return _BEFORE_TLS_ENDS + allowlist_id(section)


def _section(spot: Spot | None, defaults: RouteDefaults, place: str = "") -> RouteSection:
    name = pool_backend_name(spot.port, spot.address) if spot is not None else pool_backend_name(place)
    options = read_options({}, defaults, claims_port=True)
    return RouteSection(
        asker=NOBODY,
        backend=replace(options.backend, name=name, allowlist=EVERYBODY),
        frontend=Frontend(spot.port, options.port, spot.address) if spot is not None else None,
    )


def _slot(number: int, shown: PortTls, defaults: RouteDefaults) -> RouteSection:
    made = _section(None, defaults, f"tls:{number}")
    # Who may connect is with the port.
    return replace(made, backend=replace(made.backend, allowlist=None), slot=Slot(number, shown))
