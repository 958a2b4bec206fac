"""Writes PortClaims while this replica leads, at a pace of their own: what changes first, then what was there at the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec
import structlog

from router.admission.places import Place, asker_of, place_of
from router.errors import ApiConflict, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.kube.api import DeletingApi
from router.objects.meta import ObjectKey
from router.objects.portclaim import ClaimHolder, PortClaim, PortClaimStatus
from router.status.claim_api import ClaimApi
from router.status.claim_work import NOW, Check, Create, Remake, Tell, Work
from router.status.claims_backlog import ClaimsBacklog
from router.status.holders import Holders
from router.status.leading import LeadingWriter
from router.status.pacing import TokenBucket
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_AGAIN_S = 5.0
"""After a write of which the watch has not told yet, and after a conflict."""
_ASKS_AGAIN_S = (5.0, 300.0)
"""First and longest pause between two looks at a holder that still asks, though it is not served."""


class ClaimsWriter(LeadingWriter):
    """Keeps PortClaims equal to what is served, from ``start`` to ``stop``.

    Args:
        api: the API server.
        namespace: the router's own.
        ledger: the name of its claims.
        router_name: for people who read them.
        holders: asks about holders.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        per_second: how many requests.
        cooldown_s: how long a claim stays that was released, where that is to be.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - who writes, where, at which rate, and two clocks with defaults
        self,
        api: DeletingApi,
        namespace: str,
        ledger: str,
        router_name: str,
        *,
        holders: Holders,
        is_leader: Callable[[], bool],
        per_second: float = 200.0,
        cooldown_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        bucket = TokenBucket(per_second, max(1, int(per_second)))
        super().__init__("claims", is_leader, bucket, clock=clock, supervisor=supervisor)
        self._ledger = ledger
        self._claims = ClaimApi(api, namespace, ledger, router_name)
        self._holders = holders
        self._wall_clock = wall_clock
        self._backlog = ClaimsBacklog()
        self._cooldown_s = cooldown_s
        self._cooling: dict[str, float] = {}
        """Since when a claim is known to be released (of ``clock``), by its name."""
        self._asked: dict[str, float] = {}
        """How long to wait with the next look at a holder that still asks, by claim; seconds."""
        self.written: Callable[[str, ObjectKey], None] = lambda _kind, _key: None
        """Called with an object (its kind, its key) of which all claims are written; set before ``start``."""

    # Any thread

    def wake(self) -> None:
        """Look now whether this replica leads."""
        self._backlog.wake()

    def waits(self, kind: str, key: ObjectKey) -> bool:
        """Say whether a claim of an object waits to be written; one that is refused does not."""
        return self._backlog.waits(kind, key)

    def writes(self) -> Mapping[str, int]:
        """Give how many requests there were, by result: created, deleted, told, kept (its holder still asks), conflict, forbidden, failed ..."""
        return dict(self._counts)

    @property
    def queued(self) -> int:
        """How much waits to be done."""
        return len(self._backlog)

    def note(self, works: Mapping[Place, Iterable[Work]], tellings: Mapping[str, Tell | None]) -> None:
        """Take what is to be done about some places, and about the statuses of some claims, in the place of what was before."""
        for whose in self._backlog.note(works, tellings):
            self.written(*whose)

    # The writing thread

    def _wait(self, pause_s: float) -> None:
        self._backlog.wait(pause_s)

    def _gain(self) -> None:
        self._asked.clear()
        self._cooling.clear()
        self._backlog.open()

    def _give_up(self) -> None:
        self._backlog.close()

    def _write_next(self, now_s: float) -> float:
        item = self._backlog.pop(now_s)
        if item is None:
            return max(self._backlog.due_s() - now_s, 0.0)
        self._attend(*item)
        return 0.0

    def _attend(self, key: str, work: Work) -> None:
        now_s = self._clock()
        try:
            again_s = self._do(work)
        except ApiError as error:
            self._failed(key, work, error, now_s)
            return
        self._outage.over()
        if again_s is not None:
            self._backlog.put_back(key, work, self._clock() + again_s)

    def _do(self, work: Work) -> float | None:
        """Do it; give the seconds after which it is to be done again, unless there is news by then."""
        match work:
            case Create():
                self._create(work)
                return _AGAIN_S
            case Remake():
                self._delete(work.claim)
                if self._may_write():
                    self._create(work)
                return _AGAIN_S
            case Tell():
                return self._tell(work)
            case Check():
                return self._check(work)

    def _create(self, work: Create | Remake) -> None:
        self._bucket.take(self._clock())
        self._claims.create(work.name, work.place, work.asker)
        self._counts["created"] += 1
        if not work.is_proposed:
            self._settle(work)

    def _settle(self, work: Work) -> None:
        """Let the status of whoever has it wait no more."""
        whose = self._backlog.settle(work) if isinstance(work, Create | Remake) else None
        if whose is not None:
            self.written(*whose)

    def _check(self, work: Check) -> float | None:
        claim = work.claim
        holder = asker_of(claim.spec.holder or ClaimHolder())
        self._bucket.take(self._clock())
        if not work.is_forfeited and self._holders.asks(holder, place_of(claim), is_spare=work.is_spare):
            self._cooling.pop(work.name, None)
            self._counts["kept"] += 1
            pause_s = self._asked.get(work.name, _ASKS_AGAIN_S[0])
            self._asked[work.name] = min(2 * pause_s, _ASKS_AGAIN_S[1])
            return pause_s
        self._asked.pop(work.name, None)
        if not self._may_write():
            return None
        if work.cools and (left_s := self._cools_s(claim)) > 0:
            self._counts["cooling"] += 1
            return left_s
        self._cooling.pop(work.name, None)
        self._delete(claim)
        log.info("claim given up", claim=work.name, holder=str(holder), port=claim.spec.port, host=claim.spec.host)
        return _AGAIN_S

    def _cools_s(self, claim: PortClaim) -> float:
        """Give how long a claim has to stay still: since it was released, by whichever replica that was seen."""
        now_s = self._clock()
        since_s = now_s - self._cooling.setdefault(claim.metadata.name, now_s)
        try:
            released = datetime.fromisoformat(claim.status.released_at or "").timestamp()
        except ValueError:
            released = self._wall_clock()
        return self._cooldown_s - max(since_s, self._wall_clock() - released)

    def _delete(self, claim: PortClaim) -> None:
        self._bucket.take(self._clock())
        self._counts["deleted"] += self._claims.delete(claim)

    def _tell(self, work: Tell) -> float | None:
        early_s = work.least_age_s - (self._wall_clock() - _seconds(work.claim.metadata.creation_timestamp))
        if early_s > 0:
            return min(early_s, work.least_age_s)
        if work.least_age_s:
            log.warning(
                "reservation of a ledger without a router",
                claim=work.name,
                ledger=work.claim.spec.ledger,
                ours=self._ledger,
            )
        self._bucket.take(self._clock())
        self._claims.tell(work.claim, _as_json(work.status, self._now()))
        self._counts["told"] += 1
        return None

    def _now(self) -> str:
        return datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _failed(self, key: str, work: Work, error: ApiError, now_s: float) -> None:
        match error:
            case ApiConflict():
                # Another wrote first. The watch brings what, and with it what is to be done now.
                self._counts["conflict"] += 1
                self._outage.over()
                self._backlog.put_back(key, work, now_s + _AGAIN_S)
            case ApiNotFound() if isinstance(work, Tell):
                self._counts["gone"] += 1
            case ApiInvalid() | ApiError(status=400 | 413):
                self._counts["invalid"] += 1
                self._settle(work)
                log.error("claim refused", claim=work.name, problem=str(error))
            case ApiForbidden() | ApiNotFound():
                result = "forbidden" if isinstance(error, ApiForbidden) else "absent"
                self._counts[result] += 1
                self._settle(work)
                self._backlog.put_back(key, work, now_s + self._longer(work.name))
                if self._counts[result] == 1:
                    log.error("claim not written", claim=work.name, problem=str(error))
            case _:
                self._counts[self._outage.failed(error, now_s, self.queued + 1)] += 1
                self._backlog.put_back(key, work, self._outage.resume_s)

    def _longer(self, name: str) -> float:
        pause_s = self._asked.get(name, _ASKS_AGAIN_S[0])
        self._asked[name] = min(2 * pause_s, _ASKS_AGAIN_S[1])
        return pause_s


def _seconds(moment: str | None) -> float:
    """Give a time of an API server as seconds since the epoch; the beginning of it where it is none."""
    try:
        return datetime.fromisoformat(moment or "").timestamp()
    except ValueError:
        return 0.0


def _as_json(status: PortClaimStatus, now: str) -> Mapping[str, object]:
    """Give a status for a merge patch, in which what is not there any more is null."""

    def told(moment: str | None) -> str | None:
        return now if moment == NOW else moment

    return {
        "holder": status.holder,
        "releasedAt": told(status.released_at),
        "conditions": [
            {**msgspec.to_builtins(each), "lastTransitionTime": told(each.last_transition_time)}
            for each in status.conditions or ()
        ],
    }
