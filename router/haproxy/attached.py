"""HAProxy as a container of its own: a ``Control`` of one that somebody else starts, found by its sockets.

In a pod the kubelet starts it, before the router, and starts it again when it ended. Neither its processes nor their ids are
ours to see: what is known of it, it says on its sockets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from router.errors import HaproxyError, HaproxyUnreachable
from router.haproxy.generations import NOBODY, Others
from router.haproxy.newest_worker import Deadlines, NewestWorker
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.files_limit import own_limit, read_limit
from router.haproxy.process.liveness import WorkerWatch
from router.haproxy.process.ports import Obstacle, PortProblem
from router.haproxy.talk import master, stats
from router.haproxy.talk.master import ReloadResult
from router.haproxy.talk.stats import WorkerId
from router.settings import RenderSettings

log = structlog.get_logger()

_LATELY_S = 3.0
"""The worker is asked every second."""
_HANGS_AFTER_S = 10.0
_WAIT_S = 1.0
_LOOK_EVERY_S = 0.02
_ANSWER_WITHIN_S = 2.0
_UNKNOWN_EXIT_CODE = 0


class AttachedHaproxy(NewestWorker):
    """Reloads a HAProxy that runs, and notices that it was restarted; never starts or ends it.

    ``ended``, ``load`` and ``restart`` must be called from one thread.

    Args:
        binary: judges configurations; should be of the version that runs.
        settings: where its sockets are and which addresses it binds.
        deadlines: how long things may take.
        wake: called, on another thread, when HAProxy is gone or was replaced.
        others: the generations of this router beside which ports may be bound.
    """

    def __init__(
        self,
        binary: HaproxyBinary,
        settings: RenderSettings,
        deadlines: Deadlines,
        *,
        wake: Callable[[], None],
        others: Others = NOBODY,
    ) -> None:
        super().__init__(binary, settings, deadlines, others)
        self._wake = wake
        self._lost = threading.Event()
        self._is_awaited = True
        self._is_watching = False
        self._worker: WorkerId | None = None
        """The one that we loaded, or met."""
        self._other_version = ""
        self._kept_ports = 0
        self._watch = WorkerWatch(settings.stats_socket, on_gone=self._note_loss)

    # Any thread

    is_child = False

    @property
    def last_answer_s(self) -> float | None:
        """When HAProxy last answered (``time.monotonic``), None if it never did."""
        return self._watch.last_answer_s

    @property
    def is_up(self) -> bool:
        """Whether HAProxy is there and answered lately."""
        return self._answered_within(_LATELY_S)

    @property
    def takes_traffic(self) -> bool:
        """Whether clients can be sent to it: it is there, and not known to hang."""
        return self._answered_within(_HANGS_AFTER_S)

    @property
    def is_down(self) -> bool:
        """False: what runs there may serve somebody, and is not ours to start."""
        return False

    @property
    def is_awaited(self) -> bool:
        """Whether it is gone, or was replaced, and ``restart`` has not found it since."""
        return self._is_awaited

    @property
    def other_version(self) -> str:
        """The version of the HAProxy that runs, where it is not that of the binary which judges; else empty."""
        return self._other_version

    @property
    def kept_ports(self) -> int:
        """On how many ports it served when it was last found: by a configuration that has servers, loaded and running.

        0 where it has none, as the small one of its first start. Of use until something is loaded by us.
        """
        return self._kept_ports

    @property
    def files_limit(self) -> int:
        """How many files one of its processes may have open, by its own account; without one, as many as we may."""
        return read_limit(self._settings.files_limit_file) or own_limit()

    def hurry(self) -> None:
        """Do nothing: there is no connection that ``stop`` would wait for."""

    # The controller's thread

    def _in_the_way(self, ip: str, problems: Mapping[int, PortProblem]) -> Mapping[int, PortProblem]:
        """Leave out the ports on which HAProxy listens already: one that was there before us has some.

        It may also have the right to ports under 1024, which we need not have: whether it has, only binding them can tell.

        Raises:
            HaproxyError: HAProxy cannot be asked for its ports.
        """
        return self._not_own(
            {port: each for port, each in problems.items() if each.obstacle is not Obstacle.NOT_PERMITTED}, ip
        )

    def load(self) -> ReloadResult:
        """Reload.

        Raises:
            HaproxyError: HAProxy is not there, or does not answer.
        """
        result = master.reload(self._settings.master_socket, self._deadlines.load_s)
        if result.success:
            self._meet(stats.info(self._settings.stats_socket, self._deadlines.command_s))
        return result

    def ended(self) -> int | None:
        """Say, by 0, that HAProxy ended or was replaced since the last call; its exit code is not ours to see. Else None."""
        if not self._is_watching:
            self._is_watching = True
            self._watch.start()
            self._find()
            return None
        seen = self._watch.worker
        if not self._lost.is_set() and seen is not None and self._worker is not None and seen != self._worker:
            # It came and went unseen, and the watch hears from another one already.
            self._note_loss()
        if not self._lost.is_set():
            return None
        self._lost.clear()
        return _UNKNOWN_EXIT_CODE

    def restart(self) -> None:
        """Wait for the HAProxy that somebody else starts, a second at most.

        Raises:
            HaproxyUnreachable: it is not there yet (``is_awaited``); call again.
        """
        ends_s = time.monotonic() + _WAIT_S
        self._lost.clear()
        while not self._find():
            if time.monotonic() > ends_s:
                raise HaproxyUnreachable(f"HAProxy does not answer on {self._settings.master_socket}")
            time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        """Let go of it, and leave it running: whoever started it ends it, when we have ended."""
        self._watch.stop()
        log.info("haproxy left running")

    def _answered_within(self, seconds: float) -> bool:
        answered_s = self._watch.last_answer_s
        return not self._is_awaited and answered_s is not None and time.monotonic() - answered_s < seconds

    def _find(self) -> bool:
        """Look for a HAProxy that accepts connections, and say whether there is one."""
        socket = self._settings.stats_socket
        try:
            newest = master.processes(self._settings.master_socket, _ANSWER_WITHIN_S).worker
            info = stats.info(socket, _ANSWER_WITHIN_S)
        except HaproxyError:
            return False
        # Of two that differ, one is about to end.
        if info.stopping or newest != info.pid:
            return False
        self._kept_ports = self._count_kept()
        self._meet(info)
        return True

    def _count_kept(self) -> int:
        try:
            serving = self.serving()
        except HaproxyError as error:
            log.warning("haproxy's configuration not known", problem=str(error))
            return 0
        return len(serving.frontends) if serving.servers else 0

    def _meet(self, info: stats.Info) -> None:
        self._worker = info.worker
        self._watch.follow(is_known=True)
        self._is_awaited = False
        other = info.version if info.version != self._binary.build else ""
        if other and other != self._other_version:
            log.warning(
                "haproxy versions differ",
                running=other,
                checking=self._binary.build,
                consequence="what one accepts the other may refuse; run both containers on one image",
            )
        self._other_version = other

    def _note_loss(self) -> None:
        self._is_awaited = True
        self._lost.set()
        self._wake()
