"""How long a client that vanished keeps its connection, asked of the kernel."""

from __future__ import annotations

import ctypes
import os
import re
import socket
from pathlib import Path

import pytest

from router.settings import RenderSettings
from tests.support.clients import connect, echoes
from tests.support.haproxy import one_route
from tests.support.servers import echo_server

_PIDFD_GETFD = 438
"""Of every architecture (Linux, Documentation/userspace-api; include/uapi/asm-generic/unistd.h)."""


_OPTIONS = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)


def _sockets_of(pid: int) -> list[socket.socket]:
    """Give copies of a child's sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        numbers = [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir() if "socket:" in str(path.readlink())]
        copies = [libc.syscall(_PIDFD_GETFD, process, number, 0) for number in numbers]
        if -1 in copies:
            pytest.skip(
                f"the kernel does not let a process have its child's sockets: {os.strerror(ctypes.get_errno())}"
            )
        return [socket.socket(fileno=copy) for copy in copies]
    finally:
        os.close(process)


@pytest.mark.parametrize(
    ("timeout_ms", "keepalive_s"),
    [(120_000, (60, 15)), (7_000, (3, 1)), (1_000_000, (120, 15)), (0, (120, 15))],
)
def test_connections_of_clients_have_the_timeout(
    state_dir: Path, timeout_ms: int, keepalive_s: tuple[int, int]
) -> None:
    """The kernel ends a connection whose client confirms nothing for so long, rather than after its quarter of an hour.

    A silent client is asked early enough that it may miss some probes: the kernel counts from when it was heard, and is content
    with one probe that has no answer.
    """
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", tcp_user_timeout_ms=timeout_ms)
    with echo_server() as pod, one_route(settings, pod) as (port, haproxy), connect(port) as client:
        assert echoes(client)
        (pid,) = re.findall(r"^Pid: (\d+)", haproxy.ask("show info"), re.MULTILINE)
        found = []
        for each in _sockets_of(int(pid)):
            with each:
                if each.family == socket.AF_INET and each.getsockname()[1] == port:
                    found.append([each.getsockopt(socket.IPPROTO_TCP, option) for option in _OPTIONS])
    # The one that listens, and the client's.
    listens, its_client = sorted(found, key=lambda each: each[1:] == list(keepalive_s))
    assert listens[0] == timeout_ms
    assert its_client == [timeout_ms, *keepalive_s]
