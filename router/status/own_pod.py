"""Says something in an annotation of the router's own pod: what each replica knows by it of all.

It is written through the pod's ``status``: that takes annotations, and the right to it changes nobody's containers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from router.errors import ApiError, ApiForbidden
from router.kube.api import Api
from router.objects.core import REPORTED_ADDRESSES, REPORTED_FIGURES
from router.shapes import write
from router.status.route import MERGE_PATCH
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.backoff import Backoff
from router.supervisor.bell import Bell

log = structlog.get_logger()

_RETRY_S = (1.0, 30.0)
_STOPS_WITHIN_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is said of what."""

    annotation: str
    said: Callable[[], str | None]
    """None while there is nothing to say yet; any thread."""
    look_every_s: float
    name: str
    consequence: str
    component: str


def of_addresses(present: Callable[[], Iterable[str]]) -> Note:
    """Say which of the named addresses this node has.

    Args:
        present: gives them; any thread.
    """
    return Note(
        annotation=REPORTED_ADDRESSES,
        said=lambda: ",".join(sorted(present())),
        # Whoever knows of a change rings.
        look_every_s=600.0,
        name="addresses",
        consequence="nobody is told where no replica has an address",
        component="addresses",
    )


def of_figures(said: Callable[[], str | None]) -> Note:
    """Say how this replica is, for the pages of the others.

    Args:
        said: gives it as text, None while it is not known; any thread.
    """
    return Note(
        annotation=REPORTED_FIGURES,
        said=said,
        look_every_s=30.0,
        name="figures",
        consequence="the pages of other replicas do not show how this one is",
        component="replica-figures",
    )


class OwnPod:
    """Writes, on a thread of its own, whenever it is something else than before.

    Args:
        api: the API server; its calls have short deadlines.
        namespace: of the pod.
        name: of the pod that this process is in.
        note: what is said.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        note: Note,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self._note = note
        self._bell = Bell()
        self._is_stopping = threading.Event()
        self._backoff = Backoff(*_RETRY_S)
        self._written: str | None = None
        self._problem = ""
        self._thread = supervisor.own(f"own pod: {note.name}", self._run, ask_to_end=self._ask_to_end)

    def changed(self) -> None:
        """Look whether something is to be written; any thread."""
        self._bell.ring()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more. What is written stays: whoever has an address by then says so himself."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _ask_to_end(self) -> None:
        self._is_stopping.set()
        self._bell.ring()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            pause_s = self._note.look_every_s if self._write() else self._backoff.pause_s()
            self._bell.wait(pause_s)

    def _write(self) -> bool:
        told = self._note.said()
        if told is None:
            return False
        if told == self._written:
            return True
        body = write({"metadata": {"annotations": {self._note.annotation: told}}})
        try:
            self._api.patch(self._path, body, MERGE_PATCH)
        except ApiError as error:
            self._say(str(error), is_forbidden=isinstance(error, ApiForbidden))
            return False
        self._written, self._problem = told, ""
        self._backoff.reset()
        return True

    def _say(self, problem: str, *, is_forbidden: bool) -> None:
        if problem != self._problem:
            self._problem = problem
            advice = (
                {"permission": f"patch pods/status (manifests/components/{self._note.component})"}
                if is_forbidden
                else {}
            )
            log.warning(
                "own pod not written",
                what=self._note.name,
                problem=problem,
                consequence=self._note.consequence,
                **advice,
            )
