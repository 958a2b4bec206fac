"""The annotations that say how a Route is served: read into the options of its backend and of its port.

docs/annotations.md is the users' table of what is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar, get_args

from router.admission.allowlist import read_allowlist
from router.admission.forms import BOOLEAN, INTERVAL, TIME, choice, integer, read
from router.admission.verdicts import NotAcceptable, Reason
from router.model import Backend, Balance, ConnectionLimit, PortOptions, ProxyProtocol
from router.settings import RouteDefaults

T = TypeVar("T")

PREFIX = "haproxy.router.openshift.io/"

EXTERNAL_TCP_PORT = f"{PREFIX}external-tcp-port"
EXTERNAL_TCP_PORT_SNI = f"{PREFIX}external-tcp-port-sni"
EXTERNAL_ADDRESS = f"{PREFIX}external-address"
ROUTER_NAME = f"{PREFIX}router-name"
WZH_ROUTER_NAME = f"{PREFIX}wzh-router-name"
BALANCE = f"{PREFIX}balance"
TIMEOUT = f"{PREFIX}timeout"
TIMEOUT_TUNNEL = f"{PREFIX}timeout-tunnel"
TIMEOUT_CONNECT = f"{PREFIX}timeout-connect"
TIMEOUT_CLIENT = f"{PREFIX}timeout-client"
TIMEOUT_SERVER = f"{PREFIX}timeout-server"
IP_ALLOWLIST = f"{PREFIX}ip_allowlist"
IP_WHITELIST = f"{PREFIX}ip_whitelist"
RATE_LIMIT = f"{PREFIX}rate-limit-connections"
RATE_LIMIT_CONCURRENT = f"{RATE_LIMIT}.concurrent-tcp"
RATE_LIMIT_RATE = f"{RATE_LIMIT}.rate-tcp"
MAX_CONNECTIONS = f"{PREFIX}max-connections"
POD_CONCURRENT_CONNECTIONS = f"{PREFIX}pod-concurrent-connections"
CHECK_INTERVAL = "router.openshift.io/haproxy.health.check.interval"
ON_MARKED_DOWN = f"{PREFIX}on-marked-down"
ON_REMOVED = f"{PREFIX}on-removed"
TCP_KEEPALIVE = f"{PREFIX}tcp-keepalive"
HASH_BALANCE_FACTOR = f"{PREFIX}hash-balance-factor"
SEND_PROXY = f"{PREFIX}send-proxy"
ACCEPT_PROXY = f"{PREFIX}accept-proxy"
DESTINATION_SERVER_NAME = f"{PREFIX}destination-server-name"
TLS_MIN_VERSION = f"{PREFIX}tls-min-version"
TLS_ALPN = f"{PREFIX}tls-alpn"
CLIENT_CA = f"{PREFIX}client-ca"
CLIENT_CRL = f"{PREFIX}client-crl"
CLIENT_CERTIFICATE = f"{PREFIX}client-certificate"
STARTTLS = f"{PREFIX}starttls"

PORT_ONLY = (ACCEPT_PROXY, TIMEOUT_CLIENT, MAX_CONNECTIONS)
"""What has a meaning only on a port that the Route claims."""

MAX_CONNECTION_COUNT = 10_000_000
"""Far above what a process can hold, far below where HAProxy's integers wrap around without a word."""

_BALANCE_FORM = choice(get_args(Balance))
_PROXY_FORM = choice(get_args(ProxyProtocol))
_SHUTDOWN_FORM = choice(("shutdown-sessions",))
_FACTOR_FORM = integer(101, 1_000)
_LIMIT_FORM = integer(1, MAX_CONNECTION_COUNT)
_POD_LIMIT_FORM = integer(0, MAX_CONNECTION_COUNT)


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """How a Route is served, before it is known by which endpoints. Routes that say the same share one."""

    backend: Backend
    """Everything but name and servers; its balance is the default's where ``balance_chosen`` is False."""
    balance_chosen: bool
    port: PortOptions
    warnings: tuple[str, ...] = ()
    """What was said and has no effect, or not the one that it seems to have."""


_KEYS = frozenset({
    BALANCE, TIMEOUT, TIMEOUT_TUNNEL, TIMEOUT_CONNECT, TIMEOUT_CLIENT, TIMEOUT_SERVER, IP_ALLOWLIST, IP_WHITELIST, RATE_LIMIT,
    RATE_LIMIT_CONCURRENT, RATE_LIMIT_RATE, MAX_CONNECTIONS, POD_CONCURRENT_CONNECTIONS, CHECK_INTERVAL, ON_MARKED_DOWN,
    ON_REMOVED, TCP_KEEPALIVE, SEND_PROXY, ACCEPT_PROXY, HASH_BALANCE_FACTOR,
})  # fmt: skip
"""All that ``read_options`` reads."""
_REMEMBERED = 256
_LONG = 4096
LONG_REMEMBERED = 32
"""Of Routes that say more than so many characters, which nobody but an allowlist needs: memory must not be theirs to fill."""


def read_options(annotations: Mapping[str, str], defaults: RouteDefaults, *, claims_port: bool) -> RouteOptions:
    """Read the annotations of one Route.

    Args:
        annotations: all of the Route's; those that are not in our table are other routers' and passed over.
        defaults: what holds where an annotation is absent.
        claims_port: whether the Route has an external port, dedicated or shared.

    Raises:
        NotAcceptable: a value is not of its form, or makes no sense beside the others.
    """
    said = tuple((key, annotations[key]) for key in sorted(_KEYS & annotations.keys()))
    is_long = sum(len(value) for _, value in said) > _LONG
    return (_long_options if is_long else _short_options)(said, defaults, claims_port)


def _options(said: tuple[tuple[str, str], ...], defaults: RouteDefaults, claims_port: bool) -> RouteOptions:  # noqa: FBT001 - lru_cache
    annotations = dict(said)
    if not claims_port:
        _refuse_port_options(annotations)
    balance = read(annotations, BALANCE, _BALANCE_FORM)
    timeout = read(annotations, TIMEOUT, TIME)
    timeout_tunnel = read(annotations, TIMEOUT_TUNNEL, TIME)
    keepalive = _or(read(annotations, TCP_KEEPALIVE, BOOLEAN), default=True)
    options = RouteOptions(
        backend=Backend(
            name="",
            balance=balance or defaults.balance,
            hash_balance_factor=read(annotations, HASH_BALANCE_FACTOR, _FACTOR_FORM),
            timeout_connect_ms=read(annotations, TIMEOUT_CONNECT, TIME) or defaults.timeout_connect_ms,
            timeout_server_ms=read(annotations, TIMEOUT_SERVER, TIME) or defaults.timeout_server_ms,
            timeout_tunnel_ms=timeout_tunnel or timeout or defaults.timeout_tunnel_ms,
            check_interval_ms=_or(read(annotations, CHECK_INTERVAL, INTERVAL), default=defaults.check_interval_ms),
            shutdown_sessions_on_marked_down=read(annotations, ON_MARKED_DOWN, _SHUTDOWN_FORM) is not None,
            shutdown_sessions_on_removed=read(annotations, ON_REMOVED, _SHUTDOWN_FORM) is not None,
            tcp_keepalive=keepalive,
            send_proxy=read(annotations, SEND_PROXY, _PROXY_FORM),
            # 0 is no limit, in HAProxy and so in OpenShift's router, which hands the number through.
            server_maxconn=read(annotations, POD_CONCURRENT_CONNECTIONS, _POD_LIMIT_FORM) or None,
            allowlist=_read_allowlist(annotations),
            connection_limit=_read_connection_limit(annotations),
            servers=(),
        ),
        balance_chosen=balance is not None,
        port=PortOptions(
            timeout_client_ms=read(annotations, TIMEOUT_CLIENT, TIME) or defaults.timeout_client_ms,
            maxconn=read(annotations, MAX_CONNECTIONS, _LIMIT_FORM),
            tcp_keepalive=keepalive,
            accept_proxy=_or(read(annotations, ACCEPT_PROXY, BOOLEAN), default=False),
        ),
    )
    return replace(options, warnings=tuple(_warnings(annotations, options.backend)))


def _warnings(annotations: Mapping[str, str], backend: Backend) -> Iterator[str]:
    if BALANCE in annotations and backend.balance == "first" and backend.server_maxconn is None:
        yield f"annotation {BALANCE} is first, and {POD_CONCURRENT_CONNECTIONS} sets no limit: one pod gets all connections"
    if ON_MARKED_DOWN in annotations and not backend.check_interval_ms:
        yield f"annotation {ON_MARKED_DOWN} has no effect: without health checks ({CHECK_INTERVAL}) no pod is ever marked down"
    if backend.connection_limit is None:
        for key in (RATE_LIMIT_CONCURRENT, RATE_LIMIT_RATE):
            if key in annotations:
                yield f"annotation {key} has no effect unless {RATE_LIMIT} is true"
    if (
        IP_WHITELIST in annotations
        and annotations.get(IP_ALLOWLIST, annotations[IP_WHITELIST]) != annotations[IP_WHITELIST]
    ):
        yield f"annotation {IP_WHITELIST} has no effect: {IP_ALLOWLIST} says something else, and counts"


_short_options = lru_cache(_REMEMBERED)(_options)
_long_options = lru_cache(LONG_REMEMBERED)(_options)


def with_checks(options: RouteOptions, interval_ms: int, fall: int | None) -> RouteOptions:
    """Give options by which endpoints are checked at this interval, and count as down after so many checks that failed."""
    return replace(options, backend=replace(options.backend, check_interval_ms=interval_ms, check_fall=fall))


def with_allowlist(options: RouteOptions, networks: tuple[str, ...]) -> RouteOptions:
    """Give options by which these networks alone may connect."""
    return replace(options, backend=replace(options.backend, allowlist=networks))


def sni_port_options(defaults: RouteDefaults) -> PortOptions:
    """Give the options of the SNI port, which belongs to no Route and takes no annotations."""
    return PortOptions(
        timeout_client_ms=defaults.timeout_client_ms, maxconn=None, tcp_keepalive=True, accept_proxy=False
    )


def port_option_difference(wanted: PortOptions, held: PortOptions) -> tuple[str, str, str]:
    """Name the first option in which two unequal PortOptions differ.

    Returns:
        The annotation's key, and the values wanted and held as an annotation would spell them.
    """
    pairs = (
        (TIMEOUT_CLIENT, f"{wanted.timeout_client_ms}ms", f"{held.timeout_client_ms}ms"),
        (MAX_CONNECTIONS, str(wanted.maxconn or "absent"), str(held.maxconn or "absent")),
        (TCP_KEEPALIVE, str(wanted.tcp_keepalive).lower(), str(held.tcp_keepalive).lower()),
        (ACCEPT_PROXY, str(wanted.accept_proxy).lower(), str(held.accept_proxy).lower()),
    )
    return next(pair for pair in pairs if pair[1] != pair[2])


def _refuse_port_options(annotations: Mapping[str, str]) -> None:
    for key in PORT_ONLY:
        if key in annotations:
            raise NotAcceptable(
                Reason.INVALID_ANNOTATION,
                f"annotation {key} is a property of the port and needs {EXTERNAL_TCP_PORT}: "
                "on the SNI port it would hold for the Routes of others too",
            )


def _read_allowlist(annotations: Mapping[str, str]) -> tuple[str, ...] | None:
    # The newer spelling wins; the other one is checked all the same, so that a typo in it does not wait for its day.
    lists = [read_allowlist(key, annotations[key]) for key in (IP_ALLOWLIST, IP_WHITELIST) if key in annotations]
    return lists[0] if lists else None


def _read_connection_limit(annotations: Mapping[str, str]) -> ConnectionLimit | None:
    enabled = read(annotations, RATE_LIMIT, BOOLEAN)
    limit = ConnectionLimit(
        concurrent=read(annotations, RATE_LIMIT_CONCURRENT, _LIMIT_FORM),
        per_3s=read(annotations, RATE_LIMIT_RATE, _LIMIT_FORM),
    )
    if not enabled:
        return None
    if limit.concurrent is None and limit.per_3s is None:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {RATE_LIMIT} is true, but nothing is limited; "
            f"add {RATE_LIMIT_CONCURRENT} or {RATE_LIMIT_RATE}",
        )
    return limit


def _or(value: T | None, *, default: T) -> T:
    """Give the default for None only: False and 0 are values."""
    return default if value is None else value
