"""An API server in a process of its own, which takes as long as a real one: ``scripts.benchmark.calibration`` says how long that is.

``python -m scripts.benchmark.api_server --others SERVICES SLICES [--ideal] [--leases] [--certificate FILE --key FILE] FILE...``, each file one collection: its
name is the resource's, each line an object. It says its port on standard output, then a line for each watch that begins, for each piece
of events that it sends, and for each list of changes that is made, with the time, for each status that is written, and how many PortClaims there
are when one comes or goes. Each line on standard input is a list of changes (type,
resource, object), which are made at a time; the end of standard input is its own end.

``--ideal``: everything is answered at once, objects stay as small as they were given, there are no WatchLists, and nothing else happens.
Leases are those of another replica, which leads, unless ``--leases`` lets them be had.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from scripts.benchmark import api_leases, api_others, calibration, gateways
from scripts.benchmark.api_collections import Collections
from scripts.benchmark.api_load import Ideal, Load, Real
from scripts.benchmark.objects import CLAIMS
from scripts.benchmark.stored import stored

_LOOK_S = 1.0
"""How often a watch that has nothing to say looks whether its time is up."""
_OK, _CREATED, _NOT_FOUND, _CONFLICT, _INVALID = 200, 201, 404, 409, 422


class _Handler(BaseHTTPRequestHandler):
    """One client's requests, one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered: headers and body in one piece
    collections: Collections
    leases: api_leases.Leases
    load: Load
    statuses_written = 0

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        resource, namespace, name = self._place()
        if resource == "leases":
            self._answer(*self.leases.get(name))
        elif resource not in self.collections:
            self._refuse(_NOT_FOUND)
        elif name:
            found = self.collections.get(resource, namespace, name)
            self._answer(_OK, found) if found is not None else self._refuse(_NOT_FOUND)
        elif query.get("watch") == "true":
            self._watch(resource, query)
        else:
            page = self.collections.page(resource, namespace, query)
            size = sum(map(len, page.bodies))
            is_paged = "limit" in query and len(page.bodies) > 1
            self.load.encode(resource, len(page.bodies), size, calibration.PAGE_FACTOR if is_paged else 1.0)
            self._answer(_OK, page.as_json())

    def do_POST(self) -> None:
        self._write(_CREATED)

    def do_PUT(self) -> None:
        self._write(_OK)

    def do_PATCH(self) -> None:
        resource, namespace, name = self._place()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.load.write()
        if resource == CLAIMS or resource in gateways.RESOURCES:
            version, status = body.get("metadata", {}).get("resourceVersion"), body["status"]
        else:
            version, entry = _status_in(body)
            status = {"ingress": [entry]}
        written = self.collections.write_status(resource, namespace, name, version, status)
        if written is None:
            self._refuse(_CONFLICT)
            return
        if resource != CLAIMS:
            type(self).statuses_written += 1
            _say(f"status {self.statuses_written}")
        self._answer(_OK, written)

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        resource, namespace, name = self._place()
        self.load.write()
        gone = self.collections.delete(resource, namespace, name)
        self._answer(_OK, gone) if gone is not None else self._refuse(_NOT_FOUND)
        _say(f"claims {self.collections.count(CLAIMS)}")

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _place(self) -> tuple[str, str, str]:
        """Give resource, namespace and name of ``.../VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME[/status]]``."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        _, *rest = parts[parts[0] == "apis" :]
        _, *rest = rest
        namespace = rest[1] if rest[:1] == ["namespaces"] and len(rest) > 2 else ""  # noqa: PLR2004 - namespaces/NAME/RESOURCE
        resource, name, *_ = [*(rest[2:] if namespace else rest), "", ""]
        return resource, namespace, name

    def _write(self, status: int) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        resource, namespace, _ = self._place()
        self.load.write()
        if resource == "leases":
            self._answer(*self.leases.write(json.loads(body), status))
        elif resource == CLAIMS:
            created = self.collections.create(resource, namespace, json.loads(body))
            self._answer(status, created) if created is not None else self._refuse(_CONFLICT)
            _say(f"claims {self.collections.count(CLAIMS)}")
        else:
            # Events, of which nothing is asked later.
            self._answer(status, body)

    def _refuse(self, status: int, message: str = "") -> None:
        refusal = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
        self._answer(status, json.dumps(refusal).encode() + b"\n")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, resource: str, query: Mapping[str, str]) -> None:
        is_list = query.get("sendInitialEvents") == "true"
        if is_list and self.load.is_ideal:
            self._refuse(_INVALID, "sendInitialEvents: Forbidden: WatchList feature gate is disabled")
            return
        if is_list and (query.get("resourceVersionMatch"), query.get("allowWatchBookmarks")) != (
            "NotOlderThan",
            "true",
        ):
            self._refuse(
                _INVALID, "sendInitialEvents: Forbidden: needs resourceVersionMatch=NotOlderThan and bookmarks"
            )
            return
        self.send_response(_OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        ends_s = time.monotonic() + float(query.get("timeoutSeconds", "1800"))
        try:
            version = self._send_all(resource, query) if is_list else int(query["resourceVersion"])
            _say(f"watched {resource} {time.perf_counter()!r}")
            self._send_news(resource, version, ends_s, has_bookmarks="allowWatchBookmarks" in query)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _send_all(self, resource: str, query: Mapping[str, str]) -> int:
        """Send what a WatchList begins with: all objects, and a bookmark that says so; give the version."""
        self.load.wait_for_first()
        page = self.collections.page(resource, self._place()[1], query)
        piece: list[bytes] = []
        size = 0
        for body in page.bodies:
            piece.append(b'{"type":"ADDED","object":%s}\n' % body)
            size += len(body)
            if size >= calibration.RECORD_BYTES:
                self.load.encode(resource, len(piece), size, calibration.STREAM_FACTOR)
                self._send(piece)
                piece, size = [], 0
        version = page.metadata["resourceVersion"]
        self._send([*piece, _bookmark(version, is_end_of_initial=True)])
        return int(version)

    def _send_news(self, resource: str, version: int, ends_s: float, *, has_bookmarks: bool) -> None:
        bookmark_s = time.monotonic() + calibration.BOOKMARK_EVERY_S
        while (left_s := ends_s - time.monotonic()) > 0:
            version, events = self.collections.news(resource, version, min(left_s, _LOOK_S))
            if events:
                lines = [event.line for event in events]
                self.load.encode(resource, len(lines), sum(map(len, lines)))
                # An ideal server has nothing to do between a change and its event: what it takes to wake is not counted.
                began_s = time.perf_counter() if self.load.is_ideal else events[0].committed_s
                written_s = time.perf_counter()
                self._send(lines)
                _say(f"sent {resource} {began_s!r} {written_s!r}")
            if has_bookmarks and not self.load.is_ideal and time.monotonic() >= bookmark_s:
                bookmark_s += calibration.BOOKMARK_EVERY_S
                self._send([_bookmark(str(version))])

    def _send(self, lines: Sequence[bytes]) -> None:
        piece = b"".join(lines)
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Pass over a client that went away."""


@click.command()
@click.option("--ideal", is_flag=True)
@click.option("--leases", is_flag=True)
@click.option("--others", type=(int, int), required=True)
@click.option("--certificate", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
def main(  # noqa: PLR0913 - its options
    *,
    ideal: bool,
    leases: bool,
    others: tuple[int, int],
    certificate: Path | None,
    key: Path | None,
    files: tuple[Path, ...],
) -> None:
    """Serve these collections until standard input ends."""
    load: Load = Ideal() if ideal else Real()
    collections = Collections(files, (lambda obj: obj) if ideal else stored)
    names = {"collections": collections, "load": load, "leases": api_leases.Leases(are_free=leases)}
    server = _Server(("127.0.0.1", 0), type("_Bound", (_Handler,), names))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # Each client's thread shakes hands with it, not the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if not ideal:
        collections.add(api_others.others(*others))
        threading.Thread(target=api_others.change_others, args=(collections, *others), daemon=True).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(f"port {server.server_address[1]}")
    for line in sys.stdin.buffer:
        changes = json.loads(line)
        load.write(len(changes))
        collections.change(changes)
        _say(f"changed {time.perf_counter()!r}")
    # Whoever still reads a watch is cut off.
    os._exit(0)


def _status_in(patch: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401 - JSON
    """Give the resourceVersion that a patch is for and the entry that it writes, of both kinds of patches that the router makes."""
    if isinstance(patch, dict):
        return patch["metadata"]["resourceVersion"], patch["status"]["ingress"][0]
    version = next(each["value"] for each in patch if each["path"] == "/metadata/resourceVersion")
    return version, next(each["value"] for each in patch if each["path"].startswith("/status/"))


def _bookmark(version: str, *, is_end_of_initial: bool = False) -> bytes:
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if is_end_of_initial else {}
    metadata = {"resourceVersion": version, "creationTimestamp": None, **annotations}
    return json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}}).encode() + b"\n"


def _say(line: str) -> None:
    # One write, so that lines of several threads do not mix.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    main()
