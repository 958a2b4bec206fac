"""The last lines that a worker logged about connections, from its memory (management guide, 9.3 "show events")."""

from __future__ import annotations

from pathlib import Path

from router.haproxy.talk.cli_socket import command

RING = "tcp_router_recent"
"""As limits.cfg.j2 calls it."""


def recent_lines(stats_socket: Path, timeout_s: float) -> list[str]:
    """Give them, the oldest first; none where a template of the admin's has no such ring.

    Raises:
        HaproxyUnreachable: it does not answer within ``timeout_s`` seconds.
    """
    return command(stats_socket, f"show events {RING}", timeout_s).split("\n")
