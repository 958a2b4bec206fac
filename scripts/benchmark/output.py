"""The figures as a table for people and as JSON for programs, with the machine that they are of."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from router import __version__
from router.haproxy.process.binary import HaproxyBinary
from scripts.benchmark.figures import TARGETS, Figure

CONDITIONS = (
    "3 endpoints for each Route; manifests in one file for each Route, changed by a rename; no pause between reloads "
    "(--reload-interval 0; for changes without a reload 1s); no health checks (--check-interval 0); everything on loopback"
)
"""What all figures have in common."""
REAL_API = "API server with TLS, as large objects and as slow as a real one, 50 events a second of others (scripts/bench server shows how near)"
IDEAL_API = "API server that answers at once, without TLS, with small objects"

_CPU_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_HEAD = ("", "median", "p99", "min", "max", "unit", "runs", "beside it")
_NUMBERS = range(1, 5)
_TWO_DIGITS_BELOW, _ONE_DIGIT_BELOW = 10, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the figures were measured. ``load`` is the system's load in the minute before: of others, mostly."""

    cores: int
    cpu: str
    kernel: str
    python: str
    haproxy: str
    router: str
    load: float

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.cpu}), {self.kernel}, Python {self.python}, HAProxy {self.haproxy}, "
            f"router {self.router}, load before {self.load:.2f}"
        )


def this_machine(binary: HaproxyBinary) -> Machine:
    """Describe the machine and the programs that are measured on it."""
    try:
        found = _CPU_NAME.search(Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=found[1].strip() if found is not None else platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        haproxy=binary.build,
        router=__version__,
        load=round(os.getloadavg()[0], 2),
    )


def as_json(machine: Machine, figures: Iterable[Figure], seconds: float, api: str = REAL_API) -> str:
    """Give everything as one JSON object; ``seconds`` is how long the measuring took, ``api`` which API server there was."""
    values = {
        "machine": asdict(machine),
        "conditions": f"{CONDITIONS}; {api}",
        "seconds": round(seconds, 1),
        "figures": [{**asdict(figure), "meets_target": figure.meets_target} for figure in figures],
    }
    return json.dumps(values, indent=2) + "\n"


def as_table(machine: Machine, figures: Sequence[Figure], seconds: float, api: str = REAL_API) -> str:
    """Give a block of lines for each number of Routes."""
    blocks = [f"{machine}\n{CONDITIONS}; {api}"]
    for routes in sorted({figure.routes for figure in figures}):
        rows = [_HEAD, *(_row(figure) for figure in figures if figure.routes == routes)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = [_line(row, widths) for row in rows]
        blocks.append("\n".join([f"{routes:,} Routes", *lines]))
    return "\n\n".join([*blocks, f"measured in {seconds:.0f} s"])


def _row(figure: Figure) -> tuple[str, ...]:
    numbers = tuple(map(_shown, (figure.median, figure.p99, figure.min, figure.max)))
    return (figure.name, *numbers, figure.unit, str(figure.runs), _beside(figure))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  " + "  ".join(cells).rstrip()


def _beside(figure: Figure) -> str:
    parts = []
    for name, value in figure.compared_with.items():
        outcome = "" if name not in TARGETS else ": met" if figure.meets(name) else ": MISSED"
        parts.append(f"{name} {_shown(value)}{outcome}")
    return "; ".join(parts)


def _shown(value: float) -> str:
    """Write a value with about three digits."""
    if value < _TWO_DIGITS_BELOW:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < _ONE_DIGIT_BELOW else f"{value:,.0f}"
