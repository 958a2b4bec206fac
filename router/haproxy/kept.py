"""HAProxy, started on the haproxy.cfg that a router before left, while this one is still being put together.

Clients are served by what was so last, before anything is read of what is so now. What of it holds is found out by the first plan; what cannot be had
any more (ports that somebody else has) is left out, and where HAProxy does not start with it, it is started with the first configuration, as ever.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from router.errors import HaproxyError, HaproxyStartFailed
from router.haproxy.generations import NOBODY
from router.haproxy.process import bootstrap
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import stats
from router.settings import RenderSettings

_SECTIONS = re.compile(r"^(?:frontend (\S+).*|  default_backend (pool:\S+))$", re.MULTILINE)
_FREE_WITHIN_S = 1.0
"""The workers of a HAProxy that was killed hold their ports a little longer."""
_CHECK_S = 60.0
_SAID = 500


class KeptHaproxy:
    """One HAProxy, from its start to where it is known what became of it.

    Args:
        binary: the HAProxy to run.
        config: its configuration file, which is there.
        settings: where its sockets are.
        stdout: file descriptor for its lines about connections; None is our own standard output.
    """

    def __init__(
        self, binary: HaproxyBinary, config: Path, settings: RenderSettings, stdout: int | None = None
    ) -> None:
        self._binary = binary
        self._config = config
        self._settings = settings
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._codes: list[int] = []
        self._on_line: Callable[[str], None] = self._lines.append
        self._on_exit: Callable[[int], None] = self._codes.append
        self._began_s = time.monotonic()
        self.seconds = 0.0
        """How long it took until it served."""
        self.process = HaproxyProcess(
            binary,
            config,
            master_socket=settings.master_socket,
            stats_socket=settings.stats_socket,
            on_line=self._note_line,
            on_exit=self._note_exit,
            stdout=stdout,
        )

    def begin(self) -> None:
        """Start it; ``ready`` waits for it. The thread that calls this must live as long as HAProxy shall.

        Raises:
            HaproxyError: it cannot be started on what is there; the text says why.
            OSError: the state directory cannot be written.
        """
        problem = bootstrap.fit(self._binary, self._config, self._settings, _CHECK_S, NOBODY, _FREE_WITHIN_S)
        if problem is not None:
            raise HaproxyError(problem)
        self.process.begin()

    def ready(self, start_s: float, command_s: float) -> int:
        """Wait until it serves, and close the ports that were nobody's; give on how many it serves.

        Args:
            start_s: seconds that the start may take.
            command_s: seconds that a command may take.

        Raises:
            HaproxyError: it does not serve.
        """
        # Not at the top: nobody waits for what is told to a HAProxy that serves, and to import it takes as long as a tenth of the start of one.
        from router.haproxy.talk import runtime  # noqa: PLC0415 - the line above
        from router.plan.commands import close_frontend  # noqa: PLC0415 - likewise

        self.process.wait(start_s)
        idle = idle_ports(self._config.read_text(encoding="utf-8", errors="replace"))
        runtime.run(self._settings.stats_socket, map(close_frontend, idle), command_s)
        self.seconds = time.monotonic() - self._began_s
        return len(stats.frontends(self._settings.stats_socket, command_s).keys() - set(idle))

    def tell(self, on_line: Callable[[str], None], on_exit: Callable[[int], None]) -> None:
        """Have these told what HAProxy says of itself, and that it ended; also what there was until now."""
        with self._lock:
            self._on_line, self._on_exit = on_line, on_exit
            lines, codes = tuple(self._lines), tuple(self._codes)
        for line in lines:
            on_line(line)
        for code in codes:
            on_exit(code)

    def _note_line(self, line: str) -> None:
        with self._lock:
            tell = self._on_line
        tell(line)

    def _note_exit(self, code: int) -> None:
        with self._lock:
            tell = self._on_exit
        tell(code)


def idle_ports(config: str) -> tuple[str, ...]:
    """Give the frontends of the port pool that serve nobody, of a configuration as the router's own templates have it."""
    idle, frontend = [], ""
    for line in _SECTIONS.finditer(config):
        if line[1]:
            frontend = line[1]
        else:
            idle.append(frontend)
    return tuple(idle)


def said_by(error: HaproxyError) -> str:
    """Give an error's text, and of a HAProxy that did not start what it said."""
    log = error.log.strip() if isinstance(error, HaproxyStartFailed) else ""
    return f"{error}: {log[-_SAID:]}" if log else str(error)
