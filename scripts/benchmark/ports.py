"""Free ports for thousands of Routes: not those that the kernel gives to outgoing connections."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from router.haproxy.process.ports import probe
from router.settings import MAX_PORT
from scripts.benchmark.failure import BenchFailed

PREFERRED = int(os.environ.get("TCP_ROUTER_BENCH_FIRST_PORT", "20000"))
"""Where the ports begin where they are free: runs beside each other are each given their own."""
_LOWEST = 1024
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_UNUSUAL_FILE = "its content is not two ports"


def ephemeral_ports(setting: Path = _EPHEMERAL) -> range:
    """Give the ports from which the kernel takes those of outgoing connections (ip(7), ip_local_port_range).

    Raises:
        BenchFailed: the kernel does not tell.
    """
    try:
        low, high = map(int, setting.read_text().split())
    except (OSError, ValueError) as error:
        raise BenchFailed(f"{setting} cannot be read: {error or _UNUSUAL_FILE}") from error
    return range(low, high + 1)


def candidates(ephemeral: range) -> Iterator[int]:
    """Give all ports that may be used, the preferred ones first: from ``PREFERRED`` up, then from 1024 up."""
    for port in (*range(PREFERRED, MAX_PORT + 1), *range(_LOWEST, PREFERRED)):
        if port not in ephemeral:
            yield port


def free_ports(count: int, addresses: Iterable[str], ephemeral: range | None = None) -> tuple[int, ...]:
    """Give so many ports that nobody has on any of these addresses at this moment.

    Raises:
        BenchFailed: there are fewer.
    """
    without = ephemeral_ports() if ephemeral is None else ephemeral
    usable = list(candidates(without))
    found: list[int] = []
    for start in range(0, len(usable), count):
        some = usable[start : start + count]
        not_free = probe(some, "v4", tuple(addresses))
        found.extend(port for port in some if port not in not_free)
        if len(found) >= count:
            return tuple(found[:count])
    raise BenchFailed(
        f"needs {count} free ports and found {len(found)}, outside of the kernel's own ports for outgoing connections "
        f"({without.start}-{without.stop - 1}, {_EPHEMERAL}); measure fewer Routes (--routes) or make that range smaller"
    )
