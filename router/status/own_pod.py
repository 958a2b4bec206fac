"""Says in an annotation of the router's own pod which of the named addresses its node has: what each replica knows by it of all.

It is written through the pod's ``status``: that takes annotations, and the right to it changes nobody's containers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import structlog

from router.errors import ApiError, ApiForbidden
from router.kube.api import Api
from router.objects.core import REPORTED_ADDRESSES
from router.shapes import write
from router.status.route import MERGE_PATCH
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.backoff import Backoff
from router.supervisor.bell import Bell

log = structlog.get_logger()

_RETRY_S = (1.0, 30.0)
_IDLE_S = 600.0
_STOPS_WITHIN_S = 6.0


class OwnPod:
    """Writes, on a thread of its own, whenever it is something else than before.

    Args:
        api: the API server; its calls have short deadlines.
        namespace: of the pod.
        name: of the pod that this process is in.
        present: gives the addresses; any thread.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        present: Callable[[], Iterable[str]],
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self._present = present
        self._bell = Bell(threading.Condition())
        self._is_stopping = threading.Event()
        self._backoff = Backoff(*_RETRY_S)
        self._written: str | None = None
        self._problem = ""
        self._thread = supervisor.own("own pod", self._run, ask_to_end=self._ask_to_end)

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
            pause_s = _IDLE_S if self._write() else self._backoff.pause_s()
            self._bell.wait(pause_s)

    def _write(self) -> bool:
        told = ",".join(sorted(self._present()))
        if told == self._written:
            return True
        body = write({"metadata": {"annotations": {REPORTED_ADDRESSES: told}}})
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
            advice = {"permission": "patch pods/status (manifests/components/addresses)"} if is_forbidden else {}
            log.warning(
                "addresses not told",
                problem=problem,
                consequence="nobody is told where no replica has an address",
                **advice,
            )
