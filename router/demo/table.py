"""What ``/ports`` says, as a table for people, with a command to try each port; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from router.demo.gateway import GATEWAY_HOST, TLS_LISTENER, TLS_ROUTE
from router.demo.manifests import EDGE_HOST, QUEUE_HOST


class PortEntry(msgspec.Struct, frozen=True):
    """The members of a ``/ports`` object that the demo reads."""

    namespace: str
    name: str
    verdict: str
    kind: str = "Route"
    section: str | None = None
    port: int | None = None
    host: str | None = None
    certificate: str | None = None
    reason: str | None = None
    message: str = ""

    @property
    def route(self) -> str:
        """Namespace and name of the Route; of what is none, its kind before them, and the name of its port behind."""
        name = f"{self.namespace}/{self.name}"
        return name if self.kind == "Route" else " ".join(filter(None, (self.kind, name, self.section)))

    @property
    def admitted(self) -> bool:
        """Whether the Route is served."""
        return self.verdict == "admitted"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach what has no port of its own."""

    sni_port: int
    certificate_file: Path
    programs: frozenset[str] = frozenset({"nc", "openssl"})
    """Which of the programs that commands to try are made with are there; Python is in any case."""

    bridge_port: int | None = None
    """Where a stunnel takes plain clients to ``QUEUE_HOST``; None without one."""
    gateway_tls_port: int | None = None
    """Where the Gateway's TLSRoute is reached by ``GATEWAY_HOST``."""


def table(entries: Iterable[PortEntry], access: Access) -> str:
    """Give a line per Route: port, Route, verdict, and how to try it or why it is rejected."""
    rows = [("PORT", "ROUTE", "VERDICT", "TRY IT, OR WHY NOT")]
    rows += [
        (
            str(_port(entry, access)),
            entry.route,
            entry.verdict,
            try_command(entry, access) if entry.admitted else f"{entry.reason}: {entry.message}",
        )
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(f"{_line(row, widths)}\n" for row in rows)


def try_command(entry: PortEntry, access: Access) -> str:
    """Give a shell command that reaches an admitted Route as a client would; it ends by itself."""
    port, host = entry.port or access.sni_port, entry.host or EDGE_HOST
    if entry.route in {TLS_LISTENER, TLS_ROUTE}:
        # Of the route the listener has the port, and of the listener, which has none of its own, the route has the name.
        entry, port, host = replace(entry, port=None), access.gateway_tls_port or port, GATEWAY_HOST
    plain = access.bridge_port if host == QUEUE_HOST else entry.port if entry.certificate is None else None
    if plain is not None:
        if "nc" in access.programs:
            return f"printf 'hello\\n' | nc -w 2 127.0.0.1 {plain}"
        return _in_python(f"c=socket.create_connection(('127.0.0.1',{plain}),2)", "c.sendall(b'hello\\n')")
    if "openssl" not in access.programs:
        connect = f"c=ssl.create_default_context(cafile={str(access.certificate_file)!r}).wrap_socket("
        connect += f"socket.create_connection(('127.0.0.1',{port}),2),server_hostname={host!r})"
        return _in_python(connect, "c.sendall(b'hello\\n')")
    return (
        f"openssl s_client -brief -connect 127.0.0.1:{port} -servername {shlex.quote(host)}"
        f" -CAfile {shlex.quote(str(access.certificate_file))} </dev/null"
    )


def _in_python(connect: str, talk: str) -> str:
    return f"python3 -c {shlex.quote(f'import socket,ssl;{connect};{talk};print(c.recv(99).decode())')}"


def _port(entry: PortEntry, access: Access) -> int | str:
    if entry.port is not None:
        return entry.port
    return access.sni_port if entry.host else "-"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    *columns, last = row
    return "  ".join([*(cell.ljust(width) for cell, width in zip(columns, widths, strict=True)), last])
