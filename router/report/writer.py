"""Writes the status of Routes, and Events about them: from a queue, at a bounded rate, and only while this replica leads.

The reconcile thread says what changed (``update``); one thread of our own decides again what each Route's status shall say
(``report.status``) and sends one request at a time. A Route whose status says so already costs nothing, and so our own write,
which comes back through the watch, causes no other.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from router.admission import Verdict
from router.admission.request import is_ours
from router.errors import (
    ApiBusy,
    ApiConflict,
    ApiError,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
)
from router.kube.api import Api
from router.report.backlog import Backlog, Work
from router.report.events import EventSender, status_notice, warning_notice
from router.report.pacing import TokenBucket
from router.report.route_api import patch_status, read_route, same_request
from router.report.status import Identity, StatusChange, decide_status
from router.resources import ObjectKey, Route
from router.retries import Backoff
from router.snapshot import Snapshot

log = structlog.get_logger()

_IDLE_S = 0.25
"""How long a gained leadership may go unnoticed; a lost one is noticed before each request."""
_STOP_S = 0.9
_FORBIDDEN_S = 60.0
_CONFLICT_S, _LONGEST_CONFLICT_S = 0.05, 5.0
"""The first conflict is read again at once, the others after growing pauses."""
_TROUBLE_S = (1.0, 30.0)
_FORBIDDEN_NAMED = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast requests may follow each other.

    50 a second is what controllers of Kubernetes itself use at most (client-go's default is 5): 5,000 Routes take 100
    seconds, and an API server that serves a cluster does not notice.
    """

    per_second: float = 50.0
    burst: int = 100


class StatusWriter:
    """Reports on Routes, from ``start`` to ``stop``.

    Args:
        api: the API server.
        router_name: whose entries in the status are ours.
        canonical_hostname: the name by which clients reach the router; empty is not known.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        instance: this replica's name in Events, as a rule the pod's.
        rate: of all requests, reads and Events too.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch, for the times in what is written.
    """

    def __init__(  # noqa: PLR0913 - who writes, where, at which rate, and two clocks with defaults
        self,
        api: Api,
        router_name: str,
        canonical_hostname: str,
        is_leader: Callable[[], bool],
        *,
        instance: str = "",
        rate: Rate = Rate(),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._identity = Identity(router_name, canonical_hostname)
        self._is_leader = is_leader
        self._clock = clock
        self._wall_clock = wall_clock
        self._bucket = TokenBucket(rate.per_second, rate.burst)
        self._events = EventSender(api, self._identity, instance or router_name, clock=clock, wall_clock=wall_clock)

        self._backlog = Backlog(router_name)

        # Of the reconcile thread.
        self._verdicts: Mapping[ObjectKey, Verdict] = {}
        self._unlooked: set[ObjectKey] = set()

        # Of the writing thread.
        self._leads = False
        self._stopping = False
        self._warned: dict[ObjectKey, tuple[str, ...]] = {}
        self._forbidden: dict[str, float] = {}
        """Namespaces where a permission is missing, and until when nothing is tried there."""
        self._backoff = Backoff(*_TROUBLE_S)
        self._resume_s = float("-inf")
        self._problem = ""
        self._counts: Counter[str] = Counter()

        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    # Any thread

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more; returns within a second, even if the API server does not answer a request under way."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def wake(self) -> None:
        """Look now whether this replica leads."""
        self._backlog.wake()

    def writes(self) -> Mapping[str, int]:
        """Give how many writes of a status there were, by result (docs/status.md)."""
        return dict(self._counts)

    def events(self) -> Mapping[str, int]:
        """Give how many Events were sent, by result (docs/status.md)."""
        return self._events.counts()

    @property
    def queued(self) -> int:
        """How many Routes wait for a look at their status."""
        return len(self._backlog)

    # The reconcile thread

    def update(self, snapshot: Snapshot, routes: Mapping[ObjectKey, Route], changed: frozenset[ObjectKey]) -> None:
        """Take note of what changed.

        Best called when ``snapshot`` was decided from these ``routes``: with nothing that waits for a reload. Changes are
        only remembered before a first configuration is served, and while changes cannot be applied: what is not served is
        not reported, and a replica that serves something old must not report that.

        Args:
            snapshot: the verdicts that HAProxy serves.
            routes: all Routes, ours or not.
            changed: the Routes whose object changed since the last call.
        """
        self._unlooked |= changed
        if not snapshot.configured or snapshot.problem:
            return
        keys, self._unlooked = self._unlooked, set()
        former, self._verdicts = self._verdicts, snapshot.verdicts
        keys.update(_different(former, snapshot.verdicts))
        if keys:
            self._backlog.note(keys, routes, snapshot.verdicts)

    # The writing thread

    def _run(self) -> None:
        while not self._stopping:
            pause_s = self.step()
            if pause_s > 0:
                self._backlog.wait(pause_s)

    def step(self) -> float:
        """Do the next thing that is due: at most one Route's, or one Event's, requests.

        Returns:
            Seconds until there can be something to do, unless ``update`` brings it earlier.
        """
        if not self._may_write():
            return _IDLE_S
        if not self._leads:
            self._gain()
        now_s = self._clock()
        pause_s = max(self._resume_s - now_s, self._bucket.delay_s(now_s))
        if pause_s > 0:
            return min(pause_s, _IDLE_S)
        while (item := self._backlog.pop(now_s)) is not None:
            if self._attend(*item):
                return 0.0
        if self._events.send_one(self._may_write):
            self._bucket.take(now_s)
            return 0.0
        due_s = min(self._backlog.due_s(), self._events.due_s())
        return min(max(due_s - now_s, 0.0), _IDLE_S)

    def _may_write(self) -> bool:
        """Say whether to go on; if not, all is forgotten now, and looked at again with the next lead, however soon that is."""
        if not self._stopping and self._is_leader():
            return True
        self._lose()
        return False

    def _gain(self) -> None:
        self._leads = True
        self._backlog.open()
        log.info("reporting on routes", routes=self.queued)

    def _lose(self) -> None:
        if not self._leads:
            return
        self._leads = False
        self._backlog.close()
        self._events.clear()
        self._warned.clear()
        log.info("reporting no more", reason="another replica leads, or the router stops")

    def _attend(self, key: ObjectKey, work: Work) -> bool:
        """Bring one Route's status level.

        Returns:
            Whether a request was made.
        """
        muted_until_s = self._forbidden.get(key.namespace)
        if muted_until_s is not None and self._clock() < muted_until_s:
            self._backlog.put_back(key, work, muted_until_s)
            return False
        try:
            if work.route is None or work.conflicts:
                return self._read_and_write(key, work)
            return self._write(work.route, work.verdict)
        except ApiError as error:
            self._failed(key, work, error)
            return True

    def _read_and_write(self, key: ObjectKey, work: Work) -> bool:
        if not self._may_write():
            return False
        self._bucket.take(self._clock())
        fresh = read_route(self._api, key)
        if work.route is not None and not same_request(fresh, work.route):
            # The verdict is about another Route than this one; the watch brings it, and then its verdict.
            self._counts["superseded"] += 1
            self._recovered()
            return True
        if work.route is not None:
            self._write(fresh, work.verdict)
        elif not self._backlog.knows(key):
            self._remove(fresh)
        return True

    def _write(self, route: Route, verdict: Verdict | None) -> bool:
        """Write a Route's status, if it says something else than it shall; says whether a request was made."""
        if (verdict is not None) != is_ours(route, self._identity.router_name):
            # It became ours, or ceases to be, and HAProxy does not serve that yet.
            return False
        change = decide_status(route, verdict, self._identity, self._wall_clock())
        sent = change is not None and self._send(route, change)
        if change is None or sent:
            self._tell(route, verdict, change)
        return sent

    def _remove(self, route: Route) -> None:
        self._warned.pop(route.key, None)
        change = decide_status(route, None, self._identity, self._wall_clock())
        if change is not None:
            self._send(route, change)

    def _send(self, route: Route, change: StatusChange) -> bool:
        if not self._may_write():
            return False
        self._bucket.take(self._clock())
        patch_status(self._api, route.key, change.patch)
        self._counts["written" if change.entry is not None else "removed"] += 1
        self._recovered()
        self._forbidden.pop(route.key.namespace, None)
        return True

    def _tell(self, route: Route, verdict: Verdict | None, change: StatusChange | None) -> None:
        """Put the Events that go with this into line."""
        if verdict is None:
            self._warned.pop(route.key, None)
            return
        if change is not None and change.entry is not None:
            notice = status_notice(route, verdict, change.former, change.entry)
            if notice is not None:
                self._events.add(notice)
        told = self._warned.pop(route.key, ())
        for warning in verdict.warnings:
            if warning not in told:
                self._events.add(warning_notice(route, warning))
        if verdict.warnings:
            self._warned[route.key] = verdict.warnings

    # When it fails

    def _failed(self, key: ObjectKey, work: Work, error: ApiError) -> None:
        now_s = self._clock()
        match error:
            # A patch that addresses an entry which is not there any more is invalid before its version is looked at.
            case ApiConflict() | ApiInvalid() if isinstance(error, ApiConflict) or not work.conflicts:
                self._counts["conflict"] += 1
                pause_s = min(_CONFLICT_S * work.conflicts**2, _LONGEST_CONFLICT_S)
                self._backlog.put_back(key, replace(work, conflicts=work.conflicts + 1), now_s + pause_s)
            case ApiNotFound():
                self._counts["gone"] += 1
                self._recovered()
                self._warned.pop(key, None)
            case ApiForbidden():
                self._counts["forbidden"] += 1
                self._forbid(key.namespace, now_s, error)
                self._backlog.put_back(key, work, now_s + _FORBIDDEN_S)
            case ApiInvalid():
                # It would be refused again; another change of the Route, or of its verdict, is another try.
                self._counts["invalid"] += 1
                log.error("status refused", namespace=key.namespace, route=key.name, problem=str(error))
            case _:
                self._trouble(error, now_s)
                self._backlog.put_back(key, work, self._resume_s)

    def _trouble(self, error: ApiError, now_s: float) -> None:
        """Wait with everything: it is the API server, or the way to it."""
        pause_s = self._backoff.pause_s()
        result = "failed"
        if isinstance(error, ApiBusy):
            result = "busy"
            pause_s = error.retry_after_s if error.retry_after_s is not None else pause_s
        elif isinstance(error, ApiUnreachable):
            result = "unreachable"
        elif isinstance(error, ApiUnauthorized):
            result = "unauthorized"
            self._refresh_credentials()
        self._counts[result] += 1
        self._resume_s = now_s + pause_s
        if not self._problem:
            log.warning("status not written", problem=str(error), retry_in_seconds=pause_s, waiting=self.queued + 1)
        self._problem = str(error)

    def _refresh_credentials(self) -> None:
        try:
            self._api.refresh_credentials()
        except ApiError as error:
            log.warning("credentials not refreshed", problem=str(error))

    def _forbid(self, namespace: str, now_s: float, error: ApiForbidden) -> None:
        if namespace not in self._forbidden and len(self._forbidden) < _FORBIDDEN_NAMED:
            log.error(
                "status not permitted", namespace=namespace, problem=str(error), retry_in_seconds=int(_FORBIDDEN_S)
            )
        self._forbidden[namespace] = now_s + _FORBIDDEN_S

    def _recovered(self) -> None:
        """Take note that the API server does what is asked. A mere read is no sign of it: writes may fail on."""
        self._backoff.reset()
        if self._problem:
            log.info("status written again")
            self._problem = ""


def _different(before: Mapping[ObjectKey, Verdict], after: Mapping[ObjectKey, Verdict]) -> Iterator[ObjectKey]:
    """Give the keys whose verdict is another; the same mapping, or equal ones, cost next to nothing."""
    if before is after or before == after:
        return
    for key, verdict in after.items():
        former = before.get(key)
        if former is not verdict and former != verdict:
            yield key
    yield from before.keys() - after.keys()
