"""Two clusters in networks of their own: in each an API server, a router with its HAProxy, pods, and what leads from a Service's address to its endpoints."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.api_server import ApiServer
from tests.support.cluster import ClusterRouter
from tests.support.kube.rbac import RBAC_FILE
from tests.support.network import ip, own_network
from tests.support.nodes import LINK, nodes
from tests.support.objects import endpoint_slice, service
from tests.support.pairing import ROUTERS, SHOP, Clusters
from tests.support.waiting import wait_for

CLAIM_PORTS = "31000-31019"
_CLAIMS_RIGHTS = RBAC_FILE.parents[1] / "components" / "transport-server-claims" / "rbac.yaml"
_LOOK_S = 0.05
_ENDS_WITHIN_S = 10.0

Entered = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True)
class Place:
    """One of the two clusters."""

    name: str
    number: int
    server: ApiServer
    entered: Entered
    address: str
    """By which its router is reached."""
    router: ClusterRouter

    def pod(self, number: int) -> str:
        """Give the address of a pod, which this cluster alone reaches."""
        return f"10.9.{self.number + 10}.{number}"

    @property
    def service_address(self) -> str:
        """The address of its one Service that leads to the other cluster."""
        return f"10.9.{self.number + 20}.1"

    def serve(self, name: str, port: int) -> None:
        """Make a Service that leads to the first pod."""
        self.server.apply(
            service(name, port, namespace=SHOP), *endpoint_slice(name, (self.pod(1), port), namespace=SHOP)
        )

    def endpoints(self, *addresses: str) -> None:
        """Let the Service ``db`` lead to these pods."""
        pods = [(each, 5432) for each in addresses]
        for each in self.server.list("EndpointSlice"):
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == "db":
                self.server.delete("EndpointSlice", SHOP, each["metadata"]["name"])
        self.server.apply(*endpoint_slice("db", *pods, namespace=SHOP))


class ServiceProxy:
    """What kube-proxy does for one Service: connections to its address go to the endpoints that its slices have now.

    Args:
        place: the cluster that it is in.
        name: of the Service.
        port: of the Service.
    """

    def __init__(self, place: Place, name: str, port: int) -> None:
        self._place = place
        self._name = name
        self._stopping = threading.Event()
        with place.entered():
            self._listener = socket.create_server((place.service_address, port), backlog=16)
            self._threads = [threading.Thread(target=self._accept, name=f"service {name}")]
            self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_ENDS_WITHIN_S)

    def _endpoint(self) -> tuple[str, int] | None:
        for each in self._place.server.list("EndpointSlice"):
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == self._name:
                return each["endpoints"][0]["addresses"][0], each["ports"][0]["port"]
        return None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # A thread of this one is in its network.
            thread = threading.Thread(target=self._carry, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        to = self._endpoint()
        with client, contextlib.suppress(OSError):
            if to is None:
                return
            with socket.create_connection(to, _ENDS_WITHIN_S) as server, selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                while not self._stopping.is_set():
                    for key, _ in selector.select(_LOOK_S):
                        source, sink = (client, server) if key.fileobj is client else (server, client)
                        data = source.recv(65536)
                        if not data:
                            return
                        sink.sendall(data)


@contextlib.contextmanager
def two_networks(directory: Path) -> Iterator[tuple[Clusters, Place, Place]]:
    """Give two clusters; the first one's network is that of the calling thread."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_network())
        (node,) = stack.enter_context(nodes(1, directory))
        gold_server = stack.enter_context(ApiServer())
        with node.entered():
            golddr_server = ApiServer(address=f"{LINK}.1")
            golddr_server.__enter__()
        stack.callback(golddr_server.__exit__, None, None, None)
        two = Clusters(directory, gold_server, golddr_server, stack, has_routers=True)
        places = []
        for number, (server, entered, address) in enumerate((
            (gold_server, contextlib.nullcontext, f"{LINK}.100"), (golddr_server, node.entered, f"{LINK}.1"),
        )):  # fmt: skip
            name = ("gold", "golddr")[number]
            place = Place(name, number, server, entered, address, _router(directory / f"r{number}", server, address))
            with entered():
                for own in (place.pod(1), place.pod(2), place.service_address):
                    ip("addr", "add", f"{own}/32", "dev", "lo")
            server.create(service("db", namespace=SHOP))
            _start(place, stack)
            places.append(place)
        yield two, places[0], places[1]


def _router(directory: Path, server: ApiServer, address: str) -> ClusterRouter:
    """Make a router with the rights of the manifests."""
    directory.mkdir()
    objects: list[Any] = [
        each
        for path in (RBAC_FILE, _CLAIMS_RIGHTS)
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if each
    ]
    server.apply(*objects)
    kubeconfig = server.kubeconfig(directory, server.access.issue(ROUTERS, "tcp-router"))
    return ClusterRouter(
        directory, "--kubeconfig", str(kubeconfig), "--lease-namespace", ROUTERS, "--claims", "required",
        "--transport-server-claims", "--claim-ports", CLAIM_PORTS, "--claims-wait-for-pair", "--canonical-hostname", address,
        "--auto-ports-cooldown", "0", "--bind-address", address,
    )  # fmt: skip


def _start(place: Place, stack: contextlib.ExitStack) -> None:
    """Start a router in its network."""
    with place.entered():
        place.router.launch()
    stack.callback(place.router.stop)

    def is_ready() -> bool:
        with place.entered():
            return place.router.is_ready()

    wait_for(is_ready, f"the router of {place.name} to be ready")
