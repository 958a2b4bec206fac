"""What a call costs, counted so that it holds on every machine and under every load: instructions of Python's, and bytes in use at a time.

What C does in one go (a comparison of two long tuples) is no instruction; what it copies is in the bytes.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_TESTS = str(Path(__file__).parents[1])


def instructions(turn: Callable[[], object]) -> int:
    """Count the instructions of everything that is called, but for the tests' own parts."""
    counted = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        if event == "call" and frame.f_code.co_filename.startswith(_TESTS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        turn()
    finally:
        sys.settrace(before)
    return counted


def least_instructions(change: Callable[[], None], turn: Callable[[], object]) -> int:
    """Count a turn after a change three times, and give the least: what is collected or timed meanwhile adds to some of them."""
    counts = []
    for _ in range(3):
        change()
        counts.append(instructions(turn))
    return min(counts)


def peak_bytes(turn: Callable[[], object]) -> int:
    """Give how many bytes more than before are in use at a time, at most."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        turn()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
