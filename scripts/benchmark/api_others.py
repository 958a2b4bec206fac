"""What else happens in a cluster: Services and slices of others, which no Route of the router's names, change all the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

from scripts.benchmark.api_collections import Collections, Object
from scripts.benchmark.calibration import OTHERS_PER_S
from scripts.benchmark.objects import SERVICES, SLICES, objects_of
from scripts.benchmark.workload import Workload

_FIRST = 50_000
"""Numbers that no Route of a benchmark has."""
_WORKLOAD = Workload(0, (), 8_000, 8_001)


def others(services: int, slices: int) -> Iterator[tuple[str, Object]]:
    """Give the Services and slices of others, as many as there shall be of each, with their resource."""
    for resource, wanted in ((SERVICES, services), (SLICES, slices)):
        for number in range(wanted):
            yield resource, _other(resource, number, 0)


def change_others(collections: Collections, services: int, slices: int) -> None:
    """Change Services and slices in turn, so often a second, until the process ends."""
    began_s = time.monotonic()
    for change in count():
        time.sleep(max(began_s + change / OTHERS_PER_S - time.monotonic(), 0))
        resource, there = ((SERVICES, services), (SLICES, slices))[change % 2]
        collections.change([("MODIFIED", resource, _other(resource, change // 2 % there, change))])


def _other(resource: str, number: int, change: int) -> Object:
    obj = objects_of(_WORKLOAD, _FIRST + number, with_route=False)[resource][0]
    # Something is another than before.
    obj["metadata"]["labels"]["example.com/change"] = str(change)
    return obj
