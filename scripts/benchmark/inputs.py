"""Where the measured router reads its objects from: a folder of manifests, or an API server. Both have the same Routes."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from router.demo.certificate import write_certificate
from scripts.benchmark import api_server
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.gateways import write_gateways
from scripts.benchmark.objects import RESOURCES, ROUTES, SERVICES, SLICES, objects_of, write_all
from scripts.benchmark.workload import Workload

_SERVER_NAME = "api.bench.example.com"
_START_S = 300.0
_STOP_S = 10.0


class Input(Protocol):
    """What a router reads."""

    @property
    def options(self) -> Sequence[str]:
        """Those of ``tcp-router run``."""

    def prepare(self, number: int, *, moved: bool) -> Callable[[], None]:
        """Prepare one Route that is new, or whose endpoints move to the other port; give what makes it happen."""

    def forget(self) -> None:
        """Forget former routers."""

    def synced_s(self) -> float | None:
        """Give when the router had listed everything (``time.perf_counter``); None where that cannot be seen."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of manifests."""

    workload: Workload
    path: Path

    @property
    def options(self) -> Sequence[str]:
        """Those of ``tcp-router run``."""
        return ("--manifests", str(self.path))

    def prepare(self, number: int, *, moved: bool) -> Callable[[], None]:
        """Write one Route's manifests beside; what is given renames the file."""
        prepared, path = self.workload.prepare(self.path, number, moved=moved)

        def rename() -> None:
            prepared.rename(path)

        return rename

    def forget(self) -> None:
        """Nothing is kept of a router."""

    def synced_s(self) -> float | None:
        """It cannot be seen from outside."""
        return None


class Api:
    """An API server as a process of its own, as a context manager.

    Args:
        workload: what it has.
        directory: for its files; does not exist yet.
        is_ideal: it answers at once and without TLS, and nothing else happens there.
        has_leases: the router can lead, and write statuses; if not, another replica does.
    """

    def __init__(
        self, workload: Workload, directory: Path, *, is_ideal: bool = False, has_leases: bool = False
    ) -> None:
        self._workload = workload
        self._kubeconfig = directory / "kubeconfig"
        files = (*write_all(workload, directory), *write_gateways(workload, directory))
        self._certificate = None if is_ideal else directory / "ca.crt"
        self._watched: dict[str, float] = {}
        self._sent: list[tuple[str, float, float]] = []
        self.statuses_written = 0
        """How many statuses the router has written."""
        self.changes = 0
        """How many lists of changes were made."""
        self.changed_s = 0.0
        """When the last one was (``time.perf_counter``)."""
        self.claims = workload.routes if workload.has_statuses else 0
        """How many PortClaims there are."""
        options = [
            "--others",
            *map(str, workload.others),
            *(("--ideal",) if is_ideal else ()),
            *(("--leases",) if has_leases else ()),
        ]
        if self._certificate is not None:
            key = directory / "server.key"
            write_certificate((_SERVER_NAME,), self._certificate, key)
            options += ["--certificate", str(self._certificate), "--key", str(key)]
        self._command = [sys.executable, "-P", "-m", api_server.__name__, *options, *map(str, files)]

    def __enter__(self) -> Self:
        # It ends with its standard input, thus with us. Ctrl-C is for us alone.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        self._port = ""
        self._has_port = threading.Event()
        self._reader = threading.Thread(target=self._read, name="api server", daemon=True)
        self._reader.start()
        if not self._has_port.wait(_START_S) or not self._port:
            self._stop()
            raise BenchFailed("the benchmark's API server does not start")
        self._kubeconfig.write_text(_kubeconfig(self.url, self._certificate))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def options(self) -> Sequence[str]:
        """Those of ``tcp-router run``."""
        return ("--kubeconfig", str(self._kubeconfig))

    @property
    def place(self) -> tuple[str, str, str]:
        """Give its port, its name, and the file with its certificate, of which there is none without TLS."""
        return self._port, _SERVER_NAME, str(self._certificate or "")

    def client_context(self) -> ssl.SSLContext:
        """Give what a client of the benchmark's own trusts."""
        context = ssl.create_default_context(cafile=self._certificate)
        # The name in the certificate is told to the router by the kubeconfig.
        context.check_hostname = False
        return context

    def prepare(self, number: int, *, moved: bool) -> Callable[[], None]:
        """Make the events; what is given sends them: Service and slices first, or of one that is there the first slice."""
        objects = objects_of(self._workload, number, moved=moved)
        changes = (
            [("MODIFIED", SLICES, objects[SLICES][0])]
            if number < self._workload.routes
            else [("ADDED", resource, obj) for resource in (SERVICES, SLICES, ROUTES) for obj in objects[resource]]
        )
        return self.prepare_changes(changes)

    def prepare_changes(self, changes: Sequence[tuple[str, str, dict[str, Any]]]) -> Callable[[], None]:
        """Make the events of these changes (type, resource, object); what is given sends them."""
        line = json.dumps(changes).encode() + b"\n"

        def send() -> None:
            if self._process.stdin is None:
                raise BenchFailed("the benchmark's API server takes no changes")
            self._process.stdin.write(line)
            self._process.stdin.flush()

        return send

    def forget(self) -> None:
        """Forget the watches of former routers."""
        self._watched = {}

    def synced_s(self) -> float | None:
        """Give when the last of the first watches began: the lists before them are in the router's store then."""
        return max(self._watched.values()) if len(self._watched) == len(RESOURCES) else None

    def forget_sent(self) -> None:
        """Forget the events that were sent."""
        self._sent.clear()

    def sent_s(self, resource: str) -> list[float]:
        """Give when pieces of events of a resource were sent since ``forget_sent`` (``time.perf_counter``)."""
        return [sent_s for of, sent_s, _ in list(self._sent) if of == resource]

    def written_s(self, resource: str) -> list[float]:
        """Give when it began to write these to the socket."""
        return [written_s for of, _, written_s in list(self._sent) if of == resource]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            match line.decode().split():
                case ["port", port]:
                    self._port = port
                    self._has_port.set()
                case ["watched", resource, began_s]:
                    self._watched.setdefault(resource, float(began_s))
                case ["sent", resource, sent_s, written_s]:
                    self._sent.append((resource, float(sent_s), float(written_s)))
                case ["status", count]:
                    self.statuses_written = int(count)
                case ["changed", made_s]:
                    self.changed_s = float(made_s)
                    self.changes += 1
                case ["claims", count]:
                    self.claims = int(count)
        self._has_port.set()

    def _stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _kubeconfig(server: str, certificate: Path | None) -> str:
    cluster = {"server": server}
    if certificate is not None:
        cluster |= {"certificate-authority": str(certificate), "tls-server-name": _SERVER_NAME}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    return json.dumps(config)
