"""What a Route's section is where it is served by a place of the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router.admission.pool import allowlist_id, allowlist_id_before
from router.model import NOBODY, RouteSection, Slot
from router.model.changed import changed
from router.plan.section_text import Allowlist


def moved(section: RouteSection, place: RouteSection) -> RouteSection | None:
    """Give a Route's section under the names of a place; None where it cannot be served there.

    TLS ends in slots alone, and clients are asked for certificates in none, and in none they may ask in plain text.
    """
    frontend, backend = section.frontend, section.backend
    tls = frontend.tls if frontend is not None else None
    if (tls is None) is not (place.slot is None) or (
        tls is not None and (tls.clients is not None or tls.starttls is not None)
    ):
        return None
    networks = backend.allowlist if backend.allowlist is not None else place.backend.allowlist
    there = changed(backend, name=place.backend.name, allowlist=networks)
    if place.slot is not None and tls is not None:
        return changed(section, backend=there, slot=replace(place.slot, tls=tls))
    stages = () if section.stages is None and place.stages is not None else section.stages
    return changed(section, backend=there, stages=stages)


def halves(section: RouteSection, slot: Slot) -> tuple[RouteSection | None, RouteSection]:
    """Give what is rendered of a slot, or of a Route in one: what leads to it, and where TLS ends."""
    inner = replace(section, frontend=None, slot=replace(slot, front=None))
    inner = replace(inner, backend=replace(section.backend, allowlist=None, connection_limit=None))
    if slot.front is None or section.frontend is None:
        return None, inner
    of_clients = section.backend
    front = replace(slot.front, allowlist=of_clients.allowlist, connection_limit=of_clients.connection_limit)
    return RouteSection(NOBODY, front, replace(section.frontend, tls=None), stages=()), inner


def allowlist_of(section: RouteSection, place: RouteSection, addresses: Sequence[str]) -> Allowlist:
    """Give the allowlist of what is served by a place: by numbers, as it has no file.

    Args:
        section: what is served; its own section, or the place itself.
        place: the place.
        addresses: the names of all addresses.
    """
    networks = section.backend.allowlist or ()
    numbers = [allowlist_id(place, addresses)]
    numbers += [allowlist_id_before(place)] if section.stages is not None and section.frontend is None else []
    written = tuple(" ".join(("-u", str(number), *networks)) for number in numbers)
    return Allowlist(tuple(f"#{number}" for number in numbers), written, networks)
