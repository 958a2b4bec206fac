"""A server of scripted answers over raw sockets, for what a well-behaved HTTP server cannot be made to do."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def is_watch(self) -> bool:
        """Whether a stream is asked for."""
        return self.query.get("watch") == "true"


class Reply:
    """Writes an answer, whole or in pieces."""

    def __init__(self, connection: socket.socket, is_over: threading.Event) -> None:
        self.connection = connection
        self.is_over = is_over
        """Is set when the server ends: whoever waits on purpose waits for this."""

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.connection.sendall(data)

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        """Write a whole answer."""
        body = json.dumps(value).encode()
        extra = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        self.raw(head.encode() + body)

    def begin_stream(self) -> None:
        """Write the headers of an answer in chunks."""
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        """Write a piece of the answer."""
        self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def event(self, kind: str, obj: object) -> None:
        """Write one watch event."""
        self.chunk(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def end_stream(self) -> None:
        """End the answer as it should."""
        self.raw(b"0\r\n\r\n")

    def stay(self) -> None:
        """Say nothing more, but keep the connection open until the server ends."""
        self.is_over.wait(60)


Script = Callable[[Asked, Reply], None]


class ScriptedApi:
    """Answers each request by calling ``script`` on a thread of the connection; returning from it keeps the connection."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, *, streams_lists: bool = False) -> None:
        self.script = script
        self.streams_lists = streams_lists
        """Whether the script is asked for WatchLists, too; if not, they are refused, as by a server that does not know them."""
        self.asked: list[Asked] = []
        self._tls = tls
        self._is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it listens, as a kubeconfig has it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        # Closing alone would leave ``accept`` waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        self._connections.append(plain)
        try:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            self._connections.append(connection)
            reader = connection.makefile("rb")
            with connection, reader:
                while (asked := _read(reader)) is not None:
                    reply = Reply(connection, self._is_over)
                    if "sendInitialEvents" in asked.query and not self.streams_lists:
                        reply.json({"kind": "Status", "message": "sendInitialEvents: Forbidden", "code": 422}, 422)
                        continue
                    self.asked.append(asked)
                    self.script(asked, reply)
        except (OSError, EndOfConnection):
            pass
        finally:
            plain.close()


class EndOfConnection(Exception):
    """Raised by a script to cut the connection."""


def _read(reader: Any) -> Asked | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = {}
    while header := reader.readline().decode().strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    reader.read(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers)


def write_kubeconfig(
    path: Any, url: str, *, user: dict[str, Any] | None = None, ca_file: Any = None, insecure: bool = False
) -> Any:
    """Write a kubeconfig with one context, ``test``; give its path."""
    cluster: dict[str, Any] = {"server": url, **({"insecure-skip-tls-verify": True} if insecure else {})}
    if ca_file is not None:
        cluster["certificate-authority"] = str(ca_file)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": user or {}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "current-context": "test",
            }
        )
    )
    return path
