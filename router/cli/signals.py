"""The signals that stop a command, and waiting for them."""

from __future__ import annotations

import signal
import time
from collections import deque

# SIGUSR1 is what the image tells engines to stop its containers by, for HAProxy's sake.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


_LOOK_S = 0.5
"""How often somebody who waits looks whether a handler was called."""


def to_stop_by() -> tuple[signal.Signals, ...]:
    """Give the signals to stop by; ask before any of them is blocked or has a handler.

    nohup(1) says that losing the terminal is no reason to end: a SIGHUP that was ignored when we were started stays so. It must
    not be blocked either, for what is blocked waits, ignored or not.
    """
    is_hangup_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(each for each in _STOP_SIGNALS if not (each is signal.SIGHUP and is_hangup_ignored))


class StopSignals:
    """Blocks the signals to stop by, in the thread that makes it and all that come after, and waits for them."""

    def __init__(self) -> None:
        self._signals = to_stop_by()
        self._caught: deque[int] = deque()
        for each in self._signals:
            # Blocked, they reach no handler. But what would end the process by itself must not be left to the mask alone.
            signal.signal(each, lambda number, _frame: self._caught.append(number))
        # Waited for in the main thread: no handler runs in the middle of something else.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def within(self, seconds: float) -> signal.Signals | None:
        """Wait for one of them, at most so long."""
        ends_s = time.monotonic() + seconds
        while True:
            if self._caught:
                return signal.Signals(self._caught.popleft())
            left_s = ends_s - time.monotonic()
            received = signal.sigtimedwait(self._signals, max(0.0, min(left_s, _LOOK_S)))
            # A pause (SIGSTOP, a frozen cgroup) that outlasts the time interrupts the call, and CPython then gives a struct that
            # nobody filled (signal_sigtimedwait_impl in Modules/signalmodule.c).
            if received is not None and received.si_signo in self._signals:
                return signal.Signals(received.si_signo)
            if left_s <= _LOOK_S and not self._caught:
                return None

    def discard(self, seconds: float) -> None:
        """Pass over what arrives so soon after a signal that it is the same: sent to the process and to its group, say."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            self.within(left_s)
