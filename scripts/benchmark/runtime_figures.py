"""The figures of changes without a reload: their names, what they shall be, and what was measured of them so far."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from scripts.benchmark import stand, steps
from scripts.benchmark.figures import TARGET_LEAST, TARGET_MOST, TARGET_P99, Figure, Unit, summarize

FLOOR = "HAProxy's own"
"""The same work by bare commands, without a router."""
BARE = "a bare program's"
"""The same change under the least that could follow the API server and tell HAProxy, in the router's place: what the stand takes of it."""

MOVED = "endpoint moved to first byte"
MOVED_WRITING = "endpoint moved to first byte, statuses written"
OPENED = "new Route on a pool port to first byte"
OPENED_FETCHED = "new Route on a pool port to first byte, Service fetched"
CLOSED = "deleted Route to refused"
RELOADED = "new Route by reload to first byte"
RELOADED_POOL = "new Route by reload to first byte, with a pool"
AT_ONCE_POOL = "Routes at once, pool holds them"
AT_ONCE_POOL_RELOADS = "its reloads"
AT_ONCE = "Routes at once, no pool"
AT_ONCE_RELOADS = "its reloads, no pool"
GIVEN = "new Route with auto to first byte"
GIVEN_AT_ONCE = "Routes with auto at once"
GIVEN_CLAIMED = "Routes with auto at once, from their last claim"
START = "start to last port, with a pool"
RESTARTED = "HAProxy restarted on its last configuration to last port"
MEMORY = "memory of the router, with a pool"
MEMORY_AFTER = "memory of the router after 100 changes/s"
CHURN_CPU = "100 changes/s: CPU of the router"
CHURN_RELOADS = "100 changes/s: reloads"
CHURN_FAILED = "100 changes/s: failed connections"
HELD_PROCESSES = "8 held, 100 changes: HAProxy processes"
HELD_ALIVE = "8 held, 100 changes: connections alive"
ROUND_TRIP = "round trip of 64 bytes"
CONNECTIONS = "connections per second"
THROUGHPUT = "throughput"
RATIO = "ratio to a minimal HAProxy"
STAGES = "stages of changes"
GAP = "idle pool port open after a reload, pool of"

_OF_CHANGE = {stand.MOVED: MOVED, stand.OPENED: OPENED, stand.CLOSED: CLOSED}
_TARGETS: Mapping[str, Mapping[str, float]] = {
    MOVED: {TARGET_MOST: 1.9, TARGET_P99: 6.0},
    MOVED_WRITING: {TARGET_MOST: 1.9, TARGET_P99: 6.0},
    OPENED: {TARGET_MOST: 3.5},
    OPENED_FETCHED: {TARGET_MOST: 5.0},
    CLOSED: {TARGET_MOST: 2.5},
    AT_ONCE_POOL: {TARGET_MOST: 1_000.0},
    AT_ONCE: {TARGET_MOST: 1_000.0},
    GIVEN_CLAIMED: {TARGET_MOST: 1_000.0},
    AT_ONCE_POOL_RELOADS: {TARGET_MOST: 0.0},
    CHURN_RELOADS: {TARGET_MOST: 0.0},
    CHURN_FAILED: {TARGET_MOST: 0.0},
    HELD_PROCESSES: {TARGET_MOST: 2.0},
    HELD_ALIVE: {TARGET_LEAST: float(steps.HELD)},
}
_TARGETS_AT: Mapping[tuple[int, str], Mapping[str, float]] = {
    (1_000, RELOADED): {TARGET_MOST: 200.0},
    (1_000, RELOADED_POOL): {TARGET_MOST: 200.0},
    (1_000, CHURN_CPU): {TARGET_MOST: 15.0},
    (1_000, GIVEN): {TARGET_MOST: 10.0},
    (5_000, START): {TARGET_MOST: 2_000.0},
    (5_000, RESTARTED): {TARGET_MOST: 600.0},
    (5_000, MEMORY): {TARGET_MOST: 110.0},
    (5_000, MEMORY_AFTER): {TARGET_MOST: 110.0},
    (5_000, CHURN_CPU): {TARGET_MOST: 10.0},
}


class Collected:
    """What was measured, until HAProxy's own floors are known too."""

    def __init__(self, routes: int, note: Callable[[str], None]) -> None:
        self._routes = routes
        self._note = note
        self._samples: dict[str, tuple[Sequence[float], Unit]] = {}
        self._beside: dict[str, dict[str, float]] = {}

    def begin(self, name: str) -> None:
        """Say what is measured now."""
        self._note(f"{self._routes:,} Routes: {name}")

    def add(
        self, name: str, samples: Sequence[float], unit: Unit = "ms", beside: Mapping[str, float] | None = None
    ) -> None:
        """Take what was measured, one value of each run, and what to print beside it."""
        self._samples[name] = samples, unit
        targets = {**_TARGETS.get(name, {}), **_TARGETS_AT.get((self._routes, name), {})}
        self._beside[name] = {**targets, **(beside or {})}

    def floor(self, name: str, samples: Sequence[float]) -> None:
        """Take what HAProxy needs for the same by itself."""
        self._beside[name][FLOOR] = statistics.median(samples)

    def add_stages(self, samples: Mapping[tuple[str, str], Sequence[float]], of: str = "") -> None:
        """Take the stages of changes, by what happened and the stage; ``of`` whom, if not the router."""
        for (what, stage), stage_ms in samples.items():
            self.add(f"{_OF_CHANGE[what]}{of}: {stage}", stage_ms)

    def add_stand(
        self, steps_ms: Mapping[str, Sequence[float]], bare: Mapping[tuple[str, str], Sequence[float]]
    ) -> None:
        """Take single steps of changes, and the stages under a bare program, the whole of which the router's is compared with."""
        for name, samples in steps_ms.items():
            self.add(f"one step: {name}", samples)
        for (what, stage), samples in bare.items():
            if stage == stand.WHOLE:
                self.add(f"{_OF_CHANGE[what]}, {stand.OF_BARE}", samples)
                self._beside[_OF_CHANGE[what]][BARE] = statistics.median(samples)
        self.add_stages({key: each for key, each in bare.items() if key[1] != stand.WHOLE}, f", {stand.OF_BARE}")

    def figures(self) -> list[Figure]:
        """Give a figure of everything."""
        return [
            summarize(self._routes, name, samples, self._beside[name], unit)
            for name, (samples, unit) in self._samples.items()
        ]
