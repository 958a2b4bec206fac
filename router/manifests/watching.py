"""Notices that something in a directory changed, and says so once things are quiet.

What changed is not told: whoever is called looks for itself. That makes lost and doubled notices harmless.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import structlog
from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from router.supervisor import SUPERVISOR, Supervisor

CHECK_S = 0.25
"""Between two looks at whether the directory is still the one that is watched."""
POLL_S = 1.0
"""Between two looks into the directory where the kernel does not notify."""
_JOIN_S = 0.9

# Opening and reading are not among them: whoever is called reads the files, and would call himself again by it.
# FileAttribEvent and DirAttribEvent came with watchdog 7; before, a change of mode was a modification.
_WATCHED_EVENTS: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileModifiedEvent,
    events.FileMovedEvent,
    events.FileDeletedEvent,
    events.FileClosedEvent,
    events.DirCreatedEvent,
    events.DirModifiedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
    *(getattr(events, name) for name in ("FileAttribEvent", "DirAttribEvent") if hasattr(events, name)),
]

# Of a folder made in one that is just being added: watchdog adds it twice, which is harmless, and no line for an admin's log.
warnings.filterwarnings("ignore", r"Callback with id .* already exists for watch", RuntimeWarning)

_Identity = tuple[str, int, int, int]


class DirectoryWatcher:
    """Calls ``on_change`` on a thread of its own after something in the directory, or below, changed.

    Symbolic links to the directory are followed, and so is a new directory in its place. Where inotify's limits are reached
    it looks every ``POLL_S`` seconds instead, and logs so.

    Args:
        directory: what to watch; it need not exist yet.
        on_change: is called when nothing changed for ``quiet_s``, at the latest ``max_wait_s`` after the first change. Changes
            while it runs lead to another call. An exception of it is the death of the thread, which begins again, and calls it again.
        quiet_s: seconds.
        max_wait_s: seconds.
        rescan_s: call also when so many seconds have passed since the last call, for what the kernel does not tell: files
            behind links that lead elsewhere, network file systems, an overflow of its queue. None is never.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913 - what to watch, three times and an owner with defaults
        self,
        directory: Path,
        on_change: Callable[[], None],
        *,
        quiet_s: float = 0.05,
        max_wait_s: float = 0.5,
        rescan_s: float | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._directory = directory
        self._on_change = on_change
        self._quiet_s = quiet_s
        self._max_wait_s = max_wait_s
        self._rescan_s = rescan_s
        self._log = structlog.get_logger().bind(directory=str(directory))
        self._condition = threading.Condition()
        self._first_change_s: float | None = None
        self._last_change_s = 0.0
        self._call_at_s: float | None = None
        self._is_stopping = False
        self._has_died = False
        self._thread = supervisor.own(f"watch {directory}", self._run, ask_to_end=self._ask_to_end)
        self._observer: BaseObserver | None = None
        self._watched: _Identity | None = None

    def start(self) -> None:
        """Begin to watch; changes from now on are noticed."""
        self._watch_anew()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and end the threads; a call of ``on_change`` that runs is waited for, but not for long."""
        self._thread.stop(_JOIN_S)

    def _ask_to_end(self) -> None:
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def call_within(self, seconds: float) -> None:
        """Make sure that ``on_change`` is called in so many seconds, or earlier."""
        with self._condition:
            at_s = time.monotonic() + seconds
            self._call_at_s = at_s if self._call_at_s is None else min(at_s, self._call_at_s)
            self._condition.notify_all()

    def _changed(self) -> None:
        with self._condition:
            self._last_change_s = time.monotonic()
            if self._first_change_s is None:
                self._first_change_s = self._last_change_s
                self._condition.notify_all()

    def _run(self) -> None:
        if self._has_died:
            self._has_died = False
            self._watch_anew()
            self._changed()
        try:
            self._turn()
        finally:
            self._unwatch()
            self._has_died = not self._is_stopping

    def _turn(self) -> None:
        next_check_s = time.monotonic() + CHECK_S
        self._plan_rescan()
        while True:
            with self._condition:
                if self._is_stopping:
                    return
                now_s = time.monotonic()
                due_s = self._due_s()
                is_due = due_s <= now_s
                if is_due:
                    self._first_change_s = None
                    self._call_at_s = None
                elif now_s < next_check_s:
                    self._condition.wait(min(due_s, next_check_s) - now_s)
                    continue
            if now_s >= next_check_s:
                next_check_s = now_s + CHECK_S
                self._check()
            if is_due:
                self._on_change()
                self._plan_rescan()

    def _due_s(self) -> float:
        due_s = self._call_at_s if self._call_at_s is not None else float("inf")
        if self._first_change_s is None:
            return due_s
        return min(due_s, self._last_change_s + self._quiet_s, self._first_change_s + self._max_wait_s)

    def _plan_rescan(self) -> None:
        if self._rescan_s is not None:
            self.call_within(self._rescan_s)

    def _check(self) -> None:
        """Watch anew where the directory is another one than the one that is watched, or came, or went."""
        observer = self._observer
        has_lost_watch = observer is not None and not (
            observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)
        )
        if has_lost_watch or _identity(self._directory) != self._watched:
            self._watch_anew()
            self._changed()

    def _watch_anew(self) -> None:
        self._unwatch()
        self._watched = _identity(self._directory)
        if self._watched is None:
            return
        path = self._watched[0]
        try:
            self._observer = _observer(Observer, path, self._changed)
        except FileNotFoundError:
            self._watched = None
        except OSError as error:
            self._log.warning("directory polled", problem=str(error), interval_s=POLL_S)
            try:
                self._observer = _observer(lambda: PollingObserver(timeout=POLL_S), path, self._changed)
            except OSError:
                # Not to be read now: the next check tries again.
                self._watched = None

    def _unwatch(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(_JOIN_S)
            self._observer = None


class _Handler(events.FileSystemEventHandler):
    """Passes on that there was an event."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: events.FileSystemEvent) -> None:  # noqa: ARG002 - that there was one is all
        self._changed()


def _observer(make: Callable[[], BaseObserver], path: str, changed: Callable[[], None]) -> BaseObserver:
    """Start an observer of everything below a directory.

    Raises:
        OSError: the kernel has no room for another one, or the directory is gone.
    """
    observer = make()
    observer.schedule(_Handler(changed), path, recursive=True, event_filter=_WATCHED_EVENTS)
    try:
        observer.start()
    except OSError:
        # It has a thread and a file descriptor already.
        observer.stop()
        raise
    return observer


def _identity(directory: Path) -> _Identity | None:
    """Give what tells a directory from another one of the same path; None where there is none.

    The mode is part of it: a directory that could not be read has to be watched anew once it can.
    """
    path = os.path.realpath(directory)
    try:
        status = os.stat(path)  # noqa: PTH116 - of a path that is text already
    except OSError:
        return None
    return path, status.st_dev, status.st_ino, status.st_mode
