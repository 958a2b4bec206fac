"""Sets of ports, as options and policies have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from router.errors import SettingsError

MAX_PORT = 65535
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class PortRanges:
    """A set of ports, written as ``1024-65535`` or ``80,443,30000-32767``."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, port: int) -> bool:
        return any(low <= port <= high for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        """Give each port once, in order."""
        last = 0
        for low, high in self.ranges:
            yield from range(max(low, last + 1), high + 1)
            last = max(last, high)

    def __str__(self) -> str:
        return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ranges)

    def __or__(self, other: PortRanges) -> PortRanges:
        return PortRanges(tuple(sorted({*self.ranges, *other.ranges})))

    @classmethod
    def of(cls, *ports: int) -> PortRanges:
        """Give the set of just these ports."""
        return cls(tuple((port, port) for port in sorted(set(ports))))

    @classmethod
    def parse(cls, text: str) -> PortRanges:
        """Read a comma-separated list of ports and ranges; the empty text is the empty set.

        Raises:
            SettingsError: a part is no port (1-65535) and no range of them.
        """
        ranges = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            match = _RANGE.fullmatch(part)
            low = int(match[1]) if match else 0
            high = int(match[2]) if match and match[2] else low
            if not 1 <= low <= high <= MAX_PORT:
                raise SettingsError(f"{part!r} is neither a port (1-65535) nor a range of ports such as 1024-65535")
            ranges.append((low, high))
        return cls(tuple(sorted(ranges)))
