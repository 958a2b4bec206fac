"""Clusters that the router is run against: one made of HTTP, and real ones where ``--cluster`` asks for them.

The same tests run on both. Each gets a namespace of its own, a router with exactly the rights of manifests/base/rbac.yaml,
and pods; all of it is taken away again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api_server import ApiServer
from tests.support.crd import route_schema
from tests.support.kube import control_plane, pods
from tests.support.kube.client import KubeClient, Refused
from tests.support.kube.pods import Pod, Wanted
from tests.support.kube.rbac import SERVICE_ACCOUNT, rbac_objects
from tests.support.router_process import RouterProcess
from tests.support.servers import echo_server, tls_server
from tests.support.waiting import wait_for

Object = dict[str, Any]
StartPod = Callable[[Wanted], contextlib.AbstractContextManager[Pod]]

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
    start_pod: StartPod
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
        made = self.start(Wanted(prefix, port))
        return made.address, made.port

    def start(self, wanted: Wanted) -> Pod:
        """Start a pod that can be ended, or that speaks TLS; it lives as long as the test at most."""
        return self.stack.enter_context(self.start_pod(wanted))

    def router(
        self, *options: str, name: str = "tcp-router", rights: Sequence[Object] = (), account: str = SERVICE_ACCOUNT
    ) -> RouterProcess:
        """Make a router that follows the namespace, not started yet; it is stopped after the test.

        It has the rights of manifests/base/rbac.yaml, or those that are given, by a service account among them.
        """
        directory = self.directory / f"router-{self._routers}"
        directory.mkdir()
        self._routers += 1
        kubeconfig = write_kubeconfig(
            directory / "kubeconfig", self.client, self.token_with_rights(name, rights, account)
        )
        router = ClusterRouter(
            directory, "--kubeconfig", str(kubeconfig), "--namespace", self.namespace,
            "--lease-namespace", self.namespace, "--router-name", name, *options,
        )  # fmt: skip
        self.stack.callback(lambda: router.process is not None and router.stop())
        return router

    def token_with_rights(self, router_name: str, rights: Sequence[Object] = (), account: str = SERVICE_ACCOUNT) -> str:
        """Create what manifests/base/rbac.yaml says, or other rights, and give a token of a service account."""
        for obj in rights or rbac_objects(self.namespace, router_name):
            kind, where, name = obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
            if self.client.get(kind, where, name) is None:
                self.client.create(obj)
                self.stack.callback(self.client.delete, kind, where, name)
        return _service_account_token(self.client, self.namespace, account)

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
    addresses: set[str] = set()
    with ApiServer(tls=True, loopback=addresses) as server:
        server.has_routes = False
        server.tokens.add("admin")
        kubeconfig = server.kubeconfig(directory, "admin")

        def start_pod(wanted: Wanted) -> contextlib.AbstractContextManager[Pod]:
            return _loopback_pod(wanted, addresses)

        with route_crd(kubeconfig), _cluster(directory, kubeconfig, start_pod, server) as cluster:
            yield cluster


@contextlib.contextmanager
def real_cluster(directory: Path, kubeconfig: Path) -> Iterator[Cluster]:
    """Give a real cluster; its pods are in network namespaces of this machine."""
    pods.require_network_namespaces()
    with _cluster(directory, kubeconfig, pods.pod, None) as cluster:
        yield cluster


@contextlib.contextmanager
def _cluster(directory: Path, kubeconfig: Path, start_pod: StartPod, server: ApiServer | None) -> Iterator[Cluster]:
    """Create a namespace; delete it when left, with what is in it."""
    with contextlib.ExitStack() as stack:
        client = KubeClient(kubeconfig)
        stack.callback(client.close)
        namespace = _namespace(client, stack)
        # Routers and pods end before the objects go.
        running = stack.enter_context(contextlib.ExitStack())
        yield Cluster(client, namespace, directory, server, start_pod, running)


_hosts = itertools.count(1)


@contextlib.contextmanager
def _loopback_pod(wanted: Wanted, addresses: set[str]) -> Iterator[Pod]:
    """Start a pod on an address of its own, the only ones on loopback that the API server takes."""
    address = f"127.1.{os.getpid() % 256}.{next(_hosts) % 254 + 1}"
    addresses.add(address)
    if wanted.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(wanted.certificate)
        made = tls_server(context, wanted.text, address, wanted.port)
    else:
        made = echo_server(wanted.text, address, wanted.port)
    with made as server:
        yield Pod(server.address, server.port, server.stop_listening)


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


@contextlib.contextmanager
def route_crd(kubeconfig: Path) -> Iterator[None]:
    """Create the CRD of Routes where there is none, and delete it when left; OpenShift has Routes without a CRD.

    For a real cluster once for all tests: a server that has just lost the CRD, and has another, answers 404 for a while.
    """
    with contextlib.ExitStack() as stack:
        client = KubeClient(kubeconfig)
        stack.callback(client.close)
        groups = {group["name"] for group in client.ask("GET", "/apis")["groups"]}
        if "route.openshift.io" not in groups:
            crd = {
                **route_schema().document,
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
            }
            client.create(crd)
            stack.callback(client.delete, "CustomResourceDefinition", "", ROUTE_CRD)
            wait_for(lambda: _is_established(client), "the CRD of Routes to be established", 60)
            wait_for(lambda: _has_routes(client), "Routes to be served", 60)
        yield


def _is_established(client: KubeClient) -> bool:
    found = client.get("CustomResourceDefinition", "", ROUTE_CRD) or {}
    conditions: list[Mapping[str, str]] = found.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _has_routes(client: KubeClient) -> bool:
    """Say whether Routes can be listed: the paths are there a little after the CRD is established."""
    try:
        client.list("Route", "default")
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def _service_account_token(client: KubeClient, namespace: str, account: str) -> str:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_S},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    token: str = client.ask("POST", path, request)["status"]["token"]
    return token


REAL_CLUSTERS = ("KUBECONFIG", control_plane.VARIABLE)
"""The variables that name a real cluster: its kubeconfig, or the binaries of a control plane to be started."""


@contextlib.contextmanager
def real_kubeconfig(variable: str) -> Iterator[Path]:
    """Give an administrator's kubeconfig of the cluster that a variable names, with Routes; skip where it is not set."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: --cluster runs against the clusters of {' and '.join(REAL_CLUSTERS)}")
    with contextlib.ExitStack() as stack:
        if variable == control_plane.VARIABLE:
            kubeconfig = stack.enter_context(control_plane.control_plane())
        else:
            kubeconfig = Path(os.environ[variable])
        stack.enter_context(route_crd(kubeconfig))
        yield kubeconfig
