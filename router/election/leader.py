"""Leader election by a Lease: of all replicas, the one that may write.

``router.election.lease`` decides, this module does: one thread that sends the requests, waits, and tells of gain and loss.

The kubernetes client has a ``leaderelection`` with a ``LeaseLock`` of its own. It is not used (seen in version 37):

- A request has no deadline, so with an API server that hangs it neither renews nor notices that its time is over; and its
  leader learns of a loss by a callback only, which comes after the hanging request: there is nothing to ask before a write.
- A stolen Lease ends the leading not before the renew deadline, which is counted from the first attempt that fails.
- Deadlines and the age of a Lease are read off the time of day, so a clock that is set makes a Lease live longer or shorter.
- A refused connection or a timeout is no ApiException: it ends the thread, and ``onstopped_leading`` is never called.
- It cannot be stopped, does not release the Lease, and goes on waiting in ``time.sleep``.
- ``leaseTransitions`` is never counted, waiting candidates ask in step (no jitter) and never back off.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import structlog

from router.election.lease import Candidate, LeaseTimes, Request
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiNotFound
from router.kube.api import StoppableApi
from router.supervisor import SUPERVISOR, Supervisor

_STOP_S = 1.0
_RELEASE_SHARE = 0.8
"""Of that: for a renewal that is under way to end, and to release the Lease."""
_VERBS = {"GET": "get", "POST": "create", "PUT": "update"}


class Observer(Protocol):
    """Is told of gain and loss, on the election's thread, which waits for it: calls must be short."""

    def leading(self, leads: bool) -> None:  # noqa: FBT001 - it is all that there is to say
        """Take note that this process leads from now on, or does not any more.

        While the API server hangs, a loss is told late. Before each write, ask ``is_leader``.
        """


def steady_clock() -> float:
    """Give seconds of a clock that nobody sets and that goes on while the machine sleeps (clock_gettime(2)).

    A leader that was suspended must not believe that its Lease is young.
    """
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(boottime) if boottime is not None else time.monotonic()


def unique_identity(name: str) -> str:
    """Make an identity of a pod's name, as client-go does: no other process, and no earlier one of this pod, has it."""
    return f"{name}_{uuid.uuid4()}"


class LeaderElection:
    """Stands for election from ``start`` to ``stop``.

    Args:
        api: for the election alone, which closes it at its end. Its calls should have a deadline of at most half of
            ``renew_deadline_s``, or a single slow one costs the lead.
        namespace: of the Lease.
        name: of the Lease.
        identity: of this process alone; see ``unique_identity``.
        lease_s: how long others wait for a leader that is silent.
        renew_deadline_s: how long after its last successful renewal was sent a leader leads. Less than ``lease_s``; calls
            of the leader that take no longer than the difference end before anybody else leads.
        retry_s: seconds between renewals, and between looks at another's Lease.
        observer: is told of gain and loss.
        clock: seconds of a clock that never goes back.
        wall: the time of day, for the times in the Lease; nothing is decided by it.
        supervisor: owns the thread.

    Raises:
        ValueError: the times do not grow from ``retry_s`` over ``renew_deadline_s`` to ``lease_s``.
    """

    def __init__(  # noqa: PLR0913 - where the Lease is, who asks, and three times and two clocks with defaults
        self,
        api: StoppableApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease_s: float = 15.0,
        renew_deadline_s: float = 10.0,
        retry_s: float = 2.0,
        observer: Observer | None = None,
        clock: Callable[[], float] = steady_clock,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._object = f"{self._collection}/{name}"
        times = LeaseTimes(lease_s, renew_deadline_s, retry_s)
        self._candidate = Candidate(namespace, name, identity, times, random.random)
        self._observer = observer
        self._clock = clock
        self._wall = wall
        self._stopping = threading.Event()
        self._release_s = _STOP_S * _RELEASE_SHARE
        # A daemon: a call that hangs must not keep the process from ending.
        self._thread = supervisor.own("leader election", self._run, ask_to_end=self._stopping.set)
        self._log = structlog.get_logger().bind(lease=f"{namespace}/{name}", identity=identity)
        self._told = False
        self._told_holder = ""
        self._told_problem = ""

    def is_leader(self) -> bool:
        """Whether this process may write at this moment; from any thread, at no cost. Ask before each write."""
        return not self._stopping.is_set() and self._candidate.leads(self._clock())

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty for nobody."""
        return self._candidate.holder

    def start(self) -> None:
        """Begin to stand for election."""
        self._thread.start()

    def stop(self, within_s: float = _STOP_S) -> None:
        """Lead no more, from this moment, and release the Lease, so that the next need not wait for its end.

        Stop what writes first. Returns within so many seconds; where the API server hangs, the Lease runs out by itself.
        """
        self._release_s = within_s * _RELEASE_SHARE
        self._thread.stop(self._release_s)
        self._api.close()
        self._thread.stop(within_s - self._release_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = self._ask()
            if pause_s > 0:
                self._tell()
                self._stopping.wait(pause_s)
        self._release()
        self._tell()

    def _ask(self) -> float:
        """Send the candidate's next request and give it the outcome; give the seconds to wait."""
        request = self._candidate.request(self._wall())
        sent_s = self._clock()
        try:
            body = self._send(request)
        except ApiError as error:
            pause_s = self._candidate.failed(error, self._clock())
            # A lost race, or no Lease yet, is how an election goes.
            usual = isinstance(error, ApiConflict) or (isinstance(error, ApiNotFound) and request.method != "POST")
            if pause_s > 0 and not usual:
                self._failed(request, error)
            return pause_s
        now_s = self._clock()
        if request.method != "GET":
            self._told_problem = ""
        return self._candidate.answered(body, sent_s, now_s)

    def _send(self, request: Request) -> bytes:
        if request.method == "GET":
            return self._api.get(self._object)
        if request.method == "POST":
            return self._api.post(self._collection, request.body)
        return self._api.put(self._object, request.body)

    def _failed(self, request: Request, error: ApiError) -> None:
        """Say what is wrong, once."""
        if str(error) != self._told_problem:
            self._told_problem = str(error)
            verb = _VERBS[request.method]
            what = (
                "the Lease cannot be used: no permission"
                if isinstance(error, ApiForbidden)
                else "the Lease cannot be used"
            )
            self._log.warning(what, verb=verb, resource="leases.coordination.k8s.io", problem=str(error))

    def _release(self) -> None:
        ends_s = self._clock() + self._release_s
        while self._clock() < ends_s:
            request = self._candidate.release(self._wall())
            if request is None:
                return
            try:
                body = self._send(request)
            except ApiError as error:
                self._candidate.release_failed(error)
            else:
                self._candidate.released(body, self._clock())
                if request.method == "PUT":
                    self._log.info("lease released")

    def _tell(self) -> None:
        leads = self.is_leader()
        holder = self.holder
        if holder != self._told_holder:
            self._told_holder = holder
            if holder and not leads:
                self._log.info("another leads", holder=holder)
        if leads == self._told:
            return
        self._told = leads
        self._log.info("leading" if leads else "not leading any more", holder=holder)
        if self._observer is not None:
            self._observer.leading(leads)
