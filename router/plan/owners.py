"""Whom places of the pool serve, as HAProxy is told by its map of owners; pure.

A place that ends TLS for a port has four entries: its own, that of the port's backend, and for both the word by which clients are led from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from router.model import RouteSection
from router.model.stages import led_word
from router.plan import commands
from router.plan.commands import Command

_ENDS_TLS = "be_tls"
"""In the place of ``be_tcp`` for a port whose clients are logged where their TLS has ended."""


def entries(place: RouteSection, backend: str) -> Iterator[tuple[str, str]]:
    """Give keys and values for a place that serves whoever has, or would have, this backend."""
    yield place.backend.name, backend
    if place.slot is not None and place.slot.front is not None:
        yield place.slot.front.name, backend.replace("be_tcp", _ENDS_TLS, 1)
        word = led_word(backend, place.frontend.spot) if place.frontend is not None else "-"
        yield f"front:{place.slot.front.name}", word
        yield f"front:{place.backend.name}", word


def own(file: str, place: RouteSection, backend: str) -> Iterator[Command]:
    """Have a place serve somebody."""
    return (commands.add_entry(file, key, value) for key, value in entries(place, backend))


def disown(file: str, place: RouteSection) -> Iterator[Command]:
    """Have it serve nobody."""
    return (commands.delete_entry(file, key) for key, _ in entries(place, ""))
