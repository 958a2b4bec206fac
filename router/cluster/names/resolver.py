"""Looks up many names at a time, on one thread: both families of each, with an answer for each family, for some servers never say a word of one.

    with Resolver(Servers()) as resolver:
        resolver.ask("db.example.com")
        answers = resolver.step(1.0)

``resolve`` does that for those who want an answer now.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from router.cluster.names.lookup import DEADLINE_S, Lookup, Outcome
from router.cluster.names.messages import FAMILIES, Family
from router.cluster.names.resolv_conf import Server, Servers

MOST_AT_A_TIME = 256
"""Lookups; those beyond wait, in their order, for the servers' sake."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of looking up one name's addresses of one family."""

    name: str
    family: Family
    outcome: Outcome


class Resolver:
    """Looks up names that it is asked for. All calls from one thread, but for ``wake``.

    Args:
        servers: gives the DNS servers.
        clock: seconds of a clock that never goes back.
        most: lookups at a time.
        deadline_s: for each of them, from when it begins.
    """

    def __init__(
        self,
        servers: Callable[[], Sequence[Server]],
        clock: Callable[[], float] = time.monotonic,
        *,
        most: int = MOST_AT_A_TIME,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._deadline_s = deadline_s
        self._answers_well: Server | None = None
        """Who answered last, and is asked first: to find out with each name that another one is silent takes long."""
        self._servers = servers
        self._clock = clock
        self._most = most
        self._waiting: deque[tuple[str, Family]] = deque()
        self._under_way: set[Lookup] = set()
        self._left: dict[str, frozenset[Family]] = {}
        """Of each name that is being looked up the families without an outcome."""
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        for each in (self._bell, self._ear):
            each.settimeout(0)
        self._selector.register(self._ear, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave all sockets."""
        for lookup in self._under_way:
            lookup.close()
        self._under_way.clear()
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def wake(self) -> None:
        """End the current or the next ``step`` early; any thread."""
        # Closed, or so often rung that it is full: then nobody waits.
        with contextlib.suppress(OSError):
            self._bell.send(b".")

    def ask(self, name: str) -> None:
        """Look up a name, both families, unless that is under way."""
        if name not in self._left:
            self._left[name] = frozenset(FAMILIES)
            self._waiting.extend((name, family) for family in FAMILIES)

    def step(self, timeout_s: float) -> list[Answer]:
        """Go on with all lookups, for so many seconds at most if nothing comes; give what came to its end."""
        ends_s = self._clock() + timeout_s
        self._begin()
        while not (answers := self._answers()):
            now_s = self._clock()
            due_s = min((each.due_s for each in self._under_way), default=ends_s)
            woken = self._wait(max(0.0, min(due_s, ends_s) - now_s))
            self._drive()
            self._begin()
            if woken or self._clock() >= ends_s:
                return self._answers()
        return answers

    def _begin(self) -> None:
        servers = sorted(self._servers(), key=lambda each: each != self._answers_well) if self._waiting else ()
        while self._waiting and len(self._under_way) < self._most:
            lookup = Lookup(*self._waiting.popleft(), servers, self._clock(), self._deadline_s)
            lookup.step(self._clock())
            self._under_way.add(lookup)
            self._follow(lookup, None)

    def _wait(self, timeout_s: float) -> bool:
        """Wait for sockets; say whether somebody rang."""
        woken = False
        for key, _ in self._selector.select(timeout_s):
            lookup: Lookup | None = key.data
            if lookup is None:
                with contextlib.suppress(BlockingIOError):
                    self._ear.recv(1 << 12)
                woken = True
            else:
                former = lookup.socket
                lookup.step(self._clock(), is_ready=True)
                self._follow(lookup, former)
        return woken

    def _drive(self) -> None:
        """Go on with those whose time has come."""
        now_s = self._clock()
        for lookup in self._under_way:
            if lookup.outcome is None and lookup.due_s <= now_s:
                former = lookup.socket
                lookup.step(now_s)
                self._follow(lookup, former)

    def _follow(self, lookup: Lookup, former: socket.socket | None) -> None:
        """Wait for the socket that a lookup has now; ``former`` is the one that it had."""
        current = lookup.socket
        events = selectors.EVENT_WRITE if lookup.writes else selectors.EVENT_READ
        if current is former and current is not None:
            self._selector.modify(current, events, lookup)
            return
        if former is not None:
            self._selector.unregister(former)
        if current is not None:
            self._selector.register(current, events, lookup)

    def _answers(self) -> list[Answer]:
        """Take out what came to its end."""
        ended = [each for each in self._under_way if each.outcome is not None]
        self._under_way.difference_update(ended)
        for lookup in ended:
            self._answers_well = lookup.answered_by or self._answers_well
            left = self._left[lookup.name] - {lookup.family}
            if left:
                self._left[lookup.name] = left
            else:
                del self._left[lookup.name]
        return [Answer(each.name, each.family, each.outcome) for each in ended if each.outcome is not None]


def resolve(
    names: Collection[str], servers: Iterable[Server] = (), deadline_s: float = DEADLINE_S
) -> Mapping[str, Mapping[Family, Outcome]]:
    """Look up names now.

    Args:
        names: in lower case, without a last dot.
        servers: to ask; none are those of resolv.conf.
        deadline_s: for each lookup, of which ``MOST_AT_A_TIME`` are made at a time.

    Returns:
        What came of it, by name and family.
    """
    found: dict[str, dict[Family, Outcome]] = {name: {} for name in names}
    left = len(found) * len(FAMILIES)
    with Resolver(Servers(tuple(servers)), deadline_s=deadline_s) as resolver:
        for name in found:
            resolver.ask(name)
        while left:
            answers = resolver.step(deadline_s)
            left -= len(answers)
            for answer in answers:
                found[answer.name][answer.family] = answer.outcome
    return found
