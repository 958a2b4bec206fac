"""One candidate's part in an election by Lease: which request comes next, and what its answer means; no I/O, no clock.

The protocol is client-go's (``tools/leaderelection``), so that its candidates and ours understand each other: the holder
writes its name and renews; a candidate that sees the same record for as long as the record's own duration takes it; the
server refuses all but one of those who try, by resourceVersion. Times in a Lease are of other clocks and are only
compared for equality; what counts is when this process first saw a record, on its own clock.

Stricter than client-go in what a loss is. We lead for ``renew_deadline_s`` after the moment *before* the renewing request
was sent, while others count ``lease_s`` from after it was carried out. The difference covers clocks of different speed
and requests of the leader that are still on their way. A conflict ends leading until a look at the Lease shows that it is still
ours, and another holder ends it at once. A Lease that somebody deleted is not free before its time has passed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from router.errors import ApiBusy, ApiConflict, ApiError, ApiNotFound
from router.shapes import read_any
from router.supervisor.backoff import Backoff

Method = Literal["GET", "POST", "PUT"]

API_VERSION = "coordination.k8s.io/v1"
_JITTER = 0.5
_LONGEST_BACKOFF_S = 15.0
_LONGEST_ASKED_S = 60.0
_RELEASED_S = 1
"""What a released Lease says of its duration, as client-go writes it; 0 would be invalid."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long things take, in seconds.

    ``lease_s``: how long others leave a Lease alone that is not renewed. ``renew_deadline_s``: how long a leader leads
    after it sent its last successful renewal. ``retry_s``: the pause between two requests.
    """

    lease_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_s < self.renew_deadline_s < self.lease_s:
            raise ValueError(f"the times of a Lease must grow: retry, renew deadline, lease; not {self}")


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a Lease says (``spec``, in client-go's terms the LeaderElectionRecord); times as they were written."""

    holder: str = ""
    """Empty: released, or never held."""
    duration_s: float = 0.0
    acquire_time: str = ""
    renew_time: str = ""
    transitions: int = 0

    @classmethod
    def read(cls, spec: object) -> LeaseRecord:
        """Read a Lease's ``spec``; what is missing or of another type counts as not said."""
        fields = spec if isinstance(spec, dict) else {}

        def said(name: str, of_type: type[Any], default: Any) -> Any:  # noqa: ANN401 - JSON
            value = fields.get(name)
            return value if isinstance(value, of_type) and not isinstance(value, bool) else default

        return cls(
            holder=said("holderIdentity", str, ""),
            duration_s=float(said("leaseDurationSeconds", int, 0)),
            acquire_time=said("acquireTime", str, ""),
            renew_time=said("renewTime", str, ""),
            transitions=said("leaseTransitions", int, 0),
        )

    def fields(self) -> dict[str, Any]:
        """Give it as fields of a Lease's ``spec``; None for what is to be left out: nobody holds it."""
        return {
            "holderIdentity": self.holder or None,
            "leaseDurationSeconds": math.ceil(self.duration_s),
            "acquireTime": self.acquire_time,
            "renewTime": self.renew_time,
            "leaseTransitions": self.transitions,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask of the API server; ``body`` is the Lease to POST or PUT."""

    method: Method
    body: bytes = b""


def micro_time(moment: datetime) -> str:
    """Write a moment as Kubernetes' MicroTime: UTC with exactly six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        lease = read_any(body)
    except msgspec.DecodeError:
        return None
    return lease if isinstance(lease, dict) and isinstance(lease.get("metadata"), dict) else None


class Candidate:
    """One process that would lead.

    One request at a time: ``request``, then ``answered`` or ``failed``, which give the seconds to wait before the next.
    ``now_s`` and ``sent_s`` are of one clock of this process that never goes back.

    Args:
        namespace: of the Lease.
        name: of the Lease.
        identity: what to call ourselves; of no other process, past ones included.
        times: how long things take.
        random: gives numbers from 0 to 1, for jitter.
    """

    def __init__(
        self, namespace: str, name: str, identity: str, times: LeaseTimes, random: Callable[[], float]
    ) -> None:
        self.identity = identity
        self._metadata = {"namespace": namespace, "name": name}
        self._times = times
        self._random = random
        self._method: Method = "GET"
        self._lease: dict[str, Any] = {}
        self._record: LeaseRecord | None = None
        self._seen_s = -math.inf
        self._absent_s: float | None = None
        self._just_read = False
        self._leads_until_s = -math.inf
        self._writing: LeaseRecord | None = None
        self._unsure = False
        self._backoff = Backoff(times.retry_s, _LONGEST_BACKOFF_S)

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty for nobody."""
        return self._record.holder if self._record is not None else ""

    def leads(self, now_s: float) -> bool:
        """Whether we may act as the leader at this moment."""
        return now_s < self._leads_until_s

    def request(self, wall: datetime) -> Request:
        """Give what to ask next.

        Args:
            wall: the time of day, for people and other clients to read.
        """
        if self._method == "GET":
            self._writing = None
            return Request("GET")
        return self._write(self._claim(micro_time(wall)))

    def answered(self, body: bytes, sent_s: float, now_s: float) -> float:
        """Take the answer to the last request.

        Args:
            body: the Lease as the server has it.
            sent_s: when the request was sent, read before sending it.
            now_s: when the answer was there.

        Returns:
            Seconds to wait; 0 for a next request that should follow at once.
        """
        lease = _parse(body)
        if lease is None:
            return self.failed(ApiError("the answer is no Lease"), now_s)
        self._backoff.reset()
        self._absent_s = None
        written, self._writing = self._writing, None
        self._see(lease, now_s)
        if written is not None:
            self._unsure = False
            self._method = "PUT"
            self._just_read = False
            # Counted from before the request: whoever looks at the Lease sees this renewal later than that.
            self._leads_until_s = sent_s + self._times.renew_deadline_s
            return self._times.retry_s
        if self.holder == self.identity or self._is_free(now_s):
            self._method = "PUT"
            self._just_read = True
            return 0.0
        self._leads_until_s = -math.inf
        self._unsure = False
        return self._pause_s(self._free_s() - now_s)

    def failed(self, error: ApiError, now_s: float) -> float:
        """Take the failure of the last request; give seconds to wait, as ``answered`` does."""
        written, self._writing = self._writing, None
        if isinstance(error, ApiConflict):
            return self._lost_race()
        if isinstance(error, ApiNotFound) and self._method != "POST":
            return self._found_none(now_s)
        if written is not None:
            # It may have been carried out all the same; the next one finds out.
            self._unsure = True
        self._just_read = False
        if self.leads(now_s):
            return self._times.retry_s
        self._method = "GET"
        grown_s = self._backoff.pause_s()
        asked_s = error.retry_after_s if isinstance(error, ApiBusy) and error.retry_after_s is not None else 0.0
        return max(grown_s * (1 - _JITTER * self._random()), self._times.retry_s, min(asked_s, _LONGEST_ASKED_S))

    def release(self, wall: datetime) -> Request | None:
        """Stop leading, and give what to ask next in order to free the Lease; None when there is nothing (more) to do.

        After an answer or failure ask again; the caller limits how often.
        """
        self._leads_until_s = -math.inf
        if self._unsure or (self._method == "GET" and self.holder == self.identity):
            self._unsure = False
            self._writing = None
            self._method = "GET"
            return Request("GET")
        if self._record is None or self.holder != self.identity:
            return None
        moment = micro_time(wall)
        self._method = "PUT"
        return self._write(
            LeaseRecord("", _RELEASED_S, acquire_time=moment, renew_time=moment, transitions=self._record.transitions)
        )

    def released(self, body: bytes, now_s: float) -> None:
        """Take the answer to a request of ``release``."""
        lease = _parse(body)
        if lease is None:
            self.release_failed(ApiError("the answer is no Lease"))
            return
        self._writing = None
        self._method = "PUT"
        self._see(lease, now_s)

    def release_failed(self, error: ApiError) -> None:
        """Take the failure of a request of ``release``: after a conflict we look again, else others wait for the end."""
        self._writing = None
        self._method = "GET"
        if not isinstance(error, ApiConflict) or self._record is None:
            self._record = None

    def _claim(self, moment: str) -> LeaseRecord:
        """Give the record that takes or renews the Lease."""
        fresh = LeaseRecord(self.identity, self._times.lease_s, acquire_time=moment, renew_time=moment)
        if self._method == "POST" or self._record is None:
            return fresh
        if self.holder == self.identity:
            return replace(
                fresh,
                acquire_time=self._record.acquire_time or moment,
                transitions=self._record.transitions,
            )
        return replace(fresh, transitions=self._record.transitions + 1)

    def _write(self, record: LeaseRecord) -> Request:
        self._writing = record
        if self._method == "POST":
            lease: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "Lease", "metadata": self._metadata}
        else:
            # With the metadata as read: its resourceVersion lets the server refuse a write after somebody else's.
            lease = self._lease
        spec = lease.get("spec")
        fields = {**(spec if isinstance(spec, dict) else {}), **record.fields()}
        stated = {name: value for name, value in fields.items() if value is not None}
        return Request(self._method, json.dumps({**lease, "spec": stated}).encode())

    def _see(self, lease: dict[str, Any], now_s: float) -> None:
        """Remember the Lease, and when its record was first seen."""
        self._lease = lease
        record = LeaseRecord.read(lease.get("spec"))
        if record != self._record:
            self._record = record
            self._seen_s = now_s

    def _is_free(self, now_s: float) -> bool:
        return not self.holder or now_s >= self._free_s()

    def _free_s(self) -> float:
        """Give when the Lease may be taken, if it does not change until then."""
        duration_s = self._record.duration_s if self._record is not None else 0.0
        return self._seen_s + (duration_s or self._times.lease_s)

    def _found_none(self, now_s: float) -> float:
        """There is no Lease: make one, but not while somebody may still lead by the one that was deleted."""
        if self._absent_s is None:
            self._absent_s = now_s
        held_s = max(self._record.duration_s, self._times.lease_s) if self._record is not None and self.holder else 0.0
        if self.leads(now_s) or now_s >= self._absent_s + held_s:
            self._method = "POST"
            return 0.0
        self._method = "GET"
        return self._pause_s(self._absent_s + held_s - now_s)

    def _lost_race(self) -> float:
        """Somebody else wrote the Lease. If we led, look at once whether it is stolen; else wait for our next turn."""
        self._backoff.reset()
        renewing = self._method == "PUT" and not self._just_read and self.holder == self.identity
        self._method = "GET"
        self._leads_until_s = -math.inf
        return 0.0 if renewing else self._pause_s()

    def _pause_s(self, longest_s: float = math.inf) -> float:
        # Candidates that wait for the same Lease must not all ask in the same moment; each saw it last at another one.
        return min(self._times.retry_s * (1 + _JITTER * self._random()), longest_s)
