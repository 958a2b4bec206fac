"""Log lines are written or lost, and nothing that happens to them reaches who logs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from router.logs import Lines
from router.observe.metrics.logs import show_lost_lines

_ROOT = Path(__file__).resolve().parents[2]
_SMALL = 16_384


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is soon full: where to read, and where to write."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _SMALL)
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def _drain(reading: int) -> list[str]:
    """Give the lines that are in the pipe."""
    os.set_blocking(reading, False)
    got = b""
    try:
        while piece := os.read(reading, 65536):
            got += piece
    except BlockingIOError:
        pass
    return got.decode().splitlines()


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    """Also one that is longer than what the pipe holds, where somebody reads."""
    reading, writing = pipe
    texts = ["one", "x" * 100_000, "two"]
    got = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            got.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    lines = Lines(writing)
    for text in texts:
        lines.write(text)
    os.close(writing)
    reader.join()
    assert got.decode().splitlines() == texts
    assert lines.lost == 0


def test_line_for_nobody_is_lost_and_counted(pipe: tuple[int, int]) -> None:
    """A pipe without a reader, a full disk and a closed descriptor raise nothing."""
    reading, writing = pipe
    os.close(reading)
    lines = Lines(writing)
    lines.write("one")
    lines.write("two")
    assert lines.lost == 2
    full = os.open("/dev/full", os.O_WRONLY)
    lines = Lines(full)
    lines.write("one")
    os.close(full)
    lines.write("two")
    assert lines.lost == 2
    registry = CollectorRegistry()
    show_lost_lines(registry, lambda: lines.lost)
    assert "tcp_router_log_lines_lost_total 2.0" in generate_latest(registry).decode()


def test_reader_that_stopped_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """Lines beyond what the pipe holds are lost, the next that fits says how many, and none goes on in the middle of another."""
    reading, writing = pipe
    lines = Lines(writing)
    for number in range(1000):
        lines.write(f"{number}: " + "x" * 100)
    assert lines.lost > 500
    lost = lines.lost
    held = _drain(reading)
    lines.write("again")
    told, last = _drain(reading)
    # The last of those that the pipe held may be a part.
    assert [line.partition(":")[0] for line in held] == [str(number) for number in range(len(held))]
    assert 1000 - lost <= len(held) <= 1000 - lost + 1
    assert told == f"{lost} log lines lost"
    assert last == "again"


def test_line_that_broke_off_is_ended(pipe: tuple[int, int]) -> None:
    """What follows a line of which only a part fitted is a line of its own."""
    reading, writing = pipe
    lines = Lines(writing)
    lines.write("x" * 3 * _SMALL)
    assert lines.lost == 1
    (cut,) = _drain(reading)
    lines.write("next")
    end_of_cut, told, last = _drain(reading)
    assert end_of_cut == ""
    assert set(cut) == {"x"}
    assert (told, last) == ("1 log lines lost", "next")


_ALL_KINDS = """
import json, logging, sys, threading, warnings
from router import logs
logs.configure(json=True)
logs.take_in_libraries()
import structlog
log = structlog.get_logger()
class Odd:
    def __repr__(self): raise ValueError("no text")
circular = []; circular.append(circular)
log.info("odd", value=circular)
log.info("odd", value=Odd())
logging.getLogger("urllib3.pool").warning("retrying %s", "x")
logging.getLogger("lib").warning("%d", "no number")
logging.getLogger("lib").info("not so grave")
warnings.warn("careful")
theirs = threading.Thread(target=lambda: 1 / 0, name="theirs")
theirs.start()
theirs.join()
try: 1 / 0
except ZeroDivisionError: logging.getLogger("lib").exception("broke")
log.info("end", surrogate="\\udcff")
print(logs.lost_lines())
"""


def _run(redirection: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, _ALL_KINDS]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_lines_of_libraries_are_lines_of_ours() -> None:
    """What libraries log, warn of and let their threads die of has the form of our lines; a value without a text loses its line."""
    ran = _run("")
    lines = [eval(line, {"null": None, "true": True}) for line in ran.stderr.splitlines()]  # noqa: S307 - JSON that we made
    assert [
        (line["event"], line.get("logger"), line["level"]) for line in lines if line["event"] != "log lines lost"
    ] == [
        ("library", "urllib3.pool", "warning"),
        ("library", "lib", "warning"),
        ("library", "py.warnings", "warning"),
        ("thread died", None, "critical"),
        ("library", "lib", "error"),
        ("end", None, "info"),
    ]
    assert "ZeroDivisionError" in lines[-2]["exception"]
    assert (ran.returncode, ran.stdout) == (0, "2\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&- <&-"])
def test_every_kind_of_line_is_lost_without_harm(redirection: str) -> None:
    """With standard error closed or on a full disk the program goes on to its end, and its exit code says so."""
    ran = _run(redirection)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout) == (8 if "full" in redirection else 2)


_HOSTILE = """
import structlog
from router import logs
logs.configure(json=bool({json}))
log = structlog.get_logger()
name = "a\\x1b[2Jb\\x9b31m\\u202e"
try:
    raise ValueError(name)
except ValueError:
    log.error("manifest skipped", name=name, lines=[name], problem=f"is {{name}}\\nof two lines", exc_info=True)
"""


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_control_characters_reach_no_terminal(*, json: bool) -> None:
    """A name with escape sequences is written with escapes, in values, lists and tracebacks; a text with line breaks is one line."""
    program = [sys.executable, "-c", _HOSTILE.format(json=json)]
    written = subprocess.run(program, stderr=subprocess.PIPE, check=True, timeout=60, cwd=_ROOT).stderr.decode()
    assert [char for char in written if not char.isprintable() and char != "\n"] == []
    assert written.count("[2Jb") == 4
    (line,) = [line for line in written.splitlines() if "manifest skipped" in line]
    assert "of two lines" in line
