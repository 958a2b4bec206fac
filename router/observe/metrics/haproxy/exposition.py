"""The ledger as text that Prometheus reads (exposition formats, version 0.0.4).

Not through prometheus_client, which takes several times as long for the same text as reading and adding up all of it: a line
whose series did not change is written once and kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from router.observe.metrics.haproxy.families import FAMILIES, Family
from router.observe.metrics.haproxy.ledger import Ledger, Series, families_of
from router.observe.metrics.haproxy.owners import Labels


def exposition(ledger: Ledger, without: Collection[str] = ()) -> str:
    """Write all series, except those of the kinds in ``without``; a metric without any is left out."""
    pieces: list[str] = []
    for kind in FAMILIES:
        if kind in without:
            continue
        families = families_of(kind)
        columns = [_lines(series, families) for series in ledger.series(kind)]
        for place, family in enumerate(families):
            lines = [line for column in columns if (line := column[place]) is not None]
            if lines:
                pieces += _head(family)
                pieces += lines
    return "".join(pieces)


def _head(family: Family) -> tuple[str, str]:
    kind = "counter" if family.is_counter else "gauge"
    return f"# HELP {family.name} {family.meaning}\n", f"# TYPE {family.name} {kind}\n"


def _lines(series: Series, families: tuple[Family, ...]) -> Sequence[str | None]:
    if series.is_changed:
        labels = _labels(series.labels)
        series.lines = [
            None if value is None else f"{family.name}{labels} {value}\n"
            for family, value in zip(families, series.values(), strict=True)
        ]
        series.is_changed = False
    return series.lines


def _labels(labels: Labels) -> str:
    pairs = labels.identity if labels.port is None else (*labels.identity, ("port", labels.port))
    if labels.address:
        pairs = (*pairs, ("address", labels.address))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
