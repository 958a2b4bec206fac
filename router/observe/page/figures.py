"""What a replica says of itself for the pages of the others, as the text of an annotation; pure."""

from __future__ import annotations

import msgspec

from router.shapes import reader

_MOST_BYTES = 4096
"""Of a text that is read: whoever may write a pod's annotations could fill them."""
_MOST_PROBLEMS = 3
_LONGEST_PROBLEM = 300
_encode = msgspec.json.Encoder().encode


class Figures(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one replica is."""

    time_s: float
    """When it said so, seconds since the epoch."""
    version: str
    haproxy: str
    connections: int
    """-1 while HAProxy does not say."""
    limit: int
    """Of connections."""
    old_workers: int
    reloads: int
    problems: tuple[str, ...]


_read = reader(Figures)


def written(figures: Figures) -> str:
    """Give the text, with the first problems alone, cut where they are long."""
    few = tuple(each[:_LONGEST_PROBLEM] for each in figures.problems[:_MOST_PROBLEMS])
    return _encode(msgspec.structs.replace(figures, problems=few)).decode()


def read(text: str) -> Figures | None:
    """Read what another replica wrote; None where that is nothing, too much, or not of this form."""
    if not text or len(text) > _MOST_BYTES:
        return None
    try:
        return _read(text)
    except msgspec.DecodeError:
        return None
