"""A Kubernetes API server for tests, made of HTTP: the semantics that clients rely on, and the faults that real ones have.

Not kmock (0.8), which was looked at first: its lists and watches have no resourceVersion, so that nothing can be resumed,
paged, bookmarked or gone; it writes without conflicts, validation or status subresource; it needs an event loop, has no TLS,
and cannot cut a stream in the midst. Most of what is tested here would have to be scripted beside it.

Parts are in ``tests/support/kube``: objects and history (storage), what each kind demands (kinds, crd), watches, lists, faults.
"""

from __future__ import annotations

import contextlib
import copy
import socket
import ssl
import tempfile
import threading
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.kube.handler import Handler
from tests.support.kube.listing import Snapshots
from tests.support.kube.resources import NAMESPACES, of_kind
from tests.support.kube.state import Request, ServerState
from tests.support.kube.statuses import StatusError
from tests.support.kube.tls import private_ca

__all__ = ["EVERY_ADDRESS", "ApiServer", "Request", "StatusError"]

_TIMEOUT_S = 20.0


class _Everything:
    """Contains whatever it is asked for."""

    def __contains__(self, value: object) -> bool:
        return True


EVERY_ADDRESS = _Everything()
"""For ``loopback``, in tests whose pods are all on loopback."""


class ApiServer(ServerState):
    """One server on 127.0.0.1, or another address, in threads of its own; a context manager.

    The direct methods (create, update, delete, get, list) go by the same rules as requests, with three liberties: a namespace
    that is missing is created, status and creationTimestamp are taken as given, and a resourceVersion may be left out.
    They raise ``StatusError``, and give copies.

    Args:
        tls: whether it speaks TLS, with a CA of its own.
        loopback: loopback addresses that endpoints may have all the same, where pods of the test are; real servers refuse them.
        address: to listen on.
    """

    def __init__(self, *, tls: bool = False, loopback: Container[str] = (), address: str = "127.0.0.1") -> None:
        super().__init__(self._listen)
        self.storage.loopback = loopback
        self._temporary = tempfile.TemporaryDirectory(prefix="api-server-") if tls else None
        self._context: ssl.SSLContext | None = None
        self.ca_file: Path | None = None
        if self._temporary is not None:
            self.ca_file, self._context = private_ca(Path(self._temporary.name))
        self._snapshots = Snapshots(self.storage)
        self._lock = threading.Lock()
        self._listening = False
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._acceptor: threading.Thread | None = None
        self._listener = _bound_socket(address)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{address}:{self.port}"

    def __enter__(self) -> Self:
        self._listen(up=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        with self.storage.changed:
            self.storage.changed.notify_all()
        self._listen(up=False)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(_TIMEOUT_S)
        if self._temporary is not None:
            self._temporary.cleanup()

    def kubeconfig(self, directory: Path, token: str | None = None, token_file: Path | None = None) -> Path:
        """Write a kubeconfig for this server; give its path."""
        cluster: dict[str, Any] = {"server": self.url}
        if self.ca_file is not None:
            cluster["certificate-authority"] = str(self.ca_file)
        user: dict[str, str] = {}
        if token is not None:
            user["token"] = token
        if token_file is not None:
            user["tokenFile"] = str(token_file)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        }
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        resource = of_kind(obj["kind"])
        namespace = obj["metadata"].get("namespace", "default")
        with self.storage.changed:
            if resource.namespaced and not any(
                namespace == item["metadata"]["name"] for item in self.list("Namespace")
            ):
                self.storage.create(NAMESPACES, {"metadata": {"name": namespace}})
            return copy.deepcopy(self.storage.create(resource, obj, as_given=True).obj)

    def update(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Replace an object, its status too unless it is left out."""
        resource, metadata = of_kind(obj["kind"]), obj["metadata"]
        namespace = metadata.get("namespace", "default") if resource.namespaced else ""
        stored = self.storage.update(resource, namespace, metadata["name"], lambda _: copy.deepcopy(obj), as_given=True)
        return copy.deepcopy(stored.obj)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create objects, or replace those that are there."""
        for obj in objects:
            with self.storage.changed:
                known = self.get(obj["kind"], obj["metadata"].get("namespace", "default"), obj["metadata"]["name"])
                (self.create if known is None else self.update)(obj)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object."""
        self.storage.delete(of_kind(kind), namespace if of_kind(kind).namespaced else "", name)

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Give an object; None where there is none."""
        resource = of_kind(kind)
        try:
            return copy.deepcopy(self.storage.get(resource, namespace if resource.namespaced else "", name).obj)
        except StatusError:
            return None

    def list(self, kind: str) -> list[dict[str, Any]]:
        """Give all objects of a kind, by namespace and name."""
        return [copy.deepcopy(stored.obj) for stored in self.storage.list(of_kind(kind))]

    def _listen(self, up: bool) -> None:  # noqa: FBT001 -- Faults calls it so
        with self._lock:
            if up is self._listening:
                return
            self._listening = up
        if up:
            # One that was shut down has kept its port, and can listen again.
            self._listener.listen(128)
            self._acceptor = threading.Thread(target=self._accept, name=f"api server {self.port}")
            self._acceptor.start()
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._acceptor is not None:
            self._acceptor.join(_TIMEOUT_S)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"api client {self.port}")
            with self._lock:
                self._connections.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        # A client that goes away, or that does not believe the certificate, is no fault of the server.
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(plain.dup(), server_side=True)
            _handler_class(self, self._snapshots)(connection, plain.getpeername(), self)  # type: ignore[arg-type]
        with self._lock:
            self._connections.discard(plain)
            self._threads.discard(threading.current_thread())
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)
            plain.close()
        if connection is not plain:
            connection.close()


def _bound_socket(address: str) -> socket.socket:
    """Give a socket with a port of its own that does not listen yet: connections are refused."""
    with socket.socket() as chooser:
        chooser.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        chooser.bind((address, 0))
        # Bound to a port by its number: Linux takes a port that it chose itself away again at a shutdown.
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(chooser.getsockname())
    return bound


def _handler_class(state: ServerState, snapshots: Snapshots) -> type[Handler]:
    return type("BoundHandler", (Handler,), {"state": state, "snapshots": snapshots})
