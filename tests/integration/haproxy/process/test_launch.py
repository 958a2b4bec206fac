"""The launcher that ties a program to the router, with programs that are easier to question than HAProxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router.haproxy.process import launch


def _launched(parent: int, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(parent), *command],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_signals_are_as_a_program_expects_them() -> None:
    """What we block and what Python ignores is neither blocked nor ignored in the program."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
    try:
        told = _launched(os.getpid(), "/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status").stdout
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    masks = dict(line.split(":\t") for line in told.splitlines())
    assert int(masks["SigBlk"], 16) == 0
    assert not int(masks["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1))


@pytest.mark.parametrize(
    ("parent", "program", "problem"),
    [
        pytest.param(0, "/bin/true", "the router ended while it started this program", id="orphan"),
        pytest.param(os.getpid(), "/nowhere/haproxy", "/nowhere/haproxy cannot be run: No such file", id="no program"),
    ],
)
def test_what_cannot_be_launched_is_told(parent: int, program: str, problem: str) -> None:
    """A program is not started for a parent that is gone, and a missing one is named."""
    result = _launched(parent, program)
    assert result.returncode == 1
    assert problem in result.stderr
