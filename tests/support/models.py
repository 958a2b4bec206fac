"""Parts of models with the defaults that admission gives."""

from __future__ import annotations

from typing import Any

from router.model import (
    Asker,
    Backend,
    Frontend,
    PortOptions,
    RouteSection,
    Server,
    SharedFrontend,
    SniHost,
    Spot,
    backend_name,
)
from router.model.tls import PortTls
from router.server_ids import server_ids


def port_options(**changes: Any) -> PortOptions:
    """Make options of a port."""
    values: dict[str, Any] = {
        "timeout_client_ms": 30_000,
        "maxconn": None,
        "tcp_keepalive": True,
        "accept_proxy": False,
    }
    return PortOptions(**{**values, **changes})


def server(port: int, address: str = "127.0.0.1", *, weight: int = 1, check: bool = True, pod: str = "pod-1") -> Server:
    """Make a server, named as admission names it."""
    name = f"pod:{pod}:svc:tcp:{address}:{port}"
    return Server(name, address, port, weight, check, id=server_id(address, port))


def server_id(address: str, port: int) -> int:
    """Give the id of a server that stands alone."""
    (only,) = server_ids([(address, port, "svc")]).values()
    return only


def section(
    route: str,
    port: int | None,
    *servers: Server,
    namespace: str = "team",
    options: PortOptions | None = None,
    tls: PortTls | None = None,
    stages: tuple[Spot, ...] | None = None,
    is_gated: bool = False,
    **of_backend: Any,
) -> RouteSection:
    """Make the section of a Route; ``port`` None is one that is reached through shared ports only."""
    values: dict[str, Any] = {
        "balance": "leastconn",
        "hash_balance_factor": None,
        "timeout_connect_ms": 5_000,
        "timeout_server_ms": 30_000,
        "timeout_tunnel_ms": 3_600_000,
        "check_interval_ms": 5_000,
        "shutdown_sessions_on_marked_down": False,
        "tcp_keepalive": True,
        "send_proxy": None,
        "server_maxconn": None,
        "allowlist": None,
        "connection_limit": None,
    }
    asker = Asker.route(namespace, route)
    backend = Backend(name=backend_name(asker), servers=tuple(sorted(servers)), **{**values, **of_backend})
    frontend = Frontend(port, options or port_options(), tls=tls) if port is not None else None
    return RouteSection(asker, backend, frontend, stages, is_gated=is_gated)


def shared(port: int, hosts: dict[str, RouteSection], options: PortOptions | None = None) -> SharedFrontend:
    """Make a shared port that leads host names to Routes."""
    leads = (SniHost(host, to.backend.name, to.asker) for host, to in hosts.items())
    return SharedFrontend(port, options or port_options(), tuple(sorted(leads)))
