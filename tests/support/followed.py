"""A store that an API server is followed into."""

from __future__ import annotations

from collections.abc import Callable

from router.cluster import KubeInput, Pace, sources_of
from router.kube.connection import Connection, Deadlines
from router.objects.core import RouterPod
from router.objects.store import Store
from router.settings import KubeSettings
from router.supervisor import Supervisor


class Nobody:
    """Counts nothing."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Pass over it."""


class Followed:
    """A store, and what feeds it; short of patience.

    Args:
        settings: which API server, and what of it.
        machine: gives what the process knows of itself.
    """

    def __init__(self, settings: KubeSettings, machine: Callable[[], RouterPod] | None = None) -> None:
        self.store = Store(sources_of(settings))
        self.supervisor = Supervisor()
        self.input = KubeInput(
            Connection.open(settings, deadlines=Deadlines(connect_s=1.0, read_s=1.0, total_s=2.0), environ={}),
            self.store,
            settings,
            lambda _: True,
            Nobody(),
            pace=Pace(pauses_s=(0.05, 0.2), well_after_s=0.5),
            supervisor=self.supervisor,
            machine=machine,
        )
