"""Which port those get who ask for any: one by hash of who asks, or the next one after it that is free; pure, and of use without a router.

A set of ports is a whole number here: bit ``n`` says whether port ``n`` is in it. So whatever is taken, to find the next free port takes some
microseconds, and what a namespace may have is one ``&``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from router.admission.places import Place
from router.model import Asker
from router.settings import AdmissionSettings, PortRanges

_DIGEST_BYTES = 8
Pool = Literal["auto", "claims"]
"""Where a port is given from: ``--auto-ports``, or ``--claim-ports``."""
InLine = tuple[bool, str, tuple[str, str, str, str], Asker]
"""A place in line."""


def port_bits(ranges: PortRanges) -> int:
    """Give a set of ports as bits."""
    bits = 0
    for first, last in ranges.ranges:
        bits |= ((1 << (last - first + 1)) - 1) << first
    return bits


def ports_of(bits: int) -> PortRanges:
    """Give bits as a set of ports, in as few ranges as there can be."""
    ranges = []
    first = 0
    while rest := bits >> first:
        first += _lowest(rest)
        # What follows the first run of ones is the lowest zero.
        last = first + _lowest(~(bits >> first)) - 1
        ranges.append((first, last))
        first = last + 1
    return PortRanges(tuple(ranges))


def legal_ports(settings: AdmissionSettings) -> Mapping[str, int]:
    """Give the ports that anybody may have at all, as bits, by the name of their address (as ``request.check_port`` has it)."""
    ports = port_bits(settings.ports)
    sni = 1 << settings.sni_port if settings.sni_port else 0
    legal = {"": ports & ~(port_bits(settings.reserved_ports) | sni)}
    for name, address in settings.addresses.items():
        legal[name] = ports & ~(port_bits(address.reserved_ports) | (sni if address.overlaps else 0))
    return legal


def order(asker: Asker, wish: Wish) -> InLine:
    """Give the place in line: the oldest comes first, then by kind, namespace, name and section."""
    return wish.created is None, wish.created or "", asker.order, asker


def digest(asker: Asker) -> int:
    """Give the hash of an asker: of its kind, namespace, name and section, but not of its uid, so that one that is made again has the same."""
    text = "\0".join(asker.order)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES], "big")


def first_choice(asker: Asker, ports: PortRanges) -> int:
    """Give the port of these that an asker gets if it is free.

    Args:
        asker: who asks.
        ports: at least one, in ranges that are sorted and have no port in common.

    Raises:
        ValueError: there is none.
    """
    count = sum(last - first + 1 for first, last in ports.ranges)
    place = digest(asker) % count if count else 0
    for first, last in ports.ranges:
        if place <= last - first:
            return first + place
        place -= last - first + 1
    raise ValueError("there is no port to choose from")


def next_free(free: int, start: int) -> int | None:
    """Give the first port that is free, from one on and then from the lowest; None if none is.

    Args:
        free: ports, as bits.
        start: where to begin.
    """
    above = free >> start
    if above:
        return start + _lowest(above)
    return _lowest(free) if free else None


class Wish(NamedTuple):
    """What one asks for who asks for any port."""

    created: str | None
    address: str
    """The name of the address that it is to be of."""
    is_ready: bool
    """It leads somewhere. Else it keeps what it has, and gets nothing."""
    pool: Pool = "auto"
    wanted: int | None = None
    """The port that it would have rather than any, if that is free when it is given one."""


class Terms(NamedTuple):
    """What one may have of the ports that there are to give."""

    ports: int = -1
    """As bits; -1 is all of them."""
    room: int | None = None
    """How many more its namespace may have; None is any number."""
    ready: int = 0
    """Ports that are opened for it at once, as bits: others are chosen where none of these is free."""


@dataclass(slots=True)
class Auto:
    """Who asks for any port."""

    wish: Wish
    place: Place | None = None
    """What it has."""


class Choice(NamedTuple):
    """What one gets."""

    port: int | None = None
    """None is none."""
    is_over: bool = False
    """Its namespace has as many as it may have."""


NO_CHOICE = Choice()
_OVER = Choice(is_over=True)


def _nothing(_asker: Asker) -> int | None:
    return None


def propose(  # noqa: PLR0913, PLR0917 - what there is, and who may have what of it
    waiting: Iterable[Asker],
    ports: Callable[[Asker], PortRanges],
    free: int,
    terms: Callable[[Asker], Terms],
    preferred: Callable[[Asker], int | None],
    wanted: Callable[[Asker], int | None] = _nothing,
) -> dict[Asker, Choice]:
    """Choose a port for each of those who wait for one, in their order; none where none is free that it may have.

    Of a namespace that has as many as it may have, nothing more is looked at: thousands of its askers may wait in vain.

    Args:
        waiting: those who come first get theirs first.
        ports: gives what there is to choose from for one, as ``first_choice`` has it.
        free: of all of these, as bits.
        terms: gives what one, and its namespace, may have.
        preferred: gives a port that nobody but this asker may have, and that it shall have.
        wanted: gives the port that one would have rather than others.
    """
    chosen: dict[Asker, Choice] = {}
    rooms: dict[str, int | None] = {}
    for asker in waiting:
        namespace = asker.namespace
        if rooms.get(namespace) == 0:
            chosen[asker] = _OVER
            continue
        allowed, room, ready = terms(asker)
        room = rooms.setdefault(namespace, room if room is None else max(room, 0))
        if room == 0:
            chosen[asker] = _OVER
            continue
        port = preferred(asker)
        if port is None:
            mine = free & allowed
            port = wanted(asker) if mine else None
            if mine and (port is None or not mine >> port & 1):
                port = next_free(mine & ready or mine, first_choice(asker, ports(asker)))
            free ^= 1 << port if port is not None else 0
        if port is not None and room is not None:
            rooms[namespace] = room - 1
        chosen[asker] = Choice(port) if port is not None else NO_CHOICE
    return chosen


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
