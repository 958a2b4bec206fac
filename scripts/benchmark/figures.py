"""Figures: what many runs of one thing come to, and what that is compared with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["ms", "MiB"]

TARGET = "target, below"
"""What a figure's target is called among what it is compared with."""

P99_RUNS = 100
"""Of fewer runs the 99th percentile would be their maximum by another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing at one number of Routes; all values are in ``unit``."""

    routes: int
    name: str
    unit: Unit
    runs: int
    median: float
    p99: float | None
    """None where the runs are too few for it."""
    min: float
    max: float
    compared_with: Mapping[str, float] = field(default_factory=dict)

    @property
    def meets_target(self) -> bool | None:
        """Whether the median is below the target; None without one."""
        target = self.compared_with.get(TARGET)
        return self.median < target if target is not None else None


def summarize(
    routes: int, name: str, samples: Sequence[float], compared_with: Mapping[str, float], unit: Unit = "ms"
) -> Figure:
    """Make the figure of some runs.

    Args:
        routes: how many Routes there were.
        name: of the thing.
        samples: one value for each run, in ``unit``; at least one.
        compared_with: what to print beside it, in ``unit``.
        unit: of all values.
    """
    ordered = sorted(samples)
    return Figure(
        routes=routes,
        name=name,
        unit=unit,
        runs=len(ordered),
        median=statistics.median(ordered),
        p99=percentile(ordered, 99) if len(ordered) >= P99_RUNS else None,
        min=ordered[0],
        max=ordered[-1],
        compared_with=dict(compared_with),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the smallest of the sorted values that so many percent of them do not exceed (the nearest rank)."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]
