"""The least that could do the router's work, in a process of its own: what it takes is what the stand costs, and none of it the router's.

``python -m scripts.benchmark.bare PORT NAME CERTIFICATE PATH SOCKET ORDERS``: it watches the collection at ``PATH`` of the API server on this
port, by TLS if there is a certificate, makes JSON of each event by the standard library, and looks up what to do in the file of ``ORDERS``, an
object of ``TYPE NAMESPACE/NAME`` and commands, in which ``{address}`` is the first address of the object's endpoints. That it sends to
HAProxy's socket, and says on standard error how long each step took, as a router does with ``--trace-changes``.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

HOST = "127.0.0.1"
WATCHES = "watches"
_PIECE = 1 << 16
_DEADLINE_S = 60.0
_FOREVER_S = 3_600


def main(api: tuple[int, str, str], path: str, haproxy: str, orders: Mapping[str, str]) -> None:
    """Follow the collection until somebody ends the process; the API server has a port, a name, and a certificate if it has TLS."""
    with _connected(*api) as connection:
        connection.sendall(_request(f"{path}?limit=1", "close"))
        answer = b"".join(iter(lambda: connection.recv(_PIECE), b""))
    version = json.loads(answer.partition(b"\r\n\r\n")[2])["metadata"]["resourceVersion"]
    with _connected(*api) as connection:
        connection.sendall(
            _request(f"{path}?watch=true&resourceVersion={version}&timeoutSeconds={_FOREVER_S}", "keep-alive")
        )
        _say({"event": WATCHES})
        for read_s, line in _lines(connection):
            event = json.loads(line)
            obj = event["object"]
            metadata = obj["metadata"]
            order = orders.get(f"{event['type']} {metadata['namespace']}/{metadata['name']}")
            if order is not None:
                _carry_out(order, obj, haproxy, read_s)


def _connected(port: int, name: str, certificate: str) -> socket.socket:
    connection = socket.create_connection((HOST, port), _DEADLINE_S)
    connection.settimeout(None)
    if not certificate:
        return connection
    return ssl.create_default_context(cafile=certificate).wrap_socket(connection, server_hostname=name)


def _request(target: str, connection: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: {connection}\r\n\r\n".encode()


def _lines(connection: socket.socket) -> Iterator[tuple[float, bytes]]:
    """Give the events, each with when its last piece was read; what is between them, sizes of chunks and the headers, is none."""
    rest = b""
    while piece := connection.recv(_PIECE):
        read_s = time.monotonic()
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.startswith(b"{"):
                yield read_s, line


def _carry_out(order: str, obj: Mapping[str, object], haproxy: str, read_s: float) -> None:
    endpoints = obj.get("endpoints")
    if isinstance(endpoints, list):
        order = order.replace("{address}", endpoints[0]["addresses"][0])
    decoded_s = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(haproxy)
        connection.sendall(f"{order}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        sent_s = time.monotonic()
        while connection.recv(_PIECE):
            pass
    replied_s = time.monotonic()
    _say(
        {
            "event": "change traced",
            "began_s": read_s,
            "total_ms": (replied_s - read_s) * 1000,
            "decode_ms": (decoded_s - read_s) * 1000,
            "send_ms": (sent_s - decoded_s) * 1000,
            "reply_ms": (replied_s - sent_s) * 1000,
        }
    )


def _say(event: Mapping[str, object]) -> None:
    sys.stderr.write(f"{json.dumps(event)}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    to, named, trusted, watched, told, file = sys.argv[1:]
    main((int(to), named, trusted), watched, told, json.loads(Path(file).read_text()))
