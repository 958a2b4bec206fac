"""What a router leaves in its state directory for its HAProxy's container: whom that may share ports with, restarted alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from router import owned, shapes
from router.haproxy.generations.announcement import Identity
from router.haproxy.generations.neighbours import NOBODY, Neighbours, Others
from router.shapes import reader


class Known(msgspec.Struct, frozen=True):
    """Which router it is, and the pods of its other generations that were proven."""

    identity: Identity
    pods: tuple[str, ...] | None
    """None: there is no API server to prove pods."""


_read = reader(Known)


def write(path: Path, known: Known) -> None:
    """Write it, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    owned.write_file(beside, shapes.write(known))
    beside.replace(path)


def read(path: Path) -> Others:
    """Give those with whom ports may be shared: nobody, where no router was there or it shares with none."""
    try:
        known = _read(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return NOBODY
    pods = known.pods
    return Neighbours(known.identity, is_pod_of_ours=None if pods is None else pods.__contains__)
