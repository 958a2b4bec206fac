"""The first process of HAProxy's container, with other programs in HAProxy's place."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.haproxy.process import first_process
from tests.support.waiting import wait_for

_WITHIN_S = 30


@contextlib.contextmanager
def _running(directory: Path, script: str, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell's script under it, as ``tcp-router haproxy`` does; ended when left."""
    command = json.dumps(["/bin/sh", "-c", script])
    # What a process blocks, its children begin with.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, first_process.PASSED_ON)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", first_process.__file__, "json", str(directory), command],
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        cwd=directory,
    )
    signal.pthread_sigmask(signal.SIG_SETMASK, former)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _run(directory: Path, script: str) -> tuple[int, list[dict[str, str]]]:
    with _running(directory, script, subprocess.PIPE) as process:
        _, said = process.communicate(timeout=_WITHIN_S)
    return process.returncode, [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137), ("exit 0", 0)], ids=["failed", "killed", "well"]
)
def test_last_words_and_the_exit_code(tmp_path: Path, script: str, code: int) -> None:
    """What is said right before the end is in the log, and the end is told by the same exit code."""
    exit_code, lines = _run(tmp_path, f"echo '[ALERT]    (1) : the last line' >&2; printf 'half a line' >&2; {script}")
    assert exit_code == code
    assert [(line["level"], line["line"]) for line in lines] == [
        ("error", "[ALERT]    (1) : the last line"),
        ("info", "half a line"),
    ]


def test_a_descendant_that_stays_does_not_keep_it(tmp_path: Path) -> None:
    """The master's end is the end of the container, though a worker still has standard error open."""
    code, lines = _run(tmp_path, "sleep 1000 & echo $! > worker; echo said >&2; exit 4")
    os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)
    assert code == 4
    assert [line["line"] for line in lines] == ["said"]


@pytest.mark.parametrize("number", first_process.PASSED_ON, ids=lambda number: signal.Signals(number).name)
def test_signals_are_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    """Also those that come before there is anything to pass them on to."""
    script = f"trap 'exit 9' {number}; touch ready; while :; do sleep 0.01; done"
    with _running(tmp_path, script, subprocess.DEVNULL) as process:
        wait_for((tmp_path / "ready").exists, "the program")
        process.send_signal(number)
        assert process.wait(_WITHIN_S) == 9


def test_a_log_that_nobody_reads_halts_nothing(tmp_path: Path) -> None:
    """The reader has stopped, so lines are lost, and the program goes on."""
    reading, writing = os.pipe()
    script = 'i=0; while [ $i -lt 40000 ]; do echo "line $i of a flood that nobody reads" >&2; i=$((i+1)); done; touch over; exec sleep 1000'
    try:
        with _running(tmp_path, script, writing):
            wait_for((tmp_path / "over").exists, "the end of the flood", deadline_s=60)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 1", 7, id="it does not start"),
        pytest.param("echo '[NOTICE]   (7) : Loading success.' >&2; exit 1", 1, id="it started"),
        pytest.param("exit 0", 0, id="it ended well"),
    ],
)
def test_another_start_is_for_what_did_not_start(tmp_path: Path, script: str, code: int) -> None:
    """A HAProxy that never served is started once more, by whoever finds out why; one that did ends as it ends."""
    assert _again(tmp_path, script, None) == code


def test_no_other_start_for_what_was_told_to_end(tmp_path: Path) -> None:
    """It was told to end before it served, and does."""
    assert _again(tmp_path, "trap 'exit 9' TERM; touch ready; while :; do sleep 0.01; done", signal.SIGTERM) == 9


def _again(directory: Path, script: str, number: signal.Signals | None) -> int:
    command = [sys.executable, "-I", "-S", first_process.__file__, "json", str(directory)]
    command += [json.dumps(["/bin/sh", "-c", script]), "-c", "import sys; sys.exit(7)"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory) as process:
        if number is not None:
            wait_for((directory / "ready").exists, "the program")
            process.send_signal(number)
        return process.wait(_WITHIN_S)
