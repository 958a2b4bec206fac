"""What a call costs, counted so that it holds on every machine and under every load: instructions of Python's, and bytes in use at a time.

What C does in one go (a comparison of two long tuples) is no instruction; what it copies is in the bytes.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from types import CodeType, FrameType
from typing import Any

_TESTS = str(Path(__file__).parents[1])


def instructions(turn: Callable[[], object]) -> int:
    """Count the instructions of everything that is called, but for the tests' own parts."""
    if sys.version_info >= (3, 12):
        return _monitored(turn)
    return _traced(turn)


if sys.version_info >= (3, 12):

    def _monitored(turn: Callable[[], object]) -> int:
        """Count as `_traced` does: from Python 3.12 on, a trace function is not told of each instruction of a frame that it asks about when called."""
        counted = 0
        of_tests: dict[CodeType, bool] = {}
        monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
        thread = get_ident()

        def count(code: CodeType, _: int) -> None:
            nonlocal counted
            of_test = of_tests.get(code)
            if of_test is None:
                of_test = of_tests[code] = code.co_filename.startswith(_TESTS)
            if not of_test and get_ident() == thread:
                counted += 1

        monitoring.use_tool_id(tool, "counting")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, count)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            turn()
        finally:
            monitoring.set_events(tool, monitoring.events.NO_EVENTS)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)
        return counted


def _traced(turn: Callable[[], object]) -> int:
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
