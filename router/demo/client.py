"""The demo's clients: what a user's client would do on each port, and what it saw; every wait has a deadline."""

from __future__ import annotations

import http
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from router.demo.table import PortEntry
from router.errors import DemoFailed
from router.shapes import reader

_read_ports = reader(list[PortEntry])

TIMEOUT_S = 5.0
"""For one connection, from the first packet to the last."""

_POLL_S = 0.05
_LOOPBACK = "127.0.0.1"
_LONGEST_LINE = 4096
_RELOADS = re.compile(rb"^tcp_router_reloads_total\{.*\} (\S+)$", re.MULTILINE)
_Seen = TypeVar("_Seen")


def connect(port: int) -> socket.socket:
    """Open a connection to a port of 127.0.0.1; the caller closes it.

    Raises:
        OSError: refused, or no answer within the deadline.
    """
    return socket.create_connection((_LOOPBACK, port), timeout=TIMEOUT_S)


def exchange(connection: socket.socket, line: str = "") -> str:
    """Send a line, if there is one, and give the line that comes back; empty where the other side hung up.

    Raises:
        OSError: the connection broke, or no line came within the deadline.
    """
    if line:
        connection.sendall(f"{line}\n".encode())
    with connection.makefile("rb", buffering=0) as answer:
        return answer.readline(_LONGEST_LINE).decode(errors="replace").rstrip()


def ask(port: int, line: str = "") -> str:
    """Exchange one line on a connection of its own.

    Raises:
        OSError: as ``connect`` and ``exchange``.
    """
    with connect(port) as connection:
        return exchange(connection, line)


def ask_over_tls(port: int, host: str, certificate_file: Path, line: str) -> str:
    """Exchange one line over TLS, naming ``host`` (SNI) and accepting nothing but its certificate.

    Raises:
        OSError: as ``connect`` and ``exchange``; the certificate is another one (``ssl.SSLCertVerificationError``).
    """
    context = ssl.create_default_context(cafile=str(certificate_file))
    with connect(port) as plain, context.wrap_socket(plain, server_hostname=host) as secured:
        return exchange(secured, line)


def is_refused(port: int) -> bool:
    """Whether nobody listens on the port any more."""
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def get_ports(http_port: int) -> list[PortEntry]:
    """Ask the router which Routes it serves where.

    Raises:
        OSError: the router did not answer within the deadline.
        DemoFailed: it answered, but by something else.
    """
    status, body = _get(http_port, "/ports")
    try:
        if status == http.HTTPStatus.OK:
            return _read_ports(body)
    except msgspec.DecodeError as error:
        raise DemoFailed(f"/ports answered by something else than the table of ports: {error}") from error
    raise DemoFailed(f"/ports answered with status {status}")


def get_reloads(http_port: int) -> int:
    """Ask the router how often it started or reloaded HAProxy.

    Raises:
        OSError: the router did not answer within the deadline.
        DemoFailed: it answered, but by something else.
    """
    status, body = _get(http_port, "/metrics")
    found = _RELOADS.findall(body)
    if status != http.HTTPStatus.OK or not found:
        raise DemoFailed(f"/metrics answered with status {status} and does not count reloads")
    return sum(int(float(count)) for count in found)


def is_ready(http_port: int) -> bool:
    """Whether the router says that traffic may be sent to it.

    Raises:
        OSError: the router did not answer within the deadline.
    """
    return _get(http_port, "/readyz")[0] == http.HTTPStatus.OK


def _get(http_port: int, path: str) -> tuple[int, bytes]:
    # Not urllib, which would ask a proxy of the environment.
    connection = http.client.HTTPConnection(_LOOPBACK, http_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{path} was not answered: {error!r}") from error
    finally:
        connection.close()


def until(look: Callable[[], _Seen], wanted: Callable[[_Seen], bool], deadline_s: float) -> _Seen:
    """Look again and again until what is seen is as wanted, at most for ``deadline_s`` seconds.

    A connection that fails is not as wanted yet; its error is what is told at the deadline.

    Raises:
        DemoFailed: it never was; the text says what was seen last.
    """
    end_s = time.monotonic() + deadline_s
    while True:
        last: _Seen | OSError
        try:
            last = look()
            if wanted(last):
                return last
        except OSError as error:
            last = error
        if time.monotonic() >= end_s:
            raise DemoFailed(f"not within {deadline_s:g} s; seen last: {last}")
        time.sleep(_POLL_S)
