"""Brings namespaces level, one after the other, while this process leads: decides, writes, and decides again by what came of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from router.errors import ApiError
from router.objects.labels import matcher
from router.pair.decision import decide
from router.pair.model import Decision, PairSettings, Side, View, Write
from router.pair.naming import Naming
from router.pair.notes import notice
from router.pair.objects import CLAIMS
from router.pair.prober import Prober
from router.pair.refusals import Refusals
from router.pair.way import Standing, Way
from router.status.events import EventSender
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.bell import Bell

log = structlog.get_logger()

SIDES: tuple[Side, Side] = ("local", "remote")
_IDLE_S = 0.25
_STOPS_WITHIN_S = 1.0
_LOOK_S = 0.5
"""Between two looks at what waits for its time."""
_ALL_AGAIN_S = 30.0
"""So often all is looked at anew: what nothing told of, such as a port of somebody else's that became free."""
_MOST_WRITES = 60
"""In a row for one namespace, then the others' turn comes: about what a claim needs from its beginning to its end, three times."""


class Worker:
    """Works from ``start`` to ``stop``.

    Args:
        ways: both clusters.
        settings: of the admin.
        selector: a label selector of namespaces of the first cluster.
        prober: finds out who can be reached.
        naming: knows the addresses of names.
        events: sends Events.
        is_leader: says whether this process may write; is asked before each request.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        ways: Mapping[Side, Way],
        settings: PairSettings,
        selector: str,
        *,
        prober: Prober,
        naming: Naming,
        events: EventSender,
        is_leader: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._ways = ways
        self._settings = settings
        self._selects = matcher(selector)
        self._prober = prober
        self._naming = naming
        self._events = events
        self._is_leader = is_leader
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self._bell = Bell()
        self._dirty: OrderedDict[str, None] = OrderedDict()
        self._is_all_dirty = True
        self._leads = False
        self._is_stopping = False
        self._refusals = Refusals()
        self._waiting: dict[str, dict[str, float]] = {}
        """Since when claims wait for a number, by namespace."""
        self._away_since_s: float | None = None
        self._was_away = False
        self._looks_s = self._all_again_s = float("-inf")
        self._decisions: dict[str, Decision] = {}
        self.last_turn_s = clock()
        """When the thread was last seen to go on (of ``clock``)."""
        self._thread = supervisor.own("pair", self._run, ask_to_end=self._ask_to_end)

    # Any thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a request that is under way is waited for at most a second."""
        self._thread.stop(_STOPS_WITHIN_S)

    def wake(self) -> None:
        """Look now whether this process leads."""
        self._bell.ring()

    def changed(self, namespace: str | None) -> None:
        """Take note that something of a namespace is otherwise than before; None is all of them."""
        with self._lock:
            if namespace is None:
                self._is_all_dirty = True
            else:
                self._dirty[namespace] = None
        self._bell.ring()

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self._leads

    def standing(self) -> Standing:
        """Say how it stands with all claims."""
        decisions = list(self._decisions.values())
        return Standing(
            claims=sum(each.claims for each in decisions),
            paired=sum(each.paired for each in decisions),
            waiting=sum(len(each.waiting) for each in decisions),
            refused=self._refusals.told,
            orphans=sum(len(each.orphans) for each in decisions),
        )

    # The working thread

    def _ask_to_end(self) -> None:
        self._is_stopping = True
        self._bell.ring()

    def _run(self) -> None:
        self._lose()
        while not self._is_stopping:
            pause_s = self.step()
            if pause_s > 0:
                self._bell.wait(pause_s)

    def step(self) -> float:
        """Do what is to be done next; give the seconds until there can be something, unless there is news."""
        now_s = self.last_turn_s = self._clock()
        if not self._may_write():
            return _IDLE_S
        if not self._leads:
            self._leads = True
            self._is_all_dirty = True
        if now_s >= self._looks_s:
            self._looks_s = now_s + _LOOK_S
            self._look(now_s)
        if not self._ways["local"].is_synced():
            return _IDLE_S
        namespace = self._next()
        if namespace is not None:
            self._level(namespace)
            return 0.0
        if self._events.due_s() <= now_s and self._events.send_one(self._may_write):
            return 0.0
        return _IDLE_S

    def _may_write(self) -> bool:
        if not self._is_stopping and self._is_leader():
            return True
        self._lose()
        return False

    def _lose(self) -> None:
        if self._leads:
            self._leads = False
            self._prober.clear()
            self._events.clear()
        self._refusals.clear()
        self._waiting.clear()
        self._decisions.clear()

    def _next(self) -> str | None:
        """Take the next namespace of which there is news."""
        with self._lock:
            is_all, self._is_all_dirty = self._is_all_dirty, False
        if is_all:
            names = set(self._decisions).union(*(way.seen.namespaces_with_claims() for way in self._ways.values()))
            with self._lock:
                for name in sorted(names):
                    self._dirty.setdefault(name)
        with self._lock:
            return self._dirty.popitem(last=False)[0] if self._dirty else None

    def _look(self, now_s: float) -> None:
        """Look at what waits for its time: refusals, claims without a number, clusters that answer again."""
        for way in self._ways.values():
            if way.opens(now_s):
                self.changed(None)
        remote = self._ways["remote"]
        if remote.is_synced() and remote.is_connected():
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = now_s
        self._look_whether_away(now_s)
        for namespace in self._refusals.due(now_s):
            self.changed(namespace)
        for namespace, since in self._waiting.items():
            waits_s = (now_s - each - self._settings.pair_wait_s for each in since.values())
            if any(-_LOOK_S <= each <= _LOOK_S for each in waits_s):
                self.changed(namespace)
        if now_s >= self._all_again_s:
            self._all_again_s = now_s + _ALL_AGAIN_S
            self.changed(None)

    def _look_whether_away(self, now_s: float) -> None:
        is_away = self._away_s(now_s) >= self._settings.pair_wait_s
        if is_away is self._was_away:
            return
        self._was_away = is_away
        if is_away:
            log.warning("peer away", cluster=self._settings.remote_name)
        else:
            log.info("peer back", cluster=self._settings.remote_name)
        self.changed(None)

    def _away_s(self, now_s: float) -> float:
        return now_s - self._away_since_s if self._away_since_s is not None else 0.0

    def _level(self, namespace: str) -> None:
        """Bring one namespace level, as far as it can be now."""
        left = _MOST_WRITES
        while left > 0:
            now_s = self._clock()
            labels = self._ways["local"].seen.labels_of(namespace)
            if labels is None:
                # It is on its way, or there are claims in the other cluster alone. Whether it is selected its labels say.
                return
            decision = decide(self._view(namespace, now_s, is_selected=self._selects(labels)), self._settings)
            self._take(namespace, decision, now_s)
            made, has_changed = self._carry_out(namespace, decision, left)
            left -= made
            if not has_changed and left > 0:
                return
        self.changed(namespace)

    def _view(self, namespace: str, now_s: float, *, is_selected: bool) -> View:
        local, remote = self._ways["local"], self._ways["remote"]
        return View(
            namespace=namespace,
            is_selected=is_selected,
            local=local.seen.corner(namespace, is_connected=local.is_open(now_s)),
            remote=remote.seen.corner(namespace, is_connected=remote.is_open(now_s)) if remote.is_synced() else None,
            away_s=self._away_s(now_s),
            waited_s={name: now_s - since for name, since in self._waiting.get(namespace, {}).items()},
            addresses=self._naming.known,
            reach=self._prober.reach(namespace),
            problems=self._refusals.problems(namespace, now_s),
            now=datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _take(self, namespace: str, decision: Decision, now_s: float) -> None:
        """Take what a decision says beside its writes."""
        former = self._decisions.get(namespace)
        if decision.orphans and (former is None or former.orphans != decision.orphans):
            log.warning(
                "written for claims that are not there",
                namespace=namespace,
                objects=[
                    f"{each.resource}/{each.name} in {self._settings.name(each.side)}" for each in decision.orphans
                ],
            )
        if decision.claims or decision.orphans or decision.writes:
            self._decisions[namespace] = decision
        else:
            self._decisions.pop(namespace, None)
        self._prober.want(namespace, decision.probes)
        self._naming.want(namespace, decision.names)
        since = self._waiting.pop(namespace, {})
        if decision.waiting:
            self._waiting[namespace] = {name: since.get(name, now_s) for name in decision.waiting}

    def _carry_out(self, namespace: str, decision: Decision, most: int) -> tuple[int, bool]:
        """Make writes that are due, so many at most.

        Returns:
            How many were made, and whether any changed something, so that it is to be decided anew.
        """
        made, has_changed = 0, False
        self._refusals.keep(namespace, {each.target for each in decision.writes})
        for write in decision.writes:
            way = self._ways[write.target.side]
            now_s = self._clock()
            if not way.is_open(now_s) or self._refusals.holds_back(write, now_s):
                continue
            if made >= most or not self._may_write():
                break
            made += 1
            delay_s = way.bucket.delay_s(now_s)
            if delay_s > 0:
                self._bell.wait(delay_s)
            way.bucket.take(self._clock())
            has_changed |= self._write(namespace, way, write)
        return made, has_changed

    def _write(self, namespace: str, way: Way, write: Write) -> bool:
        target = write.target
        before = self._version(way, write)
        try:
            problem = way.hands.do(write)
        except ApiError as error:
            way.outage.failed(error, self._clock(), 1)
            return False
        way.outage.over()
        if problem is not None:
            self._refusals.refuse(namespace, self._settings.name(target.side), write, problem, self._clock())
            # Decided once more, so that it is told.
            self.changed(namespace)
            return False
        # The kind may have no such field over there, say: to write it again would be of no use, until something else is changed.
        has_effect = write.verb not in {"patch", "status"} or self._version(way, write) != before
        self._refusals.done(namespace, write, has_effect=has_effect)
        if not has_effect:
            return False
        log.info(
            "written", verb=write.verb, cluster=self._settings.name(target.side), resource=target.resource,
            namespace=target.namespace, name=target.name, claim=write.claim,
        )  # fmt: skip
        claim = self._ways["local"].seen.claim(namespace, write.claim)
        if claim is not None:
            for each in write.told:
                self._events.add(notice(claim, each))
        return True

    @staticmethod
    def _version(way: Way, write: Write) -> str:
        """Give the version of a claim, as it is known; of other objects it does not matter."""
        if write.target.resource != CLAIMS.name:
            return write.version + write.verb
        found = way.seen.claim(write.target.namespace, write.target.name)
        return found.metadata.resource_version if found is not None else ""
