"""Counters that never fall, made of those of workers, which begin at 0 and end with the worker; values in, values out.

What a worker counted since it was last read is added to the totals of whoever owned it. So a new worker, the end of one, a
HAProxy that was killed, a server that was deleted and added again, and a backend that is given to another Route all leave
the totals as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from types import MappingProxyType
from typing import NamedTuple

from router.haproxy.talk.stats import WorkerId
from router.haproxy.talk.tables import SERVER, Table
from router.haproxy.talk.workers import Reading
from router.observe.metrics.haproxy.families import FAMILIES, PROCESS, Family, Of
from router.observe.metrics.haproxy.owners import Labels, Owners

KEEP_S = 600.0
"""How long series go on that nothing in HAProxy stands for any more: some scrapes, so that their last values are seen."""

_THE_PROCESS = Labels((), (), None)
Cells = tuple[str, ...]


_NOTHING: Mapping[int, int] = MappingProxyType({})
_NO_COUNT = frozenset({"", "0"})


class _RowKey(NamedTuple):
    kind: str
    proxy: str
    server: str


class _Row(NamedTuple):
    """A row of a worker as it was last read. One in which nothing was counted since stays the object that it is."""

    key: _RowKey
    series: Series
    counters: Cells
    owners: Owners
    """According to whom the series is its owner's."""
    is_past: bool
    """The owner has lost it; what goes on are sessions from before."""

    def stays(self, series: Series, owners: Owners, *, is_past: bool) -> bool:
        """Say whether nothing is to be noted but, perhaps, what was counted."""
        return self.series is series and self.owners.are_those_of(owners) and self.is_past == is_past


@dataclass(slots=True)
class _Worker:
    """A worker as it was last read."""

    read_s: float
    rows: dict[_RowKey, _Row] = field(default_factory=dict)
    is_settled: bool = False
    """Rows that are not kept will not change any more."""


class _Kind:
    """The families of one type of row."""

    def __init__(self, families: Iterable[Family]) -> None:
        families = tuple(families)
        self.counters = tuple(each for each in families if each.is_counter)
        self.gauges = tuple(each for each in families if not each.is_counter)
        self.nothing: Cells = ("",) * len(self.counters)
        self.zero = (0,) * len(self.counters)


_KINDS = {kind: _Kind(families) for kind, families in FAMILIES.items()}


@dataclass(slots=True)
class Series:
    """All metrics with the same labels: one frontend, backend, server, or the process."""

    kind: str
    labels: Labels
    totals: tuple[int, ...]
    seen_s: float
    """When a worker last had it."""
    gauges: Cells | None = None
    """Of the current worker; None while that has nothing of it."""
    further: Mapping[int, int] = field(default_factory=lambda: _NOTHING)
    """Of other workers, or further rows: what to add to gauges, by their place."""
    is_changed: bool = True
    lines: Sequence[str | None] = ()
    """As they were last written."""

    def add(self, former: Cells, now: Cells, *, is_past: bool) -> None:
        """Add what a worker counted between two readings; one that counts less than before began anew."""
        if _NO_COUNT.issuperset(now) and _NO_COUNT.issuperset(former):
            # Most rows of a worker that is read for the first time.
            return
        totals = list(self.totals)
        for place, (family, before, after) in enumerate(zip(_KINDS[self.kind].counters, former, now, strict=True)):
            if before != after and not (is_past and family.of is Of.CURRENT):
                low, high = int(before or 0), int(after or 0)
                totals[place] += high - low if high >= low else high
                self.is_changed = True
        if any(totals):
            # As long as nobody came it is one for all of a kind.
            self.totals = tuple(totals)

    def show(self, cells: Cells, *, is_past: bool) -> bool:
        """Take the gauges of a worker's row; say whether there is anything to them."""
        if not is_past and self.gauges is None:
            self.gauges = cells
            return True
        is_busy = False
        for place, (family, cell) in enumerate(zip(_KINDS[self.kind].gauges, cells, strict=True)):
            if family.of is Of.ALL and cell not in {"", "0"}:
                self.further = {**self.further, place: self.further.get(place, 0) + int(cell)}
                is_busy = True
        return is_busy

    def values(self) -> Iterator[str | None]:
        """Give the values as text, counters before gauges; None where there is none."""
        kind = _KINDS[self.kind]
        yield from map(str, self.totals)
        for place, family in enumerate(kind.gauges):
            cell = self.gauges[place] if self.gauges is not None else ""
            if place in self.further:
                yield str(int(cell or 0) + self.further[place])
            else:
                yield family.form(cell) if cell else None


class Ledger:
    """The totals, and the gauges as they were last read."""

    def __init__(self) -> None:
        self._workers: dict[WorkerId, _Worker] = {}
        self._series: dict[str, dict[tuple[str, ...], Series]] = {kind: {} for kind in FAMILIES}

    def count(self, readings: Iterable[Reading], owners: Owners, now_s: float) -> None:
        """Add to the totals what workers counted since they were last read.

        Args:
            readings: of any workers; those that are not among them stay as they are.
            owners: as they are now. What is nobody's now, or is an old worker's, stays with whoever had it.
            now_s: of a clock that never goes back.
        """
        for reading in readings:
            self._enter(reading, owners, now_s, _show_nothing)

    def take(self, readings: Iterable[Reading], owners: Owners, now_s: float) -> None:
        """Do the same with the readings of all workers there are, and show their gauges from now on; drop what is long gone."""
        former = [(each, each.gauges, each.further) for each in self._all()]
        for series, _, _ in former:
            series.gauges, series.further = None, _NOTHING
        for reading in readings:
            self._enter(reading, owners, now_s, _show)
        for series, gauges, further in former:
            if series.gauges != gauges or series.further != further:
                series.is_changed = True
        self._drop(now_s - KEEP_S)

    def hide_gauges(self) -> None:
        """Show no gauges until the next ``take``: HAProxy does not answer."""
        for series in self._all():
            if series.gauges is not None or series.further:
                series.gauges, series.further, series.is_changed = None, _NOTHING, True

    def series(self, kind: str) -> list[Series]:
        """Give all series of a kind, sorted by their labels."""
        known = self._series[kind]
        return [known[values] for values in sorted(known)]

    def _all(self) -> Iterator[Series]:
        for known in self._series.values():
            yield from known.values()

    def _enter(
        self, reading: Reading, owners: Owners, now_s: float, show: Callable[[Series, Cells, bool], bool]
    ) -> None:
        worker = self._workers.setdefault(reading.worker, _Worker(now_s))
        worker.read_s = now_s
        rows: dict[_RowKey, _Row] = {}
        for key, counters, gauges in _rows_of(reading):
            former = worker.rows.get(key)
            if former is None and worker.is_settled:
                continue
            is_past = reading.is_old
            if former is not None and (is_past or former.owners.are_those_of(owners)):
                series, is_past = former.series, is_past or former.is_past
            else:
                labels = owners.labels(*key) if key.kind != PROCESS else _THE_PROCESS
                if labels is not None:
                    series = self._series_of(key.kind, labels, now_s)
                elif former is not None:
                    series, is_past = former.series, True
                else:
                    continue
            before = former.counters if former is not None else _KINDS[key.kind].nothing
            if before != counters:
                series.add(before, counters, is_past=is_past)
            if show(series, gauges, is_past) or before != counters:
                series.seen_s = now_s
            if former is not None and before == counters and former.stays(series, owners, is_past=is_past):
                rows[former.key] = former
            else:
                rows[key] = _Row(key, series, counters, owners, is_past)
        if not reading.has_servers:
            rows |= {key: row for key, row in worker.rows.items() if key.kind == SERVER}
        worker.rows, worker.is_settled = rows, not reading.is_whole

    def _series_of(self, kind: str, labels: Labels, now_s: float) -> Series:
        known = self._series[kind]
        series = known.get(labels.values)
        if series is None:
            series = known[labels.values] = Series(kind, labels, _KINDS[kind].zero, now_s)
        elif series.labels != labels:
            series.labels, series.is_changed = labels, True
        return series

    def _drop(self, before_s: float) -> None:
        for known in self._series.values():
            for values in [values for values, series in known.items() if series.seen_s < before_s]:
                del known[values]
        for worker in [worker for worker, state in self._workers.items() if state.read_s < before_s]:
            del self._workers[worker]


def _show(series: Series, cells: Cells, is_past: bool) -> bool:  # noqa: FBT001 - for one caller, as the other
    return series.show(cells, is_past=is_past)


def _show_nothing(series: Series, cells: Cells, is_past: bool) -> bool:  # noqa: ARG001, FBT001 - likewise
    return not is_past


def families_of(kind: str) -> tuple[Family, ...]:
    """Give the families of a kind in the order of ``Series.values``."""
    return (*_KINDS[kind].counters, *_KINDS[kind].gauges)


def _rows_of(reading: Reading) -> Iterator[tuple[_RowKey, Cells, Cells]]:
    for table in reading.tables:
        yield from _rows_of_table(table)
    kind = _KINDS[PROCESS]
    yield (
        _RowKey(PROCESS, "", ""),
        _fields(reading.info, kind.counters),
        _fields(reading.info, kind.gauges),
    )


def _rows_of_table(table: Table) -> Iterator[tuple[_RowKey, Cells, Cells]]:
    pick_key = table.picker("type", "pxname", "svname")
    # Of thousands of rows most are alike, as long as nobody comes.
    alike: dict[Cells, Cells] = {}
    picks = {
        kind: (
            table.picker(*(family.column for family in _KINDS[kind].counters)),
            table.picker(*(family.column for family in _KINDS[kind].gauges)),
        )
        for kind in FAMILIES
        if kind != PROCESS
    }
    for row in table.rows:
        kind, proxy, server = pick_key(row)
        # FRONTEND and BACKEND, but for servers.
        key = _RowKey(intern(kind), proxy, server if kind == SERVER else intern(server))
        if key.kind in picks:
            pick_counters, pick_gauges = picks[key.kind]
            counters, gauges = pick_counters(row), pick_gauges(row)
            yield key, alike.setdefault(counters, counters), alike.setdefault(gauges, gauges)


def _fields(info: Mapping[str, str], families: Iterable[Family]) -> Cells:
    # An older HAProxy lacks some.
    return tuple(info.get(family.column, "") for family in families)
