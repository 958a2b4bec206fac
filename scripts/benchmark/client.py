"""The client of the figures without a reload: it connects for real, again and again, as fast as is sensible on the same machine."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.services import HOST, answer

LOOK_EVERY_S = 0.000_2
"""Between two connections; the machine's cores are the router's and HAProxy's, too."""
DEADLINE_S = 120.0

_WITHIN_S = 5.0
_RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
_STREAM_PAUSE_S = 0.001
_NAMED = 3


def wait_for_byte(port: int, byte: bytes, deadline_s: float = DEADLINE_S) -> float:
    """Connect again and again until this is the first byte; give when it came (``time.perf_counter``).

    Raises:
        BenchFailed: it did not come in time.
    """
    return _wait(lambda: answer(port) == byte, f"the pod {byte!r} behind port {port}", deadline_s)


def wait_for_answer(port: int, deadline_s: float = DEADLINE_S, check: Callable[[], None] = lambda: None) -> float:
    """Connect again and again until some pod answers; give when it did (``time.perf_counter``).

    Args:
        port: where to connect to.
        deadline_s: seconds until giving up.
        check: raises where there is nothing to wait for any more.

    Raises:
        BenchFailed: none did in time.
    """

    def is_answered() -> bool:
        check()
        return bool(answer(port))

    return _wait(is_answered, f"a pod behind port {port}", deadline_s)


def wait_for_refusal(port: int, deadline_s: float = DEADLINE_S) -> float:
    """Connect again and again until that is refused; give when it was (``time.perf_counter``).

    Raises:
        BenchFailed: it was not refused in time.
    """
    return _wait(lambda: not is_open(port), f"port {port} to be closed", deadline_s)


def wait_for_silence(port: int, deadline_s: float = DEADLINE_S) -> float:
    """Connect again and again until that is accepted and no pod answers; give when it was so (``time.perf_counter``).

    Raises:
        BenchFailed: some pod answered until the end.
    """
    return _wait(lambda: is_open(port) and not answer(port), f"nobody to answer behind port {port}", deadline_s)


def is_open(port: int) -> bool:
    """Connect once; say whether somebody listens."""
    with socket.socket() as connection:
        connection.settimeout(_WITHIN_S)
        connection.setsockopt(*_RESET)
        try:
            connection.connect((HOST, port))
        except ConnectionRefusedError:
            return False
        except OSError:
            # Listened to, but not served: a HAProxy that closes the port resets those that wait in its queue.
            return True
    return True


def wait_until_open(ports: Iterable[int], deadline_s: float = DEADLINE_S) -> tuple[float, int]:
    """Try all of these ports in turn until each was open once; give when the last one was found so, and which it was.

    Raises:
        BenchFailed: some never were.
    """
    ends_s = time.perf_counter() + deadline_s
    closed = list(ports)
    last = closed[-1]
    while True:
        still = []
        for port in closed:
            if is_open(port):
                last = port
            else:
                still.append(port)
        now_s = time.perf_counter()
        if not still:
            return now_s, last
        if now_s > ends_s:
            raise BenchFailed(
                f"{len(still)} ports were not opened within {deadline_s:g} s, {still[:_NAMED]} among them"
            )
        closed = still
        time.sleep(LOOK_EVERY_S)


def open_for(port: int, until: Callable[[], bool]) -> float:
    """Connect without pause until ``until`` says that it is over; give for how long the port was open, milliseconds.

    From the first connection that was not refused to the last one. Between two tries lie some 50 microseconds.

    Raises:
        BenchFailed: somebody sent a byte through the port.
    """
    first_s = last_s = 0.0
    looks = 0
    while True:
        began_s = time.perf_counter()
        with socket.socket() as connection:
            connection.settimeout(_WITHIN_S)
            connection.setsockopt(*_RESET)
            try:
                connection.connect((HOST, port))
                first_s, last_s = first_s or began_s, time.perf_counter()
                served = connection.recv(1)
            except OSError:
                served = b""
        if served:
            raise BenchFailed(f"port {port} is of the pool and nobody's, and yet {served!r} came through it")
        looks += 1
        # The question may cost more than a look.
        if looks % 64 == 0 and until():
            return (last_s - first_s) * 1000


class Stream:
    """New connections without end, one after another, on a thread of its own, as a context manager.

    Args:
        ports: tried in turn; a connection has failed if it is not accepted or no byte comes.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.made = 0
        self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_STREAM_PAUSE_S):
            self.failed += not answer(self._ports[self.made % len(self._ports)])
            self.made += 1


@dataclass(frozen=True, slots=True)
class Held:
    """Connections that stay open."""

    connections: tuple[socket.socket, ...]

    @classmethod
    def open(cls, ports: Iterable[int]) -> Self:
        """Open one on each port, and see that a pod is there."""
        connections = []
        for port in ports:
            connection = socket.create_connection((HOST, port), _WITHIN_S)
            if not connection.recv(1):
                raise BenchFailed(f"no pod behind port {port}")
            connections.append(connection)
        return cls(tuple(connections))

    def alive(self) -> int:
        """Count those over which what is sent still comes back."""
        return sum(map(_echoes, self.connections))

    def close(self) -> None:
        """Close them."""
        for connection in self.connections:
            connection.close()


def _echoes(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"?")
        return connection.recv(1) == b"?"
    except OSError:
        return False


def _wait(is_so: Callable[[], bool], what: str, deadline_s: float) -> float:
    ends_s = time.perf_counter() + deadline_s
    while not is_so():
        if time.perf_counter() > ends_s:
            raise BenchFailed(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(LOOK_EVERY_S)
    return time.perf_counter()
