"""What a rendered configuration may consist of, written down apart from the templates: a closed set of lines.

Whatever gets through admission must fit; an added directive, a value with a blank in it, a quote or a byte beyond ASCII does not.
"""

from __future__ import annotations

import re
from collections import Counter

from router.model import Asker
from router.render import PortOwner, Rendered
from router.settings import RenderSettings

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_BACKEND = rf"be_tcp:{_LABEL}:{_NAME}"
_PORT = r"[1-9][0-9]{0,4}"
_NUMBER = r"(?:0|[1-9][0-9]{0,9})"
_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_V6 = r"[0-9a-f:]+(?:[0-9.]+)?"
_SERVER = (
    rf"pod:[a-zA-Z0-9.:-]{{1,253}}:[A-Za-z0-9._-]{{0,63}}:[A-Za-z0-9._-]{{0,63}}:[0-9a-f.:]+:{_PORT}(?::{_NUMBER})?"
)
_BIND = rf"  bind \[::\]:{_PORT} v4v6 tcp-ut 120000ms(?: accept-proxy)?"

_ROUTE_LINES = (
    "",
    rf"# Route {_LABEL}/{_NAME}",
    rf"frontend fe_tcp:{_PORT} from ports",
    _BIND,
    rf"  error-log-format '%ci:%cp \[%t\] %ft error=\"%\[fc_err_str\]\" namespace={_LABEL} route={_NAME}'",
    rf"  maxconn {_NUMBER}",
    r"  tcp-request connection reject if \{ fe_conn,sub\(proc\.route_connections\) gt 0 \}",
    rf"  timeout client {_NUMBER}ms",
    r"  option clitcpka",
    rf"  default_backend {_BACKEND}",
    rf"backend {_BACKEND} from routes",
    r"  balance (?:roundrobin|leastconn|source|random|first)",
    r"  hash-type consistent",
    rf"  hash-balance-factor {_NUMBER}",
    rf"  timeout connect {_NUMBER}ms",
    rf"  timeout server {_NUMBER}ms",
    rf"  timeout tunnel {_NUMBER}ms",
    r"  option srvtcpka",
    r"  tcp-request content reject if !\{ src -f MAPS/allow-[0-9a-f]{16}\.acl \}",
    r"\.if version_atleast\(3\.0\)",
    r"  stick-table type ipv6 size 100k expire 30s store conn_cur,conn_rate\(3s\) peers tcp_router",
    r"\.else",
    r"  stick-table type ipv6 size 100k expire 30s store conn_cur,conn_rate\(3s\)",
    r"\.endif",
    rf"  tcp-request content set-var\(txn\.over_limit\) bool\(true\) if \{{ src_conn_cur ge {_NUMBER} \}}",
    rf"  tcp-request content set-var\(txn\.over_limit\) bool\(true\) if \{{ src_conn_rate ge {_NUMBER} \}}",
    r"  tcp-request content track-sc0 src if !\{ var\(txn\.over_limit\) -m found \}",
    rf"  tcp-request content set-var\(txn\.over_limit\) bool\(true\) if \{{ sc0_conn_cur gt {_NUMBER} \}}",
    r"  tcp-request content set-log-level silent if \{ var\(txn\.over_limit\) -m found \}",
    r"  tcp-request content reject if \{ var\(txn\.over_limit\) -m found \}",
    rf"  default-server check inter {_NUMBER}ms fastinter {_NUMBER}ms(?: on-marked-down shutdown-sessions)?",
    r"  default-server send-proxy(?:-v2(?:-ssl-cn)?)?(?: check-send-proxy)?",
    rf"  default-server maxconn {_NUMBER}",
    rf"  server {_SERVER} (?:{_V4}|\[{_V6}\]):{_PORT} weight {_NUMBER} id {_NUMBER}(?: no-check)?",
)
_SNI_LOOKUP = (
    r"  tcp-request content set-var\(txn\.backend\) var\(txn\.sni\),lower,rtrim\(\.\),(?:regsub\(\^\[\^\.\]\*,\),)?"
    r"map_str\(MAPS/sni-[0-9a-f]{16}\.map\)(?: if !\{ var\(txn\.backend\) -m found \})?"
)
_HELLO = tuple(
    map(
        re.escape,
        (
            ".if feature(LUA)",
            "  tcp-request content set-var(txn.hello_bytes) req.payload(6,3),be2dec(,3) if { req.ssl_hello_type 1 }",
            "  tcp-request content set-var(txn.sni) req.ssl_sni if { var(txn.hello_bytes) -m found } { req.payload(3,2),be2dec(,2),sub(txn.hello_bytes) ge 4 }",
            "  tcp-request content reject if !{ var(txn.sni) -m found } { lua.split_hello_unfinished -m bool } { req.len lt 0 }",
            "  tcp-request content set-var(txn.sni) lua.split_hello_name if !{ var(txn.sni) -m found }",
            ".else",
            "  tcp-request content set-var(txn.sni) req.ssl_sni if { req.ssl_hello_type 1 }",
            ".endif",
        ),
    )
)
_REPEATED = {_ROUTE_LINES[0], _ROUTE_LINES[-1]}
"""Blank lines and servers; of every other line a Route's section has one at most."""
_FILE_LINE = re.compile(
    rf"# (?:Port {_PORT}|Route {_LABEL}/{_NAME})|\.?{_NAME} {_BACKEND}|(?:{_V4}|{_V6})(?:/[0-9]{{1,3}})?", re.ASCII
)


def strangers(rendered: Rendered, settings: RenderSettings, without_routes: Rendered) -> list[str]:
    """Give what has no business in a configuration or in its files; nothing, for a good one.

    Args:
        rendered: the configuration to look at.
        settings: those that it was rendered with; their state directory has a plain path.
        without_routes: the same with no Routes at all; what belongs to no Route must be as it is there.
    """
    by_owner = sections(rendered, settings)
    found = []
    for owner, lines in by_owner.items():
        if isinstance(owner, Asker):
            found += _strange_lines(lines)
        elif _without_digests(lines) != _without_digests(sections(without_routes, settings).get(owner, [])):
            # A shared port of Routes' own has no counterpart there; its lines are those of the SNI port, but for its number.
            found += [] if _is_shared_port(owner, lines) else [f"{owner}: {line!r}" for line in lines]
    for name, content in rendered.files.items():
        if without_routes.files.get(name) == content:
            # The script is nobody's.
            continue
        lines = content.decode("ascii", "backslashreplace").split("\n")
        found += [f"{name}: {line!r}" for line in lines[:-1] if not _FILE_LINE.fullmatch(line)]
        found += [f"{name} does not end with its last line"] if lines[-1] else []
    return found


def sections(rendered: Rendered, settings: RenderSettings) -> dict[Asker | PortOwner | None, list[str]]:
    """Give the lines of each Route, of each shared port, and (None) of the rest; MAPS stands for the folder of maps."""
    # Split at newlines alone: whatever else a reader may take for the end of a line shall be seen.
    lines = rendered.config.replace(bytes(settings.maps_dir), b"MAPS").decode("ascii", "backslashreplace").split("\n")
    assert lines.pop() == ""
    by_owner: dict[Asker | PortOwner | None, list[str]] = {}
    for number, line in enumerate(lines, 1):
        by_owner.setdefault(rendered.owner(number), []).append(line)
    return by_owner


def _strange_lines(lines: list[str]) -> list[str]:
    shapes = [_shape(line) for line in lines]
    unknown = [f"unknown: {line!r}" for line, shape in zip(lines, shapes, strict=True) if shape is None]
    repeated = [shape for shape, count in Counter(shapes).items() if shape not in _REPEATED and count > 1]
    return unknown + [f"repeated: {shape}" for shape in repeated if shape is not None]


def _shape(line: str) -> str | None:
    return next((shape for shape in _ROUTE_LINES if re.fullmatch(shape, line, re.ASCII)), None)


def _without_digests(lines: list[str]) -> list[str]:
    return [re.sub(r"sni-[0-9a-f]{16}\.map", "sni.map", line) for line in lines]


def _is_shared_port(owner: Asker | PortOwner | None, lines: list[str]) -> bool:
    if not isinstance(owner, PortOwner):
        return False
    shapes = (
        "", rf"# Port {owner.spot.port}, shared by TLS server name", rf"frontend fe_tcp:{owner.spot.port} from ports", "  tcp-request content set-log-level err", _BIND,
        r"  error-log-format '%ci:%cp \[%t\] %ft error=\"%\[fc_err_str\]\" namespace=- route=-'",
        rf"  maxconn {_NUMBER}", rf"  timeout client {_NUMBER}ms", "  option clitcpka",
        r"  tcp-request connection reject if \{ fe_conn,sub\(proc\.shared_port_connections\) gt 0 \}",
        r"  tcp-request content set-var\(txn\.owner\) str\(-:-:\)",
        "  tcp-request inspect-delay 5s",
        *_HELLO,
        _SNI_LOOKUP,
        r"  tcp-request content reject if !\{ var\(txn\.backend\) -m found \}",
        r"  tcp-request content unset-var\(txn\.owner\)",
        r"  use_backend %\[var\(txn\.backend\)\]",
    )  # fmt: skip
    return all(any(re.fullmatch(shape, line, re.ASCII) for shape in shapes) for line in lines)
