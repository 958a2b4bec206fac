"""TransportServers on the API server of the tests: to traffic, and back to the status that F5's controller would write; and the ports of Porter taken over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Make
from tests.e2e.test_rights import requests_of
from tests.e2e.test_transport_server_claims import check_rights
from tests.support.cluster import Cluster, http_cluster, write_kubeconfig
from tests.support.commands import invoke, run_process
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.kube.resources import REFERENCE_GRANTS
from tests.support.objects import app, endpoint_slice, service
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

KIND = "TransportServer"
COMPONENTS = RBAC_FILE.parents[1] / "components"
FINALIZER = "porter.devops.gov.bc.ca/finalizer"
Object = dict[str, Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as made:
        yield made


def server(name: str, port: int, target: str = "db", *, pool: Object | None = None, **more: Any) -> Object:
    """Make a TransportServer of the address ``vip``; ``more`` are fields of its spec."""
    spec = {
        "virtualServerPort": port,
        "virtualServerAddress": "127.0.0.7",
        "mode": "performance",
        "snat": "auto",
        "type": "tcp",
        "pool": {
            "service": target,
            "servicePort": 5432,
            "monitor": {"type": "tcp", "interval": 10, "timeout": 10},
            **(pool or {}),
        },
        **more,
    }
    return {
        "apiVersion": "cis.f5.com/v1",
        "kind": KIND,
        "metadata": {"name": name, "labels": {"f5cr": "true"}},
        "spec": spec,
    }


def rights(namespace: str) -> list[Object]:
    """Give the objects of all these files, for a router that lives in this namespace."""
    files = (
        RBAC_FILE,
        *(COMPONENTS / each / "rbac.yaml" for each in ("transport-servers", "transport-server-claims", "addresses")),
    )
    return placed(
        [obj for path in files for obj in yaml.safe_load_all(path.read_text()) if obj], namespace, "tcp-router"
    )


def start(cluster: Cluster, *options: str) -> RouterProcess:
    """Start a router that serves TransportServers on 127.0.0.7 and on all addresses."""
    address = ("--address", "vip=127.0.0.7", "--address-default-allowed", "vip", "--bind-address", "127.0.0.1")
    return cluster.router("--claims", "required", *address, *options, rights=rights(cluster.namespace)).start()


def status(cluster: Cluster, name: str, kind: str = KIND) -> Object:
    """Give a status."""
    found = cluster.client.get(kind, cluster.namespace, name)
    return dict((found or {}).get("status") or {})


def told(cluster: Cluster, name: str, word: str) -> Object:
    """Wait until the status has this word; give it."""
    wait_for(lambda: status(cluster, name).get("status") == word, f"{word} of {name}")
    return status(cluster, name)


def test_one_is_served_told_and_taken_back(cluster: Cluster) -> None:
    """Traffic on its address and port, and its status; refused with a word, an error and an Event; of another class it is F5's again."""
    port = free_port()
    cluster.create(service("db", 5432), *endpoint_slice("db", cluster.pod(b"pod:")), server("ts", port))
    router = start(cluster, "--transport-servers")
    served = told(cluster, "ts", "Ok")
    assert served["vsAddress"] == "127.0.0.7"
    assert "error" not in served
    assert exchange(port, address="127.0.0.7") == b"pod:ping"
    row = router.ports()[f"{cluster.namespace}/ts"]
    assert (row["kind"], row["port"], row["external_address"]) == (KIND, port, "vip")
    vlans = {"spec": {"allowVlans": ["/Common/internal"]}}
    cluster.client.patch(KIND, cluster.namespace, "ts", vlans)
    refused = told(cluster, "ts", "InvalidSpec")
    assert refused["error"].startswith("tcp-router: spec.allowVlans may keep somebody out")
    wait_for(lambda: is_refused(port, address="127.0.0.7"), "the port to be closed")
    events = {each["reason"]: each for each in cluster.client.list("Event", cluster.namespace)}
    assert events["Admitted"]["regarding"]["apiVersion"] == "cis.f5.com/v1"
    assert "without a BIG-IP there is no effect of spec.snat" in events["ServedWithWarning"]["note"]
    wait_for(
        lambda: any(each["reason"] == "InvalidSpec" for each in cluster.client.list("Event", cluster.namespace)),
        "the Event",
    )
    cluster.client.patch(KIND, cluster.namespace, "ts", {"spec": {"allowVlans": None}})
    assert told(cluster, "ts", "Ok").get("error", "") == ""
    leave = {"metadata": {"annotations": {"haproxy.router.openshift.io/router-name": "other"}}}
    cluster.client.patch(KIND, cluster.namespace, "ts", leave)
    wait_for(lambda: status(cluster, "ts") == {}, "the status to be taken back")
    wait_for(lambda: not cluster.client.list("PortClaim", cluster.namespace), "the PortClaim to be given up")
    check_rights(cluster, router, *(COMPONENTS / each / "rbac.yaml" for each in ("transport-servers", "addresses")))


def test_a_class_divides_them_and_ports_are_one_queue_with_routes(cluster: Cluster) -> None:
    """What is F5's is left as it is."""
    held, own, f5s = free_ports(3)
    cluster.create(*app("db", held, cluster.pod(b"pod:")))
    theirs = {"status": "OK", "vsAddress": "142.34.194.68"}
    cluster.create(server("f5", f5s))
    cluster.client.patch(KIND, cluster.namespace, "f5", {"status": theirs}, subresource="status")
    start(
        cluster,
        "--transport-servers",
        "--transport-server-class",
        "tcp-router",
        "--canonical-hostname",
        "tcp.example.com",
    )
    cluster.wait_for_conditions("db", Admitted="True", PortClaimed="True")
    by_label = server("late", held, virtualServerAddress="127.0.0.1")
    by_label["metadata"]["labels"] = {"f5cr": "tcp-router"}
    by_ipam = server("own", own, ipamLabel="tcp-router", virtualServerAddress=None)
    del by_ipam["spec"]["virtualServerAddress"]
    cluster.create(by_label, by_ipam)
    assert told(cluster, "own", "Ok")["vsAddress"] == "tcp.example.com"
    assert exchange(own) == b"pod:ping"
    late = told(cluster, "late", "PortAlreadyClaimed")
    assert late["error"] == f"tcp-router: port {held} is held by Route {cluster.namespace}/db"
    assert status(cluster, "f5") == theirs


def grant(cluster: Cluster, namespace: str, service_name: str = "db") -> Object:
    """Make a ReferenceGrant of a namespace, from the TransportServers of the cluster's to one Service."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "grant", "namespace": namespace},
        "spec": {
            "from": [{"group": "cis.f5.com", "kind": KIND, "namespace": cluster.namespace}],
            "to": [{"group": "", "kind": "Service", "name": service_name}],
        },
    }


def test_another_namespace_is_led_to_by_its_grant(cluster: Cluster) -> None:
    """The kind comes after the router; without a grant, and once it is revoked, refused with its reason and closed; nobody else gets the port meanwhile."""
    assert cluster.server is not None
    own, port = free_ports(2)
    other = f"{cluster.namespace}-other"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    for obj in (service("db", 5432), *endpoint_slice("db", cluster.pod(b"other:"))):
        cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": other}})
    cluster.create(service("db", 5432), *endpoint_slice("db", cluster.pod(b"own:")), server("own", own))
    cluster.create(server("cross", port, pool={"serviceNamespace": other}))
    cluster.server.set_custom(REFERENCE_GRANTS, there=False)
    router = start(cluster, "--transport-servers", "--namespace", other)
    told(cluster, "own", "Ok")
    assert exchange(own, address="127.0.0.7") == b"own:ping"
    missing = (
        f"spec.pool leads to Service {other}/db, in another namespace than its own, and no ReferenceGrant in namespace {other} lets it: "
        f"one from group cis.f5.com, kind TransportServer, namespace {cluster.namespace} to kind Service does"
    )
    assert told(cluster, "cross", "RefNotPermitted")["error"] == f"tcp-router: {missing}"
    way = run_process(
        "explain", "--router", f"127.0.0.1:{router.http_port}", f"transportserver/{cluster.namespace}/cross"
    )
    assert way.exit_code == 1
    assert f"NO pods {missing}" in " ".join(way.stdout.split())
    assert "10." not in way.stdout
    assert "--transport-server-cross-namespace" in way.stdout

    cluster.server.set_custom(REFERENCE_GRANTS, there=True)
    cluster.client.create(grant(cluster, other, "another"))
    cluster.client.patch("ReferenceGrant", other, "grant", {"spec": grant(cluster, other)["spec"]})
    told(cluster, "cross", "Ok")
    assert exchange(port, address="127.0.0.7") == b"other:ping"
    wait_for(lambda: len(cluster.client.list("PortClaim", cluster.namespace)) == 2, "both PortClaims")

    cluster.client.delete("ReferenceGrant", other, "grant")
    told(cluster, "cross", "RefNotPermitted")
    wait_for(lambda: is_refused(port, address="127.0.0.7"), "the port to be closed")
    assert exchange(own, address="127.0.0.7") == b"own:ping"
    wait_for(
        lambda: any(each["reason"] == "RefNotPermitted" for each in cluster.client.list("Event", cluster.namespace)),
        "the Event",
    )
    cluster.create(server("late", port))
    held = told(cluster, "late", "PortAlreadyClaimed")
    assert f"held by TransportServer {cluster.namespace}/cross" in held["error"]
    cluster.client.create(grant(cluster, other))
    told(cluster, "cross", "Ok")
    assert exchange(port, address="127.0.0.7") == b"other:ping"
    check_rights(cluster, router, *(COMPONENTS / each / "rbac.yaml" for each in ("transport-servers", "addresses")))


def test_without_the_right_to_read_grants_all_else_is_served(cluster: Cluster) -> None:
    """As after an upgrade of the router alone; the right that comes is taken up, and the log says which it is."""
    own, port = free_ports(2)
    other = f"{cluster.namespace}-other"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    for obj in (service("db", 5432), *endpoint_slice("db", cluster.pod(b"other:")), grant(cluster, other)):
        cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": other}})
    cluster.create(service("db", 5432), *endpoint_slice("db", cluster.pod(b"own:")), server("own", own))
    cluster.create(server("cross", port, pool={"serviceNamespace": other}))
    with_grants = rights(cluster.namespace)
    given = [
        {**obj, "rules": [each for each in obj["rules"] if each["resources"] != ["referencegrants"]]}
        if "rules" in obj
        else obj
        for obj in with_grants
    ]
    address = ("--address", "vip=127.0.0.7", "--address-default-allowed", "vip", "--bind-address", "127.0.0.1")
    router = cluster.router(
        "--claims", "required", *address, "--transport-servers", "--namespace", other, rights=given
    ).start()
    told(cluster, "own", "Ok")
    assert exchange(own, address="127.0.0.7") == b"own:ping"
    told(cluster, "cross", "RefNotPermitted")
    assert "the permission to list referencegrants.gateway.networking.k8s.io" in router.log()
    (role,) = [
        obj
        for obj in with_grants
        if obj["metadata"]["name"].startswith("tcp-router-transport-servers-") and "rules" in obj
    ]
    cluster.client.patch("ClusterRole", "", role["metadata"]["name"], {"rules": role["rules"]})
    told(cluster, "cross", "Ok")
    assert exchange(port, address="127.0.0.7") == b"other:ping"


def test_who_lets_all_reads_no_grants(cluster: Cluster) -> None:
    """With the option nothing else is asked for."""
    assert cluster.server is not None
    port, other = free_port(), f"{cluster.namespace}-other"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    for obj in (service("db", 5432), *endpoint_slice("db", cluster.pod(b"other:"))):
        cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": other}})
    cluster.create(server("cross", port, pool={"serviceNamespace": other}))
    router = start(cluster, "--transport-servers", "--transport-server-cross-namespace", "--namespace", other)
    told(cluster, "cross", "Ok")
    assert exchange(port, address="127.0.0.7") == b"other:ping"
    paths = [request.path for request in requests_of(cluster.server, router)]
    assert any("transportservers" in path for path in paths)
    assert not [path for path in paths if "referencegrants" in path]


def test_a_folder_of_manifests_has_grants_too(make_router: Make, echo: TcpServer) -> None:
    """The file of the grant comes and goes, and the port with it."""
    port = free_port()
    address = ("--address", "vip=127.0.0.7", "--address-default-allowed", "vip", "--bind-address", "127.0.0.1")
    router = make_router("--transport-servers", *address)
    placed_in = {
        "team": [server("cross", port, pool={"serviceNamespace": "other"})],
        "other": [service("db", 5432), *endpoint_slice("db", (echo.address, echo.port))],
    }
    objects = [
        {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        for namespace, members in placed_in.items()
        for obj in members
    ]
    router.write("db.yaml", *objects)
    router.start()
    router.wait_for_row("team/cross", lambda row: row["reason"] == "RefNotPermitted", "it to be refused")
    assert is_refused(port, address="127.0.0.7")
    given = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "grant", "namespace": "other"},
        "spec": {
            "from": [{"group": "cis.f5.com", "kind": KIND, "namespace": "team"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
    router.write("grant.yaml", given)
    router.wait_admitted("team/cross")
    assert exchange(port, address="127.0.0.7") == b"ping"
    folder = str(router.manifests)
    assert invoke("check", "--transport-servers", *address, folder).exit_code == 0
    (router.manifests / "grant.yaml").unlink()
    router.wait_for_row("team/cross", lambda row: row["reason"] == "RefNotPermitted", "it to be refused again")
    wait_for(lambda: is_refused(port, address="127.0.0.7"), "the port to be closed")
    refused = invoke("check", "--transport-servers", *address, folder)
    assert refused.exit_code == 1
    assert "no ReferenceGrant in namespace other lets it" in refused.stdout + refused.stderr


def test_the_ports_of_porter_are_taken_over_as_they_are(cluster: Cluster, tmp_path: Path) -> None:
    """Imported, then served: every claim has the number that it had, and what is doubtful was told."""
    first, second, other = free_ports(3)
    kubeconfig = str(write_kubeconfig(tmp_path / "admin", cluster.client, "admin"))
    cluster.create(service("db", 5432), *endpoint_slice("db", cluster.pod(b"pod:")))
    for name, port, word in (("a-tsc", first, "Ok"), ("b-tsc", second, "OK"), ("c-tsc", second, "ERROR")):
        made = server(name, port)
        cluster.create(made, claim(name))
        cluster.client.patch(KIND, cluster.namespace, name, {"status": {"status": word}}, subresource="status")
        ported = {"status": {"address": "142.34.194.68", "port": str(port)}}
        cluster.client.patch("TransportServerClaim", cluster.namespace, name, ported, subresource="status")
    options = (
        "claims", "import", "--from-transportservers", "--kubeconfig", kubeconfig, "--lease-namespace", cluster.namespace,
        "--transport-server-claims", "--claim-ports", str(other),
    )  # fmt: skip
    dry = invoke(*options, "--dry-run")
    assert not cluster.client.list("PortClaim", cluster.namespace)
    done = invoke(*options)
    assert (done.exit_code, done.stdout) == (1, dry.stdout)
    assert done.stdout.splitlines() == sorted(
        f"reserved: tcp-router-imported-{port}: port {port}: TransportServerClaim {cluster.namespace}/{name}"
        for name, port in (("a-tsc", first), ("b-tsc", second))
    )
    assert f"doubtful: TransportServer {cluster.namespace}/c-tsc: its status is ERROR, and not Ok" in done.stderr
    again = invoke(*options)
    assert (again.exit_code, again.stdout) == (1, "")
    router = cluster.router(
        "--claims", "required", "--transport-server-claims", "--claim-ports", str(other), "--canonical-hostname", "tcp.example.com",
        rights=rights(cluster.namespace),
    )  # fmt: skip
    router.start()
    for name, port in (("a-tsc", first), ("b-tsc", second)):
        wait_for_claim(cluster, name, port)
        assert exchange(port) == b"pod:ping"
    assert status(cluster, "c-tsc", "TransportServerClaim") == {"address": "142.34.194.68", "port": str(second)}


def wait_for_claim(cluster: Cluster, name: str, port: int) -> None:
    """Wait until a claim is told that this router serves it, on this port."""
    said = {"address": "tcp.example.com", "port": str(port)}
    wait_for(
        lambda: said.items() <= status(cluster, name, "TransportServerClaim").items(), f"{said} in the status of {name}"
    )


def claim(name: str) -> Object:
    """Make a claim that Porter serves."""
    return {
        "apiVersion": "porter.devops.gov.bc.ca/v1alpha1",
        "kind": "TransportServerClaim",
        "metadata": {"name": name, "finalizers": [FINALIZER]},
        "spec": {"service": "db", "servicePort": 5432, "monitor": {"type": "tcp", "interval": 10, "timeout": 10}},
    }
