"""PostgreSQL servers that replicate, each at an address of its own: Debian's packages, as somebody who may do nothing."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.daemons import Command, as_unprivileged, own_folder, set_up
from tests.support.programs import requires_program
from tests.support.waiting import wait_for

PORT = 5432
_ANSWER_S = 20.0
_READY_S = 60.0
_SETTINGS = (
    "shared_buffers=16MB", "max_connections=20", "wal_level=replica", "max_wal_senders=5", "hot_standby=on",
    "wal_retrieve_retry_interval=200ms", "wal_receiver_timeout=5s", "wal_sender_timeout=5s",
)  # fmt: skip

Entered = Callable[[], AbstractContextManager[None]]
"""Is in the network that the server is in."""


class Postgres:
    """One server with its data, which can move to another address.

    Args:
        directory: for its data and its output; its user may write there.
        entered: where it runs.
    """

    def __init__(self, directory: Path, entered: Entered) -> None:
        self._programs = requires_program("initdb").resolve().parent
        self._directory = directory
        self._entered = entered
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    @property
    def _data(self) -> Path:
        return self._directory / f"data-{self._generation}"

    def make(self) -> None:
        """Make a database from nothing; its superuser is ``tester``, without a password, from everywhere."""
        set_up([
            self._programs / "initdb", "--pgdata", self._data, "--username", "tester", "--auth", "trust", "--locale", "C",
            "--encoding", "UTF8", "--no-sync",
        ], self._directory)  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\nhost replication all all trust\n")

    def copy(self, host: str) -> None:
        """Make it a standby of the primary that is reached by a host, from which it goes on to replicate."""
        self._generation += 1
        with self._entered():
            set_up([
                self._programs / "pg_basebackup", "-h", host, "-p", str(PORT), "-U", "tester", "-D", self._data, "-R", "-X", "stream",
                "--checkpoint=fast", "--no-sync",
            ], self._directory)  # fmt: skip

    def start(self, address: str) -> None:
        """Run it at an address, and wait until it answers."""
        self.address = address
        settings = [word for each in _SETTINGS for word in ("-c", each)]
        command: Command = [
            self._programs / "postgres", "-D", self._data, "-h", address, "-p", str(PORT), "-k", "", "-F", *settings,
        ]  # fmt: skip
        output = self._directory / "output"
        with output.open("ab") as file, self._entered():
            self._process = subprocess.Popen(
                command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **as_unprivileged()
            )
        try:
            wait_for(lambda: self.ask("SELECT 1") == "1", f"PostgreSQL at {address} to answer", _READY_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{output.read_text(errors='replace')[-3000:]}") from None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it; SIGINT is PostgreSQL's fast shutdown, SIGQUIT is as if it crashed. Safe to call again."""
        if self._process is None:
            return
        self._process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ANSWER_S)
        self._process.kill()
        self._process.wait()
        self._process = None

    def promote(self) -> None:
        """Make the standby a primary."""
        assert self.ask("SELECT pg_promote(true, 30)") == "t"

    def ask(self, statement: str) -> str:
        """Give what a statement gives; empty where it fails."""
        command: Command = [
            self._programs / "psql", "-X", "-q", "-A", "-t", "-w", "-h", self.address, "-p", str(PORT), "-U", "tester",
            "-d", "postgres", "-c", statement,
        ]  # fmt: skip
        with self._entered():
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_READY_S, check=False
            )
        return done.stdout.strip()


@contextlib.contextmanager
def postgres(entered: Entered) -> Iterator[Postgres]:
    """Give a server that has no data yet; it ends when left."""
    with own_folder() as directory:
        made = Postgres(directory, entered)
        try:
            yield made
        finally:
            made.stop(signal.SIGQUIT)
