"""HAProxy's container that was restarted: ``tcp-router haproxy`` on the configuration that a router left, and no router."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import router
from router.haproxy.process import launch
from router.haproxy.process.binary import HaproxyBinary
from scripts.benchmark.client import wait_for_answer
from scripts.benchmark.failure import BenchFailed

_STOP_S = 20.0


def restarted_ms(binary: HaproxyBinary, state_dir: Path, last_port: int) -> float:
    """Start it, and give the milliseconds until there is a byte through the last port.

    Args:
        binary: the HAProxy.
        state_dir: of a router that has ended.
        last_port: a port that serves when all do.

    Raises:
        BenchFailed: it ends, or does not serve.
    """
    own = [sys.executable, "-m", "router", "haproxy", "--state-dir", str(state_dir)]
    # Tied to us: it ends even if we are killed.
    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *own]
    began_s = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--haproxy", str(binary.path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(router.__file__).parents[1],
        process_group=0,
    ) as process:

        def check() -> None:
            if process.poll() is not None:
                raise BenchFailed(f"tcp-router haproxy ended with status {process.returncode}")

        try:
            return (wait_for_answer(last_port, check=check) - began_s) * 1000
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
