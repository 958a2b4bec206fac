"""What askers use in a second, of two readings of ``/ports``; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec


class Reading(msgspec.Struct, frozen=True):
    """What is read of an object of ``/ports``; older routers lack some."""

    namespace: str
    name: str
    port: int | None = None
    host: str | None = None
    kind: str = "Route"
    section: str | None = None
    external_address: str | None = None
    sessions: int | None = None
    connections: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None

    @property
    def asker(self) -> str:
        """Who it is: namespace and name, and what it is where it is no Route."""
        name = f"{self.namespace}/{self.name}"
        return name if self.kind == "Route" else " ".join(filter(None, (self.kind, name, self.section)))

    @property
    def where(self) -> str:
        """Its port and host."""
        return (
            " ".join(
                filter(None, (str(self.port or ""), self.host, self.external_address and f"on {self.external_address}"))
            )
            or "-"
        )


class Use(NamedTuple):
    """What one asker uses."""

    asker: str
    where: str
    sessions: int
    connections: float
    """New ones a second."""
    bytes_in: float
    """A second, from clients."""
    bytes_out: float


def uses(before: Iterable[Reading], after: Iterable[Reading], seconds: float, by: str) -> list[Use]:
    """Give what each asker of the second reading uses, most first.

    Args:
        before: the first reading.
        after: the second one.
        seconds: the time between them.
        by: ``sessions``, ``connections`` or ``bytes``.
    """
    former: Mapping[str, Reading] = {each.asker: each for each in before}
    found = [
        Use(
            each.asker,
            each.where,
            each.sessions,
            _rate(former.get(each.asker), each, "connections", seconds),
            _rate(former.get(each.asker), each, "bytes_in", seconds),
            _rate(former.get(each.asker), each, "bytes_out", seconds),
        )
        for each in after
        if each.sessions is not None
    ]
    return sorted(found, key=lambda use: (-_weight(use, by), -use.sessions, use.asker))


def _weight(use: Use, by: str) -> float:
    return use.bytes_in + use.bytes_out if by == "bytes" else use.connections if by == "connections" else use.sessions


def _rate(before: Reading | None, after: Reading, name: str, seconds: float) -> float:
    first, last = getattr(before, name, None), getattr(after, name) or 0
    if first is None or seconds <= 0:
        return 0.0
    # A worker that was loaded between the two began at 0.
    grown: int = last - first if last >= first else last
    return grown / seconds


def human(count: float) -> str:
    """Give bytes a second in the unit of which there is one at least."""
    for unit in ("B/s", "KiB/s", "MiB/s", "GiB/s"):
        if count < 1024 or unit == "GiB/s":  # noqa: PLR2004 - the unit's size
            return f"{count:.0f} {unit}" if unit == "B/s" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
