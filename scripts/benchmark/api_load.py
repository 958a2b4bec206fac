"""What a request costs an API server: time on a core that others have not meanwhile, and time in which it waits for its disk."""

from __future__ import annotations

import hashlib
import time
from typing import Protocol

from scripts.benchmark import calibration as real
from scripts.benchmark import gateways

_PIECE = bytes(100_000)
"""To hash it takes some 50 to 200 microseconds, in which Python's lock is free: the server's threads use several cores, as Go's do."""


class Load(Protocol):
    """What is spent before an answer. Each call is made on the thread that answers."""

    is_ideal: bool

    def encode(self, resource: str, objects: int, size: int, factor: float = 1.0) -> None:
        """Spend what it takes to encode objects of so many bytes together."""

    def wait_for_first(self) -> None:
        """Wait as a WatchList does before its first object."""

    def write(self, count: int = 1) -> None:
        """Spend and wait what so many writes at a time take."""


_CUSTOM = frozenset({"routes", "portclaims", *gateways.RESOURCES})


class Ideal:
    """Nothing takes any time."""

    is_ideal = True

    def encode(self, resource: str, objects: int, size: int, factor: float = 1.0) -> None:
        """Spend nothing."""

    def wait_for_first(self) -> None:
        """Wait for nothing."""

    def write(self, count: int = 1) -> None:
        """Spend nothing."""


class Real:
    """What ``scripts.benchmark.calibration`` says."""

    is_ideal = False

    def encode(self, resource: str, objects: int, size: int, factor: float = 1.0) -> None:
        """Spend what it takes to encode objects of so many bytes together."""
        cost_s = size * real.CUSTOM_S_PER_BYTE if resource in _CUSTOM else objects * real.BUILT_IN_S_PER_OBJECT
        spend(cost_s * factor)

    def wait_for_first(self) -> None:
        """Wait as a WatchList does before its first object."""
        time.sleep(real.FIRST_S)

    def write(self, count: int = 1) -> None:
        """Spend and wait what so many writes at a time take."""
        spend(real.WRITE_CPU_S * count)
        time.sleep(real.WRITE_S - real.WRITE_CPU_S)


def spend(cost_s: float) -> None:
    """Keep a core busy until this thread has had it for so many seconds, however long others keep it off."""
    ends_s = time.thread_time() + cost_s
    digest = hashlib.sha256()
    while (left_s := ends_s - time.thread_time()) > 0:
        digest.update(_PIECE if left_s > _LONG_S else _PIECE[:_SHORT])


_LONG_S = 0.000_3
_SHORT = 10_000
