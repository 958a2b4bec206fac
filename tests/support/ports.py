"""Free TCP ports."""

from __future__ import annotations

import os
import random
import socket

_FIRST, _, _LAST = os.environ.get("TCP_ROUTER_TEST_PORTS", "10240-32767").partition("-")
"""Runs beside each other are each given their own."""
_BELOW_EPHEMERAL = range(int(_FIRST), int(_LAST) + 1)
"""Above it the kernel chooses the ports of clients: each keeps its port taken for a minute after it has gone (TIME_WAIT)."""

_given: set[int] = set()


def free_port() -> int:
    """Give a port that nothing has, on any address of either family, at this moment, and that was not given before."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)  # noqa: S311 - to differ from those of other processes
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def free_ports(count: int) -> tuple[int, ...]:
    """Give so many different ones."""
    return tuple(free_port() for _ in range(count))


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True):
            return True
    except OSError:
        return False
