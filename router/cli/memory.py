"""How Python's memory is kept small and its garbage collector quiet, over the life of a router.

Nearly all objects of a router live long, and next to none are in cycles: reference counting frees what goes. So the collector is kept
from walking over thousands of Routes in search of nothing, which takes longer than to serve a change of one.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any

_WHILE_STARTING = 500_000
"""Containers that are new before the collector looks at them; 5,000 Routes make fewer."""
_AFTERWARDS = 20_000
_OLDER_GENERATIONS = (20, 20)
"""How many looks at a younger generation go before one at the next older; Python's default is 10, and 10."""


_ARENAS = 2
"""Heaps of the C library: it makes eight for each core, and what is free in one is of no use to threads of another. One thread of ours runs at a time."""
_OWN_MAPPING_BYTES = 256 * 1024
"""What is larger is mapped for itself, and given back when it is freed: configurations and tables of thousands of Routes come and go. Left to itself the C library
raises this to 32 MiB, and such things leave holes in its heaps."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # mallopt(3)


def begin() -> None:
    """Say that much will be imported and read, before there is a second thread: each comes to have a heap, of as many as there may be then."""
    _keep_heaps_small()
    gc.set_threshold(_WHILE_STARTING, *_OLDER_GENERATIONS)


def expect_many_objects() -> None:
    """Say that imports are done, and that everything there is will be read now."""
    gc.freeze()


def settle() -> None:
    """Say that what there is was read and is served: most of it stays."""
    gc.freeze()
    gc.set_threshold(_AFTERWARDS, *_OLDER_GENERATIONS)
    _give_back()


def _keep_heaps_small() -> None:
    """Have glibc keep few heaps, and large things out of them (mallopt(3)); other C libraries have no such settings."""
    if (mallopt := _of_glibc("mallopt", ctypes.c_int, ctypes.c_int)) is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)


def _give_back() -> None:
    """Give freed memory back to the system: glibc keeps what bodies of lists took (malloc_trim(3)); other C libraries do not."""
    if (trim := _of_glibc("malloc_trim", ctypes.c_size_t)) is not None:
        trim(0)


def _of_glibc(name: str, *arguments: Any) -> Callable[..., int] | None:
    """Give a function of the C library that takes these types and gives an int; None where that is another library."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = arguments, ctypes.c_int
    found: Callable[..., int] = function
    return found
