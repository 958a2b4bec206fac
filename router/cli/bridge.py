"""How a client that knows no TLS reaches an asker by TLS: what a program beside it has to be told, for several programs; pure.

Each form verifies the chain and the name, and tells the name (SNI): on a port that many share it is what leads to the asker, and who answers
by another certificate is not talked to. What stands in a form has been looked at: hosts are DNS names or addresses, paths of letters that mean nothing to any of the programs, but for blanks.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian has all that browsers trust."""
AUTHORITIES_OF_RED_HAT = "/etc/pki/tls/certs/ca-bundle.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """From where to where."""

    name: str
    """Of the section: letters, digits, dashes and dots."""
    asker: str
    """As people know it; one line."""
    accept: tuple[str, int]
    """Where the client connects in plain text."""
    connect: tuple[str, int]
    """Where the router is."""
    server_name: str
    ca_file: str
    remarks: tuple[str, ...] = ()
    """What is to be looked at, a line each."""


def _stunnel(bridge: Bridge) -> str:
    # In stunnel's files an IPv6 address stands without brackets: the last colon is that of the port.
    (host, port), (own, own_port) = bridge.connect, bridge.accept
    return _lines(
        *_head(bridge, ";", "stunnel THIS-FILE"),
        "foreground = yes",
        "pid =",
        "",
        f"[{bridge.name}]",
        "client = yes",
        f"accept = {own}:{own_port}",
        f"connect = {host}:{port}",
        f"sni = {bridge.server_name}",
        "verifyChain = yes",
        f"checkHost = {bridge.server_name}",
        # What stands behind the sign, to the end of the line.
        f"CAfile = {bridge.ca_file}",
    )


def _openssl(bridge: Bridge) -> str:
    name = bridge.server_name
    command = (
        f"openssl s_client -quiet -verify_quiet -connect {_joined(bridge.connect)} -servername {name}"
        f" -CAfile {shlex.quote(bridge.ca_file)} -verify_hostname {name} -verify_return_error"
    )
    return _lines(*_head(bridge, "#"), command)


def _socat(bridge: Bridge) -> str:
    own, own_port = bridge.accept
    listen = f"TCP6-LISTEN:{own_port},bind=[{own}]" if ":" in own else f"TCP4-LISTEN:{own_port},bind={own}"
    checks = f"snihost={bridge.server_name},commonname={bridge.server_name},verify=1,cafile={bridge.ca_file}"
    target = f"OPENSSL:{_joined(bridge.connect)},{checks}"
    return _lines(*_head(bridge, "#"), f"socat {listen},reuseaddr,fork {shlex.quote(target)}")


def _ncat(bridge: Bridge) -> str:
    (host, port), (own, own_port) = bridge.connect, bridge.accept
    inner = f"ncat --ssl-verify --ssl-trustfile {shlex.quote(bridge.ca_file)} --ssl-servername {bridge.server_name} {host} {port}"
    return _lines(*_head(bridge, "#"), f"ncat --listen --keep-open --sh-exec {shlex.quote(inner)} {own} {own_port}")


def _haproxy(bridge: Bridge) -> str:
    # The name that is told is the one that the certificate has to be for.
    verified = f"ssl verify required ca-file '{bridge.ca_file}' sni str({bridge.server_name})"
    return _lines(
        *_head(bridge, "#", "haproxy -f THIS-FILE"),
        f"listen {bridge.name}",
        "  mode tcp",
        "  timeout connect 5s",
        "  timeout client 1h",
        "  timeout server 1h",
        f"  bind {_joined(bridge.accept)}",
        f"  server router {_joined(bridge.connect)} {verified}",
    )


FORMS: Mapping[str, Callable[[Bridge], str]] = MappingProxyType(
    {"stunnel": _stunnel, "openssl": _openssl, "socat": _socat, "ncat": _ncat, "haproxy": _haproxy}
)
"""By the program. All but openssl, which is a client itself, listen for one."""


def _head(bridge: Bridge, mark: str, start: str = "") -> list[str]:
    lines = [f"{bridge.asker}, by TLS through {_joined(bridge.connect)}, for plain clients at {_joined(bridge.accept)}"]
    lines += [f"to start: {start}"] if start else []
    return [f"{mark} {line}" for line in (*lines, *bridge.remarks)]


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _joined(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
