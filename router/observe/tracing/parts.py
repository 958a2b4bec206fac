"""The parts of the router that say what they do to a ``Trace``: each is the part itself, and tells. Without tracing none of them exists."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog
from prometheus_client import Histogram

from router.admission import Admission, Outcome
from router.admission.ledger import Ledger
from router.admission.places import Place
from router.haproxy.talk.worker import WorkerSocket
from router.kube.api import Query, StoppableApi, Stream
from router.model import Asker
from router.objects.kinds import KubernetesObject, Slot
from router.objects.store import Changes, Objects, Store
from router.observe.metrics.router import Metrics
from router.observe.tracing.trace import ADMISSION, PLAN, RELOAD, REPLY, SEND, STAGES, ServedChange, Trace
from router.plan import ReloadReason
from router.plan.commands import Command
from router.settings import AdmissionSettings

log = structlog.get_logger()

_SECONDS = (0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)


class Tracing:
    """Makes the parts that are traced, which share one trace."""

    def __init__(self) -> None:
        self._trace = Trace(time.monotonic)

    def store(self, sources: frozenset[str]) -> Store:
        """Make the store."""
        return _Store(sources, self._trace)

    def admission(self, settings: AdmissionSettings, served: Mapping[Place, Asker], ledger: Ledger | None) -> Admission:
        """Make what decides."""
        return _Admission(settings, served, ledger, self._trace)

    def worker(self, stats_socket: Path) -> WorkerSocket:
        """Make what sends commands."""
        return _Worker(stats_socket, self._trace)

    def metrics(self, haproxy_version: str, haproxy_up: Callable[[], bool]) -> Metrics:
        """Make what counts, and says what became of each change."""
        return _Metrics(haproxy_version, haproxy_up, self._trace)

    def api(self, api: StoppableApi) -> StoppableApi:
        """Give the API server, whose watches are traced from now on."""
        return _Api(api, self._trace)


class _Api:
    """An API server; only watches are traced."""

    def __init__(self, api: StoppableApi, trace: Trace) -> None:
        self._api = api
        self._trace = trace
        self.get, self.patch, self.post, self.put = api.get, api.patch, api.post, api.put
        self.answer = api.answer
        self.close = api.close

    @contextmanager
    def watch(self, path: str, query: Query, read_timeout_s: float) -> Iterator[Stream]:
        """GET a path as a stream."""
        with self._api.watch(path, query, read_timeout_s) as stream:
            yield _Stream(stream, self._trace)


class _Stream:
    """A watch."""

    def __init__(self, stream: Stream, trace: Trace) -> None:
        self._stream = stream
        self._trace = trace
        self.close = stream.close

    def lines(self) -> Iterator[bytes]:
        """Give whole lines as they come."""
        for line in self._stream.lines():
            self._trace.received(time.monotonic())
            try:
                yield line
            finally:
                self._trace.taken_in()


class _Store(Store):
    def __init__(self, sources: frozenset[str], trace: Trace) -> None:
        super().__init__(sources)
        self._trace = trace

    def _receive(self, arrivals: Mapping[Slot, KubernetesObject | None], *, wakes: bool = True) -> None:
        # Under the lock, which may be taken again: what is told of is taken with what is put.
        with self._lock:
            self._trace.stored(arrivals)
            super()._receive(arrivals, wakes=wakes)

    def take(self, late: Collection[str] = ()) -> tuple[Changes, float | None]:
        """Move what arrived into ``objects``."""
        with self._lock:
            changes, arrived_s = super().take(late)
            self._trace.taken(is_news=bool(changes))
        return changes, arrived_s


class _Admission(Admission):
    def __init__(
        self, settings: AdmissionSettings, served: Mapping[Place, Asker], ledger: Ledger | None, trace: Trace
    ) -> None:
        super().__init__(settings, served, ledger)
        self._trace = trace

    def anew(self) -> Admission:
        """Give one with the same settings that knows of no object yet, and only whom this replica serves."""
        return _Admission(self._settings, self.memory(), self._ledger, self._trace)

    def update(self, objects: Objects, changes: Changes) -> Outcome:
        """Decide anew after a change."""
        outcome = super().update(objects, changes)
        self._trace.mark(ADMISSION)
        return outcome


class _Worker(WorkerSocket):
    def __init__(self, stats_socket: Path, trace: Trace) -> None:
        super().__init__(stats_socket, sent=lambda: trace.mark(SEND))
        self._trace = trace

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order."""
        self._trace.mark(PLAN)
        super().run(commands)
        self._trace.mark(REPLY)


class _Metrics(Metrics):
    def __init__(self, haproxy_version: str, haproxy_up: Callable[[], bool], trace: Trace) -> None:
        super().__init__(haproxy_version, haproxy_up)
        self._trace = trace
        self._stages = Histogram(
            "tcp_router_change_stage_seconds",
            "Time that the oldest of some changes spent in each stage on its way to HAProxy.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)

    def reload_finished(self, result: str, reasons: tuple[ReloadReason, ...], seconds: float) -> None:
        """Count a reload and its time."""
        super().reload_finished(result, reasons, seconds)
        self._trace.mark(RELOAD)

    def changes_served(self, seconds: float) -> None:
        """Count changes that are served now, and say where their time went."""
        super().changes_served(seconds)
        change = self._trace.served()
        if change is not None:
            for stage, stage_s in change.stages.items():
                self._stages.labels(stage).observe(stage_s)
            _log(change)


def _log(change: ServedChange) -> None:
    kind, key = change.slot
    log.info(
        "change traced",
        kind=kind.__name__,
        namespace=key.namespace,
        name=key.name,
        changes=change.changes,
        total_ms=_ms(change.total_s),
        **{f"{stage}_ms": _ms(stage_s) for stage, stage_s in change.stages.items()},
        began_s=round(change.began_s, 6),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
