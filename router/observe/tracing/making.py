"""Who makes the parts that can be traced, and makes them as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from router.admission import Admission
from router.admission.ledger import Ledger
from router.admission.places import Place
from router.haproxy.talk.worker import WorkerSocket
from router.kube.api import StoppableApi
from router.model import Asker
from router.objects.store import Store
from router.observe.metrics.router import Metrics
from router.settings import AdmissionSettings


class Makes(Protocol):
    """Makes the parts on the way of a change."""

    def store(self, sources: frozenset[str]) -> Store:
        """Make the store."""

    def admission(self, settings: AdmissionSettings, served: Mapping[Place, Asker], ledger: Ledger | None) -> Admission:
        """Make what decides."""

    def worker(self, stats_socket: Path) -> WorkerSocket:
        """Make what sends commands."""

    def metrics(self, haproxy_version: str, haproxy_up: Callable[[], bool]) -> Metrics:
        """Make what counts."""

    def api(self, api: StoppableApi) -> StoppableApi:
        """Give what is asked of the API server in the place of this."""


class Untraced:
    """Makes parts that know nothing of tracing."""

    store = Store
    admission = Admission
    worker = WorkerSocket
    metrics = Metrics

    def api(self, api: StoppableApi) -> StoppableApi:
        """Give the same."""
        return api
