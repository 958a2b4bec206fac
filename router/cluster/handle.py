"""What other threads may do to a thread that watches."""

from __future__ import annotations

import threading

from router.kube.api import Stream


class Handle:
    """What others may do to a reflector: stop it, make it fetch what is missing, or list everything again."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._stream: Stream | None = None
        self._is_fetch_wanted = False
        self._is_list_wanted = False
        self.is_stopping = False

    def stop(self) -> None:
        """End it; a stream is closed, a pause ends."""
        with self._condition:
            self.is_stopping = True
            self._condition.notify_all()
            stream = self._stream
        if stream is not None:
            stream.close()

    def request_fetch(self) -> None:
        """Make it fetch what is missing before it watches on; a stream is closed."""
        with self._condition:
            self._is_fetch_wanted = True
            stream = self._stream
        if stream is not None:
            stream.close()

    def take_fetch_request(self) -> bool:
        """Say whether that was requested since last asked."""
        with self._condition:
            is_wanted, self._is_fetch_wanted = self._is_fetch_wanted, False
        return is_wanted

    def request_list(self) -> None:
        """Make it list everything before it watches again."""
        with self._condition:
            self._is_list_wanted = True

    def take_list_request(self) -> bool:
        """Say whether that was requested since last asked."""
        with self._condition:
            is_wanted, self._is_list_wanted = self._is_list_wanted, False
        return is_wanted

    def attach(self, stream: Stream | None) -> bool:
        """Name the stream that is read now, None after it; say whether to read it at all."""
        with self._condition:
            self._stream = stream
            return not (self.is_stopping or self._is_fetch_wanted)

    @property
    def is_fetch_wanted(self) -> bool:
        """Whether that is requested."""
        return self._is_fetch_wanted

    def pause(self, seconds: float) -> None:
        """Wait, or until ``stop``."""
        with self._condition:
            self._condition.wait_for(lambda: self.is_stopping, seconds)
