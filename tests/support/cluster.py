"""Clusters that the router is run against: one made of HTTP, and real ones where ``--cluster`` asks for them.

The same tests run on both. Each gets a namespace of its own, a router with exactly the rights of manifests/base/rbac.yaml,
and pods; all of it is taken away again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api_server import ApiServer
from tests.support.crd import route_schema
from tests.support.kube import control_plane, pods
from tests.support.kube.client import KubeClient
from tests.support.kube.rbac import SERVICE_ACCOUNT, rbac_objects
from tests.support.router_process import RouterProcess
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

Object = dict[str, Any]
Pod = Callable[[bytes, int], contextlib.AbstractContextManager[tuple[str, int]]]

ROUTE_CRD = "routes.route.openshift.io"
_KINDS = ("Route", "Service", "EndpointSlice", "Event", "Lease")
_TOKEN_S = 3600


@dataclass(slots=True)
class Cluster:
    """A cluster as a test sees it: an administrator's client, and a namespace that is the test's alone."""

    client: KubeClient
    namespace: str
    directory: Path
    server: ApiServer | None
    """The one made of HTTP, for what only it can be asked; None for a real one."""
    start_pod: Pod
    stack: contextlib.ExitStack
    _routers: int = field(default=0)

    def create(self, *objects: Object) -> None:
        """Create objects in the namespace, wherever they say they are."""
        for obj in objects:
            self.client.create({**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}})

    def route(self, name: str) -> Object:
        """Give a Route; it is there."""
        found = self.client.get("Route", self.namespace, name)
        assert found is not None, f"there is no Route {name}"
        return found

    def pod(self, prefix: bytes = b"", port: int = 0) -> tuple[str, int]:
        """Start a pod that echoes, with a prefix; give its address and port. It lives as long as the test."""
        return self.stack.enter_context(self.start_pod(prefix, port))

    def router(self, *options: str, name: str = "tcp-router") -> RouterProcess:
        """Make a router that follows the namespace, not started yet; it is stopped after the test."""
        directory = self.directory / f"router-{self._routers}"
        directory.mkdir()
        self._routers += 1
        kubeconfig = write_kubeconfig(directory / "kubeconfig", self.client, self.token_with_rights(name))
        router = ClusterRouter(
            directory, "--kubeconfig", str(kubeconfig), "--namespace", self.namespace,
            "--lease-namespace", self.namespace, "--router-name", name, *options,
        )  # fmt: skip
        self.stack.callback(lambda: router.process is not None and router.stop())
        return router

    def token_with_rights(self, router_name: str) -> str:
        """Create what manifests/base/rbac.yaml says, and give a token of its service account."""
        for obj in rbac_objects(self.namespace, router_name):
            kind, where, name = obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
            if self.client.get(kind, where, name) is None:
                self.client.create(obj)
                self.stack.callback(self.client.delete, kind, where, name)
        return _service_account_token(self.client, self.namespace)

    def conditions(self, route: str, router_name: str = "tcp-router") -> dict[str, Object]:
        """Give the conditions that a router wrote on a Route, by type."""
        return {
            condition["type"]: condition
            for ingress in self.route(route).get("status", {}).get("ingress") or ()
            if ingress.get("routerName") == router_name
            for condition in ingress.get("conditions") or ()
        }

    def wait_for_conditions(self, route: str, router_name: str = "tcp-router", **wanted: str) -> dict[str, Object]:
        """Wait until these are the statuses of a router's conditions, all of them, and give the conditions."""

        def found() -> dict[str, Object] | None:
            conditions = self.conditions(route, router_name)
            return conditions if {kind: c["status"] for kind, c in conditions.items()} == wanted else None

        try:
            return wait_for(found, f"conditions {wanted} on Route {route}") or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.conditions(route, router_name)}") from None


class ClusterRouter(RouterProcess):
    """One that follows an API server, and so no folder."""

    def command(self) -> list[str]:
        """Give the command line, without the folder of manifests."""
        command = super().command()
        position = command.index("--manifests")
        return command[:position] + command[position + 2 :]


def write_kubeconfig(path: Path, admin: KubeClient, token: str) -> Path:
    """Write a kubeconfig for the server that a client asks, with another token."""
    known = admin.configuration
    cluster: dict[str, object] = {"server": known.host}
    if known.ssl_ca_cert:
        cluster["certificate-authority"] = str(known.ssl_ca_cert)
    if not known.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    if known.tls_server_name:
        cluster["tls-server-name"] = known.tls_server_name
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "router", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "router"}}],
        "current-context": "tests",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@contextlib.contextmanager
def http_cluster(directory: Path) -> Iterator[Cluster]:
    """Give the cluster made of HTTP; its pods are on loopback."""
    with ApiServer(tls=True) as server:
        server.has_routes = False
        server.tokens.add("admin")
        with _cluster(directory, server.kubeconfig(directory, "admin"), _loopback_pod, server) as cluster:
            yield cluster


@contextlib.contextmanager
def real_cluster(directory: Path, kubeconfig: Path) -> Iterator[Cluster]:
    """Give a real cluster; its pods are in network namespaces of this machine."""
    pods.require_network_namespaces()
    with _cluster(directory, kubeconfig, pods.pod, None) as cluster:
        yield cluster


@contextlib.contextmanager
def _cluster(directory: Path, kubeconfig: Path, start_pod: Pod, server: ApiServer | None) -> Iterator[Cluster]:
    """Create the Route CRD if it is missing, and a namespace; delete what was created when left."""
    with contextlib.ExitStack() as stack:
        client = KubeClient(kubeconfig)
        stack.callback(client.close)
        _ensure_route_crd(client, stack)
        namespace = _namespace(client, stack)
        # Routers and pods end before the objects go.
        running = stack.enter_context(contextlib.ExitStack())
        yield Cluster(client, namespace, directory, server, start_pod, running)


@contextlib.contextmanager
def _loopback_pod(prefix: bytes, port: int) -> Iterator[tuple[str, int]]:
    # Not on the address that the router binds: the seed's pod and its frontend have the same port.
    with echo_server(prefix, "127.0.0.2", port) as server:
        yield server.address, server.port


def _namespace(client: KubeClient, stack: contextlib.ExitStack) -> str:
    name = f"tcp-router-e2e-{secrets.token_hex(4)}"
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def clean() -> None:
        # What is in it first: a control plane without controllers would keep it.
        for kind in _KINDS:
            for obj in client.list(kind, name):
                client.delete(kind, name, obj["metadata"]["name"])
        client.delete("Namespace", "", name)

    stack.callback(clean)
    return name


def _ensure_route_crd(client: KubeClient, stack: contextlib.ExitStack) -> None:
    """Create the CRD of Routes where there is none; OpenShift has Routes without a CRD."""
    groups = {group["name"] for group in client.ask("GET", "/apis")["groups"]}
    if "route.openshift.io" in groups:
        return
    client.create(
        {**route_schema().document, "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    )
    stack.callback(client.delete, "CustomResourceDefinition", "", ROUTE_CRD)

    def is_established() -> bool:
        found = client.get("CustomResourceDefinition", "", ROUTE_CRD) or {}
        conditions: list[Mapping[str, str]] = found.get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    wait_for(is_established, "the CRD of Routes to be established", 60)


def _service_account_token(client: KubeClient, namespace: str) -> str:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_S},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{SERVICE_ACCOUNT}/token"
    token: str = client.ask("POST", path, request)["status"]["token"]
    return token


REAL_CLUSTERS = ("KUBECONFIG", control_plane.VARIABLE)
"""The variables that name a real cluster: its kubeconfig, or the binaries of a control plane to be started."""


@contextlib.contextmanager
def real_kubeconfig(variable: str) -> Iterator[Path]:
    """Give an administrator's kubeconfig of the cluster that a variable names; skip where it is not set."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: --cluster runs against the clusters of {' and '.join(REAL_CLUSTERS)}")
    if variable == control_plane.VARIABLE:
        with control_plane.control_plane() as kubeconfig:
            yield kubeconfig
    else:
        yield Path(os.environ[variable])
