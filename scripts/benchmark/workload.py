"""The manifests that are measured: many Routes, each with a port of its own, a Service and three endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.calibration import OTHERS

ENDPOINT_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Of the three endpoints of every Route; all of 127.0.0.0/8 is loopback."""

SLICES_IDEAL = 2
"""Of each Service on an ideal API server, where there is time for them; on a real one they have one."""

_NAMESPACES = 20
PER_GATEWAY = 5
"""Listeners, of which each has a TCPRoute."""

_MANIFEST = """\
apiVersion: route.openshift.io/v1
kind: Route
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    haproxy.router.openshift.io/router-name: tcp-router
    haproxy.router.openshift.io/external-tcp-port: "{external_port}"
spec:
  to: {{kind: Service, name: {name}}}
  port: {{targetPort: tcp}}
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}
spec:
  ports:
    - {{name: tcp, port: 5432, targetPort: {endpoint_port}, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-x7k2p
  namespace: {namespace}
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
  - {{name: tcp, port: {endpoint_port}, protocol: TCP}}
endpoints:
"""
_ENDPOINT = """\
  - addresses: [{address}]
    conditions: {{ready: true, serving: true, terminating: false}}
    targetRef: {{kind: Pod, name: {name}-{number}, namespace: {namespace}}}
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """Routes by number: 0 to ``routes`` - 1 are there from the beginning, those from ``routes`` on come later.

    ``external_ports`` are those of the Routes, in the order of their numbers; ``endpoint_port`` is the port of all endpoints,
    and ``other_endpoint_port`` the one that they move to. On an API server each Service has so many ``slices``, and Routes have a
    status from an earlier life of the router if ``has_statuses``. ``by_host`` are the numbers of Routes that share their port, each by the
    name of a host; with ``certificates``, each with its key, TLS ends there by one for each, else it is passed through. ``endpoints`` are the
    addresses of those of each Route. They are in so many namespaces (``spaces``). ``by_gateway`` are the numbers that a TCPRoute leads to in the place of a
    Route, at Gateways with ``PER_GATEWAY`` listeners each. ``others`` is how many Services and slices there are of others.
    """

    routes: int
    external_ports: tuple[int, ...]
    endpoint_port: int
    other_endpoint_port: int
    slices: int = 1
    has_statuses: bool = True
    by_host: range = range(0)
    certificates: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[str, ...] = ENDPOINT_ADDRESSES
    spaces: int = _NAMESPACES
    by_gateway: range = range(0)
    others: tuple[int, int] = (OTHERS, OTHERS)

    @property
    def last(self) -> int:
        """The Route that comes last in the configuration, where Routes are sorted by namespace and name."""
        return max(range(self.routes), key=lambda number: (self.namespace(number), self.name(number)))

    def name(self, number: int) -> str:
        """Give the name of a Route and of its Service."""
        return f"app-{number:05}"

    def host(self, number: int) -> str:
        """Give the host of a Route."""
        return f"{self.name(number)}.apps.example.com"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(map(self.namespace, range(self.spaces)))

    def namespace(self, number: int) -> str:
        """Give the namespace that both are in."""
        return f"team-{number % self.spaces:02}"

    def manifest(self, number: int, *, moved: bool = False) -> str:
        """Give Route, Service and EndpointSlice as YAML; ``moved``, the endpoints are on the other port."""
        names = {"name": self.name(number), "namespace": self.namespace(number)}
        endpoint_port = self.other_endpoint_port if moved else self.endpoint_port
        external_port = self.external_ports[number]
        endpoints = (
            _ENDPOINT.format(**names, address=address, number=each) for each, address in enumerate(ENDPOINT_ADDRESSES)
        )
        return _MANIFEST.format(**names, external_port=external_port, endpoint_port=endpoint_port) + "".join(endpoints)

    def write_all(self, folder: Path) -> None:
        """Write the manifests of the Routes that are there from the beginning: one file for each Route, as teams keep them."""
        folder.mkdir(parents=True)
        for number in range(self.routes):
            self._path(folder, number).write_text(self.manifest(number))

    def prepare(self, folder: Path, number: int, *, moved: bool = False) -> tuple[Path, Path]:
        """Write one Route's manifests under a name that is no manifest's.

        Returns:
            Where they are, and where to rename them to.
        """
        path = self._path(folder, number)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(self.manifest(number, moved=moved))
        return beside, path

    def _path(self, folder: Path, number: int) -> Path:
        return folder / f"{self.namespace(number)}-{self.name(number)}.yaml"
