"""Servers as Debian has them, on loopback, in folders of their own: how they are started, and some that are no databases.

Most refuse to run as root. Where the tests do, they run as a user that every system has.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.programs import requires_program
from tests.support.waiting import wait_for

_SETUP_S = 60.0
_ANSWER_S = 20.0
_UNPRIVILEGED = "nobody"

Command = Sequence[str | Path]


def as_unprivileged() -> dict[str, Any]:
    """Give the arguments by which subprocess starts something as somebody else than root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder that the servers' user can reach and write; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    try:
        identity = as_unprivileged()
        if identity:
            os.chown(folder, identity["user"], identity["group"])
        yield folder
    finally:
        shutil.rmtree(folder)


def hand_over(path: Path, text: str) -> None:
    """Write a file that is for the servers' user alone."""
    path.touch(mode=0o600)
    path.write_text(text)
    identity = as_unprivileged()
    if identity:
        os.chown(path, identity["user"], identity["group"])


def set_up(command: Command, folder: Path) -> None:
    """Run a program that makes what a server needs; what it printed is told if it fails."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=_SETUP_S, check=False, **as_unprivileged(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def running(command: Command, folder: Path, stop: signal.Signals, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server until left; what it printed is told if it does not start."""
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **as_unprivileged()
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


def succeeds(command: Command) -> bool:
    """Say whether a program ends well."""
    return (
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SETUP_S, check=False).returncode
        == 0
    )


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """Run a Redis; give its port."""
    server, client = requires_program("redis-server"), requires_program("redis-cli")
    port = free_port()
    with own_folder() as folder:
        command: Command = [
            server,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with running(command, folder, signal.SIGTERM, lambda: succeeds([client, "-p", str(port), "-e", "ping"])):
            yield port


@contextlib.contextmanager
def smtp_server() -> Iterator[tuple[int, Path]]:
    """Run an SMTP server; give its port, and the file into which it puts the mail that came last."""
    server = requires_program("msmtpd")
    port = free_port()
    with own_folder() as folder:
        mail, deliver = folder / "mail", folder / "deliver"
        deliver.write_text(f"#!/bin/sh\ncat > {mail}\n")
        deliver.chmod(0o755)
        command: Command = [server, "--interface=127.0.0.1", f"--port={port}", f"--command={deliver}"]
        with running(command, folder, signal.SIGTERM, lambda: not is_refused(port)):
            yield port, mail


@dataclass(frozen=True, slots=True)
class Ssh:
    """An SSH server, for the user who runs the tests."""

    port: int
    key: Path
    known_hosts: Path

    def command(self, port: int, *remote: str) -> Command:
        """Give the command line of a client that knows the server's key, whatever port leads there."""
        options = ("BatchMode=yes", f"UserKnownHostsFile={self.known_hosts}", "HostKeyAlias=sshd", "IdentitiesOnly=yes")
        told = [part for option in options for part in ("-o", option)]
        user = pwd.getpwuid(os.geteuid()).pw_name
        return [
            requires_program("ssh"),
            "-F",
            "none",
            "-i",
            self.key,
            *told,
            "-p",
            str(port),
            f"{user}@127.0.0.1",
            *remote,
        ]


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Ssh]:
    """Run an SSH server as whoever runs the tests, with its files in a folder."""
    server, keygen = requires_program("sshd"), requires_program("ssh-keygen")
    port = free_port()
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=_SETUP_S)
    known = folder / "known"
    known.write_text(f"sshd {(folder / 'host.pub').read_text()}")
    config = folder / "sshd.conf"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
        "UsePAM no\nStrictModes no\nPidFile none\nPermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        # Debian's service makes it when it starts.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    output = folder / "sshd.log"
    with output.open("wb") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or not is_refused(port), "sshd to listen")
        assert process.poll() is None, output.read_text()
        yield Ssh(port, folder / "user", known)
    finally:
        process.terminate()
        process.wait(_ANSWER_S)
