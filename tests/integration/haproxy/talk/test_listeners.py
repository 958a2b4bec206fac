"""The sockets on which a real HAProxy listens, as it hands them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import HaproxyUnreachable
from router.haproxy.generations import kernel
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.listeners import listening
from tests.support.haproxy_control import DEADLINE_S, Controlled, controlled
from tests.support.ports import free_ports

_EXPOSED = "mode 600 level admin expose-fd listeners"


def expose(haproxy: Controlled) -> None:
    """Let it hand out its listeners, as the router's own template does."""
    text = haproxy.config.read_text(encoding="utf-8")
    haproxy.config.write_text(text.replace("mode 600 level admin", _EXPOSED), encoding="utf-8")


def open_files() -> int:
    """Give how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("count", [1, 600], ids=["one", "more than fit into a message"])
def test_sockets_are_those_that_the_kernel_knows(tmp_path: Path, count: int) -> None:
    """Port and inode of each, also where they come in several messages; no file stays open."""
    ports = free_ports(count)
    with controlled(tmp_path) as haproxy:
        haproxy.configure(ports)
        expose(haproxy)
        haproxy.process.start(DEADLINE_S)
        before = open_files()
        found = listening(haproxy.stats_socket, DEADLINE_S)
        assert sorted(found) == sorted((each.port, each.inode) for each in kernel.listeners(ports))
        assert sorted(port for port, _ in found) == sorted(ports)
        assert open_files() == before


def test_a_closed_port_has_no_socket_that_listens(tmp_path: Path) -> None:
    """Ports of the pool are bound and closed; whoever listens there then is somebody else."""
    ports = free_ports(2)
    with controlled(tmp_path) as haproxy:
        haproxy.configure(ports)
        expose(haproxy)
        haproxy.process.start(DEADLINE_S)
        command(haproxy.stats_socket, f"disable frontend fe_tcp:{ports[0]}", DEADLINE_S)
        assert [port for port, _ in listening(haproxy.stats_socket, DEADLINE_S)] == [ports[1]]


def test_haproxy_that_hands_out_nothing_is_an_error(tmp_path: Path) -> None:
    """Without ``expose-fd listeners``, which a template of the admin's may leave out, and without a HAProxy."""
    with controlled(tmp_path) as haproxy:
        haproxy.configure(free_ports(1))
        haproxy.process.start(DEADLINE_S)
        with pytest.raises(HaproxyUnreachable):
            listening(haproxy.stats_socket, 1.0)
    with pytest.raises(HaproxyUnreachable):
        listening(tmp_path / "none.sock", 1.0)
