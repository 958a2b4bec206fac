"""Real database servers on loopback, in folders of their own, and sessions of their command line clients."""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.daemons import Command, own_folder, running, set_up, succeeds
from tests.support.ports import free_port
from tests.support.programs import requires_program

_ANSWER_S = 20.0


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
    with own_folder() as folder:
        data = folder / "data"
        set_up([
            initdb, "--pgdata", data, "--username", "tester", "--auth", "trust", "--locale", "C", "--encoding", "UTF8",
            "--no-sync",
        ], folder)  # fmt: skip
        command: Command = [
            initdb.with_name("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F",
            "-c", "shared_buffers=16MB", "-c", "max_connections=20",
        ]  # fmt: skip
        ready: Command = [initdb.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        # SIGINT is PostgreSQL's fast shutdown: sessions that are open do not hold it up.
        with running(command, folder, signal.SIGINT, lambda: succeeds(ready)):
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
    with own_folder() as folder:
        data = folder / "data"
        plain = ["--no-defaults", f"--datadir={data}"]
        set_up([
            install, *plain, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ], folder)  # fmt: skip
        command: Command = [
            server, *plain, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}", "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin",
        ]  # fmt: skip
        ready: Command = [*mariadb(port), "--execute", "SELECT 1"]
        with running(command, folder, signal.SIGTERM, lambda: succeeds(ready)):
            yield port


def mariadb(port: int, *options: str) -> list[str | Path]:
    """Give the command line of a mariadb client that prints values alone, each as soon as it comes."""
    place = ["--host=127.0.0.1", f"--port={port}", "--protocol=tcp", "--user=root"]
    return [
        requires_program("mariadb"), "--no-defaults", "--batch", "--skip-column-names", "--unbuffered",
        "--skip-reconnect", *place, *options,
    ]  # fmt: skip
