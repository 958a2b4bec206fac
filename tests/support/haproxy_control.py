"""A HAProxy in master-worker mode on a configuration of a few lines, under the product's own control."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.haproxy.process.binary import find_binary
from router.haproxy.process.child import group_members
from router.haproxy.process.process import HaproxyProcess
from tests.support.waiting import wait_for

DEADLINE_S = 20.0


@dataclass(slots=True)
class Controlled:
    """The process, its files, and what it told."""

    directory: Path
    process: HaproxyProcess = field(init=False)
    lines: list[str] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = HaproxyProcess(
            find_binary(),
            self.config,
            master_socket=self.master_socket,
            stats_socket=self.stats_socket,
            on_line=self.lines.append,
            on_exit=self.exits.append,
        )

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "haproxy.cfg"

    @property
    def master_socket(self) -> Path:
        """The master's command socket."""
        return self.directory / "master.sock"

    @property
    def stats_socket(self) -> Path:
        """The worker's stats socket."""
        return self.directory / "haproxy.sock"

    def configure(self, ports: Iterable[int], pod_port: int = 1, further: str = "") -> None:
        """Write a configuration: each port leads to the pod; ``further`` goes at the end."""
        self.config.write_text(configuration(self.stats_socket, ports, pod_port, further), encoding="utf-8")

    @property
    def pid(self) -> int:
        """The master's process id; it runs."""
        pid = self.process.pid
        assert pid is not None
        return pid


def configuration(stats_socket: Path, ports: Iterable[int], pod_port: int, further: str = "") -> str:
    """Give a configuration in which each port leads to the pod on loopback."""
    frontends = "".join(
        f"frontend fe_tcp:{port}\n  bind 127.0.0.1:{port}\n  default_backend be_tcp:shop:db\n" for port in ports
    )
    return (
        f"global\n  stats socket {stats_socket} mode 600 level admin\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        f"{frontends}backend be_tcp:shop:db\n  server pod:db-0:db:pg:127.0.0.1:{pod_port} 127.0.0.1:{pod_port}\n"
        f"{further}"
    )


@contextlib.contextmanager
def controlled(directory: Path, kind: type[Controlled] = Controlled) -> Iterator[Controlled]:
    """Give a HAProxy that is not started yet; taken down when left."""
    haproxy = kind(directory)
    hurry = threading.Event()
    hurry.set()
    try:
        yield haproxy
    finally:
        haproxy.process.stop(0, hurry)


def alive_in_group(group: int) -> list[int]:
    """Give the ids of the processes of a group that have not ended."""
    return [member.pid for member in group_members(group) if member.alive]


def open_connection(port: int) -> socket.socket:
    """Connect to a port of an echo service and hear the echo, so that the whole way is open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    assert echoes(connection)
    return connection


def echoes(connection: socket.socket) -> bool:
    """Say whether the other end still echoes."""
    try:
        connection.sendall(b"hello")
        return connection.recv(16) == b"hello"
    except OSError:
        return False


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other end to close or reset the connection."""
    try:
        return connection.recv(16) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def serves(port: int) -> bool:
    """Say whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except OSError:
        return False
    return True


def wait_until_gone(group: int) -> None:
    """Wait until no process of a group is left."""
    wait_for(lambda: not alive_in_group(group), f"the processes of group {group} to end")
