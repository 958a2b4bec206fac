"""Become a program that ends when the thread that started it does: the first instructions of a child process.

Run by its path, on a bare interpreter: ``python -I -S launch.py <parent pid> <program> <arguments>``. What is set here would
otherwise have to be set between fork and exec, where a process with threads may run hardly anything.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Replace this process by ``command``, with a fresh signal mask, unless ``parent`` is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(f"the child cannot be tied to the router: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the router ended while it started this program")
    # Python ignores these two, and exec hands that on.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    # The router blocks signals in its threads, and exec hands that on, too.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execv(command[0], command)  # noqa: S606 - replacing itself is what this program is for
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
