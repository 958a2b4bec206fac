"""Writes the status of Routes, and Events about them: from a queue, at a bounded rate, and only while this replica leads.

The reconcile thread says what changed (``update``); one thread of our own takes one Route after another from the queue, decides
again what its status shall say (``status.route``) and sends one request at a time (``status.attending``). A Route whose status says so already costs nothing, and so our own write,
which comes back through the watch, causes no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from router.admission import Verdict
from router.admission.verdicts import different
from router.errors import (
    ApiError,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
    ApiUnreadable,
)
from router.kube.api import Api
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.backlog import Work
from router.status.balanced import Balancing
from router.status.desk import Desk
from router.status.events import EventSender
from router.status.kinds import KINDS, ROUTES, StatusKind
from router.status.leading import LeadingWriter
from router.status.namespaces import NamespaceTeller
from router.status.pacing import TokenBucket
from router.status.precedence import Precedence
from router.status.route import Identity
from router.status.selection import Search, Selection
from router.status.track import Track
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_EVERYTHING = Selection()
_CLAIM_S = 30.0
"""When a status that waits for a claim is looked at again at the latest; as a rule ``release`` is sooner."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast requests may follow each other.

    50 a second is what controllers of Kubernetes itself use at most (client-go's default is 5): 5,000 Routes take 100
    seconds, and an API server that serves a cluster does not notice.
    """

    per_second: float = 50.0
    burst: int = 100


class StatusWriter(LeadingWriter):
    """Reports on Routes, from ``start`` to ``stop``.

    Args:
        api: the API server.
        router_name: whose entries in the status are ours.
        canonical_hostname: the name by which clients reach the router; empty is not known.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        instance: this replica's name in Events, as a rule the pod's.
        node: where this replica runs; named in what is a fact of it alone.
        nodes: says where routers of ours run, None where that is not known; must not block.
        balancing: what is known of addresses, for Services that the router balances.
        kinds: of the objects that are told.
        selection: which Routes are followed.
        precedence: says which statuses wait for a claim; None where no claims are written.
        rate: of all requests, reads and Events too.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch, for the times in what is written.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - who writes, where, at which rate, and two clocks with defaults
        self,
        api: Api,
        router_name: str,
        canonical_hostname: str,
        is_leader: Callable[[], bool],
        *,
        instance: str = "",
        node: str = "",
        nodes: Callable[[], frozenset[str] | None] = lambda: None,
        balancing: Balancing | None = None,
        kinds: tuple[StatusKind, ...] = KINDS,
        selection: Selection = _EVERYTHING,
        precedence: Precedence | None = None,
        rate: Rate = Rate(),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        super().__init__(
            "status", is_leader, TokenBucket(rate.per_second, rate.burst), clock=clock, supervisor=supervisor
        )
        self._identity = Identity(router_name, canonical_hostname, node, balancing or Balancing())
        self._hostname = canonical_hostname
        self._nodes = nodes
        self._nodes_seen: frozenset[str] | None = None
        self._events = EventSender(api, self._identity, instance or router_name, clock=clock, wall_clock=wall_clock)

        self._namespaces = NamespaceTeller(self._events)
        self._precedence = precedence or Precedence()

        self._search = Search(api, selection, router_name)

        # Of the reconcile thread.
        self._verdicts: Mapping[Asker, Verdict] = {}

        # Of the writing thread.
        self._desk = desk = Desk(
            api=api,
            identity=self._identity,
            bucket=self._bucket,
            outage=self._outage,
            counts=self._counts,
            clock=clock,
            wall_clock=wall_clock,
            nodes=nodes,
            may_write=self._may_write,
        )
        # A Service goes out of sight by asking no more, too.
        self._tracks = tuple(
            Track(kind, desk, self._events, selection, follows_all=kind is ROUTES and not selection.is_partial)
            for kind in kinds
        )
        self._backlog = self._tracks[0].backlog
        """Of Routes: the thread waits for what comes to it."""

    # Any thread

    def wake(self) -> None:
        """Look now whether this replica leads."""
        self._backlog.wake()

    def release(self, kind: str, key: ObjectKey) -> None:
        """Let the status of an object wait for its claims no more."""
        for track in self._tracks:
            if track.kind.kind == kind:
                track.backlog.release(key)

    def reached_by(self, hostname: str) -> None:
        """Take the name or address by which clients reach the router now; empty is not known."""
        self._hostname = hostname
        self.wake()

    def writes(self) -> Mapping[str, int]:
        """Give how many writes of a status there were, by result (docs/status.md)."""
        return dict(self._counts)

    def events(self) -> Mapping[str, int]:
        """Give how many Events were sent, by result (docs/status.md)."""
        return self._events.counts()

    @property
    def queued(self) -> int:
        """How many objects wait for a look at their status."""
        return sum(len(track.backlog) for track in self._tracks)

    # The reconcile thread

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Take note of what changed.

        Best called when ``snapshot`` was decided from these ``objects``: with nothing that waits for a reload. Changes are
        only remembered before a first configuration is served, and while changes cannot be applied: what is not served is
        not reported, and a replica that serves something old must not report that.

        Args:
            snapshot: the verdicts that HAProxy serves.
            objects: all objects, ours or not.
            changed: what may ask, and is another object than at the last call.
        """
        for track in self._tracks:
            track.changed(key for struct, key in changed if struct is track.kind.struct)
        if not snapshot.configured or snapshot.problem:
            return
        is_news = self._namespaces.update(snapshot.policy, objects)
        former, self._verdicts = self._verdicts, snapshot.verdicts
        askers = different(former, snapshot.verdicts)
        for track in self._tracks:
            is_news |= track.note(askers, snapshot.verdicts, objects)
        if is_news:
            # Not for endpoints, of which no status tells: a thread that is woken for nothing takes Python's lock from the others.
            self._backlog.wake()

    # The writing thread

    def _wait(self, pause_s: float) -> None:
        self._backlog.wait(pause_s)

    def _rest(self) -> float:
        self._look_at_hostname()
        return min(track.node_facts.step(lambda: not self._stopping) for track in self._tracks)

    def _write_next(self, now_s: float) -> float:
        self._look_at_nodes()
        self._look_at_hostname()
        self._namespaces.tell()
        # What happened to a Route just now, and the Event of it, goes before all that was there at the start.
        is_urgent = any(track.backlog.is_urgent(now_s) for track in self._tracks)
        if not is_urgent and self._send_event(now_s, only_news=True):
            return 0.0
        if self._attend(now_s):
            return 0.0
        if self._send_event(now_s) or self._look_further():
            return 0.0
        due_s = min(*(track.backlog.due_s() for track in self._tracks), self._events.due_s())
        return max(due_s - now_s, 0.0)

    def _attend(self, now_s: float) -> bool:
        """Attend to the next that are due, until a request was made; what is urgent of any kind goes first. Say whether one was."""
        for track in sorted(self._tracks, key=lambda track: not track.backlog.is_urgent(now_s)):
            while (item := self._take(track, now_s)) is not None:
                if track.attendant.attend(*item):
                    return True
        return False

    def _take(self, track: Track, now_s: float) -> tuple[ObjectKey, Work] | None:
        """Take the next that is due, and of which no claim waits to be written."""
        kind = track.kind.kind
        while True:
            with self._precedence.lock:
                item = track.backlog.pop(now_s)
                if item is None or not self._precedence.waits(kind, item[0]):
                    return item
                track.backlog.put_back(*item, now_s + _CLAIM_S)
            if not self._precedence.waits(kind, item[0]):
                # It was written in this very instant.
                self.release(kind, item[0])

    def _send_event(self, now_s: float, *, only_news: bool = False) -> bool:
        is_sent = self._events.send_one(self._may_write, only_news=only_news)
        if is_sent:
            self._bucket.take(now_s)
        return is_sent

    def _look_further(self) -> bool:
        """Look at a page of the Routes that selectors keep out of sight; say whether a request was made."""
        if self._search.is_over or not self._backlog.has_begun or not self._may_write():
            return False
        self._bucket.take(self._clock())
        try:
            self._backlog.look_for(self._search.next_page(), self._clock())
        except (ApiForbidden, ApiNotFound, ApiInvalid, ApiUnreadable) as error:
            self._search.end()
            log.info("routes that left the shard are not looked for", problem=str(error))
        except ApiError as error:
            self._tracks[0].attendant.trouble(error, self._clock())
        else:
            self._outage.over()
        return True

    def _look_at_nodes(self) -> None:
        """Look again at what was said of other nodes, if routers run elsewhere than before."""
        nodes = self._nodes()
        if nodes != self._nodes_seen:
            self._nodes_seen = nodes
            for track in self._tracks:
                if self._identity.balancing.ips:
                    track.look_at_all()
                else:
                    track.look_again(self._identity)

    def _look_at_hostname(self) -> None:
        """Look at everything again, if clients reach the router by another name than before."""
        hostname = self._hostname
        if hostname != self._desk.identity.canonical_hostname:
            self._desk.identity = replace(self._desk.identity, canonical_hostname=hostname)
            for track in self._tracks:
                track.look_at_all()

    def _gain(self) -> None:
        for track in self._tracks:
            track.node_facts.lead(leads=True)
            track.backlog.open()
        self._search.begin()
        log.info("reporting on routes", routes=self.queued)

    def _give_up(self) -> None:
        for track in self._tracks:
            track.node_facts.lead(leads=False)
            track.backlog.close()
            track.teller.clear()
        self._namespaces.clear()
        self._search.end()
        log.info("reporting no more", reason="another replica leads, or the router stops")
