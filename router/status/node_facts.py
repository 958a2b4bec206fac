"""What is a fact of this node alone, as told by a replica that does not lead: by Events, and by taking its own words back.

A port that something else on the node has, or a section that the HAProxy there refuses, concerns one replica; the Route's status has
room for one statement. So the leader writes what is so on its node, and names it. Others tell theirs by an Event. A statement
outlives its author's lead: it is its node's to take back, whoever leads by then, or the leader's once no router runs there. So
a change of the leader changes nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from router.admission import Verdict
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.kube.api import Api
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.status.events import EventSender
from router.status.notices import aside_notice, recovered_notice
from router.status.outage import Outage
from router.status.pacing import TokenBucket
from router.status.route import Identity, decide_status, named_node
from router.status.route_api import patch_status, read_route, same_request

log = structlog.get_logger()

_WAIT_S = 5.0
"""What is over sooner is not told, nor is what a replica finds that is about to lead."""
_IDLE_S = 0.25


@dataclass(frozen=True, slots=True)
class _Fact:
    """What became of one Route here, to be told at ``due_s``."""

    route: Route
    verdict: Verdict
    due_s: float


class NodeFacts:
    """Tells of Routes that are set aside here, and that they are not any more.

    ``note`` and ``lead`` may come from any thread, ``step`` from one.

    Args:
        api: the API server.
        identity: who tells, and on which node.
        events: sends the Events.
        bucket: counts requests.
        outage: what keeps all from being written.
        counts: of writes, by result.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it shares with who writes statuses
        self,
        api: Api,
        identity: Identity,
        events: EventSender,
        bucket: TokenBucket,
        outage: Outage,
        counts: Counter[str],
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._identity = identity
        self._events = events
        self._bucket = bucket
        self._outage = outage
        self._counts = counts
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._leads = False
        self._told: dict[ObjectKey, str] = {}
        """What was told last of each Route that is set aside here."""
        self._pending: dict[ObjectKey, _Fact] = {}

    def lead(self, *, leads: bool) -> None:
        """Take note whether this replica leads: then all of it is told by the status."""
        with self._lock:
            self._leads = leads
            if leads:
                self._pending.clear()

    def note(
        self, keys: Iterable[ObjectKey], routes: Mapping[ObjectKey, Route], verdicts: Mapping[ObjectKey, Verdict]
    ) -> None:
        """Take note of Routes that may be different now."""
        due_s = self._clock() + _WAIT_S
        with self._lock:
            for key in keys:
                route, verdict = routes.get(key), verdicts.get(key)
                if route is None or verdict is None:
                    self._told.pop(key, None)
                    self._pending.pop(key, None)
                elif self._leads:
                    self._told.pop(key, None)
                    if verdict.set_aside:
                        self._told[key] = verdict.message
                elif self._is_new(key, route, verdict):
                    former = self._pending.get(key)
                    self._pending[key] = _Fact(route, verdict, former.due_s if former is not None else due_s)
                else:
                    self._pending.pop(key, None)

    def step(self, may_send: Callable[[], bool]) -> float:
        """Tell the next that is due, by one request at most; give the seconds until there can be something to do."""
        now_s = self._clock()
        pause_s = max(self._outage.resume_s - now_s, self._bucket.delay_s(now_s))
        if pause_s > 0:
            return min(pause_s, _IDLE_S)
        with self._lock:
            key = next((key for key, fact in self._pending.items() if fact.due_s <= now_s), None)
            fact = self._pending.pop(key) if key is not None else None
            told = self._told.pop(key, None) if key is not None else None
            if key is not None and fact is not None and fact.verdict.set_aside:
                self._told[key] = fact.verdict.message
        if fact is not None:
            if fact.verdict.set_aside:
                self._events.add(aside_notice(fact.route, fact.verdict))
            elif told is not None and fact.verdict.admitted:
                self._events.add(recovered_notice(fact.route, self._identity.node))
            if not fact.verdict.set_aside and named_node(fact.route, self._identity) == self._identity.node:
                self._take_back(fact)
                return 0.0
        if self._events.send_one(may_send):
            self._bucket.take(now_s)
            return 0.0
        return 0.0 if fact is not None else _IDLE_S

    def _is_new(self, key: ObjectKey, route: Route, verdict: Verdict) -> bool:
        if verdict.set_aside:
            return self._told.get(key) != verdict.message
        # Of what is rejected for another reason the leader tells, and overwrites what was said.
        return key in self._told or (verdict.admitted and named_node(route, self._identity) == self._identity.node)

    def _take_back(self, fact: _Fact) -> None:
        """Write a status that says that this node has something against a Route, which it has not any more."""
        change = decide_status(fact.route, fact.verdict, self._identity, self._wall_clock())
        if change is None:
            return
        self._bucket.take(self._clock())
        try:
            patch_status(self._api, fact.route.key, change.patch)
        except ApiConflict:
            self._counts["conflict"] += 1
            self._read_again(fact)
        except (ApiForbidden, ApiNotFound, ApiInvalid) as error:
            key = fact.route.key
            log.info("statement not taken back", namespace=key.namespace, route=key.name, problem=str(error))
        except ApiError as error:
            self._fail(fact, error)
        else:
            self._counts["written"] += 1
            self._outage.over()

    def _read_again(self, fact: _Fact) -> None:
        self._bucket.take(self._clock())
        try:
            fresh = read_route(self._api, fact.route.key)
        except (ApiNotFound, ApiForbidden, ApiInvalid):
            return
        except ApiError as error:
            self._fail(fact, error)
            return
        # Of one that asks for something else by now the watch brings the verdict.
        if same_request(fresh, fact.route):
            self._put_back(_Fact(fresh, fact.verdict, self._clock() + _IDLE_S))

    def _fail(self, fact: _Fact, error: ApiError) -> None:
        self._counts[self._outage.failed(error, self._clock(), 1)] += 1
        self._put_back(_Fact(fact.route, fact.verdict, self._outage.resume_s))

    def _put_back(self, fact: _Fact) -> None:
        with self._lock:
            if not self._leads:
                self._pending.setdefault(fact.route.key, fact)
