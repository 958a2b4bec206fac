"""An API server that costs next to nothing, in a process of its own: lists in pages and watches of the objects it was given.

``python -m scripts.benchmark.api_server FILE...``, each file one collection: its name is the resource's, each line an object.
It says its port on standard output, then a line for each watch that begins and for each piece of events that it sends, with the
time. Each line on standard input is a list of changes (type, resource, object); the end of standard input is its own end. Leases are those of another replica, which leads.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

_SERVICE_LABEL = "kubernetes.io/service-name"
_LOOK_S = 1.0
"""How often a watch that has nothing to say looks whether its time is up."""
_LEASE_S = 15


class _Stored(NamedTuple):
    service: str
    body: bytes


class _Collections:
    """All objects and their changes; one lock for all, which watches wait at."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.changed = threading.Condition()
        self.version = 0
        self._objects: dict[str, dict[str, dict[str, _Stored]]] = {}
        """By resource, namespace and name."""
        self._history: dict[str, list[tuple[int, bytes]]] = {}
        for file in files:
            self._objects[file.stem], self._history[file.stem] = {}, []
            with file.open("rb") as lines:
                for line in lines:
                    self._put(file.stem, json.loads(line))

    def __contains__(self, resource: str) -> bool:
        return resource in self._objects

    def change(self, changes: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
        """Make these changes, and tell those who watch."""
        with self.changed:
            for kind, resource, obj in changes:
                body = self._put(resource, obj).body
                event = b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
                self._history[resource].append((self.version, event))
                if kind == "DELETED":
                    self._remove(resource, obj)
            self.changed.notify_all()

    def page(self, resource: str, namespace: str, query: dict[str, str]) -> bytes:
        """Give one page of a list, as JSON."""
        with self.changed:
            spaces = self._objects[resource]
            some = [spaces.get(namespace, {})] if namespace else spaces.values()
            service = _selected(query)
            bodies = [each.body for space in some for each in space.values() if service in {"", each.service}]
            metadata = {"resourceVersion": str(self.version)}
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(bodies)
        if start + limit < len(bodies):
            metadata["continue"] = str(start + limit)
        head = json.dumps({"metadata": metadata}).encode()
        return head[:-1] + b',"items":[' + b",".join(bodies[start : start + limit]) + b"]}\n"

    def news(self, resource: str, version: int, seconds: float) -> tuple[int, bytes]:
        """Wait so long for changes after a version; give the version that it is then, and the events."""
        with self.changed:
            history = self._history[resource]
            self.changed.wait_for(lambda: bool(history) and history[-1][0] > version, seconds)
            since = bisect_right(history, version, key=itemgetter(0))
            return self.version, b"".join(event for _, event in history[since:])

    def _remove(self, resource: str, obj: dict[str, Any]) -> None:
        del self._objects[resource][obj["metadata"]["namespace"]][obj["metadata"]["name"]]

    def _put(self, resource: str, obj: dict[str, Any]) -> _Stored:
        self.version += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.version)
        namespace, name = metadata["namespace"], metadata["name"]
        service = metadata.get("labels", {}).get(_SERVICE_LABEL, name)
        stored = _Stored(service, json.dumps(obj, separators=(",", ":")).encode())
        self._objects[resource].setdefault(namespace, {})[name] = stored
        return stored


class _Handler(BaseHTTPRequestHandler):
    """One client's requests, one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered: headers and body in one piece
    collections: _Collections

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        # .../VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME]
        *_, before, namespace, resource = ["", "", *url.path.split("/")]
        if resource in self.collections:
            namespace = namespace if before == "namespaces" else ""
            if query.get("watch") == "true":
                self._watch(resource, query)
            else:
                self._answer(200, self.collections.page(resource, namespace, query))
        elif namespace == "leases":
            self._answer(200, _lease_of_another(resource))
        else:
            self._answer(404, b'{"kind":"Status","code":404}\n')

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, resource: str, query: dict[str, str]) -> None:
        _say(f"watched {resource} {time.perf_counter()!r}")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        version, ends_s = int(query["resourceVersion"]), time.monotonic() + float(query["timeoutSeconds"])
        try:
            while (left_s := ends_s - time.monotonic()) > 0:
                version, events = self.collections.news(resource, version, min(left_s, _LOOK_S))
                if events:
                    sent_s = time.perf_counter()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(events), events))
                    self.wfile.flush()
                    _say(f"sent {resource} {sent_s!r}")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Pass over a client that went away."""


def main(files: list[str]) -> None:
    """Serve these collections until standard input ends."""
    collections = _Collections(map(Path, files))
    server = _Server(("127.0.0.1", 0), type("_Bound", (_Handler,), {"collections": collections}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(f"port {server.server_address[1]}")
    for line in sys.stdin.buffer:
        collections.change(json.loads(line))
    # Whoever still reads a watch is cut off.
    os._exit(0)


def _selected(query: dict[str, str]) -> str:
    """Give the Service that a selector names, by the two that the router uses; empty without any."""
    return (query.get("fieldSelector") or query.get("labelSelector") or "").partition("=")[2]


def _lease_of_another(name: str) -> bytes:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "another", "leaseDurationSeconds": _LEASE_S, "acquireTime": now, "renewTime": now}
    return json.dumps({"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}).encode()


def _say(line: str) -> None:
    # One write, so that lines of several threads do not mix.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
