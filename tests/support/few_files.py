"""Run a program that may open only so many files: ``python few_files.py LIMIT PROGRAM ARGUMENTS``.

Root could raise the limit again, and so could a HAProxy of root's: the right to is dropped, for the program and all it starts.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_PR_CAPBSET_DROP, _CAP_SYS_RESOURCE = 24, 24  # linux/prctl.h, linux/capability.h


def limit_files(limit: int) -> None:
    """Set the hard limit for this process, and for good from the next exec on."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, limit), limit))
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_RESOURCE, 0, 0, 0) != 0:
        sys.exit("the right to raise the limit cannot be dropped")


if __name__ == "__main__":
    limit_files(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - replacing itself is what this program is for
