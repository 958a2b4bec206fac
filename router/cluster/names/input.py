"""Keeps in the store what the names lead to that Services of type ExternalName say, on a thread of its own.

Which names, the reconcile thread says, for admission decides what may be led to; the answers come back as objects do.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from router.cluster.names import memory
from router.cluster.names.messages import Absent, Addresses
from router.cluster.names.resolver import Answer, Resolver
from router.cluster.names.standing import Standings
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.resolved import ResolvedName
from router.objects.store import Store
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_STOPS_WITHIN_S = 2.0
_IDLE_S = 60.0
_FIRST_S = 2.0
_FEW = 8
"""Addresses that a line of the log names."""
_WRITES_AFTER_S = 1.0
"""How long answers are gathered before the file is written."""


class NamesInput:
    """Looks up what ``want`` names, from ``start`` to ``stop``.

    Args:
        store: is told.
        resolver: makes what looks up; of the thread.
        path: where is kept what was known last.
        supervisor: owns the thread.
    """

    def __init__(
        self, store: Store, resolver: Callable[[], Resolver], path: Path, supervisor: Supervisor = SUPERVISOR
    ) -> None:
        self._store = store
        self._make = resolver
        self._path = path
        self._resolver: Resolver | None = None
        self._standings = Standings()
        self._by_name: dict[str, set[ObjectKey]] = {}
        self._lock = threading.Lock()
        self._wanted: Mapping[ObjectKey, str] | None = None
        self._is_new = False
        self._first_s: float | None = None
        """When ``want`` was called first."""
        self._is_first_taken = False
        self._has_first = False
        """The first answers are there, or were awaited for long enough."""
        self._stopping = threading.Event()
        self._counts: Counter[str] = Counter()
        # Before anything is decided.
        self._told = {each.key: each for each in memory.read(path)}
        self._write_s = float("inf")
        store.put(*self._told.values())
        self._thread = supervisor.own("external names", self._run, ask_to_end=self._ask_to_end)

    def start(self) -> None:
        """Begin to look up."""
        self._thread.start()

    def stop(self) -> None:
        """Look up no more; the store keeps what it has."""
        self._thread.stop(_STOPS_WITHIN_S)

    def want(self, names: Mapping[ObjectKey, str]) -> None:
        """Look up these from now on, by the Services that say them, and no others; any thread."""
        with self._lock:
            self._wanted, self._is_new = names, True
            if self._first_s is None:
                self._first_s = time.monotonic()
        self._wake()

    def awaited(self) -> tuple[str, ...]:
        """Say so while the first answers are awaited, for an instant after the first names came; any thread.

        Clients had better go to another replica until then. Nobody is waited for any longer: a tenant's name may never have an answer.
        """
        first_s = self._first_s
        if first_s is None or self._has_first:
            return ()
        is_taken = self._is_first_taken
        self._has_first = time.monotonic() - first_s > _FIRST_S or (is_taken and not self._standings.awaits_first)
        return () if self._has_first else ("names of ExternalName Services are looked up for the first time",)

    def names(self) -> Mapping[str, int]:
        """Give how many names are in which state; any thread."""
        return self._standings.counts()

    def lookups(self) -> Mapping[str, int]:
        """Give how many lookups had which result; any thread."""
        return dict(self._counts)

    def _wake(self) -> None:
        resolver = self._resolver
        if resolver is not None:
            resolver.wake()

    def _ask_to_end(self) -> None:
        self._stopping.set()
        self._wake()

    def _run(self) -> None:
        # What was under way when the thread died, if it did, is asked for again.
        self._standings, self._by_name = Standings(), {}
        with self._lock:
            self._is_new = self._wanted is not None
        with self._make() as resolver:
            self._resolver = resolver
            while not self._stopping.is_set():
                self._turn(resolver)
        self._resolver = None
        self._write()

    def _turn(self, resolver: Resolver) -> None:
        self._take_wanted()
        now_s = time.monotonic()
        for name in self._standings.due(now_s):
            resolver.ask(name)
        until_s = min(self._standings.next_s, self._write_s, now_s + _IDLE_S)
        for answer in resolver.step(max(0.0, until_s - now_s)):
            self._take(answer)
        if time.monotonic() >= self._write_s:
            self._write()

    def _take_wanted(self) -> None:
        with self._lock:
            if not self._is_new:
                return
            wanted, self._is_new = self._wanted or {}, False
        by_name: dict[str, set[ObjectKey]] = {}
        for service, name in wanted.items():
            by_name.setdefault(name, set()).add(service)
        self._by_name = by_name
        namespaces = {name: min(services).namespace for name, services in by_name.items()}
        for name in self._standings.follow(namespaces, time.monotonic()):
            addresses = {
                address
                for service in by_name[name]
                if (told := self._told.get(service)) is not None and told.name == name
                for address in told.addresses
            }
            self._standings.remember(name, addresses)
        gone = self._told.keys() - wanted.keys()
        self._is_first_taken = True
        for service in gone:
            del self._told[service]
        if gone:
            self._store.delete(ResolvedName, *gone)
            self._write_s = min(self._write_s, time.monotonic() + _WRITES_AFTER_S)
        for name in by_name:
            self._tell(name)

    def _take(self, answer: Answer) -> None:
        outcome = answer.outcome
        result = "answered" if isinstance(outcome, Addresses) else "absent" if isinstance(outcome, Absent) else "failed"
        self._counts[result] += 1
        former = self._standings.known(answer.name)
        if not self._standings.take(answer, time.monotonic()):
            return
        known = self._standings.known(answer.name)
        if known.problem and known.problem != former.problem:
            log.warning("name not resolved", name=answer.name, problem=known.problem)
        if known.addresses != former.addresses:
            # Whoever owns a name may give it others every five seconds.
            tell = log.debug if former.addresses else log.info
            tell("name resolved", name=answer.name, addresses=list(known.addresses[:_FEW]), count=len(known.addresses))
        self._tell(answer.name)

    def _tell(self, name: str) -> None:
        """Put what is known of a name into the store, for each Service that says it."""
        known = self._standings.known(name)
        if not known.is_tried and not known.addresses:
            return
        for service in self._by_name.get(name, ()):
            metadata = ObjectMeta(name=service.name, namespace=service.namespace)
            resolved = ResolvedName(metadata, name, known.addresses, known.problem)
            if self._told.get(service) != resolved:
                self._told[service] = resolved
                self._store.put(resolved)
                self._write_s = min(self._write_s, time.monotonic() + _WRITES_AFTER_S)

    def _write(self) -> None:
        if self._write_s == float("inf"):
            return
        self._write_s = float("inf")
        try:
            memory.write(self._path, self._told.values())
        except OSError as error:
            log.warning("addresses of names not written", path=str(self._path), problem=str(error))
