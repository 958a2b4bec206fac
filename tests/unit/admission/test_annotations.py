"""Every annotation: what is accepted and what it does, and what is refused."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from router.admission.allowlist import MAX_ENTRIES
from router.admission.forms import MAX_TIME_MS
from router.admission.options import (
    CHECK_INTERVAL,
    LONG_REMEMBERED,
    MAX_CONNECTION_COUNT,
    PREFIX,
    RouteOptions,
    read_options,
)
from router.admission.verdicts import Reason
from router.model import ConnectionLimit
from router.settings import AdmissionSettings, RouteDefaults
from tests.unit.admission.builders import DB, admit, backend_of, route, section_of, service, verdict_of

DAY_MS = 24 * 3600 * 1000
SETTINGS = AdmissionSettings(
    defaults=RouteDefaults(
        balance="first",
        timeout_tunnel_ms=11,
        timeout_connect_ms=12,
        timeout_client_ms=13,
        timeout_server_ms=14,
        check_interval_ms=15,
    )
)


def full(key: str) -> str:
    """Give the whole key of an annotation that is named without our prefix."""
    return key if key == CHECK_INTERVAL else PREFIX + key


BACKEND_CASES: list[tuple[str, str, str, Any]] = [
    *(("balance", word, "balance", word) for word in ("roundrobin", "leastconn", "source", "random", "first")),
    ("timeout", "2h", "timeout_tunnel_ms", 2 * 3600 * 1000),
    ("timeout", "1ms", "timeout_tunnel_ms", 1),
    ("timeout", "24d", "timeout_tunnel_ms", MAX_TIME_MS),
    ("timeout-tunnel", "7d", "timeout_tunnel_ms", 7 * DAY_MS),
    ("timeout-connect", "750", "timeout_connect_ms", 750),
    ("timeout-connect", "3s", "timeout_connect_ms", 3000),
    ("timeout-connect", "1500us", "timeout_connect_ms", 2),
    ("timeout-connect", "1000us", "timeout_connect_ms", 1),
    ("timeout-server", "5m", "timeout_server_ms", 300_000),
    (CHECK_INTERVAL, "250ms", "check_interval_ms", 250),
    (CHECK_INTERVAL, "0", "check_interval_ms", 0),
    (CHECK_INTERVAL, "0s", "check_interval_ms", 0),
    ("ip_allowlist", "10.0.0.1", "allowlist", ("10.0.0.1",)),
    ("ip_whitelist", "10.0.0.0/8", "allowlist", ("10.0.0.0/8",)),
    ("pod-concurrent-connections", "100", "server_maxconn", 100),
    ("pod-concurrent-connections", "0", "server_maxconn", None),
    ("pod-concurrent-connections", str(MAX_CONNECTION_COUNT), "server_maxconn", MAX_CONNECTION_COUNT),
    ("hash-balance-factor", "101", "hash_balance_factor", 101),
    ("hash-balance-factor", "1000", "hash_balance_factor", 1000),
    ("on-marked-down", "shutdown-sessions", "shutdown_sessions_on_marked_down", True),
    ("on-removed", "shutdown-sessions", "shutdown_sessions_on_removed", True),
    *(("tcp-keepalive", text, "tcp_keepalive", True) for text in ("true", "True", "TRUE", "t", "T", "1")),
    *(("tcp-keepalive", text, "tcp_keepalive", False) for text in ("false", "False", "FALSE", "f", "F", "0")),
    ("send-proxy", "v1", "send_proxy", "v1"),
    ("send-proxy", "v2", "send_proxy", "v2"),
    ("send-proxy", "v2-ssl", "send_proxy", "v2-ssl"),
]


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"), BACKEND_CASES, ids=[f"{case[0]}={case[1]}" for case in BACKEND_CASES]
)
def test_an_accepted_value_reaches_the_backend(key: str, value: str, attribute: str, expected: object) -> None:
    """An accepted value of an annotation is what the backend gets."""
    backend = backend_of(route(annotations={full(key): value}), *DB, settings=SETTINGS)
    assert getattr(backend, attribute) == expected


PORT_CASES: list[tuple[str, str, str, Any]] = [
    ("timeout-client", "90s", "timeout_client_ms", 90_000),
    ("max-connections", "1", "maxconn", 1),
    ("max-connections", str(MAX_CONNECTION_COUNT), "maxconn", MAX_CONNECTION_COUNT),
    ("tcp-keepalive", "false", "tcp_keepalive", False),
    ("accept-proxy", "true", "accept_proxy", True),
    ("accept-proxy", "false", "accept_proxy", False),
]


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"), PORT_CASES, ids=[f"{case[0]}={case[1]}" for case in PORT_CASES]
)
def test_an_accepted_value_reaches_the_port(key: str, value: str, attribute: str, expected: object) -> None:
    """What is a property of the port becomes an option of the frontend."""
    frontend = section_of(admit(route(annotations={full(key): value}), *DB, settings=SETTINGS)).frontend
    assert frontend is not None
    assert getattr(frontend.options, attribute) == expected


def test_defaults_hold_without_annotations() -> None:
    """A Route without options gets the router's."""
    section = section_of(admit(route(), *DB, settings=SETTINGS))
    backend, frontend = section.backend, section.frontend
    assert frontend is not None
    assert frontend.port == 6620
    assert (
        backend.balance,
        backend.timeout_tunnel_ms,
        backend.timeout_connect_ms,
        frontend.options.timeout_client_ms,
        backend.timeout_server_ms,
        backend.check_interval_ms,
    ) == ("first", 11, 12, 13, 14, 15)
    assert (backend.allowlist, backend.connection_limit, backend.server_maxconn, backend.send_proxy) == (None,) * 4
    assert (frontend.options.maxconn, frontend.options.accept_proxy) == (None, False)
    assert (backend.tcp_keepalive, frontend.options.tcp_keepalive, backend.shutdown_sessions_on_marked_down) == (
        True,
        True,
        False,
    )


HOSTILE = [
    "",
    " ",
    "\n",
    "\x00",
    "yes\nno",
    "1\n",
    " 1",
    "1 ",
    "+5",
    "-1",
    "0x10",
    "1_000",
    "1e3",
    "\u0665",
    "\uff15",
    "\u00b2",
    "a" * 100_000,
]
NUMBERS = ["", "abc", "007", "1.5", str(MAX_CONNECTION_COUNT + 1), "9" * 5000]
TIMES = ["", "0", "500us", "5 s", "5S", "1w", "1h30m", "25d", "24d1ms", "2073600001", "-1s", "1.5s", "05s", "9" * 5000]
BOOLEANS = ["", "yes", "on", "tRUE", "2", "true "]
REFUSED = {
    "balance": ["", "static-rr", "Leastconn", "leastconn\n", "leastconn source", "hdr(host)"],
    "timeout": TIMES,
    "timeout-tunnel": TIMES,
    "timeout-connect": TIMES,
    "timeout-client": TIMES,
    "timeout-server": TIMES,
    "ip_allowlist": [
        "10.0.0.1,10.0.0.2",
        "10.0.0.256",
        "10.0.0.0/33",
        "example.com",
        "fe80::1%eth0",
        "10.0.0.0/255.0.0.0",
        "01.2.3.4",
    ],
    "ip_whitelist": ["*", "10.0.0.0/", "/8", "10.0.0.1/8/8", "::1/129", "fe80::1%eth0/64", "10.0.0.0/+8"],
    "rate-limit-connections": BOOLEANS,
    "rate-limit-connections.concurrent-tcp": ["0", *NUMBERS],
    "rate-limit-connections.rate-tcp": ["0", *NUMBERS],
    "max-connections": ["0", *NUMBERS],
    "pod-concurrent-connections": NUMBERS,
    "hash-balance-factor": ["0", "100", "1001", *NUMBERS],
    CHECK_INTERVAL: [text for text in TIMES if text != "0"],
    "on-marked-down": ["", "none", "shutdown-backup-sessions", "shutdown-sessions "],
    "on-removed": ["", "none", "true", "shutdown-sessions "],
    "tcp-keepalive": BOOLEANS,
    "send-proxy": ["", "v3", "V2", "true"],
    "accept-proxy": BOOLEANS,
    "external-tcp-port-sni": BOOLEANS,
}
NOT_HOSTILE = {("pod-concurrent-connections", "0")}
REFUSED_CASES = [(key, value) for key, values in REFUSED.items() for value in dict.fromkeys([*values, *HOSTILE])]


@pytest.mark.parametrize(("key", "value"), REFUSED_CASES, ids=[f"{key}={value[:20]!a}" for key, value in REFUSED_CASES])
def test_a_refused_value_rejects_the_route_and_says_so(key: str, value: str) -> None:
    """A value outside the form rejects the Route; the message names key, value and form, and stays short and printable."""
    verdict = verdict_of(route(annotations={full(key): value}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert full(key) in verdict.message
    assert "accepted" in verdict.message
    # A list is told by its bad entry, or as empty.
    assert "is empty" in verdict.message or any(
        ascii(part[:5])[1:-1] in verdict.message for part in (value, *value.split())
    )
    assert len(verdict.message) < 500
    assert verdict.message.isascii()
    assert verdict.message.isprintable()


PORTS = [
    "",
    "0",
    "65536",
    "06620",
    "+6620",
    " 6620",
    "6620\n",
    "6620.0",
    "0x19dc",
    "\u0666\u0666\u0662\u0660",
    "\uff16\uff16\uff12\uff10",
    "-1",
    "port",
    "9" * 100_000,
]


@pytest.mark.parametrize("value", PORTS, ids=[ascii(value[:12]) for value in PORTS])
def test_a_malformed_port_is_an_invalid_port(value: str) -> None:
    """What is no port is InvalidPort, not InvalidAnnotation, and the message tells the form."""
    verdict = verdict_of(route(port=value), *DB)
    assert (verdict.reason, verdict.port) == (Reason.INVALID_PORT, None)
    assert "a whole number from 1 to 65535 in decimal digits, without leading zeros" in verdict.message


def test_the_longer_timeout_key_wins_and_both_are_checked() -> None:
    """timeout-tunnel wins over timeout, and a bad timeout is told all the same."""
    assert backend_of(route(timeout="1m", timeout_tunnel="2m"), *DB).timeout_tunnel_ms == 120_000
    assert verdict_of(route(timeout="never", timeout_tunnel="2m"), *DB).reason is Reason.INVALID_ANNOTATION


def test_the_newer_allowlist_key_wins_and_both_are_checked() -> None:
    """ip_allowlist wins over ip_whitelist, and a bad ip_whitelist is told all the same."""
    both = {f"{PREFIX}ip_allowlist": "10.0.0.1", f"{PREFIX}ip_whitelist": "10.0.0.2"}
    assert backend_of(route(annotations=both), *DB).allowlist == ("10.0.0.1",)
    bad = both | {f"{PREFIX}ip_whitelist": "nobody"}
    assert verdict_of(route(annotations=bad), *DB).reason is Reason.INVALID_ANNOTATION


ALLOWLISTS = {
    "sorted, v4 first": ("fd00::1 192.0.2.7 10.0.0.0/8", ("10.0.0.0/8", "192.0.2.7", "fd00::1")),
    "by number, not by text": ("10.0.0.10 10.0.0.9", ("10.0.0.9", "10.0.0.10")),
    "once each": ("10.0.0.1 10.0.0.1 10.0.0.1/32", ("10.0.0.1",)),
    "host bits masked": ("10.1.2.3/8", ("10.0.0.0/8",)),
    "v6 in canonical spelling": ("FD00:0:0::0001 2001:DB8::/32", ("2001:db8::/32", "fd00::1")),
    "mapped v4": ("::ffff:10.0.0.1 ::ffff:10.0.0.0/104", ("10.0.0.0/8", "10.0.0.1")),
    "everybody": ("0.0.0.0/0 ::/0", ("0.0.0.0/0", "::/0")),
    "lines of a block text": ("10.0.0.1\n10.0.0.2\t10.0.0.3\r\n", ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
}


@pytest.mark.parametrize(("value", "expected"), ALLOWLISTS.values(), ids=ALLOWLISTS)
def test_allowlists_are_brought_to_one_spelling(value: str, expected: tuple[str, ...]) -> None:
    """However an allowlist is written, equal ones become equal bytes."""
    assert backend_of(route(annotations={f"{PREFIX}ip_allowlist": value}), *DB).allowlist == expected


def test_an_allowlist_with_one_bad_entry_fails_closed_and_names_it() -> None:
    """One typo rejects the Route, rather than to let in fewer or more than meant."""
    verdict = verdict_of(route(annotations={f"{PREFIX}ip_allowlist": "10.0.0.1 10.0.0.300"}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "'10.0.0.300'" in verdict.message


def test_an_allowlist_has_a_bound() -> None:
    """As many entries as are documented, and not one more: HAProxy takes them up one by one, with all that it has."""
    entries = [f"10.{number // 250}.{number % 250}.0/24" for number in range(MAX_ENTRIES + 1)]
    accepted = route(annotations={f"{PREFIX}ip_allowlist": " ".join(entries[1:])})
    assert len(backend_of(accepted, *DB).allowlist or ()) == MAX_ENTRIES == 2000
    verdict = verdict_of(route(annotations={f"{PREFIX}ip_allowlist": " ".join(entries)}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert verdict.message.startswith(
        f"annotation {PREFIX}ip_allowlist has 2001 entries; accepted are up to 2000 entries"
    )


def test_an_allowlist_of_blanks_has_a_bound() -> None:
    """What is remembered of annotations by their text must not be for a tenant to fill."""
    verdict = verdict_of(route(annotations={f"{PREFIX}ip_whitelist": " " * 200_000 + "10.0.0.1"}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "has 200008 characters" in verdict.message


def test_few_of_the_long_texts_are_remembered() -> None:
    """Each Route may say 100 kB: of those no more are kept than fit into some megabytes, and short ones are kept beside them."""
    defaults = RouteDefaults()
    short = {f"{PREFIX}balance": "first"}
    kept = read_options(short, defaults, claims_port=True)
    for number in range(300):
        long = " ".join(f"10.{number // 250}.{number % 250}.{last}" for last in range(256)) + " " * 4096
        read_options({f"{PREFIX}ip_allowlist": long}, defaults, claims_port=True)
    assert read_options(short, defaults, claims_port=True) is kept
    remembered = [each for each in gc.get_objects() if isinstance(each, RouteOptions) and each.backend.allowlist]
    assert sum(len(each.backend.allowlist or ()) == 256 for each in remembered) <= LONG_REMEMBERED


LIMITS: dict[str, tuple[dict[str, str], ConnectionLimit | None]] = {
    "absent": ({}, None),
    "off, though limits are there": ({"": "false", ".concurrent-tcp": "5"}, None),
    "not said, though limits are there": ({".concurrent-tcp": "5"}, None),
    "concurrent": ({"": "true", ".concurrent-tcp": "5"}, ConnectionLimit(concurrent=5, per_3s=None)),
    "rate": ({"": "true", ".rate-tcp": "7"}, ConnectionLimit(concurrent=None, per_3s=7)),
    "both": ({"": "1", ".rate-tcp": "7", ".concurrent-tcp": "5"}, ConnectionLimit(concurrent=5, per_3s=7)),
}


@pytest.mark.parametrize(("parts", "expected"), LIMITS.values(), ids=LIMITS)
def test_connection_limits(parts: dict[str, str], expected: ConnectionLimit | None) -> None:
    """The limits hold only where rate-limit-connections is true."""
    annotations = {f"{PREFIX}rate-limit-connections{part}": value for part, value in parts.items()}
    assert backend_of(route(annotations=annotations), *DB).connection_limit == expected


def test_a_limit_that_limits_nothing_is_refused() -> None:
    """rate-limit-connections alone would look like protection and be none."""
    verdict = verdict_of(route(rate_limit_connections="true"), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "nothing is limited" in verdict.message


def test_limits_are_checked_though_they_are_off() -> None:
    """A typo in a limit is told when it is made, not when somebody switches the limits on."""
    annotations = {f"{PREFIX}rate-limit-connections.concurrent-tcp": "+5"}
    assert verdict_of(route(annotations=annotations), *DB).reason is Reason.INVALID_ANNOTATION


def test_session_affinity_of_the_service_is_kept() -> None:
    """A Service with sessionAffinity ClientIP means balance source, unless the Route says otherwise."""
    sticky = (service(affinity="ClientIP"), DB[1])
    assert backend_of(route(), *sticky).balance == "source"
    assert backend_of(route(balance="roundrobin"), *sticky).balance == "roundrobin"
    assert backend_of(route(balance="leastconn"), *sticky).balance == "leastconn"


def test_what_finds_pods_on_a_ring_has_many_points_there() -> None:
    """With 1 each, as for all other ways, some pods would get nearly twice what others get."""
    sticky = (service(affinity="ClientIP"), DB[1])
    assert [server.weight for server in backend_of(route(), *sticky).servers] == [64]
    assert [server.weight for server in backend_of(route(balance="random"), *DB).servers] == [64]
    assert [server.weight for server in backend_of(route(balance="first"), *sticky).servers] == [1]


def test_a_balance_factor_without_source_is_told() -> None:
    """It would have no effect; where the Service asks for affinity it has."""
    factor = {f"{PREFIX}hash-balance-factor": "150"}
    assert verdict_of(route(annotations=factor), *DB).warnings == (
        f"annotation {PREFIX}hash-balance-factor has no effect: balance is leastconn, and it is for source alone",
    )
    sticky = (service(affinity="ClientIP"), DB[1])
    assert verdict_of(route(annotations=factor), *sticky).warnings == ()
    assert backend_of(route(annotations=factor), *sticky).hash_balance_factor == 150


def test_annotations_of_other_routers_are_none_of_our_business() -> None:
    """OpenShift's own annotations, and those of nobody, may say what they like."""
    others = {f"{PREFIX}rewrite-target": "/x", f"{PREFIX}rate-limit-connections.rate-http": "??", "x": "\n"}
    assert verdict_of(route(annotations=others), *DB).admitted


@pytest.mark.parametrize("key", ["accept-proxy", "timeout-client", "max-connections"])
def test_options_of_the_port_need_a_port(key: str) -> None:
    """On the SNI port they would hold for the Routes of others."""
    value = {"accept-proxy": "false", "timeout-client": "1s", "max-connections": "5"}[key]
    reached_by_sni = route(
        port=None, host="db.example.com", termination="passthrough", annotations={PREFIX + key: value}
    )
    verdict = verdict_of(reached_by_sni, *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert f"{PREFIX}{key} is a property of the port and needs {PREFIX}external-tcp-port" in verdict.message


def test_sharing_says_what_it_needs() -> None:
    """external-tcp-port-sni without passthrough TLS, a host or a port names what is missing."""
    verdict = verdict_of(route(external_tcp_port_sni="true"), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "spec.tls.termination (passthrough, edge or reencrypt) and spec.host" in verdict.message
    only_sni = route(port=None, host="db.example.com", termination="passthrough", external_tcp_port_sni="true")
    assert f"needs {PREFIX}external-tcp-port" in verdict_of(only_sni, *DB).message
