"""Nodes of a test: networks of their own on one link, between which an address can move."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.network import entered, ip
from tests.support.programs import requires_program

LINK = "10.9.0"


class Node:
    """One node, which has the address ``<LINK>.<number>``.

    Args:
        number: told apart by it.
        directory: for its files.
    """

    def __init__(self, number: int, directory: Path) -> None:
        self.name = f"addr-{os.getpid()}-{number}"
        self.number = number
        self._directory = directory
        self._keepalived: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make its network, on the bridge of the network that this thread is in."""
        ip("netns", "add", self.name)
        ip("link", "add", f"node{self.number}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", f"node{self.number}", "master", "bridge", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{LINK}.{self.number}/24", "dev", "eth0")

    def remove(self) -> None:
        """Remove it; what runs in it has ended."""
        ip("netns", "del", self.name)

    def ip(self, *words: str) -> str:
        """Run iproute2's command there."""
        return ip("-n", self.name, *words)

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Be in its network: what is started from then on is in it."""
        return entered(Path("/run/netns") / self.name)

    def has(self, address: str) -> bool:
        """Whether it has an address now."""
        return f" {address}/" in self.ip("-o", "addr", "show")

    def start_keepalived(self, address: str, priority: int) -> None:
        """Let a keepalived have the address there while no other one with a higher priority runs."""
        keepalived = requires_program("keepalived")
        config = self._directory / f"keepalived-{self.number}.conf"
        config.write_text(
            "global_defs {\n  vrrp_version 3\n  vrrp_garp_master_delay 0\n}\n"
            "vrrp_instance test {\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n"
            f"  priority {priority}\n  advert_int 0.1\n  virtual_ipaddress {{\n    {address}/24\n  }}\n}}\n"
        )
        pids = [str(self._directory / f"{name}-{self.number}.pid") for name in ("keepalived", "vrrp")]
        with self.entered(), (self._directory / f"keepalived-{self.number}.log").open("ab") as log:
            self._keepalived = subprocess.Popen(
                [str(keepalived), "--dont-fork", "--log-console", "--vrrp", "--use-file", str(config),
                 "--pid", pids[0], "--vrrp_pid", pids[1]],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def stop_keepalived(self) -> None:
        """End it; it lets go of the address."""
        if self._keepalived is not None:
            self._keepalived.send_signal(signal.SIGTERM)
            self._keepalived.wait(20)
            self._keepalived = None


@contextlib.contextmanager
def nodes(count: int, directory: Path) -> Iterator[tuple[Node, ...]]:
    """Make nodes on a link on which this thread's network has the address ``<LINK>.100``."""
    requires_program("ip")
    ip("link", "add", "bridge", "type", "bridge")
    ip("link", "set", "bridge", "up")
    ip("addr", "add", f"{LINK}.100/24", "dev", "bridge")
    made: list[Node] = []
    try:
        for number in range(1, count + 1):
            node = Node(number, directory)
            made.append(node)
            node.make()
        yield tuple(made)
    finally:
        for node in made:
            node.stop_keepalived()
            node.remove()
