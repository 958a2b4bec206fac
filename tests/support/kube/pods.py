"""Pods of tests with addresses that a real API server accepts: each a server in a network namespace of its own.

Real API servers refuse endpoints on loopback. A namespace is tied to the host by a veth pair; the addresses are of
198.18.0.0/15, which RFC 2544 keeps for tests. Needs root and ``ip`` of iproute2.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_START_S = 20.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod shall do: echo what it gets with ``text`` before each piece, or with a certificate answer ``text`` over TLS."""

    text: bytes = b""
    port: int = 0
    certificate: Path | None = None
    """A file with key and certificate."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One that runs; ``end`` makes it refuse connections from now on."""

    address: str
    port: int
    end: Callable[[], object]


def require_network_namespaces() -> None:
    """Skip the calling test where network namespaces cannot be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("pods in network namespaces of their own need root, and ip (Debian: apt-get install iproute2)")


@contextlib.contextmanager
def pod(wanted: Wanted) -> Iterator[Pod]:
    """Start a pod, which lives until the context is left."""
    number = next(_numbers)
    # The process id keeps test runs apart; 15 characters is the longest name of an interface.
    name = f"tr{os.getpid() % 1_000_000}x{number}"
    third, fourth = divmod(number * 4 % 65536, 256)
    network = f"198.{18 + os.getpid() % 2}.{third}"
    host, own = f"{network}.{fourth + 1}", f"{network}.{fourth + 2}"
    with contextlib.ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{host}/30", "dev", f"{name}h")
        _ip("link", "set", f"{name}h", "up")
        _ip("-n", name, "address", "add", f"{own}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        command = [
            "ip", "netns", "exec", name, sys.executable, "-m", "tests.support.kube.pod_main",
            own, str(wanted.port), wanted.text.decode(), str(wanted.certificate or ""),
        ]  # fmt: skip
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], _START_S)[0], "the pod does not start"
        yield Pod(own, int(process.stdout.readline()), process.kill)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
