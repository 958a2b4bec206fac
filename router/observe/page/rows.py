"""The table of ports as the page has it, kept level at little cost: what did not change is not made again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from router.admission import Verdict
from router.haproxy.talk.stats import BackendNow
from router.model import Asker, Backend, RouteSection
from router.objects.portclaim import PortClaim
from router.observe.page.past import Change, Loads, Past
from router.observe.ports_page import by_own_backend
from router.ordered import differences
from router.plan import ReloadReason
from router.reconcile.snapshot import Snapshot

HISTORY = 20
"""So many values of the past are kept of each asker that is used."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One asker, as an array; page.js reads the fields by their place."""

    id: str
    """``Kind/namespace/name[:section]``, by which it is explained."""
    kind: str
    namespace: str
    name: str
    section: str
    port: int
    """0 without one."""
    host: str
    address: str
    reason: str
    """Why it is rejected; empty for one that is admitted."""
    message: str
    warnings: tuple[str, ...]
    up: int
    """-1 while that is not known."""
    draining: int
    servers: int
    sessions: int
    """-1 while that is not known."""
    connections: float
    """New ones a second."""
    bytes: float
    """A second, both ways."""
    history: tuple[int, ...]
    """Bytes a second over the last ten minutes, the oldest first; empty where there were none."""
    since: str
    """When it came to what it has, or was created; RFC 3339, empty where that is not known."""
    last_used: str
    """As its PortClaim has it; empty without one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is another than it was."""

    version: int
    changed: tuple[Row, ...]
    gone: tuple[str, ...]


class Rows:
    """The rows of all askers. For one thread at a time."""

    def __init__(self) -> None:
        self.version = 0
        self._rows: dict[Asker, Row] = {}
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._backends: dict[Asker, Backend] = {}
        self._applied: object = None
        self._routes: tuple[RouteSection, ...] = ()
        self._counts: Mapping[str, BackendNow] = {}
        self._counted_s = 0.0
        self._rates: dict[Asker, tuple[float, float]] = {}
        self._history: dict[Asker, deque[int]] = {}
        self._passed: dict[Asker, float] = {}
        """Bytes since the history was last written."""
        self._claims: dict[tuple[str, str, str, str], tuple[str, str]] = {}
        self._past = Past()

    @property
    def all(self) -> tuple[Row, ...]:
        """Give every row."""
        return tuple(self._rows.values())

    def changes_of(self, name: str) -> tuple[Change, ...]:
        """Give what became of one asker since this router started, the newest first."""
        return self._past.of(name)

    def decided(self, snapshot: Snapshot, now_s: float = 0.0, reasons: Iterable[ReloadReason] = ()) -> Step:
        """Take the controller's last snapshot; give what is another for it.

        Args:
            snapshot: the last.
            now_s: seconds since the epoch, for what is told of changes.
            reasons: those of reloads since the snapshot before.
        """
        is_first = self._applied is None
        former, current = differences(tuple(self._verdicts.values()), tuple(snapshot.verdicts.values()))
        touched = {each.asker for each in former} | {each.asker for each in current}
        self._verdicts = snapshot.verdicts
        if snapshot.applied is not self._applied:
            routes = snapshot.applied.routes if snapshot.applied is not None else ()
            gone, come = differences(self._routes, routes)
            for section in gone:
                self._backends.pop(section.asker, None)
            self._backends.update({each.asker: each.backend for each in come})
            touched.update(each.asker for each in (*gone, *come))
            self._applied, self._routes = snapshot.applied, routes
        before = {asker: row for asker in touched if (row := self._rows.get(asker)) is not None}
        step = self._remade(touched)
        if not is_first:
            self._remember(touched, before, Loads(reasons), now_s)
        return step

    def _remember(self, touched: Iterable[Asker], before: Mapping[Asker, Row], loads: Loads, now_s: float) -> None:
        for asker in touched:
            row, former, verdict = self._rows.get(asker), before.get(asker), self._verdicts.get(asker)
            if row is None or verdict is None:
                continue
            cause = loads.cause(asker, verdict.port, verdict.address) if verdict.admitted else ""
            if cause or former is None or (former.reason, former.message) != (row.reason, row.message):
                self._past.add(row.id, Change(now_s, row.reason or "admitted", row.message, cause))

    def counted(self, snapshot: Snapshot, counts: Mapping[str, BackendNow] | None, now_s: float) -> Step:
        """Take what HAProxy counts; give what is another for it."""
        current = by_own_backend(snapshot, counts) or {}
        seconds = now_s - self._counted_s if self._counted_s else 0.0
        touched = set()
        for asker, backend in self._backends.items():
            before, now = self._counts.get(backend.name), current.get(backend.name)
            if before == now and asker not in self._rates:
                continue
            touched.add(asker)
            rates = _rates(before, now, seconds)
            if any(rates):
                self._rates[asker] = rates
                self._passed[asker] = self._passed.get(asker, 0.0) + rates[1] * seconds
            else:
                self._rates.pop(asker, None)
        self._counts, self._counted_s = current, now_s
        return self._remade(touched)

    def remembered(self, claims: Iterable[PortClaim], seconds: float) -> Step:
        """Write the history of the last ``seconds`` seconds, and look up PortClaims; give what is another for it."""
        touched = {*self._passed, *self._history}
        for asker in touched:
            values = self._history.setdefault(asker, deque([0] * HISTORY, HISTORY))
            values.append(round(self._passed.get(asker, 0.0) / seconds))
            if not any(values) or asker not in self._verdicts:
                del self._history[asker]
        self._passed = {}
        held = {
            (each.spec.holder.kind, each.spec.holder.namespace, each.spec.holder.name, each.spec.holder.section): (
                each.metadata.creation_timestamp or "",
                each.status.last_used or "",
            )
            for each in claims
            if each.spec.holder is not None and each.spec.origin == "Won"
        }
        touched.update(
            asker for asker in self._verdicts if held.get(_holder(asker)) != self._claims.get(_holder(asker))
        )
        self._claims = held
        return self._remade(touched)

    def _remade(self, touched: Iterable[Asker]) -> Step:
        changed, gone = [], []
        for asker in touched:
            verdict = self._verdicts.get(asker)
            if verdict is None:
                former = self._rows.pop(asker, None)
                self._rates.pop(asker, None)
                if former is not None:
                    gone.append(former.id)
                continue
            row = self._row(asker, verdict)
            if row != self._rows.get(asker):
                self._rows[asker] = row
                changed.append(row)
        if changed or gone:
            self.version += 1
        # One that is made again has the name of the one that went.
        present = {row.id for row in changed}
        return Step(self.version, tuple(changed), tuple(each for each in gone if each not in present))

    def _row(self, asker: Asker, verdict: Verdict) -> Row:
        backend = self._backends.get(asker)
        servers = backend.servers if backend is not None else ()
        now = self._counts.get(backend.name) if backend is not None else None
        connections, passed = self._rates.get(asker, (0.0, 0.0))
        since, last_used = self._claims.get(_holder(asker), ("", ""))
        return Row(
            id=_id(asker),
            kind=asker.kind,
            namespace=asker.namespace,
            name=asker.name,
            section=asker.section,
            port=verdict.port or 0,
            host=verdict.host or "",
            address=verdict.address,
            reason=str(verdict.reason or ""),
            message=verdict.message,
            warnings=verdict.warnings,
            up=now.servers_up if now is not None else -1,
            draining=sum(not each.weight for each in servers),
            servers=len(servers),
            sessions=now.sessions if now is not None else -1,
            connections=round(connections, 1),
            bytes=round(passed),
            history=tuple(self._history.get(asker, ())),
            since=since,
            last_used=last_used,
        )


def _id(asker: Asker) -> str:
    return f"{asker.kind}/{asker.namespace}/{asker.name}{f':{asker.section}' if asker.section else ''}"


def _holder(asker: Asker) -> tuple[str, str, str, str]:
    return asker.kind, asker.namespace, asker.name, asker.section


def _rates(before: BackendNow | None, now: BackendNow | None, seconds: float) -> tuple[float, float]:
    """Give new connections and bytes a second."""
    if before is None or now is None or not seconds:
        return 0.0, 0.0
    if now.connections < before.connections:
        # Another worker, which began at 0.
        before = BackendNow(0, 0)
    passed = now.bytes_in + now.bytes_out - before.bytes_in - before.bytes_out
    return max(0, now.connections - before.connections) / seconds, max(0, passed) / seconds
