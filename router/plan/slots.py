"""Slots over a reload: whose TLS ended in one has its socket beside a port of its own, until the next reload; pure.

The worker that is replaced leads clients of the port to that socket as long as it accepts any, and the new one has it by then. It must be the same Route's there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from router.model import Model, RouteSection, pool_backend_name
from router.plan.gates import with_their_gates
from router.plan.running import Running


def beside_former(model: Model, running: Running | None) -> Model:
    """Give a model as a worker is loaded with it that replaces another one: who has a socket of the pool keeps it.

    Args:
        model: to be loaded, without its pool.
        running: what HAProxy has now; None where that is not known, and nobody keeps any.
    """
    gates = running.gates if running is not None else {}
    shared = tuple(with_their_gates(each, gates.get(each.spot)) for each in model.shared)
    return replace(model, routes=with_their_slots(model.routes, running), shared=shared)


def with_their_slots(routes: tuple[RouteSection, ...], running: Running | None) -> tuple[RouteSection, ...]:
    """Give Routes as they are loaded: with the sockets of the slots in which they are.

    Args:
        routes: sorted as in a model.
        running: what HAProxy has now; None where that is not known, and nobody has any.

    Returns:
        The same object where none has one.
    """
    places = running.moved.items() if running is not None else ()
    slots = {name: place for name, place in places if place.slot is not None}
    if not slots:
        return routes
    return tuple(_kept(section, slots.get(section.backend.name)) for section in routes)


def _kept(section: RouteSection, place: RouteSection | None) -> RouteSection:
    frontend = section.frontend
    if place is None or place.slot is None or place.frontend is None or frontend is None or frontend.tls is None:
        return section
    # Who asks for more than a slot does lets in nobody who comes by one.
    is_alike = frontend.tls.clients is None and frontend.tls.starttls is None and frontend.spot == place.frontend.spot
    return replace(section, kept_slot=place.slot.number) if is_alike else section


def beside(pool: Iterable[RouteSection], routes: Iterable[RouteSection]) -> tuple[RouteSection, ...]:
    """Give the sections of the pool with slots that are none of these Routes'."""
    kept = {section.kept_slot for section in routes if section.kept_slot}
    if not kept:
        return tuple(pool)
    free = (number for number in count(1) if number not in kept)
    return tuple(_numbered(section, next(free)) if section.slot is not None else section for section in pool)


def _numbered(section: RouteSection, number: int) -> RouteSection:
    if section.slot is None or section.slot.number == number:
        return section
    backend = replace(section.backend, name=pool_backend_name(f"tls:{number}"))
    return replace(section, backend=backend, slot=replace(section.slot, number=number))


def declared(pool: Iterable[RouteSection], former: Iterable[RouteSection]) -> tuple[RouteSection, ...]:
    """Give those sections of the pool of which the former one has the like; slots may have other numbers there."""
    former = tuple(former)
    names = {section.backend.name for section in former}
    slots = any(section.slot is not None for section in former)
    return tuple(each for each in pool if each.backend.name in names or (slots and each.slot is not None))


def settled(model: Model) -> Model:
    """Give a model as it is loaded where no worker is replaced; the same object if no Route has a socket of before."""
    if not any(section.kept_slot for section in model.routes):
        return model
    return replace(model, routes=tuple(replace(each, kept_slot=0) if each.kept_slot else each for each in model.routes))
