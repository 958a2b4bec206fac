"""Changes under a router that traces them, each taken apart: what of its time was whose."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from scripts.benchmark import steps
from scripts.benchmark.client import DEADLINE_S, LOOK_EVERY_S
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.live import Live, Span

OF_API = "API server to its socket"
"""With a thread of its own that wakes, and the encoding of the event."""
FROM_API = "API server's socket to the router"
TO_CLIENT = "reply to first byte"
"""Less than nothing where the client had its byte before the router had read HAProxy's reply."""
_OF_ROUTER = ("decode", "wake", "admission", "plan", "send", "reply")
STAGES = (OF_API, FROM_API, *_OF_ROUTER, TO_CLIENT)
"""In their order; a change took as long as all of them together."""

_Event = Mapping[str, Any]


def stages_ms(live: Live, runs: int, numbers: Iterable[int]) -> dict[tuple[str, str], list[float]]:
    """Make changes as for the figures, and take them apart.

    Args:
        live: a router that traces changes.
        runs: so many endpoints are moved.
        numbers: Routes that come to ports of the pool, and go.

    Returns:
        Milliseconds of each stage, by what happened (``moved``, ``opened``, ``closed``) and the stage.

    Raises:
        BenchFailed: the router did not log a change.
    """
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)

    def seen(what: str) -> None:
        for stage, stage_ms in taken_apart(next_traced(live), live.last).items():
            samples[what, stage].append(stage_ms)

    steps.moves(live, runs, seen=lambda: seen("moved"))
    for number in numbers:
        steps.rest()
        live.create(number)
        seen("opened")
        steps.rest()
        live.delete(number)
        seen("closed")
    return samples


def taken_apart(event: _Event, span: Span) -> dict[str, float]:
    """Give the stages, those that there were, of a change that the router logged and a client saw, milliseconds: both have the same clock."""
    ended_s = event["began_s"] + event["total_ms"] / 1000
    return {
        OF_API: (span.written_s - span.begin_s) * 1000,
        FROM_API: (event["began_s"] - span.written_s) * 1000,
        **{stage: float(event[f"{stage}_ms"]) for stage in _OF_ROUTER if f"{stage}_ms" in event},
        TO_CLIENT: (span.end_s - ended_s) * 1000,
    }


def next_traced(live: Live) -> Mapping[str, Any]:
    """Give what is logged of the last change that was timed.

    Raises:
        BenchFailed: nothing is.
    """
    ends_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_s:
        for event in live.process.new_events():
            # What the start has left to say is older.
            if event.get("event") == "change traced" and event["began_s"] >= live.last.begin_s:
                return event
        live.process.check()
        time.sleep(LOOK_EVERY_S)
    raise BenchFailed("the router did not log where the time of a change went")
