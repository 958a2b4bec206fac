"""HAProxy's own share: ``haproxy -c`` and the bare ``reload`` on the master socket, with nothing of ours in between."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.errors import HaproxyStartFailed
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.check import check_config
from router.haproxy.process.process import HaproxyProcess
from router.haproxy.talk import master
from router.settings import RenderSettings
from scripts.benchmark.failure import BenchFailed

DEADLINE_S = 120.0
"""For each single thing that HAProxy is asked to do."""
_LOOK_EVERY_S = 0.002


def check_ms(binary: HaproxyBinary, config: Path, runs: int) -> list[float]:
    """Time ``haproxy -c``.

    Raises:
        BenchFailed: HAProxy refuses the configuration.
    """
    samples = []
    for _ in range(runs):
        began_s = time.perf_counter()
        result = check_config(binary, config, DEADLINE_S)
        samples.append((time.perf_counter() - began_s) * 1000)
        if not result.accepted:
            raise BenchFailed(f"HAProxy refuses the configuration: {result.log}")
    return samples


def reload_ms(binary: HaproxyBinary, config: Path, settings: RenderSettings, runs: int) -> list[float]:
    """Start HAProxy, time reloads of the same configuration, and stop it.

    Raises:
        BenchFailed: it does not start, or a reload fails.
    """
    samples = []
    with running(binary, config, settings):
        for _ in range(runs):
            began_s = time.perf_counter()
            result = master.reload(settings.master_socket, DEADLINE_S)
            samples.append((time.perf_counter() - began_s) * 1000)
            if not result.success:
                raise BenchFailed(f"HAProxy did not reload: {result.log}")
            wait_for_old_workers(settings.master_socket)
    return samples


def wait_for_old_workers(master_socket: Path) -> None:
    """Wait until the workers that were replaced are gone, so that their end is no part of what is measured next.

    Raises:
        BenchFailed: one of them stays.
    """
    ends_s = time.monotonic() + DEADLINE_S
    while master.processes(master_socket, DEADLINE_S).old_workers:
        if time.monotonic() > ends_s:
            raise BenchFailed(f"a HAProxy worker that was replaced did not end within {DEADLINE_S:g} s")
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def running(binary: HaproxyBinary, config: Path, settings: RenderSettings) -> Iterator[None]:
    """Run HAProxy on a configuration, with the sockets of these settings; from when it serves until the block is left.

    Raises:
        BenchFailed: it does not start.
    """
    at_once = threading.Event()
    at_once.set()
    connection_log = os.open(os.devnull, os.O_WRONLY)
    process = HaproxyProcess(
        binary,
        config,
        master_socket=settings.master_socket,
        stats_socket=settings.stats_socket,
        # What HAProxy says when it fails comes with the failure.
        on_line=lambda _: None,
        on_exit=lambda _: None,
        stdout=connection_log,
    )
    try:
        process.start(DEADLINE_S)
        yield
    except HaproxyStartFailed as error:
        raise BenchFailed(f"{error}: {error.log}") from error
    finally:
        process.stop(0.0, at_once)
        os.close(connection_log)
