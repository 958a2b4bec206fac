"""Real database servers on loopback, in folders of their own, and sessions of their command line clients.

PostgreSQL refuses to run as root. Where the tests do, the servers run as a user that every system has.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.programs import requires_program
from tests.support.waiting import wait_for

_SETUP_S = 60.0
_ANSWER_S = 20.0
_UNPRIVILEGED = "nobody"


Command = Sequence[str | Path]


class Session:
    """A client that stays connected: a process that takes a statement per line and prints a line for each.

    A context manager; leaving it ends the client.
    """

    def __init__(self, command: Command) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=_ANSWER_S)
        self._process.kill()
        self._process.wait()

    def ask(self, statement: str) -> str:
        """Give the line that comes back."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{statement}\n")
        ready, _, _ = select.select([process.stdout], [], [], _ANSWER_S)
        assert ready, f"no answer to {statement!r} within {_ANSWER_S} seconds"
        return process.stdout.readline().strip()


@contextlib.contextmanager
def postgresql() -> Iterator[int]:
    """Run a PostgreSQL server; give its port. Its superuser is ``tester``, without a password."""
    initdb = requires_program("initdb").resolve()
    port = free_port()
    with _folder() as folder:
        data = folder / "data"
        _set_up([
            initdb, "--pgdata", data, "--username", "tester", "--auth", "trust", "--locale", "C", "--encoding", "UTF8",
            "--no-sync",
        ], folder)  # fmt: skip
        command: Command = [
            initdb.with_name("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F",
            "-c", "shared_buffers=16MB", "-c", "max_connections=20",
        ]  # fmt: skip
        ready: Command = [initdb.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        # SIGINT is PostgreSQL's fast shutdown: sessions that are open do not hold it up.
        with _running(command, folder, signal.SIGINT, lambda: _succeeds(ready)):
            yield port


def psql(port: int, *options: str) -> list[str | Path]:
    """Give the command line of a psql that prints values alone."""
    program = requires_program("psql")
    place = ["-h", "127.0.0.1", "-p", str(port), "-U", "tester", "-d", "postgres"]
    return [program, "-X", "-q", "-A", "-t", "-w", *place, *options]


@contextlib.contextmanager
def mariadb_server() -> Iterator[int]:
    """Run a MariaDB server; give its port. ``root`` has no password."""
    install = requires_program("mariadb-install-db")
    server = requires_program("mariadbd")
    port = free_port()
    with _folder() as folder:
        data = folder / "data"
        plain = ["--no-defaults", f"--datadir={data}"]
        _set_up([
            install, *plain, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ], folder)  # fmt: skip
        command: Command = [
            server, *plain, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}", "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin",
        ]  # fmt: skip
        ready: Command = [*mariadb(port), "--execute", "SELECT 1"]
        with _running(command, folder, signal.SIGTERM, lambda: _succeeds(ready)):
            yield port


def mariadb(port: int, *options: str) -> list[str | Path]:
    """Give the command line of a mariadb client that prints values alone, each as soon as it comes."""
    place = ["--host=127.0.0.1", f"--port={port}", "--protocol=tcp", "--user=root"]
    return [
        requires_program("mariadb"), "--no-defaults", "--batch", "--skip-column-names", "--unbuffered",
        "--skip-reconnect", *place, *options,
    ]  # fmt: skip


def _as_unprivileged() -> dict[str, Any]:
    """Give the arguments by which subprocess starts something as somebody else than root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that the servers' user can reach and write; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    try:
        identity = _as_unprivileged()
        if identity:
            os.chown(folder, identity["user"], identity["group"])
        yield folder
    finally:
        shutil.rmtree(folder)


def _set_up(command: Command, folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=_SETUP_S, check=False, **_as_unprivileged(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def _running(command: Command, folder: Path, stop: signal.Signals, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server until left; what it printed is told if it does not start."""
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **_as_unprivileged()
        )
    try:
        wait_for(lambda: process.poll() is not None or is_ready(), f"{command[0]} to answer", _SETUP_S)
        assert process.poll() is None, output.read_text(errors="replace")
        yield
    finally:
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ANSWER_S)
        process.kill()
        process.wait()


def _succeeds(command: Command) -> bool:
    return (
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SETUP_S, check=False).returncode
        == 0
    )
