"""Brings the status of one Route level: reads, decides, writes, and what comes of a request that fails."""

from __future__ import annotations

from dataclasses import replace

import structlog

from router.admission.route import is_ours
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.status.backlog import Backlog, Work
from router.status.desk import Desk
from router.status.forbidden import Forbidden
from router.status.route import StatusChange, decide_status, may_be_anothers
from router.status.route_api import patch_status, read_route, same_request
from router.status.selection import Selection
from router.status.telling import Teller

log = structlog.get_logger()

_CONFLICT_S, _LONGEST_CONFLICT_S = 0.05, 5.0
"""The first conflict is read again at once, the others after growing pauses."""
_FORBIDDEN_NAMED = 3


class Attendant:
    """Attends to one Route after another, as the backlog has them.

    Args:
        desk: what those who write share.
        backlog: gets back what has to wait.
        teller: is told what was written, for Events.
        selection: which Routes are followed.
    """

    def __init__(self, desk: Desk, backlog: Backlog, teller: Teller, selection: Selection) -> None:
        self._desk = desk
        self._backlog = backlog
        self._teller = teller
        self._selection = selection
        self._forbidden = Forbidden()

    def attend(self, key: ObjectKey, work: Work) -> bool:
        """Bring one Route's status level.

        Returns:
            Whether a request was made.
        """
        muted_until_s = self._forbidden.until_s(key.namespace, self._desk.clock())
        if muted_until_s is not None:
            self._backlog.put_back(key, work, muted_until_s)
            return False
        try:
            if work.route is None or work.conflicts:
                return self._read_and_write(key, work)
            return self._write(work.route, work)
        except ApiError as error:
            self._failed(key, work, error)
            return True

    def _read_and_write(self, key: ObjectKey, work: Work) -> bool:
        if not self._desk.may_write():
            return False
        self._desk.bucket.take(self._desk.clock())
        fresh = read_route(self._desk.api, key)
        if work.route is not None and not same_request(fresh, work.route):
            # The verdict is about another Route than this one; the watch brings it, and then its verdict.
            self._desk.counts["superseded"] += 1
            self._desk.outage.over()
            return True
        if work.route is not None:
            self._write(fresh, work)
        elif self._backlog.knows(key) or not self._remove(fresh, was_seen=work.was_seen):
            self._desk.outage.over()
        return True

    def _write(self, route: Route, work: Work) -> bool:
        """Write a Route's status, if it says something else than it shall; says whether a request was made."""
        verdict = work.verdict
        if (verdict is not None) != is_ours(route, self._desk.identity.router_name):
            # It became ours, or ceases to be, and HAProxy does not serve that yet.
            return False
        change = decide_status(route, verdict, self._desk.identity, self._desk.wall_clock(), self._desk.nodes())
        sent = change is not None and self._send(route, change)
        if change is None or sent:
            self._teller.tell(route, work, change)
        return sent

    def _remove(self, route: Route, *, was_seen: bool) -> bool:
        """Take our entry off a Route that is out of sight; not if the Route is on its way back, or another's of our name.

        Returns:
            Whether there was anything to take off.
        """
        self._teller.forget(route.key)
        change = decide_status(route, None, self._desk.identity, self._desk.wall_clock())
        if change is None:
            return False
        if is_ours(route, self._desk.identity.router_name):
            if may_be_anothers(route, self._desk.identity, was_ours=was_seen) or not self._desk.may_write():
                return False
            self._desk.bucket.take(self._desk.clock())
            if self._selection.has(self._desk.api, route.key):
                return False
        return self._send(route, change)

    def _send(self, route: Route, change: StatusChange) -> bool:
        if not self._desk.may_write():
            return False
        self._desk.bucket.take(self._desk.clock())
        patch_status(self._desk.api, route.key, change.patch)
        self._desk.counts["written" if change.entry is not None else "removed"] += 1
        self._desk.outage.over()
        if self._forbidden.permitted(route.key.namespace):
            log.info("status permitted again", namespace=route.key.namespace)
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
                log.error("status refused", namespace=key.namespace, route=key.name, problem=str(error))
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
