"""Bring haproxy.cfg level with what runs after changes that needed no reload, off the hot path.

A HAProxy that is killed comes back with what is on disk. Within a second after a change that is what was served; what came
after it is told to the HAProxy that came back, as any other change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from router.errors import HaproxyError, TemplateError
from router.model import Model
from router.plan.running import Running
from router.reconcile.judge import Accepted, Judge, one_line
from router.reconcile.state_dir import StateDir
from router.render import Renderer
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.backoff import Backoff

log = structlog.get_logger()

_QUIET_S = 0.7
"""How long changes are gathered before the file is written."""
_STOPS_WITHIN_S = 5.0
_RETRY_S = (1.0, 30.0)


@dataclass(frozen=True, slots=True)
class _Job:
    renderer: Renderer
    model: Callable[[], Model]
    check: bool
    changes: int


class Leveler:
    """Writes haproxy.cfg after runtime changes, on a thread of its own.

    Args:
        judge: lets HAProxy judge a file.
        state: where haproxy.cfg is.
        quiet_s: seconds in which changes are gathered.
        supervisor: owns the thread.
    """

    def __init__(
        self, judge: Judge, state: StateDir, quiet_s: float = _QUIET_S, supervisor: Supervisor = SUPERVISOR
    ) -> None:
        self._judge = judge
        self._state = state
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._wanted: _Job | None = None
        self._unwritten: _Job | None = None
        """The last that was wanted, while neither it nor a reload since has been written."""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = supervisor.own("level", self._run, ask_to_end=self._ask_to_end)
        self._has_begun = False
        self._backoff = Backoff(*_RETRY_S)
        self._last_problem = ""
        self._on_disk: Running | Callable[[], Running] | None = None

    @property
    def on_disk(self) -> Running | None:
        """What a HAProxy has that starts with haproxy.cfg; None while that is not known. Any thread."""
        with self._lock:
            if callable(self._on_disk):
                # Not each time that the file is written, but when a HAProxy was started on it.
                self._on_disk = self._on_disk()
            return self._on_disk

    def want(self, renderer: Renderer, model: Callable[[], Model], *, check: bool) -> None:
        """Have this model on disk soon; it takes the place of one that is still waiting.

        Args:
            renderer: the templates that HAProxy was loaded with.
            model: gives what HAProxy serves, as a reload would load it; called on the leveler's thread.
            check: let HAProxy judge the file before it is used: it has more than other servers.
        """
        with self._lock:
            waiting = self._wanted
            check = check or (waiting is not None and waiting.check and waiting.changes == self._state.changes)
            self._wanted = self._unwritten = _Job(renderer, model, check, self._state.changes)
        if not self._has_begun:
            self._has_begun = True
            self._thread.start()
        self._wake.set()

    def reloaded(self, on_disk: Running | None) -> None:
        """Take note of what a reload has written; None where it may or may not be in force."""
        with self._lock:
            self._unwritten = None
            self._on_disk = on_disk

    def not_reloaded(self) -> None:
        """Take note that a reload that was begun came to nothing: what waited then is to be written after all."""
        with self._lock:
            if self._unwritten is None:
                return
            self._wanted = self._unwritten = replace(self._unwritten, check=True, changes=self._state.changes)
        self._wake.set()

    def stop(self) -> None:
        """Write what is waiting, and end; within some seconds."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _ask_to_end(self) -> None:
        self._stopping.set()
        self._wake.set()

    def _run(self) -> None:
        with self._lock:
            # What a thread that died had taken up is still to be written.
            self._wanted = self._wanted or self._unwritten
            if self._wanted is not None:
                self._wake.set()
        while True:
            self._wake.wait()
            self._wake.clear()
            self._stopping.wait(self._quiet_s)
            with self._lock:
                job, self._wanted = self._wanted, None
            if job is not None:
                problem = self._do(job)
                self._tell(problem)
                if problem and not self._stopping.is_set():
                    self._try_again(job)
            if self._stopping.is_set() and self._wanted is None:
                return

    def _try_again(self, job: _Job) -> None:
        with self._lock:
            if self._wanted is None:
                self._wanted = job
            elif job.check and not self._wanted.check:
                # It has all that this one had, which HAProxy has not judged yet.
                self._wanted = self._unwritten = replace(self._wanted, check=True)
        self._stopping.wait(self._backoff.pause_s())
        self._wake.set()

    def _do(self, job: _Job) -> str:
        """Write a job's file; give what is wrong if that cannot be done."""
        if job.changes != self._state.changes:
            # A reload came between: it has written what is newer, or says by ``not_reloaded`` that it has not.
            return ""
        try:
            model = job.model()
            rendered = job.renderer.render(model)
            # Nothing loads it now, so that nobody would find out that it is good in its parts only.
            whole = not job.renderer.has_independent_sections
            if not job.check:
                self._state.write_level(rendered.config, rendered.files)
            elif not isinstance(judged := self._judge.check(rendered, self._state.write_level, whole=whole), Accepted):
                return f"HAProxy refuses it: {one_line(judged.log)}"
            self._state.promote_level(job.changes, rendered.files, lambda: self._know(job, model))
        except (TemplateError, HaproxyError, OSError) as error:
            # A reload that came between may have swept away what was just written; then this was of no use any more.
            return str(error) if job.changes == self._state.changes else ""
        return ""

    def _know(self, job: _Job, on_disk: Model) -> None:
        with self._lock:
            if self._unwritten is job:
                self._unwritten = None
            self._on_disk = partial(job.renderer.loaded, on_disk)

    def _tell(self, problem: str) -> None:
        if not problem:
            self._backoff.reset()
        elif problem != self._last_problem:
            log.error(
                "configuration on disk not level",
                problem=problem,
                consequence="a HAProxy that is started anew begins with an older one",
            )
        self._last_problem = problem
