"""Connections that another thread can end at once, whatever they wait for: connecting, TLS, headers or a body.

urllib3 gives no hold on a socket before the answer's headers are there. Here each call keeps a duplicate of the descriptor of
the socket that it uses, and shutting that down wakes who waits for the socket.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from router.supervisor import SUPERVISOR
from router.supervisor.way import Aside

_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # A peer that is gone without a word is noticed in half a minute, on idle connections and on those with unsent data.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


class _Watchdog:
    """Does something at a time, unless told to forget it: one thread for all calls, since one for each costs more than the call.

    The thread begins with the first call, and ends when there was none for a while.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._entries: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = count()
        self._wakes_s = 0.0
        self._is_running = False

    def watch(self, at_s: float, act: Callable[[], None]) -> int:
        """Call ``act`` at this time (``time.monotonic``); give what ``forget`` takes."""
        with self._condition:
            number = next(self._numbers)
            self._entries[number] = (at_s, act)
            if not self._is_running:
                self._is_running = True
                SUPERVISOR.own("call deadlines", self._run, ask_to_end=None).start()
            elif at_s < self._wakes_s:
                self._condition.notify()
            return number

    def forget(self, number: int) -> None:
        """Do nothing about this any more."""
        with self._condition:
            self._entries.pop(number, None)

    def _run(self) -> None:
        while True:
            with self._condition:
                now_s = time.monotonic()
                due = next((number for number, (at_s, _) in self._entries.items() if at_s <= now_s), None)
                act = self._entries.pop(due)[1] if due is not None else None
                if act is None:
                    if not self._entries and self._wakes_s and now_s >= self._wakes_s:
                        self._wakes_s = 0.0
                        self._is_running = False
                        return
                    self._wakes_s = min((at_s for at_s, _ in self._entries.values()), default=now_s + _IDLE_S)
                    self._condition.wait(self._wakes_s - now_s)
            if act is not None:
                act()


_IDLE_S = 5.0
_watchdog = _Watchdog()


class CallEnded(OSError):
    """The call was ended by ``Call.end``."""


class Call:
    """One request and its answer; may be ended from any thread.

    Args:
        gives_way: whether its answer may wait for an instant while a change is on its way.
    """

    def __init__(self, *, gives_way: bool = False) -> None:
        self.gives_way = gives_way
        self._lock = threading.Lock()
        self._waker: socket.socket | None = None
        self.ended_because: str | None = None
        self.sock: Any = None
        """The socket that the answer is read from, to set its timeout."""

    def end(self, because: str) -> None:
        """Wake who waits for this call; what it does next fails. Only the first reason counts."""
        with self._lock:
            if self.ended_because is None:
                self.ended_because = because
            if self._waker is not None:
                _shut_down(self._waker)

    def uses(self, descriptor: int) -> None:
        """Take note of the socket that the call is at now.

        Raises:
            CallEnded: too late.
        """
        waker = socket.socket(fileno=os.dup(descriptor))
        with self._lock:
            former, self._waker = self._waker, waker
        if former is not None:
            former.close()
        self.check()

    def check(self) -> None:
        """Raise CallEnded if it was ended."""
        if self.ended_because is not None:
            raise CallEnded(self.ended_because)

    def finish(self) -> None:
        """Let go of the socket; the call is over."""
        with self._lock:
            waker, self._waker = self._waker, None
        self.sock = None
        if waker is not None:
            waker.close()

    @contextmanager
    def within(self, seconds: float, because: str) -> Iterator[None]:
        """End the call if the block takes longer than so many seconds."""
        entry = _watchdog.watch(time.monotonic() + seconds, lambda: self.end(because))
        try:
            yield
        finally:
            _watchdog.forget(entry)


class _UnderWay(threading.local):
    """The call that the current thread makes."""

    call: Call | None = None


_under_way = _UnderWay()


@contextmanager
def making(call: Call) -> Iterator[None]:
    """Let the connections that this thread uses in the block belong to ``call``."""
    _under_way.call = call
    try:
        yield
    finally:
        _under_way.call = None


def track(pools: urllib3.PoolManager) -> None:
    """Make a pool manager open connections that calls can be ended on. One for SOCKS stays as it is: it has its own kind."""
    if type(pools) in {urllib3.PoolManager, urllib3.ProxyManager}:
        pools.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Tracked(HTTPConnection):
    """Tells the call that uses it which socket that is."""

    def _new_conn(self) -> socket.socket:
        """Connect, trying one address after the other; raise OSError if none answers within the timeout for all."""
        call = _under_way.call or Call()
        timeout_s = self.timeout if isinstance(self.timeout, int | float) else None
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        problem: OSError = OSError(f"no address for {self.host}")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                _connect(sock, address, ends_s, call)
            except CallEnded:
                sock.close()
                raise
            except OSError as error:
                sock.close()
                problem = error
            else:
                return sock
        raise problem

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as it comes
        call = _under_way.call
        if call is not None and self.sock is not None:
            call.uses(self.sock.fileno())
        super().request(*args, **kwargs)
        if call is not None:
            call.sock = self.sock

    def getresponse(self) -> Any:  # noqa: ANN401 - passed on as it comes
        """Wait for the answer; read it when no change is on its way, if it may wait for that."""
        call, sock = _under_way.call, self.sock
        if call is not None and call.gives_way and sock is not None:
            timeout_s = sock.gettimeout()
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            if poll.poll(None if timeout_s is None else timeout_s * 1000):
                Aside().step()
        return super().getresponse()


class _HttpsConnection(_Tracked, HTTPSConnection):
    """The same with TLS."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Tracked


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def _connect(sock: socket.socket, address: tuple[Any, ...], ends_s: float | None, call: Call) -> None:
    """Connect until ``ends_s`` of the monotonic clock; the call can be ended meanwhile."""
    for option in _SOCKET_OPTIONS:
        sock.setsockopt(*option)
    # A socket that is shut down before it connects goes on to connect all the same: first begin, then tell the call.
    sock.settimeout(0)
    begun = sock.connect_ex(address)
    call.uses(sock.fileno())
    left_s = None if ends_s is None else max(0.0, ends_s - time.monotonic())
    if begun == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        if not poll.poll(None if left_s is None else left_s * 1000):
            raise TimeoutError("no connection within the deadline")
        call.check()
        begun = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if begun:
        raise OSError(begun, os.strerror(begun))
    sock.settimeout(left_s)


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)
