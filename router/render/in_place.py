"""What a Route's section is where it is served by a place of the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from router.admission.pool import allowlist_id, allowlist_id_before
from router.model import RouteSection
from router.plan.section_text import Allowlist


def moved(section: RouteSection, place: RouteSection) -> RouteSection:
    """Give a Route's section under the names of a place."""
    backend = section.backend
    networks = backend.allowlist if backend.allowlist is not None else place.backend.allowlist
    stages = () if section.stages is None and place.stages is not None else section.stages
    return replace(section, backend=replace(backend, name=place.backend.name, allowlist=networks), stages=stages)


def allowlist_of(section: RouteSection, place: RouteSection, addresses: Sequence[str]) -> Allowlist:
    """Give the allowlist of what is served by a place: by numbers, as it has no file.

    Args:
        section: what is served; its own section, or the place itself.
        place: the place.
        addresses: the names of all addresses.
    """
    networks = section.backend.allowlist or ()
    numbers = [allowlist_id(place, addresses)]
    numbers += [allowlist_id_before(place)] if section.stages is not None else []
    written = tuple(" ".join(("-u", str(number), *networks)) for number in numbers)
    return Allowlist(tuple(f"#{number}" for number in numbers), written, networks)
