"""Says to whom it may concern that the time of a certificate is over, or will be soon: by a note, which becomes a warning and an Event.

Admission knows no time, so that the same objects give the same decision. What is told is of what HAProxy serves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from router.model import Asker, Model
from router.objects.asker_note import AskerNote
from router.objects.store import Store
from router.observe.certificates import out_of_time
from router.observe.clients import refusing
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_TOPICS: Mapping[str, Callable[[Model, float], Mapping[Asker, str]]] = {
    "certificate": out_of_time,
    "clients": refusing,
}
"""What notes are about, and what finds it out."""
_STOPS_WITHIN_S = 3.0


class CertificateTimes:
    """Looks, from ``start`` to ``stop``.

    Args:
        store: is told.
        served: gives what HAProxy serves; None while it serves nothing. The same object while it serves the same.
        every_s: seconds between looks whether that is another.
        again_s: seconds after which the same is looked at again, for the time that passed.
        now_s: the time, since the epoch.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - what it looks at, and four with defaults
        self,
        store: Store,
        served: Callable[[], Model | None],
        *,
        every_s: float = 2.0,
        again_s: float = 60.0,
        now_s: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._store = store
        self._served = served
        self._every_s = every_s
        self._again_s = again_s
        self._now_s = now_s
        self._told: dict[str, dict[Asker, AskerNote]] = {topic: {} for topic in _TOPICS}
        self._looked_at: Model | None = None
        self._looked_s = 0.0
        self._stopping = threading.Event()
        self._thread = supervisor.own("certificate times", self._run, ask_to_end=self._stopping.set)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Look once, if there is anything new to be seen."""
        model, now_s = self._served(), self._now_s()
        if model is None or (model is self._looked_at and 0 <= now_s - self._looked_s < self._again_s):
            return
        self._looked_at, self._looked_s = model, now_s
        for topic, find in _TOPICS.items():
            self._tell(topic, find(model, now_s))

    def _tell(self, topic: str, found: Mapping[Asker, str]) -> None:
        told = self._told[topic]
        for asker in told.keys() - found.keys():
            self._store.delete(AskerNote, told.pop(asker).key)
        for asker, warning in found.items():
            note = AskerNote.about(asker, warning, topic)
            if told.get(asker) != note:
                told[asker] = note
                self._store.put(note)
                log.warning("certificate out of time", namespace=asker.namespace, asker=str(asker), problem=warning)
