"""What the kernel says of sockets, read from files as it writes them and from those of this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from router.haproxy.generations import kernel
from router.haproxy.generations.kernel import Listener

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:19DC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0000000000000000 100 0 0 10 0
   1: 00000000:19DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0
   2: 0100007F:19DC 0100007F:C000 01 00000000:00000000 00:00000000 00000000  1001        0 4713 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:19DC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0000000000000000 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:19DC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4715 1 0
   1: B80D0120000000000000000001000000:19DC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4716 1 0
"""
UNIX = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 1 @tcp-router/one
0000000000000000: 00000003 00000000 00000000 0001 03 2 @tcp-router/connected
0000000000000000: 00000002 00000000 00010000 0001 01 3 /run/file.sock
0000000000000000: 00000002 00000000 00010000 0001 01 4
0000000000000000: 00000002 00000000 00010000 0001 01 5 @with a space\xff
"""


@pytest.fixture
def proc_net(tmp_path: Path) -> Path:
    """A folder such as /proc/net."""
    (tmp_path / "tcp").write_text(TCP)
    (tmp_path / "tcp6").write_text(TCP6)
    (tmp_path / "unix").write_bytes(UNIX)
    return tmp_path


def test_listeners_of_a_port_are_read(proc_net: Path) -> None:
    """Address, user and inode of each, of both families. Reading ends with the first connection, before which all listeners are."""
    assert kernel.listeners([6620], proc_net) == (
        Listener("127.0.0.1", 6620, 1001, 4711),
        Listener("::", 6620, 1001, 4715),
        Listener("2001:db8::1", 6620, 1001, 4716),
    )
    assert kernel.listeners([6621, 1], proc_net) == (Listener("0.0.0.0", 6621, 0, 4712),)  # noqa: S104 - it is read


def test_a_host_without_ipv6_has_no_list_of_it(proc_net: Path) -> None:
    """Where the kernel has no IPv6 the file is not there."""
    (proc_net / "tcp6").unlink()
    assert kernel.listeners([6620], proc_net) == (Listener("127.0.0.1", 6620, 1001, 4711),)


def test_names_of_abstract_listeners_are_read(proc_net: Path) -> None:
    """Those of files, of connections and without a name are left out."""
    assert kernel.abstract_names(proc_net) == (b"tcp-router/one", b"with a space\xff")


def test_this_kernel_writes_what_is_read() -> None:
    """Sockets made here are found, by their ports, inodes and names, and are gone when they are closed."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        port = tcp.getsockname()[1]
        name = f"tcp-router-test/{os.getpid()}".encode()
        unix.bind(b"\0" + name)
        assert name not in kernel.abstract_names()
        unix.listen()
        assert name in kernel.abstract_names()
        inode = os.fstat(tcp.fileno()).st_ino
        assert kernel.listeners([port]) == (Listener("127.0.0.1", port, os.geteuid(), inode),)
    assert kernel.listeners([port]) == ()
    assert name not in kernel.abstract_names()
