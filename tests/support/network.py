"""A network of the test's own, with a loopback and nothing else, whose kernel settings can be changed.

What is started from then on, threads and processes, is in it, until it is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_SIOCSIFADDR = 0x8916
_IFF_UP = 0x1
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Be in a new network.

    It takes root, or rather CAP_SYS_ADMIN: without it the test is skipped, or fails where ``CI`` is ``true``.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.unshare(_CLONE_NEWNET) != 0:
            message = f"needs a network of its own, which takes root: {os.strerror(ctypes.get_errno())}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        try:
            with socket.socket() as any_socket:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
            yield
        finally:
            assert _LIBC.setns(before, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)


def add_addresses(*addresses: str) -> None:
    """Give loopback further IPv4 addresses; in a network of one's own alone."""
    for number, address in enumerate(addresses, 1):
        name = f"lo:{number}".encode()
        with socket.socket() as any_socket:
            family_and_address = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, _SIOCSIFADDR, family_and_address)


def ip(*words: str) -> str:
    """Run iproute2's command on the network that this thread is in; give what it prints."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def entered(network: Path) -> Iterator[None]:
    """Be in a network that has a name."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert _LIBC.setns(there, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert _LIBC.setns(before, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(there)
        os.close(before)


def bind_nonlocal(*, on: bool) -> None:
    """Let sockets be bound to addresses that are not here, or not."""
    Path("/proc/sys/net/ipv4/ip_nonlocal_bind").write_text(str(int(on)), encoding="ascii")


def migrate_requests(*, on: bool) -> None:
    """Let the kernel give what waits for a listener that closes to another one of its port, or not (ip-sysctl, tcp_migrate_req)."""
    Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text(str(int(on)), encoding="ascii")
