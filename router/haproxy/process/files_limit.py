"""How many files a HAProxy may have open: the hard limit of its process, which it raises its soft one to.

A HAProxy in a container of its own has that container's limit. Neither its processes nor their limits are ours to see, so
``tcp-router haproxy`` writes down its own before it starts HAProxy.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from router import owned

_MAY_RAISE = 24  # CAP_SYS_RESOURCE, linux/capability.h
_STATUS = Path("/proc/self/status")
_NR_OPEN = Path("/proc/sys/fs/nr_open")
_MOST = 1_048_576
"""What HAProxy takes at most by itself (DEFAULT_MAXFD), and Linux allows unless told otherwise."""


def own_limit() -> int:
    """Give the limit of a HAProxy that this process starts, or becomes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or _may_raise():
        return max(hard, min(_nr_open(), _MOST))
    return hard


def write_limit(path: Path) -> None:
    """Write down the limit of this process, for ``read_limit`` of another container.

    Raises:
        OSError: it cannot be written.
    """
    owned.write_file(path, f"{own_limit()}\n".encode())


def read_limit(path: Path) -> int | None:
    """Give the limit that was written down; None where there is none that can be believed."""
    try:
        text = owned.read_file(path)
        return int(text) if text is not None else None
    except (OSError, ValueError):
        return None


def _may_raise() -> bool:
    """Say whether a program that we start may raise its hard limit: root keeps the capability over exec, others do not."""
    if os.geteuid() != 0:
        return False
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & 1 << _MAY_RAISE)
    return False


def _nr_open() -> int:
    try:
        return int(_NR_OPEN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _MOST
