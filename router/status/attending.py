"""Brings the status of one object level: reads, decides, writes, and what comes of a request that fails."""

from __future__ import annotations

from dataclasses import replace

import structlog

from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.status.backlog import Backlog, Work
from router.status.desk import Desk
from router.status.forbidden import Forbidden
from router.status.kinds import ROUTES, StatusKind
from router.status.route import StatusChange
from router.status.selection import Selection
from router.status.telling import Teller

log = structlog.get_logger()

_CONFLICT_S, _LONGEST_CONFLICT_S = 0.05, 5.0
"""The first conflict is read again at once, the others after growing pauses."""
_FORBIDDEN_NAMED = 3


class Attendant:
    """Attends to one object after another, as the backlog has them.

    Args:
        desk: what those who write share.
        backlog: gets back what has to wait.
        teller: is told what was written, for Events.
        selection: which Routes are followed.
        kind: of the objects; Routes where nothing else is said.
    """

    def __init__(
        self, desk: Desk, backlog: Backlog, teller: Teller, selection: Selection, kind: StatusKind = ROUTES
    ) -> None:
        self._kind = kind
        self._desk = desk
        self._backlog = backlog
        self._teller = teller
        self._selection = selection
        self._forbidden = Forbidden()

    def attend(self, key: ObjectKey, work: Work) -> bool:
        """Bring one object's status level.

        Returns:
            Whether a request was made.
        """
        muted_until_s = self._forbidden.until_s(key.namespace, self._desk.clock())
        if muted_until_s is not None:
            self._backlog.put_back(key, work, muted_until_s)
            return False
        try:
            if work.obj is None or work.conflicts:
                return self._read_and_write(key, work)
            return self._write(work.obj, work)
        except ApiError as error:
            self._failed(key, work, error)
            return True

    def _read_and_write(self, key: ObjectKey, work: Work) -> bool:
        if not self._desk.may_write():
            return False
        self._desk.bucket.take(self._desk.clock())
        fresh = self._kind.read(self._desk.api, key)
        if work.obj is not None and not self._kind.same_request(fresh, work.obj):
            # The verdict is about another Route than this one; the watch brings it, and then its verdict.
            self._desk.counts["superseded"] += 1
            self._desk.outage.over()
            return True
        if work.obj is not None:
            self._write(fresh, work)
        elif self._backlog.knows(key) or not self._remove(fresh, was_seen=work.was_seen):
            self._desk.outage.over()
        return True

    def _write(self, obj: AskingObject, work: Work) -> bool:
        """Write an object's status, if it says something else than it shall; says whether a request was made."""
        verdict = work.verdict
        if (verdict is not None) != self._kind.is_ours(obj, self._desk.identity.router_name):
            # It became ours, or ceases to be, and HAProxy does not serve that yet.
            return False
        change = self._kind.decide(obj, verdict, self._desk.identity, self._desk.wall_clock(), self._desk.nodes())
        sent = change is not None and self._send(obj, change)
        if change is None or sent:
            self._teller.tell(obj, self._warned(obj, work), change)
        return sent

    def _warned(self, obj: AskingObject, work: Work) -> Work:
        """Give the work with what there is to warn of by who we are."""
        verdict = work.verdict
        more = self._kind.warnings(obj, verdict, self._desk.identity) if verdict is not None else ()
        if verdict is None or not more:
            return work
        return replace(work, verdict=replace(verdict, warnings=(*verdict.warnings, *more)))

    def _remove(self, obj: AskingObject, *, was_seen: bool) -> bool:
        """Take our entry off a Route that is out of sight; not if the Route is on its way back, or another's of our name.

        Returns:
            Whether there was anything to take off.
        """
        self._teller.forget(obj.key)
        change = self._kind.decide(obj, None, self._desk.identity, self._desk.wall_clock(), None)
        if change is None:
            return False
        if self._kind.is_ours(obj, self._desk.identity.router_name):
            if self._kind.may_be_anothers(obj, self._desk.identity, was_seen) or not self._desk.may_write():
                return False
            self._desk.bucket.take(self._desk.clock())
            if self._selection.has(self._desk.api, obj.key):
                return False
        return self._send(obj, change)

    def _send(self, obj: AskingObject, change: StatusChange) -> bool:
        if not self._desk.may_write():
            return False
        self._desk.bucket.take(self._desk.clock())
        self._kind.patch(self._desk.api, obj.key, change.patch, self._desk.identity)
        self._desk.counts["written" if change.entry is not None else "removed"] += 1
        self._desk.outage.over()
        if self._forbidden.permitted(obj.key.namespace):
            log.info("status permitted again", namespace=obj.key.namespace)
            self._backlog.hasten()
        return True

    # When it fails

    def _failed(self, key: ObjectKey, work: Work, error: ApiError) -> None:
        now_s = self._desk.clock()
        match error:
            # A patch that addresses an entry which is not there any more is invalid before its version is looked at.
            case ApiConflict() | ApiInvalid() if isinstance(error, ApiConflict) or not work.conflicts:
                self._desk.counts["conflict"] += 1
                pause_s = min(_CONFLICT_S * work.conflicts**2, _LONGEST_CONFLICT_S)
                self._backlog.put_back(key, replace(work, conflicts=work.conflicts + 1), now_s + pause_s)
            case ApiNotFound():
                self._desk.counts["gone"] += 1
                self._desk.outage.over()
                self._teller.forget(key)
            case ApiForbidden():
                self._desk.counts["forbidden"] += 1
                self._backlog.put_back(key, work, self._forbid(key.namespace, now_s, error))
            # Whoever may write to a Route's status can make ours one that the server does not take; that is no reason to wait with others'.
            case ApiInvalid() | ApiError(status=400 | 413):
                # It would be refused again; another change of the Route, or of its verdict, is another try.
                self._desk.counts["invalid"] += 1
                log.error(
                    "status refused", namespace=key.namespace, **{self._kind.kind.lower(): key.name}, problem=str(error)
                )
            case _:
                self.trouble(error, now_s)
                self._backlog.put_back(key, work, self._desk.outage.resume_s)

    def trouble(self, error: ApiError, now_s: float) -> None:
        """Wait with everything."""
        self._desk.counts[self._desk.outage.failed(error, now_s, len(self._backlog) + 1)] += 1

    def _forbid(self, namespace: str, now_s: float, error: ApiForbidden) -> float:
        """Try no more in a namespace for a while; give until when."""
        is_new = namespace not in self._forbidden and len(self._forbidden) < _FORBIDDEN_NAMED
        until_s = self._forbidden.refused(namespace, now_s)
        if is_new:
            retry_s = int(until_s - now_s)
            log.error("status not permitted", namespace=namespace, problem=str(error), retry_in_seconds=retry_s)
        return until_s
