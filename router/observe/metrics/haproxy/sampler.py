"""HAProxy's metrics as long as the router runs: a thread that lets no worker end unread, and the text for a scrape."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

from router.errors import HaproxyError
from router.haproxy.talk.stats import WorkerId
from router.haproxy.talk.tables import SERVER
from router.haproxy.talk.workers import Reading
from router.observe.metrics.haproxy.exposition import exposition
from router.observe.metrics.haproxy.ledger import Ledger
from router.observe.metrics.haproxy.owners import Owners
from router.settings import DEFAULT_SERVER_LIMIT
from router.supervisor import SUPERVISOR, Supervisor

_LOOK_EVERY_S = 1.0
_READ_EVERY_S = 15.0
_STOPS_WITHIN_S = 10.0


class ReadsWorkers(Protocol):
    """What reads HAProxy's workers; ``haproxy.workers.Workers`` does. Calls come one at a time."""

    @property
    def held(self) -> frozenset[WorkerId]:
        """The workers that cannot end unread."""

    def hold(self) -> None:
        """Let the current worker not end unread."""

    def read(self, *, servers: bool) -> tuple[Reading, ...]:
        """Read all workers, with rows of servers or without."""

    def look(self, *, servers: Callable[[], bool]) -> tuple[Reading, ...]:
        """Let go of workers without clients, and give their last values; of servers where that is said then."""

    def release(self) -> None:
        """Let go of all."""


class HaproxyMetrics:
    """Counts what HAProxy's workers count, over all of their lives.

    Args:
        workers: reads them.
        owners: whose they are now; called on several threads, one at a time.
        server_limit: how many servers may have metrics of their own; with more, none has.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        workers: ReadsWorkers,
        owners: Callable[[], Owners],
        server_limit: int = DEFAULT_SERVER_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._workers = workers
        self._owners = owners
        self._server_limit = server_limit
        self._clock = clock
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._is_up = False
        self._old_workers = self._old_sessions = self._servers = 0
        self._read_s = clock()
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread = supervisor.own("haproxy metrics", self._run, ask_to_end=self._ask_to_end)

    @property
    def held_workers(self) -> frozenset[WorkerId]:
        """The workers that cannot end before their last values were read."""
        with self._lock:
            return self._workers.held

    def start(self) -> None:
        """Begin to hold workers."""
        self._thread.start()

    def stop(self) -> None:
        """Read all workers once more, and let go of them, so that they can end; scrapes go on to be answered."""
        if self._thread.stop(_STOPS_WITHIN_S):
            # Once more, for one that was dead when it was stopped.
            with self._lock:
                self._workers.release()

    def _ask_to_end(self) -> None:
        self._stopping.set()
        self._news.set()

    def reloaded(self) -> None:
        """Take note that there is a new worker; returns at once. Without it the worker is found within a second."""
        self._news.set()

    def sample(self) -> None:
        """Read all workers now; HAProxy that does not answer is no error, its counters stay as they were."""
        with self._lock:
            self._sample()

    def exposition(self) -> bytes:
        """Read all workers, and give the text that Prometheus reads."""
        with self._lock:
            self._sample()
            limited = self._servers > self._server_limit
            text = exposition(self._ledger, without={SERVER} if limited else frozenset())
            return (text + self._own()).encode()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait(_LOOK_EVERY_S)
            self._news.clear()
            with self._lock:
                if self._clock() - self._read_s >= _READ_EVERY_S:
                    self._sample()
                elif readings := self._workers.look(servers=lambda: self._counts_servers(self._owners())):
                    # What cannot be read is told at the next scrape.
                    with contextlib.suppress(HaproxyError):
                        self._ledger.count(readings, self._owners(), self._clock())
        with self._lock:
            self._sample()
            self._workers.release()

    def _sample(self) -> None:
        owners = self._owners()
        self._read_s = self._clock()
        try:
            readings = self._workers.read(servers=self._counts_servers(owners))
            self._ledger.take(readings, owners, self._clock())
        except HaproxyError:
            # That HAProxy is down is told by haproxy_up here, and by the router's own health.
            self._is_up = False
            self._old_workers = self._old_sessions = 0
            self._ledger.hide_gauges()
            return
        finally:
            if self._stopping.is_set():
                self._workers.release()
        self._is_up = True
        old = [reading for reading in readings if reading.is_old]
        self._old_workers = len(old)
        self._old_sessions = sum(reading.connections for reading in old)

    def _counts_servers(self, owners: Owners) -> bool:
        """Say whether there are so few servers that each is counted; those of thousands of Routes take several times the memory and time of all else."""
        self._servers = owners.servers
        return self._servers <= self._server_limit

    def _own(self) -> str:
        return (
            "# HELP haproxy_up 1 if HAProxy answered this scrape.\n# TYPE haproxy_up gauge\n"
            f"haproxy_up {self._is_up:d}\n"
            "# HELP haproxy_exporter_server_threshold Servers of all Routes, and with how many at most each has metrics.\n"
            "# TYPE haproxy_exporter_server_threshold gauge\n"
            f'haproxy_exporter_server_threshold{{type="current"}} {self._servers}\n'
            f'haproxy_exporter_server_threshold{{type="limit"}} {self._server_limit}\n'
            "# HELP tcp_router_old_workers Replaced HAProxy workers that still have connections.\n"
            "# TYPE tcp_router_old_workers gauge\n"
            f"tcp_router_old_workers {self._old_workers}\n"
            "# HELP tcp_router_old_worker_sessions Connections of replaced HAProxy workers.\n"
            "# TYPE tcp_router_old_worker_sessions gauge\n"
            f"tcp_router_old_worker_sessions {self._old_sessions}\n"
        )
