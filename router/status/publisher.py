"""Keeps the ports of the Service in front of the router level with what is served, while this replica leads; and tells what cannot be had there.

Who is served comes from the reconcile thread, the Service as it is from its watch, and from the answers to what is applied. What a
replica that does not lead finds out about ports it tells as well, but for what only the one that asked the API server can know.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from router.errors import ApiConflict, ApiDenied, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.kube.api import Api
from router.objects.meta import ObjectKey
from router.objects.portnote import PortNote
from router.objects.published import PublishedService, read_published
from router.status.leading import IDLE_S, LeadingWriter
from router.status.pacing import TokenBucket
from router.status.published import Decision, PublishRules, body_of, decide, nothing
from router.status.service import APPLY_PATCH
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.backoff import Backoff
from router.supervisor.bell import Bell

log = structlog.get_logger()

NOT_PUBLISHED = "NotPublished"
"""What the warning of a port begins with that clients do not reach through the Service."""
NODE_PORT = "NodePort"
"""What it begins with of a port that clients reach by another."""
_PER_SECOND = 20.0
_BURST = 20
_AGAIN_S = (5.0, 300.0)
"""First and longest pause until a refused port is tried again."""
_READ_S = 30.0
"""How long the Service may be unknown until who is served is told that it cannot be read."""
_TRY_S = 1.0
"""Between two of them."""
_CONFLICT_S = (0.05, 5.0)
_NUMBERS = re.compile(r"[0-9]+")
_MAX_TOLD = 300
"""Characters of the API server's words."""
_FEW = 10
"""Ports that a line of the log names."""

Tell = Callable[[Mapping[int, PortNote | None]], None]
"""Takes the notes that are others than before, None for those that are taken back."""

_Known = tuple[frozenset[int], PublishedService | None, dict[int, str]]
"""What is served, the Service, and which ports are refused for now."""


@dataclass(slots=True)
class _Refusal:
    """A port that the API server refused."""

    reason: str
    due_s: float
    """When it is tried again."""
    pauses: Backoff


class Publisher(LeadingWriter):
    """Writes one Service, from ``start`` to ``stop``.

    Args:
        api: the API server.
        key: of the Service.
        rules: of the admin.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - what it writes, when it may, and a clock and an owner with defaults
        self,
        api: Api,
        key: ObjectKey,
        rules: PublishRules,
        is_leader: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        super().__init__(
            "publish service", is_leader, TokenBucket(_PER_SECOND, _BURST), clock=clock, supervisor=supervisor
        )
        self.key = key
        self.tell: Tell = lambda _notes: None
        """Is told of ports; set before ``start``."""
        self.reached_by: Callable[[str], None] = lambda _address: None
        """Is told the address of the Service, empty while it has none; set before ``start``."""
        self._api = api
        self._rules = rules
        self._lock = threading.RLock()
        self._bell = Bell()
        self._served: frozenset[int] | None = None
        """None before anything is served."""
        self._served_since_s = 0.0
        self._service: PublishedService | None = None
        self._is_known = False

        # Of the writing thread.
        self._untried: list[frozenset[int]] = []
        """Ports that were refused together, in the parts in which they are tried next."""
        self._refusals: dict[int, _Refusal] = {}
        self._tried: frozenset[int] = frozenset()
        """Those of them that are tried again now: one, and all others when that one was taken."""
        self._next_try_s = float("-inf")
        self._decided: tuple[_Known, Decision] | None = None
        """The last decision, and by what it was made: most looks find nothing new."""
        self._conflicts = Backoff(*_CONFLICT_S)
        self._notes: dict[int, PortNote] = {}
        self._lacking = 0
        self._address = ""

    # Any thread

    def wake(self) -> None:
        """Look now whether this replica leads."""
        self._bell.ring()

    def serve(self, ports: frozenset[int]) -> None:
        """Take the ports that are served."""
        with self._lock:
            if self._served is None:
                self._served_since_s = self._clock()
            self._served = ports
        self._bell.ring()

    def see(self, service: PublishedService | None) -> None:
        """Take the Service as it is; None where it does not exist."""
        with self._lock:
            self._service, self._is_known = service, True
        self._bell.ring()

    def writes(self) -> Mapping[str, int]:
        """Give how many applies there were, by result (docs/metrics.md)."""
        return dict(self._counts)

    @property
    def lacking(self) -> int:
        """How many ports are served and cannot be had by the Service."""
        return self._lacking

    # The writing thread

    def _wait(self, pause_s: float) -> None:
        self._bell.wait(pause_s)

    def _gain(self) -> None:
        self._forget()

    def _give_up(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._untried.clear()
        self._refusals.clear()
        self._tried = frozenset()

    def _rest(self) -> float:
        self._look()
        return IDLE_S

    def _look(self) -> tuple[PublishedService, Decision] | None:
        """Decide by what is known now, and tell it; None while nothing can be written."""
        with self._lock:
            served, service, is_known = self._served, self._service, self._is_known
        if not is_known:
            if served is not None and self._clock() - self._served_since_s > _READ_S:
                self._note(nothing(served, "the router cannot read it; its log says why"))
            return None
        address = service.address if service is not None else ""
        if address != self._address:
            self._address = address
            self.reached_by(address)
        if served is None:
            return None
        for port in self._refusals.keys() - served:
            del self._refusals[port]
        self._choose()
        refused = {port: each.reason for port, each in self._refusals.items() if port not in self._tried}
        known = (served, service, refused)
        if self._decided is None or self._decided[0] != known:
            decision = decide(served, service, self._rules, refused)
            self._decided = known, decision
            self._note(decision)
            # What was refused to us may be there by another's doing.
            for port in self._refusals.keys() - decision.fresh - decision.left_out.keys() - decision.owned:
                del self._refusals[port]
        decision = self._decided[1]
        return (service, decision) if service is not None else None

    def _choose(self) -> None:
        """Choose what to try again: a whole search for each would be many requests, and in vain where nothing has changed."""
        self._tried &= self._refusals.keys()
        now_s = self._clock()
        due = min(((each.due_s, port) for port, each in self._refusals.items()), default=None)
        if not self._tried and due is not None and due[0] <= now_s and self._next_try_s <= now_s:
            self._tried = frozenset({due[1]})

    def _note(self, decision: Decision) -> None:
        """Tell what there is to say of ports; what is being tried again is not there yet."""
        tried = {port: self._refusals[port].reason for port in decision.fresh & self._refusals.keys() - decision.owned}
        lacking = {**tried, **decision.left_out}
        notes = {port: self._lacks(port, why) for port, why in lacking.items()}
        for port, client_port in decision.client_ports.items():
            notes.setdefault(port, self._is_reached(port, client_port))
        changed: dict[int, PortNote | None] = {
            port: note for port, note in notes.items() if note != self._notes.get(port)
        }
        changed.update(dict.fromkeys(self._notes.keys() - notes.keys()))
        if changed:
            self._notes, self._lacking = notes, len(lacking)
            self.tell(changed)

    def _lacks(self, port: int, why: str) -> PortNote:
        return PortNote.about(port, f"{NOT_PUBLISHED}: port {port} is not to be had by Service {self.key}: {why}")

    def _is_reached(self, port: int, client_port: int) -> PortNote:
        text = f"{NODE_PORT}: clients reach port {port} by port {client_port} of each node, which Service {self.key} has for it"
        return PortNote.about(port, text, client_port)

    def _write_next(self, now_s: float) -> float:
        found = self._look()
        if found is None:
            return IDLE_S
        service, decision = found
        if decision.is_level:
            self._untried.clear()
            due_s = min((each.due_s for each in self._refusals.values()), default=now_s + IDLE_S)
            return max(due_s, self._next_try_s) - now_s
        group = self._next_group(decision.fresh)
        try:
            self._apply(service, decision, group)
        except ApiError as error:
            self._failed(error, group)
        else:
            self._outage.over()
            self._conflicts.reset()
            if group & self._refusals.keys():
                self._refusals = {port: each for port, each in self._refusals.items() if port not in group}
                self._tried = frozenset(self._refusals)
        return 0.0

    def _next_group(self, fresh: frozenset[int]) -> frozenset[int]:
        """Give what to try next of what is not there: what is new by itself, before what was refused together with others."""
        groups = [part for each in self._untried if (part := each & fresh)]
        new = fresh.difference(*groups)
        self._untried = [new, *groups] if new else groups
        return self._untried[0] if self._untried else frozenset()

    def _apply(self, service: PublishedService, decision: Decision, group: frozenset[int]) -> None:
        self._bucket.take(self._clock())
        path = f"/api/v1/namespaces/{self.key.namespace}/services/{self.key.name}"
        query = f"fieldManager={self._rules.manager.replace('/', '%2F')}&force=false"
        entries = decision.part(group)
        answer = self._api.patch(f"{path}?{query}", body_of(service, entries), APPLY_PATCH)
        self._counts["applied"] += 1
        gone = decision.owned - {each.port for each in entries}
        log.info("ports published", service=str(self.key), added=_few(group), removed=_few(gone), ports=len(entries))
        self._take(answer)

    def _take(self, answer: bytes) -> None:
        try:
            self.see(read_published(answer))
        except msgspec.DecodeError as error:
            log.warning("published service not decoded", service=str(self.key), problem=str(error))

    def _read(self) -> None:
        """Read the Service anew, which the watch may bring later."""
        self._bucket.take(self._clock())
        try:
            self._take(self._api.get(f"/api/v1/namespaces/{self.key.namespace}/services/{self.key.name}"))
        except ApiNotFound:
            self.see(None)

    def _failed(self, error: ApiError, group: frozenset[int]) -> None:
        now_s = self._clock()
        match error:
            case ApiInvalid() | ApiDenied() | ApiError(status=400 | 413) if group:
                self._counts["invalid"] += 1
                self._outage.over()
                self._refused(group, error.said or str(error), now_s)
            case ApiForbidden() if group:
                self._counts["forbidden"] += 1
                if self._counts["forbidden"] == 1:
                    log.error("service not permitted", service=str(self.key), problem=str(error))
                for port in group:
                    self._refuse(port, "the router may not write it", now_s)
            case ApiConflict():
                self._counts["conflict"] += 1
                self._conflict()
            case ApiNotFound():
                self._counts["absent"] += 1
                self.see(None)
            case _:
                self._counts[self._outage.failed(error, now_s, max(1, len(group)))] += 1

    def _conflict(self) -> None:
        """Look what another has written meanwhile; the first conflict at once, later ones after pauses that grow."""
        self._bell.wait(self._conflicts.pause_s())
        try:
            if self._may_write():
                self._read()
        except ApiError as error:
            self._counts[self._outage.failed(error, self._clock(), 1)] += 1

    def _refused(self, group: frozenset[int], why: str, now_s: float) -> None:
        """Look for the one because of which others are refused with it, by halves."""
        ports = sorted(group)
        if len(ports) == 1:
            self._refuse(ports[0], f"the API server refuses it: {why[:_MAX_TOLD]}", now_s)
            return
        half = len(ports) // 2
        self._untried[:1] = [frozenset(ports[:half]), frozenset(ports[half:])]

    def _refuse(self, port: int, reason: str, now_s: float) -> None:
        known = self._refusals.get(port)
        pauses = known.pauses if known is not None else Backoff(*_AGAIN_S)
        if known is not None and _NUMBERS.sub("", known.reason) == _NUMBERS.sub("", reason):
            # How much of a quota is used, or which place an entry has, is no news for who asked.
            reason = known.reason
        self._refusals[port] = _Refusal(reason, now_s + pauses.pause_s(), pauses)
        self._tried -= {port}
        self._next_try_s = now_s + _TRY_S
        if known is None:
            log.warning("port not published", service=str(self.key), port=port, reason=reason)


def _few(ports: frozenset[int]) -> str:
    listed = ",".join(map(str, sorted(ports)[:_FEW]))
    return listed if len(ports) <= _FEW else f"{listed} and {len(ports) - _FEW} more"
