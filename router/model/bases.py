"""What a backend takes up that is added while HAProxy runs: HAProxy adds one from a ``defaults`` section that it was loaded with, and from nothing else."""

from __future__ import annotations

from typing import NamedTuple

from router.model import Balance, RouteSection


class Base(NamedTuple):
    """All that sections differ in, but for their servers, where they can be added so."""

    balance: Balance
    hash_balance_factor: int | None
    timeout_connect_ms: int
    timeout_server_ms: int
    timeout_tunnel_ms: int
    tcp_keepalive: bool


def base_of(section: RouteSection) -> Base | None:
    """Give what a section's backend takes up; None where it has what no ``defaults`` section can say of one backend.

    That is an allowlist, limits per source address (a table), authorities that servers are verified by, and what leads to where TLS ends.
    """
    backend, frontend = section.backend, section.frontend
    if (
        backend.allowlist is not None
        or backend.connection_limit is not None
        or backend.tls is not None
        or section.stages is not None
        or section.slot is not None
        or (frontend is not None and frontend.tls is not None)
    ):
        return None
    return Base(
        backend.balance,
        backend.hash_balance_factor if backend.balance == "source" else None,
        backend.timeout_connect_ms,
        backend.timeout_server_ms,
        backend.timeout_tunnel_ms,
        backend.tcp_keepalive,
    )
