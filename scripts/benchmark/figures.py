"""Figures: what many runs of one thing come to, and what that is compared with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["ms", "µs", "B", "MiB", "MiB/s", "1/s", "%", "ratio", "count"]

TARGET = "target, below"
"""What a figure's target is called among what it is compared with."""
TARGET_P99 = "target of p99, below"
TARGET_MOST = "target, at most"
TARGET_LEAST = "target, at least"
TARGETS = (TARGET, TARGET_P99, TARGET_MOST, TARGET_LEAST)
"""Of several that a figure has all must be met."""


_MORE_IS_BETTER: frozenset[Unit] = frozenset({"MiB/s", "1/s", "ratio"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing at one number of Routes; all values are in ``unit``."""

    routes: int
    name: str
    unit: Unit
    runs: int
    median: float
    p99: float
    """99 % of the runs were no worse, by the nearest rank; of fewer than a hundred it is the worst. Of rates and ratios less is worse."""
    min: float
    max: float
    compared_with: Mapping[str, float] = field(default_factory=dict)

    @property
    def meets_target(self) -> bool | None:
        """Whether all of its targets are met; None without any."""
        met = [self.meets(name) for name in TARGETS if name in self.compared_with]
        return all(met) if met else None

    def meets(self, target: str) -> bool:
        """Say whether it meets one of ``TARGETS``, which it has."""
        value = self.compared_with[target]
        match target:
            case _ if target == TARGET_P99:
                return self.p99 < value
            case _ if target == TARGET_MOST:
                return self.median <= value
            case _ if target == TARGET_LEAST:
                return self.median >= value
            case _:
                return self.median < value


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
        p99=percentile(ordered, 99)
        if unit not in _MORE_IS_BETTER
        else -percentile([-each for each in reversed(ordered)], 99),
        min=ordered[0],
        max=ordered[-1],
        compared_with=dict(compared_with),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the smallest of the sorted values that so many percent of them do not exceed (the nearest rank)."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]
