"""Events about Routes (events.k8s.io/v1): each notice said once, and counted when it happens again."""

from __future__ import annotations

import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import structlog

from router.errors import (
    ApiBusy,
    ApiConflict,
    ApiError,
    ApiForbidden,
    ApiNotFound,
    ApiUnauthorized,
    ApiUnreachable,
)
from router.kube.api import Api
from router.model import ROUTE_GROUP, ROUTE_KIND, SERVICE_KIND
from router.objects import cis, gateway, porter, tcp_route_policy
from router.shapes import write
from router.status.forbidden import Forbidden
from router.status.notices import Notice
from router.status.route import MERGE_PATCH, Identity

log = structlog.get_logger()

_API_VERSIONS = {
    ROUTE_KIND: f"{ROUTE_GROUP}/v1", SERVICE_KIND: "v1", "Namespace": "v1", porter.CLAIM_KIND: f"{porter.GROUP}/{porter.VERSION}",
    cis.KIND: f"{cis.GROUP}/{cis.VERSION}", **dict.fromkeys(("Gateway", "ListenerSet", "TCPRoute", "TLSRoute"), f"{gateway.GROUP}/v1"),
    tcp_route_policy.POLICY_KIND: f"{tcp_route_policy.POLICY_GROUP}/{tcp_route_policy.POLICY_VERSION}",
}  # fmt: skip
_MAX_INSTANCE = 128
"""Bytes; this and the next: kubernetes, pkg/apis/core/validation/events.go."""
_MAX_NAME = 253
SERIES_PAUSE_S = 30.0
"""Least time between two counts of the same Event."""
SERIES_ENDS_S = 1800.0
"""What is silent for so long begins a new Event; API servers keep Events for an hour."""
MAX_WAITING = 1000
MAX_SERIES = 4096
MUTE_S = 60.0
"""After a 403 nothing is told in that namespace for so long: it may be about to be deleted, or the permission is missing."""


_PAUSE_S = 5.0
"""After a failure that is not the Event's own. What is written of the status tells sooner that the API server is well."""


@dataclass(slots=True)
class _Series:
    """An Event that exists, or waits for being created (``name`` is empty)."""

    name: str = ""
    count: int = 0
    observed_s: float = 0.0
    """When it last happened, of the clock for pauses."""
    observed_at_s: float = 0.0
    """The same, since the epoch."""
    written_s: float = float("-inf")


class EventSender:
    """Sends notices as Events, one request at a time; all calls but ``counts`` come from one thread.

    Memory is bounded: of more than 1,000 waiting notices one is dropped, and counted so: the oldest that is no news, or else
    the oldest, of the namespace that has most. News is sent first.

    Args:
        api: the API server.
        identity: whose Events they are.
        instance: the replica, as a rule the pod's name.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        api: Api,
        identity: Identity,
        instance: str,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._api = api
        # A qualified name: kubectl shows it as the source.
        self._controller = f"tcp-router/{identity.router_name}"
        self._instance = instance[:_MAX_INSTANCE] or "unknown"
        self._clock = clock
        self._wall_clock = wall_clock
        self._series: OrderedDict[Notice, _Series] = OrderedDict()
        self._news: OrderedDict[Notice, None] = OrderedDict()
        self._rest: OrderedDict[Notice, None] = OrderedDict()
        self._muted = Forbidden(MUTE_S)
        self._resume_s = float("-inf")
        self._complained = False
        self._counts: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """Give how many requests and notices there were, by result; any thread."""
        return dict(self._counts)

    def __len__(self) -> int:
        return len(self._news) + len(self._rest)

    def add(self, notice: Notice, *, is_news: bool = True) -> None:
        """Take a notice, of something that happened just now or (not news) was so at the start; ``send_one`` sends it."""
        now_s = self._clock()
        series = self._series.get(notice)
        if series is None or now_s - series.observed_s > SERIES_ENDS_S:
            series = self._series[notice] = _Series()
        self._series.move_to_end(notice)
        series.count += 1
        series.observed_s, series.observed_at_s = now_s, self._wall_clock()
        if is_news:
            self._rest.pop(notice, None)
        if notice not in self._news:
            (self._news if is_news else self._rest).setdefault(notice)
        if len(self) > MAX_WAITING:
            dropped = self._least_wanted()
            self._forget(dropped)
            self._counts["dropped"] += 1
        while len(self._series) > MAX_SERIES:
            self._forget(next(iter(self._series)))

    def _least_wanted(self) -> Notice:
        """Give the oldest notice of the namespace that has most waiting: one that says much costs only itself."""
        waiting = self._rest or self._news
        ((most, _),) = Counter(notice.namespace for notice in waiting).most_common(1)
        return next(notice for notice in waiting if notice.namespace == most)

    def clear(self) -> None:
        """Forget what waits: another replica leads, and tells. What was sent is counted, if this one tells it again."""
        self._news.clear()
        self._rest.clear()
        self._series = OrderedDict((notice, series) for notice, series in self._series.items() if series.name)

    def due_s(self) -> float:
        """Give when the next one may be sent (of ``clock``); infinity if nothing waits."""
        times = (self._notice_due_s(notice) for notice in (*self._news, *self._rest))
        return max(min(times, default=float("inf")), self._resume_s)

    def send_one(self, may_send: Callable[[], bool], *, only_news: bool = False) -> bool:
        """Send the first notice that is due, news first.

        Args:
            may_send: is asked at the very moment of sending.
            only_news: send nothing else.

        Returns:
            Whether a request was made.
        """
        now_s = self._clock()
        if now_s < self._resume_s:
            return False
        waiting = self._news if only_news else chain(self._news, self._rest)
        notice = next((each for each in waiting if self._notice_due_s(each) <= now_s), None)
        if notice is None or not may_send():
            return False
        self._news.pop(notice, None)
        self._rest.pop(notice, None)
        series = self._series[notice]
        series.written_s = now_s
        try:
            if series.name:
                self._api.patch(self._path(notice, series.name), _count_patch(series), MERGE_PATCH)
                result = "counted"
            else:
                name = _event_name(notice.route)
                self._api.post(self._path(notice), self._new_event(notice, series, name))
                series.name = name
                result = "created"
        except ApiError as error:
            result = self._failed(notice, series, error)
        else:
            self._complained = False
            self._muted.permitted(notice.namespace)
        self._counts[result] += 1
        return True

    def _notice_due_s(self, notice: Notice) -> float:
        series = self._series[notice]
        counted_s = series.written_s + SERIES_PAUSE_S if series.name else float("-inf")
        return max(counted_s, self._muted.until_s(notice.namespace, self._clock()) or float("-inf"))

    def _failed(self, notice: Notice, series: _Series, error: ApiError) -> str:
        now_s = self._clock()
        match error:
            case ApiNotFound() if series.name:
                # It has expired; say it anew.
                self._series[notice] = _Series("", 1, series.observed_s, series.observed_at_s)
                self._news[notice] = None
                result = "expired"
            case ApiConflict():
                self._news[notice] = None
                result = "conflict"
            case ApiUnauthorized():
                self._again(notice, now_s + _PAUSE_S)
                result = "unauthorized"
            case ApiBusy(retry_after_s=retry_after_s):
                self._again(notice, now_s + (retry_after_s if retry_after_s is not None else _PAUSE_S))
                result = "busy"
            case ApiUnreachable():
                self._again(notice, now_s + _PAUSE_S)
                result = "unreachable"
            case _:
                self._forget(notice)
                self._complain(notice, error)
                result = "refused"
                if isinstance(error, ApiForbidden):
                    self._muted.refused(notice.namespace, now_s)
                    result = "forbidden"
        return result

    def _again(self, notice: Notice, when_s: float) -> None:
        self._news[notice] = None
        self._news.move_to_end(notice, last=False)
        self._resume_s = when_s

    def _complain(self, notice: Notice, error: ApiError) -> None:
        if not self._complained:
            log.warning("event not sent", namespace=notice.namespace, route=notice.route, problem=str(error))
        self._complained = True

    def _forget(self, notice: Notice) -> None:
        self._series.pop(notice, None)
        self._news.pop(notice, None)
        self._rest.pop(notice, None)

    def _path(self, notice: Notice, name: str = "") -> str:
        base = f"/apis/events.k8s.io/v1/namespaces/{notice.namespace}/events"
        return f"{base}/{name}" if name else base

    def _new_event(self, notice: Notice, series: _Series, name: str) -> bytes:
        event: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": notice.namespace},
            "eventTime": _micro_time(series.observed_at_s),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": notice.action,
            "reason": notice.reason,
            "regarding": {
                "apiVersion": _API_VERSIONS[notice.regarding],
                "kind": notice.regarding,
                "namespace": notice.namespace,
                "name": notice.route,
                "uid": notice.uid,
            },
            "note": notice.note,
            "type": notice.kind,
        }
        if series.count > 1:
            event["series"] = _series(series)
        return write(event)


def _count_patch(series: _Series) -> bytes:
    return write({"series": _series(series)})


def _series(series: _Series) -> dict[str, Any]:
    return {"count": series.count, "lastObservedTime": _micro_time(series.observed_at_s)}


def _micro_time(seconds: float) -> str:
    """Write seconds since the epoch as ``metav1.MicroTime`` does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _event_name(route: str) -> str:
    """Give a name that no other Event has, and that tells the Route in a listing."""
    suffix = uuid.uuid4().hex[:16]
    return f"{route[: _MAX_NAME - len(suffix) - 1].rstrip('-.')}.{suffix}"
