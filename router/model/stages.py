"""TLS that ends behind a shared port: what the two frontends that such a client goes through, and what is between them, are named."""

from __future__ import annotations

from router.model import Model, Spot, frontend_name

_BEFORE = "tls:"


def stages(model: Model) -> int:
    """Give how many connections one of a client may be to HAProxy: two where TLS ends behind a shared port."""
    return 2 if any(shared.ends_tls for shared in model.shared) else 1


def stage_name(spot: Spot) -> str:
    """Give what the frontend that ends TLS for hosts of a shared port is named after ``fe_``."""
    return frontend_name(*spot).replace("fe_tcp", "tls", 1)


def backend_before(backend: str) -> str:
    """Give the name of the backend in which clients are who will come to this one when their TLS has ended: it has who may connect, and limits.

    Its servers are the sockets behind shared ports, each named after the port's frontend.
    """
    return f"{_BEFORE}{backend}"
