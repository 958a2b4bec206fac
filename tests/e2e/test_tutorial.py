"""The tutorial's commands, as they stand on the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _steps() -> list[tuple[str, list[str]]]:
    """Give each command of the page, and the lines that it is said to print."""
    steps: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text()):
        here_document = False
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
                here_document = "<<'EOF'" in line
            elif here_document:
                command, said = steps[-1]
                steps[-1] = f"{command}\n{line}", said
                here_document = line != "EOF"
            else:
                steps[-1][1].append(line)
    return steps


@contextmanager
def _terminal(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the first command, as in a terminal of its own, and wait for its table."""
    out = folder / "terminal"
    with out.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "router", "demo", "--dir", "my-demo"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        wait_for(lambda: "TRY IT" in out.read_text(), "the demo's table", 60)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.mark.skipif(not (shutil.which("nc") and shutil.which("curl")), reason="needs nc and curl")
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    """Each command prints the lines that the page says; ``...`` on it stands for anything."""
    first, *steps = _steps()
    assert first == ("scripts/demo --dir my-demo", [])
    assert len(steps) > 10
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    # One shell for all, as the reader has: a job of one command is there for the next.
    marks = [f"== {number}" for number in range(len(steps) + 1)]
    script = "\n".join(f"echo '{mark}'\n{command}" for mark, (command, _) in zip(marks, steps, strict=False))
    script += f"\necho '{marks[-1]}'\nkill %1\nwait\n"
    with _terminal(tmp_path):
        shell = subprocess.run(
            ["bash", "-m"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
        )
    printed = shell.stdout
    for number, (command, said) in enumerate(steps):
        answer = printed.partition(f"{marks[number]}\n")[2].partition(f"{marks[number + 1]}\n")[0].splitlines()
        wrong = [line for line in said if not any(_like(line).fullmatch(each) for each in answer)]
        assert not wrong, f"{command}\nprinted {answer}\nand on standard error: {shell.stderr}"


def _like(line: str) -> re.Pattern[str]:
    return re.compile(
        r"\s+.*".join(map(re.escape, re.split(r" \.\.\.(?: |$)", line))) if "..." in line else re.escape(line)
    )
