"""The faults that an API server can have, to be ordered by tests; from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.kube.resources import Resource
from tests.support.kube.statuses import StatusError, failure


@dataclass(slots=True)
class _Ordered:
    """A fault that happens ``times`` times, where method and path (or kind) fit; empty fits all."""

    times: int
    method: str = ""
    prefix: str = ""
    kind: str = ""
    code: int = 0
    retry_after_s: int | None = None
    as_status: bool = False
    raw: bytes | None = None


class Faults:
    """What goes wrong, and when.

    Args:
        changed: guards all of this, and is notified of every order, so that streams that wait see it at once.
        listen: stops the server's listening (False), which ends all connections too, or starts it again (True).
    """

    def __init__(self, changed: threading.Condition, listen: Callable[[bool], None]) -> None:
        self._changed = changed
        self._listen = listen
        self._failures: list[_Ordered] = []
        self._gone: list[_Ordered] = []
        self._errors: list[_Ordered] = []
        self._cuts: list[_Ordered] = []
        self._forbidden: set[tuple[str, str]] = set()
        self.cuts = 0
        """How often all streams were cut; a stream ends when this is not what it was at its start."""
        self.silent = False
        self.silent_to_all = False
        self.bytes_per_s: float | None = None

    def fail(
        self,
        method: str,
        path_prefix: str,
        status: int,
        times: int = 1,
        retry_after: int | None = None,
        raw: bytes | None = None,
    ) -> None:
        """Answer the next ``times`` requests with a status; an empty method is any.

        ``retry_after`` is seconds; ``raw`` is a body in the place of a Status, as a proxy before the server has one.
        """
        self._order(self._failures, _Ordered(times, method, path_prefix, "", status, retry_after, raw=raw))

    def cut_streams(self) -> None:
        """End all open watches in the midst, without the end that HTTP would have."""
        with self._changed:
            self.cuts += 1
            self._changed.notify_all()

    def silence(self, on: bool = True, *, everything: bool = False) -> None:  # noqa: FBT001, FBT002 -- reads as a switch
        """Let watches say nothing, though they stay open and new ones are begun; with ``everything``, answer nothing at all."""
        with self._changed:
            self.silent, self.silent_to_all = on, on and everything
            self._changed.notify_all()

    def slow(self, bytes_per_s: float | None) -> None:
        """Send no faster than this; None is as fast as can be."""
        with self._changed:
            self.bytes_per_s = bytes_per_s

    def gone_next_watch(self, kind: str = "", *, as_status: bool = False, times: int = 1) -> None:
        """Answer the next watch with 410: in the stream as an ERROR event, or as the status of the answer."""
        self._order(self._gone, _Ordered(times, kind=kind, as_status=as_status))

    def error_event(self, kind: str, code: int) -> None:
        """Send an ERROR event on the open watch of a kind (an empty kind is any), or on the next one, and end it."""
        self._order(self._errors, _Ordered(1, kind=kind, code=code))

    def cut_mid_object(self, kind: str = "", *, lists: bool = False) -> None:
        """Cut the connection half-way through the next event of a watch, or through the next list."""
        self._order(self._cuts, _Ordered(1, kind=kind, method="list" if lists else "watch"))

    def forbid(self, verb: str, resource: str) -> None:
        """Answer 403 to a verb on a resource, as ``watch`` on ``services`` or ``patch`` on ``routes/status``, until allowed."""
        with self._changed:
            self._forbidden.add((verb, resource))

    def allow(self, verb: str, resource: str) -> None:
        """Take ``forbid`` back."""
        with self._changed:
            self._forbidden.discard((verb, resource))

    def refuse_connections(self, on: bool = True) -> None:  # noqa: FBT001, FBT002 -- reads as a switch
        """Be down: cut all connections, and refuse new ones; or be up again, on the same port."""
        self._listen(not on)

    def clear(self) -> None:
        """Take back everything that was ordered."""
        with self._changed:
            for ordered in (self._failures, self._gone, self._errors, self._cuts):
                ordered.clear()
            self._forbidden.clear()
            self.silent = self.silent_to_all = False
            self.bytes_per_s = None
            self._changed.notify_all()
        self._listen(True)  # noqa: FBT003 -- as in the constructor

    def failure_for(self, method: str, path: str) -> StatusError | None:
        """Give the failure that is ordered for a request, and count it."""
        ordered = self._taken(self._failures, lambda o: o.method in {"", method} and path.startswith(o.prefix))
        if ordered is None:
            return None
        error = failure(ordered.code, "ordered by a test")
        if ordered.retry_after_s is not None:
            error.body["details"] = {"retryAfterSeconds": ordered.retry_after_s}
        error.raw = ordered.raw
        return error

    def gone_for(self, resource: Resource) -> bool | None:
        """Whether a new watch is to be told 410: None is no, True as status, False as event."""
        ordered = self._taken(self._gone, lambda o: o.kind in {"", resource.kind})
        return ordered.as_status if ordered is not None else None

    def error_for(self, resource: Resource) -> int | None:
        """Give the code of the ERROR event that a watch is to send."""
        ordered = self._taken(self._errors, lambda o: o.kind in {"", resource.kind})
        return ordered.code if ordered is not None else None

    def cut_for(self, resource: Resource, verb: str) -> bool:
        """Whether the answer that is about to be sent is to be cut half-way."""
        return self._taken(self._cuts, lambda o: o.kind in {"", resource.kind} and o.method == verb) is not None

    def forbids(self, verb: str, resource: str) -> bool:
        """Whether ``forbid`` was asked for this."""
        return (verb, resource) in self._forbidden

    def _order(self, orders: list[_Ordered], order: _Ordered) -> None:
        with self._changed:
            orders.append(order)
            self._changed.notify_all()

    def _taken(self, orders: list[_Ordered], fits: Callable[[_Ordered], bool]) -> _Ordered | None:
        with self._changed:
            found = next((order for order in orders if fits(order)), None)
            if found is not None:
                found.times -= 1
                if found.times <= 0:
                    orders.remove(found)
            return found
