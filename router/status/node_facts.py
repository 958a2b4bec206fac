"""What is a fact of this node alone, as told by a replica that does not lead: by Events, and by taking its own words back.

A port that something else on the node has, or a section that the HAProxy there refuses, concerns one replica; the Route's status has
room for one statement. So the leader writes what is so on its node, and names it. Others tell theirs by an Event. A statement
outlives its author's lead: it is its node's to take back, whoever leads by then, or the leader's once no router runs there. So
a change of the leader changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from router.admission import Verdict
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.status.desk import Desk
from router.status.events import EventSender
from router.status.kinds import ROUTES, StatusKind
from router.status.notices import aside_notice, recovered_notice

log = structlog.get_logger()

_WAIT_S = 5.0
"""What is over sooner is not told, nor is what a replica finds that is about to lead."""
_IDLE_S = 0.25


@dataclass(frozen=True, slots=True)
class _Fact:
    """What became of one Route here, to be told at ``due_s``."""

    obj: AskingObject
    verdict: Verdict
    due_s: float


class NodeFacts:
    """Tells of Routes that are set aside here, and that they are not any more.

    ``note`` and ``lead`` may come from any thread, ``step`` from one.

    Args:
        desk: what it shares with who writes statuses.
        events: sends the Events.
        kind: of the objects; Routes where nothing else is said.
    """

    def __init__(self, desk: Desk, events: EventSender, kind: StatusKind = ROUTES) -> None:
        self._kind = kind
        self._desk = desk
        self._events = events
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
        self, keys: Iterable[ObjectKey], routes: Mapping[ObjectKey, AskingObject], verdicts: Mapping[ObjectKey, Verdict]
    ) -> None:
        """Take note of Routes that may be different now."""
        due_s = self._desk.clock() + _WAIT_S
        with self._lock:
            for key in keys:
                obj, verdict = routes.get(key), verdicts.get(key)
                if obj is None or verdict is None:
                    self._told.pop(key, None)
                    self._pending.pop(key, None)
                elif self._leads:
                    self._told.pop(key, None)
                    if verdict.set_aside:
                        self._told[key] = verdict.message
                elif self._is_new(key, obj, verdict):
                    former = self._pending.get(key)
                    self._pending[key] = _Fact(obj, verdict, former.due_s if former is not None else due_s)
                else:
                    self._pending.pop(key, None)

    def step(self, may_send: Callable[[], bool]) -> float:
        """Tell the next that is due, by one request at most; give the seconds until there can be something to do."""
        now_s = self._desk.clock()
        pause_s = max(self._desk.outage.resume_s - now_s, self._desk.bucket.delay_s(now_s))
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
                self._events.add(aside_notice(fact.obj, fact.verdict))
            elif told is not None and fact.verdict.admitted:
                self._events.add(recovered_notice(fact.obj, self._desk.identity.node))
            if (
                not fact.verdict.set_aside
                and self._kind.named_node(fact.obj, self._desk.identity) == self._desk.identity.node
            ):
                self._take_back(fact)
                return 0.0
        if self._events.send_one(may_send):
            self._desk.bucket.take(now_s)
            return 0.0
        return 0.0 if fact is not None else _IDLE_S

    def _is_new(self, key: ObjectKey, obj: AskingObject, verdict: Verdict) -> bool:
        if verdict.set_aside:
            return self._told.get(key) != verdict.message
        # Of what is rejected for another reason the leader tells, and overwrites what was said.
        return key in self._told or (
            verdict.admitted and self._kind.named_node(obj, self._desk.identity) == self._desk.identity.node
        )

    def _take_back(self, fact: _Fact) -> None:
        """Write a status that says that this node has something against a Route, which it has not any more."""
        change = self._kind.decide(fact.obj, fact.verdict, self._desk.identity, self._desk.wall_clock(), None)
        if change is None:
            return
        self._desk.bucket.take(self._desk.clock())
        try:
            self._kind.patch(self._desk.api, fact.obj.key, change.patch, self._desk.identity)
        except ApiConflict:
            self._desk.counts["conflict"] += 1
            self._read_again(fact)
        except (ApiForbidden, ApiNotFound, ApiInvalid) as error:
            key = fact.obj.key
            log.info(
                "statement not taken back",
                namespace=key.namespace,
                **{self._kind.kind.lower(): key.name},
                problem=str(error),
            )
        except ApiError as error:
            self._fail(fact, error)
        else:
            self._desk.counts["written"] += 1
            self._desk.outage.over()

    def _read_again(self, fact: _Fact) -> None:
        self._desk.bucket.take(self._desk.clock())
        try:
            fresh = self._kind.read(self._desk.api, fact.obj.key)
        except (ApiNotFound, ApiForbidden, ApiInvalid):
            return
        except ApiError as error:
            self._fail(fact, error)
            return
        # Of one that asks for something else by now the watch brings the verdict.
        if self._kind.same_request(fresh, fact.obj):
            self._put_back(_Fact(fresh, fact.verdict, self._desk.clock() + _IDLE_S))

    def _fail(self, fact: _Fact, error: ApiError) -> None:
        self._desk.counts[self._desk.outage.failed(error, self._desk.clock(), 1)] += 1
        self._put_back(_Fact(fact.obj, fact.verdict, self._desk.outage.resume_s))

    def _put_back(self, fact: _Fact) -> None:
        with self._lock:
            if not self._leads:
                self._pending.setdefault(fact.obj.key, fact)
