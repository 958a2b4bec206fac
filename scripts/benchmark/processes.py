"""What the kernel tells of processes: which are HAProxy's below the router, and how long they have had a core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _CHILDREN_SYSTEM = 1, 11, 14
"""Places in /proc/<pid>/stat, counted from what follows the name (proc(5): ppid, utime, stime, cutime, cstime)."""


def cpu_s(pid: int, *, with_children: bool) -> float:
    """Give the seconds that a process has had a core; of its children those that ended, where they are asked for."""
    fields = _fields(pid)
    last = _CHILDREN_SYSTEM if with_children else _USER + 1
    return sum(int(each) for each in fields[_USER : last + 1]) / _TICKS_PER_S


def cpu_ns(pid: int) -> int:
    """Give the nanoseconds that the threads of a process have had a core, by the scheduler's own account (sched-stats of the kernel's documentation)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads)


def resident_b(pid: int) -> int:
    """Give the bytes of memory that a process has (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def haproxy_below(pid: int) -> list[int]:
    """Give the processes named haproxy that descend from a process."""
    parents = dict(_all())
    return sorted(each for each in parents if _is_below(each, pid, parents) and _name(each) == "haproxy")


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def _all() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), int(_fields(int(entry.name))[_PARENT])
            except OSError:
                continue


def _fields(pid: int) -> list[str]:
    # The name, in brackets, may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
