"""What else happens in a cluster: Services and slices of others, which no Route of the router's names, change all the time."""

from __future__ import annotations

import time
from itertools import count

from scripts.benchmark.api_collections import Change, Collections
from scripts.benchmark.calibration import OTHERS, OTHERS_PER_S
from scripts.benchmark.objects import SERVICES, SLICES, objects_of
from scripts.benchmark.workload import Workload

_FIRST = 50_000
"""Numbers that no Route of a benchmark has."""


def others() -> list[Change]:
    """Give what makes the Services and slices of others."""
    return [change for number in range(OTHERS) for change in _both(number, "ADDED", 0)]


def change_others(collections: Collections) -> None:
    """Change them in turn, so often a second, until the process ends."""
    began_s = time.monotonic()
    for change in count():
        time.sleep(max(began_s + change / OTHERS_PER_S - time.monotonic(), 0))
        collections.change([_both(change // 2 % OTHERS, "MODIFIED", change)[change % 2]])


def _both(number: int, kind: str, change: int) -> list[Change]:
    workload = Workload(_FIRST + OTHERS, (), 8_000, 8_001)
    objects = objects_of(workload, _FIRST + number, with_route=False)
    made: list[Change] = [(kind, SERVICES, objects[SERVICES][0]), (kind, SLICES, objects[SLICES][0])]
    for _, _, obj in made:
        # Something is another than before.
        obj["metadata"]["labels"]["example.com/change"] = str(change)
    return made
