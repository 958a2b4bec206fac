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

from tests.support.daemons import Command, hand_over, own_folder, running, set_up, succeeds
from tests.support.ports import free_port
from tests.support.programs import requires_program

_ANSWER_S = 20.0
_SETUP_WITHIN_S = 60.0


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


PASSWORD = "sesam"  # noqa: S105 - of servers that live as long as a test
"""Of the user ``scram``, who has to prove by SCRAM that he knows it."""
_WHO = """\
host all scram all scram-sha-256
host all all all trust
"""


def postgresql_version() -> int:
    """Give the version of the server that ``postgresql`` runs."""
    said = subprocess.run(
        [requires_program("initdb"), "--version"], capture_output=True, text=True, timeout=_SETUP_WITHIN_S, check=True
    )
    return int(said.stdout.split()[2].partition(".")[0])


@contextlib.contextmanager
def postgresql(pem: str = "") -> Iterator[int]:
    """Run a PostgreSQL server; give its port. Its superuser is ``tester``, without a password; another user is ``scram``.

    Args:
        pem: key and certificate with which it takes TLS, beside plain text; none is plain text alone.
    """
    initdb = requires_program("initdb").resolve()
    port = free_port()
    with own_folder() as folder:
        data = folder / "data"
        set_up([
            initdb, "--pgdata", data, "--username", "tester", "--auth", "trust", "--locale", "C", "--encoding", "UTF8",
            "--no-sync",
        ], folder)  # fmt: skip
        (data / "pg_hba.conf").write_text(_WHO)
        tls: Command = ["-c", "ssl=on", "-c", "ssl_cert_file=own.pem", "-c", "ssl_key_file=own.pem"] if pem else []
        if pem:
            hand_over(data / "own.pem", pem)
        command: Command = [
            initdb.with_name("postgres"), *tls, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F",
            "-c", "shared_buffers=16MB", "-c", "max_connections=20",
        ]  # fmt: skip
        ready: Command = [initdb.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        # SIGINT is PostgreSQL's fast shutdown: sessions that are open do not hold it up.
        with running(command, folder, signal.SIGINT, lambda: succeeds(ready)):
            who = f"SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD '{PASSWORD}'"
            subprocess.run(psql(port, "-c", who), stdin=subprocess.DEVNULL, timeout=_SETUP_WITHIN_S, check=True)
            yield port


def psql(port: int, *options: str, **parameters: str) -> list[str | Path]:
    """Give the command line of a psql that prints values alone; ``parameters`` are libpq's."""
    program = requires_program("psql")
    return [program, "-X", "-q", "-A", "-t", "-w", "-d", conninfo(port, **parameters), *options]


def conninfo(port: int, **parameters: str) -> str:
    """Give what libpq is told to connect to a port; with a ``host`` to that name, wherever the DNS has it."""
    place = {"hostaddr": "127.0.0.1", "port": str(port), "user": "tester", "dbname": "postgres"}
    return " ".join(f"{key}='{value}'" for key, value in {**place, **parameters}.items())


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
