"""Free TCP ports."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Give a port that nothing listens on, on any address of either family, at this moment.

    Asked of the kernel with every address at once; ports given one after another differ as a rule, since it picks at random.
    """
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as probe:
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> tuple[int, ...]:
    """Give so many different ones."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return tuple(ports)
