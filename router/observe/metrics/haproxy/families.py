"""The metrics made of HAProxy's own: for each the column of ``show stat`` or field of ``show info`` that it is read from.

Names are those of OpenShift's router (pkg/router/metrics/haproxy/haproxy.go) as far as they are about TCP. What that has no
name for, and times, which it gives in milliseconds, have the names of HAProxy's own exporter (addons/promex).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from router.haproxy.talk.tables import BACKEND, FRONTEND, SERVER

PROCESS = "process"


class Of(Enum):
    """Which workers' values make a metric's."""

    ALL = auto()
    """The sum over all: a connection on a replaced worker is still one."""
    CURRENT = auto()
    """That of the worker that accepts connections."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    meaning: str
    column: str
    of: Of = Of.ALL
    is_counter: bool = False
    form: Callable[[str], str] = str
    """What makes the metric's value of a gauge's cell."""


def is_up(status: str) -> str:
    """Give 1 for a status in which connections are served: ``UP``, ``UP 1/3``, ``OPEN``, ``no check``."""
    return "1" if status.startswith(("UP", "OPEN", "no check")) else "0"


def seconds(milliseconds: str) -> str:
    """Give a time in Prometheus' base unit."""
    return f"{int(milliseconds) / 1000:g}"


def _gauge(name: str, column: str, meaning: str, of: Of = Of.ALL, form: Callable[[str], str] = str) -> Family:
    return Family(name, meaning, column, of, form=form)


def _counter(name: str, column: str, meaning: str, of: Of = Of.ALL) -> Family:
    return Family(f"{name}_total", meaning, column, of, is_counter=True)


def _of_any(kind: str) -> tuple[Family, ...]:
    """What frontends, backends and servers have in common."""
    return (
        _gauge(f"haproxy_{kind}_current_sessions", "scur", "Current number of active sessions."),
        _gauge(f"haproxy_{kind}_max_sessions", "smax", "Most sessions at a time since the last reload.", Of.CURRENT),
        _gauge(f"haproxy_{kind}_limit_sessions", "slim", "Configured session limit.", Of.CURRENT),
        _counter(f"haproxy_{kind}_bytes_in", "bin", "Bytes from clients."),
        _counter(f"haproxy_{kind}_bytes_out", "bout", "Bytes to clients."),
        _gauge(f"haproxy_{kind}_current_session_rate", "rate", "Sessions that began in the last second."),
        _gauge(f"haproxy_{kind}_max_session_rate", "rate_max", "Most sessions in a second since the last reload.", Of.CURRENT),
    )  # fmt: skip


def _of_either(kind: str) -> tuple[Family, ...]:
    """What backends and servers have in common."""
    return (
        *_of_any(kind),
        _counter(f"haproxy_{kind}_connections", "stot", "Connections."),
        _gauge(f"haproxy_{kind}_current_queue", "qcur", "Connections that wait for a server."),
        _gauge(f"haproxy_{kind}_max_queue", "qmax", "Most connections that waited since the last reload.", Of.CURRENT),
        _counter(f"haproxy_{kind}_connection_errors", "econ", "Connections to a server that failed."),
        _counter(f"haproxy_{kind}_response_errors", "eresp", "Connections that broke on the server's side."),
        _counter(f"haproxy_{kind}_retry_warnings", "wretr", "Further tries to connect to a server."),
        _counter(f"haproxy_{kind}_redispatch_warnings", "wredis", "Connections that were given to another server."),
        _gauge(f"haproxy_{kind}_weight", "weight", "Weight, of a backend that of its servers together.", Of.CURRENT),
        _gauge(f"haproxy_{kind}_connect_time_average_seconds", "ctime",
               "Average time to connect to a server, of the last 1024 connections.", Of.CURRENT, seconds),
        _gauge(f"haproxy_{kind}_queue_time_average_seconds", "qtime",
               "Average time in the queue, of the last 1024 connections.", Of.CURRENT, seconds),
    )  # fmt: skip


FAMILIES: dict[str, tuple[Family, ...]] = {
    FRONTEND: (
        *_of_any("frontend"),
        _counter("haproxy_frontend_connections", "conn_tot", "Connections."),
        _counter("haproxy_frontend_denied_connections", "dcon", "Connections refused by a rule before a session began."),
        _counter("haproxy_frontend_denied_sessions", "dses", "Sessions refused by a rule."),
        _counter("haproxy_frontend_requests_denied", "dreq", "Sessions refused by a rule on their content."),
        _counter("haproxy_frontend_request_errors", "ereq", "Sessions that broke before a server was chosen."),
        _gauge("haproxy_frontend_up", "status", "1 while the port is open.", Of.CURRENT, is_up),
    ),
    BACKEND: (
        *_of_either("backend"),
        _gauge("haproxy_backend_up", "status", "1 while the backend has a server that serves.", Of.CURRENT, is_up),
        _gauge("haproxy_backend_active_servers", "act", "Servers that serve.", Of.CURRENT),
    ),
    SERVER: (
        *_of_either("server"),
        _gauge("haproxy_server_up", "status", "1 while the server serves.", Of.CURRENT, is_up),
        _counter("haproxy_server_check_failures", "chkfail", "Failed health checks.", Of.CURRENT),
        _counter("haproxy_server_downtime_seconds", "downtime", "Time that the server was down.", Of.CURRENT),
        _gauge("haproxy_server_check_duration_seconds", "check_duration", "Time that the last health check took.",
               Of.CURRENT, seconds),
    ),
    PROCESS: (
        _gauge("haproxy_process_current_connections", "CurrConns", "Connections of clients, of all ports."),
        _gauge("haproxy_process_max_connections", "Maxconn", "Most connections at a time, of each worker.", Of.CURRENT),
        _counter("haproxy_process_connections", "CumConns", "Connections, those to HAProxy's sockets too."),
        _counter("haproxy_process_maxconn_reached", "MaxconnReached", "Times that there were as many connections as may be."),
        _gauge("haproxy_process_max_fds", "Ulimit-n", "Most open file descriptors, of each worker.", Of.CURRENT),
        _gauge("haproxy_process_max_sockets", "Maxsock", "Most open sockets, of each worker.", Of.CURRENT),
        _gauge("haproxy_process_start_time_seconds", "Start_time_sec",
               "When the current worker started, seconds since the epoch.", Of.CURRENT),
        _gauge("haproxy_process_threads", "Nbthread", "Threads.", Of.CURRENT),
        _gauge("haproxy_process_idle_ratio", "Idle_pct", "Part of its time in which the worker waits.", Of.CURRENT,
               lambda percent: f"{int(percent) / 100:g}"),
        _gauge("haproxy_process_listeners", "Listeners", "Open listeners.", Of.CURRENT),
        _gauge("haproxy_process_pool_allocated_bytes", "PoolAlloc_bytes", "Memory of HAProxy's pools."),
        _gauge("haproxy_process_pool_used_bytes", "PoolUsed_bytes", "Memory of HAProxy's pools that is in use."),
        _counter("haproxy_process_pool_failures", "PoolFailed", "Requests for memory that failed."),
        _counter("haproxy_process_dropped_logs", "DroppedLogs", "Log lines that could not be sent."),
    ),
}  # fmt: skip
"""By type of ``show stat``, and the process."""
