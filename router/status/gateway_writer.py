"""Writes the statuses of the Gateway API's objects: after HAProxy serves what they say, at a bounded rate, while this replica leads.

The reconcile thread says what changed (``update``); one thread of our own takes one object after another from the queue, and writes it by one
request (``status.gateway``). An object whose status says so already costs nothing, and so our own write, which comes back through the watch,
causes no other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec
import structlog

from router.admission import Verdict
from router.admission.gateway.index import Index
from router.admission.gateway.states import (
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    ListenerSetState,
    State,
    StateKey,
)
from router.admission.verdicts import different
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.kube.api import Api
from router.model import Asker
from router.objects.gateway import GROUP, Gateway, GatewayClass, ListenerSet, TcpRoute, TlsRoute
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.objects.tcp_route_policy import POLICY_GROUP, POLICY_KIND, POLICY_VERSION, TcpRoutePolicy
from router.ordered import different_values
from router.reconcile.snapshot import Snapshot
from router.shapes import reader
from router.status.events import EventSender
from router.status.forbidden import Forbidden
from router.status.gateway import Facts, Told, Verdicts, decide, set_conditions
from router.status.gateway_notices import notices
from router.status.leading import LeadingWriter
from router.status.pacing import TokenBucket, WorkQueue
from router.status.precedence import Precedence
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.bell import Bell

log = structlog.get_logger()

MERGE_PATCH = "application/merge-patch+json"
_ROOT = f"/apis/{GROUP}/v1"
_PARENTS = frozenset({GATEWAY_KIND, LISTENER_SET_KIND})
"""Kinds that claim something."""
_CLASS = "GatewayClass"
_STRUCTS: Mapping[str, type[Told]] = {
    _CLASS: GatewayClass,
    GATEWAY_KIND: Gateway,
    LISTENER_SET_KIND: ListenerSet,
    "TCPRoute": TcpRoute,
    "TLSRoute": TlsRoute,
    POLICY_KIND: TcpRoutePolicy,
}
_PLURALS = {_CLASS: "gatewayclasses", POLICY_KIND: "tcproutepolicies"}
"""Of others it is the name with an s."""
_ROOTS = {POLICY_KIND: f"/apis/{POLICY_GROUP}/{POLICY_VERSION}"}
"""Of kinds that are not of the Gateway API's own group."""
_KINDS: Mapping[type, str] = {struct: kind for kind, struct in _STRUCTS.items()}
_READERS: Mapping[str, Callable[[bytes], Told]] = {kind: reader(struct) for kind, struct in _STRUCTS.items()}
_PER_SECOND, _BURST = 50.0, 100
"""As of Routes' statuses."""
_CONFLICT_S, _LONGEST_CONFLICT_S = 0.05, 5.0
_CLAIM_S = 30.0


@dataclass(frozen=True, slots=True)
class _Work:
    """What is known of one object; whether its status must be written is decided when its turn comes."""

    obj: Told
    state: State
    verdicts: Verdicts
    attached_sets: int = 0
    """Of a Gateway: ListenerSets that are accepted."""
    conflicts: int = 0


class GatewayWriter(LeadingWriter):
    """Reports on the objects of the Gateway API, from ``start`` to ``stop``.

    Args:
        api: the API server.
        facts: who we are, and where.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        events: sends the Events.
        precedence: says which statuses wait for a claim.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - what it writes, when it may, and two clocks and an owner with defaults
        self,
        api: Api,
        facts: Facts,
        is_leader: Callable[[], bool],
        *,
        events: EventSender,
        precedence: Precedence | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        super().__init__(
            "gateway status", is_leader, TokenBucket(_PER_SECOND, _BURST), clock=clock, supervisor=supervisor
        )
        self._api = api
        self._facts = facts
        self._events = events
        self._precedence = precedence or Precedence()
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._bell = Bell()
        self._forbidden = Forbidden()
        self._queue: WorkQueue[StateKey, _Work] = WorkQueue(lambda key: key.namespace)
        self._known: dict[StateKey, _Work] = {}
        self._is_open = False

        # Of the reconcile thread.
        self._unlooked: set[StateKey] = set()
        self._states: Mapping[StateKey, State] = {}
        self._verdicts: Mapping[Asker, Verdict] = {}
        self._of_parent: dict[StateKey, dict[str, Verdict]] = {}
        """What became of the listeners of Gateways and ListenerSets."""
        self._accepted: Index[StateKey, StateKey] = Index()
        """ListenerSets that are accepted, by their Gateway."""

    # Any thread

    def wake(self) -> None:
        """Look now whether this replica leads."""
        self._bell.ring()

    def release(self, kind: str, key: ObjectKey) -> None:
        """Let the status of an object wait for its claims no more."""
        if kind in _PARENTS:
            self._put_again(lambda each: each == StateKey(kind, *key))

    def reached_by(self, hostname: str) -> None:
        """Take the name or address by which clients reach the router now; empty is not known."""
        if hostname != self._facts.hostname:
            self._facts = replace(self._facts, hostname=hostname)
            self._put_again(lambda each: each.kind == GATEWAY_KIND)

    def writes(self) -> Mapping[str, int]:
        """Give how many writes of a status there were, by result."""
        return dict(self._counts)

    def events(self) -> Mapping[str, int]:
        """Give how many Events there were, by result."""
        return self._events.counts()

    @property
    def queued(self) -> int:
        """How many objects wait for a look at their status."""
        return len(self._queue)

    # The reconcile thread

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take note of what changed; while changes cannot be applied it is only remembered."""
        self._unlooked.update(StateKey(_KINDS[kind], *key) for kind, key in changed if kind in _KINDS)
        if not snapshot.configured or snapshot.problem:
            return
        keys, self._unlooked = self._unlooked, set()
        former, self._states = self._states, snapshot.gateway_api
        if former is not self._states:
            before, after = different_values(former, self._states)
            keys.update(state.key for state in (*before, *after))
            keys.update(state.gateway for state in (*before, *after) if isinstance(state, ListenerSetState))
        told, self._verdicts = self._verdicts, snapshot.verdicts
        keys.update(self._keep(different(told, snapshot.verdicts)))
        for key in (each for each in keys if each.kind == LISTENER_SET_KIND):
            self._judge(key)
        if keys:
            self._note(keys, objects)

    def _keep(self, askers: Iterable[Asker]) -> Iterable[StateKey]:
        """Keep what became of listeners, by their Gateway or ListenerSet; give these, and the Gateways of the latter."""
        for asker in askers:
            if asker.group != GROUP or asker.kind not in _PARENTS:
                continue
            key = StateKey(asker.kind, asker.namespace, asker.name)
            sections = dict(self._of_parent.pop(key, {}))
            sections.pop(asker.section, None)
            verdict = self._verdicts.get(asker)
            if verdict is not None:
                sections[asker.section] = verdict
            if sections:
                self._of_parent[key] = sections
            yield key
            state = self._states.get(key)
            if isinstance(state, ListenerSetState):
                yield state.gateway

    def _note(self, keys: Iterable[StateKey], objects: Objects) -> None:
        with self._lock:
            for key in sorted(keys):
                obj, state = _object(key, objects), self._states.get(key)
                if obj is None or state is None:
                    self._known.pop(key, None)
                    self._queue.discard(key)
                    continue
                work = _Work(obj, state, self._verdicts_of(state), len(self._accepted.of(key)))
                self._known[key] = work
                if self._is_open:
                    self._queue.put(key, work)
        self._bell.ring()

    def _verdicts_of(self, state: State) -> Verdicts:
        found = self._of_parent.get(state.key, {})
        return {name: each for name, each in found.items() if each.asker.uid == state.uid}

    def _judge(self, listener_set: StateKey) -> None:
        """Take note whether a ListenerSet is accepted: its Gateway, of which there is more to be told as a rule, counts those."""
        state = self._states.get(listener_set)
        holds = isinstance(state, ListenerSetState) and set_conditions(state, self._verdicts_of(state))[0].holds
        self._accepted.put(listener_set, (state.gateway,) if isinstance(state, ListenerSetState) and holds else ())

    # The writing thread

    def _wait(self, pause_s: float) -> None:
        self._bell.wait(pause_s)

    def _gain(self) -> None:
        with self._lock:
            self._is_open = True
            for key, work in self._known.items():
                self._queue.put(key, work, is_urgent=False)

    def _give_up(self) -> None:
        with self._lock:
            self._is_open = False
            self._queue.clear()
        self._events.clear()

    def _write_next(self, now_s: float) -> float:
        while True:
            with self._lock:
                item = self._queue.pop(now_s)
                due_s = self._queue.due_s()
            if item is None:
                return self._send_event(due_s, now_s)
            if self._attend(*item, now_s):
                return 0.0

    def _send_event(self, due_s: float, now_s: float) -> float:
        """Send an Event, if one is due, while no status is; give the seconds until there can be something to do."""
        if self._events.send_one(self._may_write):
            self._bucket.take(now_s)
            return 0.0
        return max(min(due_s, self._events.due_s()) - now_s, 0.0)

    def _attend(self, key: StateKey, work: _Work, now_s: float) -> bool:
        """Bring one object's status level; say whether a request was made."""
        until_s = self._forbidden.until_s(key.namespace, now_s)
        if until_s is not None:
            self._put_back(key, work, until_s)
            return False
        if key.kind in _PARENTS and self._precedence.waits(key.kind, ObjectKey(key.namespace, key.name)):
            self._put_back(key, work, now_s + _CLAIM_S)
            return False
        try:
            return self._write(key, work)
        except ApiError as error:
            self._failed(key, work, error, now_s)
            return True

    def _write(self, key: StateKey, work: _Work) -> bool:
        obj = work.obj
        if work.conflicts:
            self._bucket.take(self._clock())
            obj = _decoded(key, self._api.get(_path(key, obj)))
        patch = decide(obj, work.state, work.verdicts, self._facts, self._wall_clock(), work.attached_sets)
        if patch is None:
            return bool(work.conflicts)
        if not self._may_write():
            return False
        self._bucket.take(self._clock())
        self._api.patch(f"{_path(key, obj)}/status", patch, MERGE_PATCH)
        self._counts["written"] += 1
        if not isinstance(obj, GatewayClass):
            for notice in notices(obj, key.kind, patch, self._facts.controller):
                self._events.add(notice)
        self._outage.over()
        if self._forbidden.permitted(key.namespace):
            log.info("gateway status permitted again", namespace=key.namespace)
        return True

    def _failed(self, key: StateKey, work: _Work, error: ApiError, now_s: float) -> None:
        match error:
            case ApiConflict():
                self._counts["conflict"] += 1
                pause_s = min(_CONFLICT_S * work.conflicts**2, _LONGEST_CONFLICT_S)
                self._put_back(key, replace(work, conflicts=work.conflicts + 1), now_s + pause_s)
            case ApiNotFound():
                self._counts["gone"] += 1
            case ApiForbidden():
                self._counts["forbidden"] += 1
                until_s = self._forbidden.refused(key.namespace, now_s)
                log.error("gateway status not permitted", object=str(key), problem=str(error))
                self._put_back(key, work, until_s)
            case ApiInvalid() | ApiError(status=400 | 413):
                # It would be refused again; another change of the object, or of what it is told, is another try.
                self._counts["invalid"] += 1
                log.error("gateway status refused", object=str(key), problem=str(error))
            case _:
                self._counts[self._outage.failed(error, now_s, len(self._queue) + 1)] += 1
                self._put_back(key, work, self._outage.resume_s)

    def _put_back(self, key: StateKey, work: _Work, due_s: float) -> None:
        with self._lock:
            if self._is_open:
                self._queue.put_later(key, work, due_s)

    def _put_again(self, concerns: Callable[[StateKey], bool]) -> None:
        with self._lock:
            for key, work in self._known.items():
                if self._is_open and concerns(key):
                    self._queue.put(key, work)
        self._bell.ring()


def _object(key: StateKey, objects: Objects) -> Told | None:
    found: Told | None = objects.gateway_api.by_kind[_STRUCTS[key.kind]].get(ObjectKey(key.namespace, key.name))
    return found


def _path(key: StateKey, obj: Told) -> str:
    root = f"/apis/{version}" if (version := getattr(obj, "api_version", "")) else _ROOTS.get(key.kind, _ROOT)
    scope = f"/namespaces/{key.namespace}" if key.namespace else ""
    return f"{root}{scope}/{_PLURALS.get(key.kind, f'{key.kind.lower()}s')}/{key.name}"


def _decoded(key: StateKey, body: bytes) -> Told:
    try:
        return _READERS[key.kind](body)
    except msgspec.DecodeError as error:
        raise ApiInvalid(f"the API server gave something that is no {key.kind}: {error}") from error
