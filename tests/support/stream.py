"""New connections one after another, each of which must be served."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.support.clients import served
from tests.support.waiting import wait_for

_ENDS_WITHIN_S = 30.0


class Stream:
    """Connects to an echo service again and again, on a thread, until left.

    Args:
        port: on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.good = 0
        """Connections that were served."""
        self.bad: list[str] = []
        """What became of the others."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self.good, "the stream to begin")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if served(self._port):
                    self.good += 1
                else:
                    self.bad.append("ended without an echo")
            except OSError as error:
                self.bad.append(repr(error))
