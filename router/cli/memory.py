"""How Python's memory is kept small and its garbage collector quiet, over the life of a router.

Nearly all objects of a router live long, and next to none are in cycles: reference counting frees what goes. So the collector is kept
from walking over thousands of Routes in search of nothing, which takes longer than to serve a change of one.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_WHILE_STARTING = 500_000
"""Containers that are new before the collector looks at them; 5,000 Routes make fewer."""
_AFTERWARDS = 20_000
_OLDER_GENERATIONS = (20, 20)
"""How many looks at a younger generation go before one at the next older; Python's default is 10, and 10."""


def expect_many_objects() -> None:
    """Say that imports are done, and that everything there is will be read now."""
    gc.freeze()
    gc.set_threshold(_WHILE_STARTING, *_OLDER_GENERATIONS)


def settle() -> None:
    """Say that what there is was read and is served: most of it stays."""
    gc.freeze()
    gc.set_threshold(_AFTERWARDS, *_OLDER_GENERATIONS)
    _give_back()


def _give_back() -> None:
    """Give freed memory back to the system: glibc keeps what bodies of lists took (malloc_trim(3)); other C libraries do not."""
    if not sys.platform.startswith("linux"):
        return
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    trim(0)
