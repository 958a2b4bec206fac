"""HAProxy as our own child: a ``Control`` put together from this package's parts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue

import structlog

from router import logs
from router.errors import HaproxyError, HaproxyStartFailed
from router.haproxy.closing import close_ports_first
from router.haproxy.generations import NOBODY, Others
from router.haproxy.kept import KeptHaproxy, said_by
from router.haproxy.newest_worker import Deadlines, NewestWorker
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.files_limit import own_limit
from router.haproxy.process.liveness import WorkerWatch
from router.haproxy.process.messages import RoutesOfBackends, is_log_entry, message
from router.haproxy.process.ports import PortProblem
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import master
from router.haproxy.talk.alerts import bind_failures
from router.haproxy.talk.master import ReloadResult
from router.settings import RenderSettings

log = structlog.get_logger()

_LATELY_S = 3.0
"""The worker is asked every second."""
_HANGS_AFTER_S = 10.0
_AT_ONCE = threading.Event()
_AT_ONCE.set()


class StandaloneHaproxy(NewestWorker):
    """Starts HAProxy as a child, and takes it down.

    ``load`` and ``restart`` must be called from one thread that lives as long as HAProxy shall.

    Args:
        binary: the HAProxy to run.
        config: its configuration file.
        settings: where its sockets are and which addresses it binds.
        deadlines: how long things may take.
        wake: called, on another thread, when HAProxy ended.
        stdout: file descriptor for its lines about connections; None is our own standard output.
        others: the generations of this router beside which ports may be bound.
        kept: one that was started already, on what a router before left; None where there is none.
    """

    def __init__(  # noqa: PLR0913 - what a process needs
        self,
        binary: HaproxyBinary,
        config: Path,
        settings: RenderSettings,
        deadlines: Deadlines,
        *,
        wake: Callable[[], None],
        stdout: int | None = None,
        others: Others = NOBODY,
        kept: KeptHaproxy | None = None,
    ) -> None:
        super().__init__(binary, settings, deadlines, others)
        self._wake = wake
        self._exit_codes: SimpleQueue[int] = SimpleQueue()
        self._kept = kept
        """Until it is known what became of it."""
        self._kept_ports = 0
        self._hurry = threading.Event()
        self._route_of = RoutesOfBackends(settings.state_dir)
        if kept is not None:
            self._process = kept.process
            kept.tell(self._pass_on, self._note_exit)
        else:
            self._process = HaproxyProcess(
                binary,
                config,
                master_socket=settings.master_socket,
                stats_socket=settings.stats_socket,
                on_line=self._pass_on,
                on_exit=self._note_exit,
                stdout=stdout,
            )
        self._watch = WorkerWatch(settings.stats_socket, on_gone=wake)
        self._is_watching = False

    is_child = True
    other_version = ""
    """What runs is the binary that judges."""

    @property
    def kept_ports(self) -> int:
        """On how many ports it serves by what a router before left; 0 where nothing was kept. Of use until something is loaded by us."""
        return self._kept_ports if self.runs_kept else 0

    @property
    def last_answer_s(self) -> float | None:
        """When HAProxy last answered (``time.monotonic``), None if it never did; any thread."""
        return self._watch.last_answer_s

    @property
    def is_up(self) -> bool:
        """Whether HAProxy runs and answered lately; any thread."""
        answered_s = self._watch.last_answer_s
        return self._process.is_running and answered_s is not None and time.monotonic() - answered_s < _LATELY_S

    @property
    def takes_traffic(self) -> bool:
        """Whether clients can be sent to it: it runs, and is not known to hang; any thread."""
        answered_s = self._watch.last_answer_s
        return self._process.is_running and answered_s is not None and time.monotonic() - answered_s < _HANGS_AFTER_S

    @property
    def is_down(self) -> bool:
        """Whether it does not run; ``load`` then starts it."""
        return not self._process.is_running

    @property
    def is_awaited(self) -> bool:
        """False: it is ours to start."""
        return False

    @property
    def files_limit(self) -> int:
        """How many files one of its processes may have open: as many as we may."""
        return own_limit()

    def load(self) -> ReloadResult:
        """Reload, or start."""
        self.runs_kept = False
        if self._process.is_running:
            result = master.reload(self._settings.master_socket, self._deadlines.load_s)
        else:
            result = self._start()
        if result.success:
            self._follow()
        return result

    def ended(self) -> int | None:
        """Give the exit code of a HAProxy that ended unasked since the last call, unless ``load`` started it again; else None.

        The first call waits for one that was started on what a router before left.
        """
        if self._kept is not None:
            self._take_up(self._kept)
            self._kept = None
        while not self._exit_codes.empty():
            code = self._exit_codes.get()
            if not self._process.is_running:
                self.runs_kept = False
                return code
            log.error("haproxy ended", exit_code=code, consequence="the change under way started it again")
        return None

    def restart(self) -> None:
        """Start it again on the configuration it had."""
        self._process.start(self._deadlines.load_s)
        self._follow()

    def hurry(self) -> None:
        """Make a ``stop`` under way, or to come, wait for no connection; any thread."""
        self._hurry.set()

    def stop(self) -> None:
        """Take it down: connections may end within the drain deadline, then it is ended."""
        self._watch.stop()
        if self._process.is_running and not self._hurry.is_set():
            close_ports_first(
                self._settings.stats_socket, self._deadlines.command_s, self._hurry, self._deadlines.drain_s
            )
        result = self._process.stop(self._deadlines.drain_s, self._hurry)
        log.info("haproxy stopped", how=str(result))

    def _take_up(self, kept: KeptHaproxy) -> None:
        try:
            self._kept_ports = kept.ready(self._deadlines.load_s, self._deadlines.command_s)
        except HaproxyError as error:
            log.error(
                "kept configuration not served",
                problem=said_by(error),
                consequence="HAProxy starts when the first configuration is made",
            )
            self._process.stop(0.0, _AT_ONCE)
            return
        self.runs_kept = True
        self._follow()
        log.info("kept configuration served", ports=self._kept_ports, seconds=round(kept.seconds, 3))

    def _in_the_way(self, ip: str, problems: Mapping[int, PortProblem]) -> Mapping[int, PortProblem]:
        """Leave out the ports on which a HAProxy listens that was started before anything was decided."""
        return self._not_own(problems, ip) if self.runs_kept else problems

    def _follow(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._watch.start()
        self._watch.follow()

    def _start(self) -> ReloadResult:
        try:
            self._process.start(self._deadlines.load_s)
        except HaproxyStartFailed as error:
            return ReloadResult(success=False, log=error.log, bind_failures=bind_failures(error.log))
        return ReloadResult(success=True, log="", bind_failures=())

    def _note_exit(self, code: int) -> None:
        self._exit_codes.put(code)
        self._wake()

    def _pass_on(self, line: str) -> None:
        """Log what HAProxy says of itself; it is one thread that does."""
        if is_log_entry(line):
            logs.pass_on(line)
        elif (told := message(line, self._route_of)) is not None:
            log.log(logging.getLevelNamesMapping()[told.level.upper()], told.event, **told.keys)
