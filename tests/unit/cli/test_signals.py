"""The signals that stop a command."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, signal
from router.cli.signals import StopSignals

stop_signals = StopSignals()
signal.pthread_sigmask(signal.SIG_{how}, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
print(stop_signals.within(20).name, stop_signals.within(0))
"""


def test_a_signal_stops_by_waiting_alone() -> None:
    """Whether the mask holds it back or not, it is told to who waits, and ends nothing by itself."""
    for how in ("BLOCK", "UNBLOCK"):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(how=how)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.strip()) == (0, "SIGTERM None"), done.stderr
