"""The cases of the golden files: a model and settings each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router.model import ConnectionLimit, Model, Server
from router.settings import RenderSettings
from tests.support.models import port_options, section, server, shared

Case = tuple[Model, RenderSettings]

STATE_DIR = Path("/var/lib/tcp-router")


def _settings(**changes: Any) -> RenderSettings:
    return RenderSettings(**{"state_dir": STATE_DIR, **changes})


def _pods(count: int, port: int = 5432) -> tuple[Server, ...]:
    return tuple(server(port, f"10.128.0.{number}", pod=f"db-{number}") for number in range(1, count + 1))


_SEED = section(
    "ottcache-002",
    6620,
    Server("pod:ottcache-002-0:ottcache-002-service::10.128.2.7:6620", "10.128.2.7", 6620, 1, id=1_048_575),
    namespace="wzh-demo",
)
_DB = section("db", 15432, *_pods(3))
_WEB_A = section("web-a", None, server(8443, "10.128.0.21"))
_WEB_B = section("web-b", None, server(8443, "10.128.0.22"))

CASES: dict[str, Case] = {
    "empty": (Model(), _settings()),
    "seed-route": (Model((_SEED,)), _settings()),
    "all-options": (
        Model(
            (
                section(
                    "db",
                    15432,
                    *_pods(2),
                    options=port_options(timeout_client_ms=60_000, maxconn=500, accept_proxy=True),
                    balance="source",
                    timeout_connect_ms=1_500,
                    timeout_server_ms=60_000,
                    timeout_tunnel_ms=86_400_000,
                    check_interval_ms=500,
                    shutdown_sessions_on_marked_down=True,
                    send_proxy="v2",
                    server_maxconn=50,
                    allowlist=("10.0.0.0/8", "192.0.2.7", "2001:db8::/32"),
                    connection_limit=ConnectionLimit(10, 20),
                ),
            )
        ),
        _settings(),
    ),
    "balance-each": (
        Model(
            tuple(
                section(f"by-{balance}", 20_000 + number, *_pods(2), balance=balance)
                for number, balance in enumerate(("first", "leastconn", "random", "roundrobin", "source"))
            )
        ),
        _settings(),
    ),
    "ipv4-only": (Model((_DB,)), _settings(ip_mode="v4")),
    "ipv6-only": (Model((_DB,)), _settings(ip_mode="v6")),
    "bind-addresses": (
        Model((_DB,), (shared(8443, {}),)),
        _settings(bind_addresses=("2001:db8::5", "192.0.2.10", "127.0.0.1")),
    ),
    "ipv6-servers": (
        Model((section("db", 15432, server(5432, "2001:db8::1:5"), server(5432, "fd01::7", pod="pod-2")),)),
        _settings(),
    ),
    "shared-port": (
        Model(
            (_WEB_A, _WEB_B),
            (
                shared(
                    9443,
                    {"a.example.com": _WEB_A, ".apps.example.com": _WEB_B, "b.apps.example.com": _WEB_A},
                    port_options(timeout_client_ms=10_000, maxconn=200, tcp_keepalive=False, accept_proxy=True),
                ),
            ),
        ),
        _settings(),
    ),
    "sni-port-beside-own-port": (
        Model((_DB, _WEB_A), (shared(8443, {"db.example.com": _DB, "a.example.com": _WEB_A}),)),
        _settings(),
    ),
    "allowlist": (
        Model(
            (
                section("db", 15432, *_pods(1), allowlist=("10.0.0.0/8", "2001:db8::/32")),
                section("db-twin", 15433, *_pods(1), allowlist=("10.0.0.0/8", "2001:db8::/32")),
            )
        ),
        _settings(),
    ),
    "rate-limit-each-kind": (
        Model(
            (
                section("both", 15432, *_pods(1), connection_limit=ConnectionLimit(10, 20)),
                section("concurrent", 15433, *_pods(1), connection_limit=ConnectionLimit(10, None)),
                section("neither", 15434, *_pods(1), connection_limit=ConnectionLimit(None, None)),
                section("rate", 15435, *_pods(1), connection_limit=ConnectionLimit(None, 20)),
            )
        ),
        _settings(),
    ),
    "no-servers": (Model((section("db", 15432),)), _settings()),
    "draining-and-weights": (
        Model(
            (
                section(
                    "db",
                    15432,
                    server(5432, "10.128.0.1", weight=0),
                    server(5432, "10.128.0.2", weight=256, pod="pod-2"),
                    server(5432, "10.128.0.3", weight=1, pod="pod-3"),
                ),
            )
        ),
        _settings(),
    ),
    "idled-service": (
        Model((section("db", 15432, server(5432, "172.30.1.1", check=False), send_proxy="v1"),)),
        _settings(),
    ),
    "checks-and-keepalive-off": (
        Model(
            (
                section(
                    "db",
                    15432,
                    *_pods(2),
                    server(5432, "172.30.1.1", check=False, pod="idled"),
                    options=port_options(tcp_keepalive=False),
                    check_interval_ms=0,
                    tcp_keepalive=False,
                    send_proxy="v1",
                    shutdown_sessions_on_marked_down=True,
                ),
            )
        ),
        _settings(),
    ),
    "limits-of-the-process": (
        Model((_DB,)),
        _settings(maxconn=20_000, nbthread=2, hard_stop_after_ms=3_600_000, mworker_max_reloads=10),
    ),
    "log-json": (
        Model((section("db", 15432, *_pods(1), options=port_options(accept_proxy=True)),)),
        _settings(log_json=True),
    ),
    "log-stderr": (Model(), _settings(log_address="stderr")),
    "log-syslog-server": (Model(), _settings(log_address="192.0.2.1:514", log_json=True)),
    "log-syslog-server-ipv6": (Model(), _settings(log_address="[2001:db8::1]:514")),
    "log-syslog-socket": (Model(), _settings(log_address="/dev/log")),
    "odd-state-dir": (
        Model((section("db", 15432, *_pods(1), allowlist=("10.0.0.0/8",)),), (shared(8443, {"a.example.com": _DB}),)),
        _settings(state_dir=Path("""/var/lib/it's "a" router (v1) #1 \\ 100%""")),
    ),
    "extreme-values": (
        Model(
            (
                section(
                    "r" * 253,
                    65535,
                    Server(f"pod:{'p' * 253}:{'s' * 63}:{'n' * 15}:10.128.0.1:65535", "10.128.0.1", 65535, 256, id=1),
                    namespace="n" * 63,
                    options=port_options(timeout_client_ms=2_073_600_000, maxconn=1, accept_proxy=True),
                    timeout_connect_ms=1,
                    timeout_server_ms=1,
                    timeout_tunnel_ms=2_073_600_000,
                    check_interval_ms=2_073_600_000,
                    server_maxconn=1,
                    connection_limit=ConnectionLimit(1, 1),
                ),
            )
        ),
        _settings(log_json=True),
    ),
}
