"""The router's log as a pipe, whose reader stops or goes away."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path

_LOOK_EVERY_MS = 50
_FINISHES_WITHIN_S = 5.0


class BreakableLog:
    """Copies what comes through a pipe to a file, until it is told not to; one pipe for each start of a router.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reads = threading.Event()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> int:
        """Give where a router that is about to start shall write; the caller closes it when it has started."""
        self.close()
        reading, writing = os.pipe()
        self._reads.set()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._copy, args=(reading, self._is_over), name="log", daemon=True)
        self._thread.start()
        return writing

    def stall(self) -> None:
        """Read no more, until ``resume``."""
        self._reads.clear()

    def resume(self) -> None:
        """Read again."""
        self._reads.set()

    def close(self) -> None:
        """Go away: who writes has a broken pipe from now on."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def finish(self) -> None:
        """Read what a router that has ended left, and go away."""
        self.resume()
        if self._thread is not None:
            self._thread.join(_FINISHES_WITHIN_S)
        self.close()

    def _copy(self, reading: int, is_over: threading.Event) -> None:
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        with (
            self._path.open("ab", buffering=0) as file,
            contextlib.closing(os.fdopen(reading, "rb", buffering=0)) as pipe,
        ):
            while not is_over.is_set():
                # Whether or not there is anything: a router that ended leaves its last lines.
                if not self._reads.is_set() or not poll.poll(_LOOK_EVERY_MS):
                    is_over.wait(_LOOK_EVERY_MS / 1000)
                    continue
                piece = pipe.read(65536)
                if not piece:
                    return
                file.write(piece)
