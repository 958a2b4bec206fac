"""Delete servers that were retired, and the sections that are left without any, when HAProxy has no connection left that could lead to them.

HAProxy 2.8.25 refuses to delete a server that has connections, but does not count those that wait to be tried anew: a connection that a
server refused is taken off it, remembers it, and looks at it again when the second is over (HAProxy's issue 3455; 3.2.26 and 3.4.7
count them). A server that was deleted meanwhile is memory that somebody else may have by then, and HAProxy counts in it. So a server is
deleted only when it had none for longer than that: in maintenance it gets no further ones.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby

import structlog

from router.plan.leaving import Leaving, ServerName
from router.plan.running import Running
from router.reconcile.worker import Worker
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_TRIED_ANEW_WITHIN_S = 1.9
"""The second that HAProxy waits at most, whatever ``timeout connect`` is, and nearly another for a thread that is busy."""
_LOOKED_AT_ONCE = 200
"""Servers that one look asks about, or ``_LOOKED_AT_PART`` of all."""
_LOOKED_AT_PART = 5
"""However fast somebody's endpoints change: what is added in a second is gone some seconds later."""
_BACKENDS_IN_A_PIECE = 2
"""So many are asked about before it is looked whether a change has come: HAProxy walks over all of its sections for each, 1 ms where it has 10,000."""
_DELETED_IN_A_PIECE = 10
"""HAProxy halts its threads for each."""
_SECTION_RETRY_S = (2.0, 60.0)
"""First and longest pause before a section is tried again that HAProxy did not delete: some client is in it yet, without a server."""
_NAMED = 5
_FIRST = ("", "")


class Retired:
    """Looks at the servers of one HAProxy that leave. All calls from one thread.

    Args:
        worker: its newest worker.
        tried_anew_within_s: how long a connection that a server refused may remember it.
        now_s: the clock.
    """

    def __init__(
        self,
        worker: Worker,
        tried_anew_within_s: float = _TRIED_ANEW_WITHIN_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._tried_anew_within_s = tried_anew_within_s
        self._now_s = now_s
        self._looked_at_last: ServerName = _FIRST
        self._idle_since_s: dict[ServerName, float] = {}
        """Those in maintenance that had no connections when they were looked at."""
        self.is_through = True
        """Whether the last ``delete`` did all that there was to do; if not, the next one is to come soon."""
        self._stay: dict[str, tuple[Backoff, float]] = {}
        """Sections that serve nobody, and that HAProxy did not delete: when each is tried again, and the pauses between."""

    def keep(self, leaving: Leaving) -> None:
        """Forget what was seen of servers that are not among these: one that comes back may have connections until it leaves again."""
        if self._idle_since_s:
            self._idle_since_s = {name: since_s for name, since_s in self._idle_since_s.items() if name in leaving}

    def forget(self, names: Iterable[ServerName]) -> None:
        """Forget what was seen of these, which leave no more: as ``keep``, without a look at all others."""
        for name in names:
            self._idle_since_s.pop(name, None)

    def delete(self, running: Running, has_news: Callable[[], bool] = lambda: False) -> Running:
        """Delete those that had no connections for long enough, and look which others have none; give what HAProxy has then.

        Args:
            running: what HAProxy has.
            has_news: says whether a change waits meanwhile; then a piece is done, and the rest left to the next time, unless that is very much.

        Raises:
            HaproxyError: HAProxy did not answer as it should; it has what it had.
        """
        self.is_through = True
        self.keep(running.leaving)
        self._look(running, has_news)
        long_ago_s = self._now_s() - self._tried_anew_within_s
        due = [name for name, since_s in self._idle_since_s.items() if since_s <= long_ago_s]
        gone: set[ServerName] = set()
        for some in self._pieces(_every(due, _DELETED_IN_A_PIECE), has_news):
            for name in some:
                # One that cannot be deleted is looked at as if for the first time.
                del self._idle_since_s[name]
            gone |= self._worker.delete_servers(some)
        return self._without_left(running.without_leaving(frozenset(gone)) if gone else running)

    def _pieces(self, pieces: Iterable[list[ServerName]], has_news: Callable[[], bool]) -> Iterator[list[ServerName]]:
        """Give one piece after another, until there is news; always the first."""
        for number, piece in enumerate(pieces):
            if number and has_news():
                self.is_through = False
                return
            yield piece

    def _without_left(self, running: Running) -> Running:
        """Delete the sections that serve nobody and have no servers left; give what HAProxy has then."""
        self._stay = {name: when for name, when in self._stay.items() if name in running.left}
        now_s = self._now_s()
        due = (name for name in running.left if name not in self._stay or self._stay[name][1] <= now_s)
        some = sorted(name for name in due if not running.leaving.of(name))[:_LOOKED_AT_ONCE]
        if not some:
            return running
        refused = self._worker.delete_backends(some)
        new = sorted(refused.keys() - self._stay.keys())
        for name in refused:
            backoff, _ = self._stay.get(name) or (Backoff(*_SECTION_RETRY_S), 0.0)
            self._stay[name] = backoff, now_s + backoff.pause_s()
        if new:
            problems = [f"{name}: {refused[name]}" for name in new[:_NAMED]]
            log.info("sections not deleted", number=len(new), problems=problems, consequence="tried again")
        gone = frozenset(some) - refused.keys()
        return running.without_backends(gone) if gone else running

    def _look(self, running: Running, has_news: Callable[[], bool]) -> None:
        names = sorted(name for name in running.leaving if name not in self._idle_since_s)
        # Beginning after those that were looked at last: many that stay busy must not keep others from their turn.
        first = bisect_right(names, self._looked_at_last)
        some = (names[first:] + names[:first])[: max(_LOOKED_AT_ONCE, len(names) // _LOOKED_AT_PART)]
        # Of so many none may be left to a next time, or they would only become more.
        pieces = _by_backends(some, _BACKENDS_IN_A_PIECE) if len(names) <= _LOOKED_AT_ONCE else [some]
        for piece in self._pieces(pieces, has_news):
            self._looked_at_last = piece[-1]
            drained = {name for name in piece if running.leaving[name].cuts_sessions_when_down}
            idle = self._worker.idle_servers([name for name in piece if name not in drained], sorted(drained))
            now_s = self._now_s()
            self._idle_since_s.update(dict.fromkeys(sorted(idle), now_s))


def _every(names: list[ServerName], count: int) -> Iterator[list[ServerName]]:
    """Give so many at a time."""
    for start in range(0, len(names), count):
        yield names[start : start + count]


def _by_backends(names: list[ServerName], count: int) -> Iterator[list[ServerName]]:
    """Give the servers of so many backends at a time, which stand together."""
    groups = [list(group) for _, group in groupby(names, key=lambda name: name[0])]
    for start in range(0, len(groups), count):
        yield list(chain.from_iterable(groups[start : start + count]))
