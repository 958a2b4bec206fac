"""TransportServerClaims on the API server of the tests: to traffic, and back to their status; on ports that stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Make
from tests.e2e.test_rights import granted, requests_of, rights_of
from tests.support.cluster import Cluster, http_cluster
from tests.support.kube.rbac import RBAC_FILE, placed
from tests.support.level import metric
from tests.support.objects import ANNOTATIONS, endpoint_slice, service
from tests.support.ports import free_ports
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

KIND = "TransportServerClaim"
FINALIZER = "porter.devops.gov.bc.ca/finalizer"
COMPONENT = RBAC_FILE.parents[1] / "components" / "transport-server-claims" / "rbac.yaml"
ADDRESS = "142.34.194.68"
Object = dict[str, Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as made:
        yield made


def claim(name: str = "yourservice-tsc", target: str = "yourservice", **more: Any) -> Object:
    """Make the document's own claim; ``more`` are fields of its spec."""
    monitor = {"interval": 10, "timeout": 10, "type": "tcp"}
    return {
        "apiVersion": "porter.devops.gov.bc.ca/v1alpha1",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"monitor": monitor, "service": target, "servicePort": 8000, **more},
    }


def rights(namespace: str) -> list[Object]:
    """Give the objects of both files, for routers of two names that live in this namespace."""
    texts = [path.read_text() for path in (RBAC_FILE, COMPONENT)]
    objects = placed([obj for text in texts for obj in yaml.safe_load_all(text) if obj], namespace, "tcp-router")
    for rule in [rule for obj in objects for rule in obj.get("rules", ())]:
        if rule.get("resourceNames") == ["tcp-router"]:
            rule["resourceNames"] = ["tcp-router", "second"]
    return objects


def start(cluster: Cluster, ports: tuple[int, ...], *options: str, name: str = "tcp-router") -> RouterProcess:
    """Start a router that serves claims."""
    given = ",".join(map(str, ports))
    serving = ("--transport-server-claims", "--claim-ports", given, "--port-pool", given)
    more = ("--claims", "required", "--canonical-hostname", ADDRESS, "--auto-ports-cooldown", "0")
    return cluster.router(*more, *serving, *options, rights=rights(cluster.namespace), name=name).start()


def status(cluster: Cluster, name: str = "yourservice-tsc") -> Object:
    """Give a claim's status."""
    found = cluster.client.get(KIND, cluster.namespace, name)
    return dict((found or {}).get("status") or {})


def conditions(cluster: Cluster, name: str = "yourservice-tsc") -> dict[str, Object]:
    """Give a claim's conditions by type."""
    return {each["type"]: each for each in status(cluster, name).get("conditions") or ()}


def ready(cluster: Cluster, reason: str, name: str = "yourservice-tsc") -> Object:
    """Wait until the condition Ready has this reason; give the status."""
    wait_for(lambda: conditions(cluster, name).get("Ready", {}).get("reason") == reason, f"{reason} of {name}")
    return status(cluster, name)


def events(cluster: Cluster, reason: str) -> list[Object]:
    """Give the Events of a reason about claims."""
    found = cluster.client.list("Event", cluster.namespace)
    return [each for each in found if each["reason"] == reason and each["regarding"]["kind"] == KIND]


def check_rights(cluster: Cluster, router: RouterProcess, component: Path, *others: Path) -> None:
    """A router used all rights of a component, and beside these none but those of other components and of every router."""
    assert cluster.server is not None
    requests = requests_of(cluster.server, router)
    assert granted([component]) <= rights_of(requests) <= granted([component, *others]) | granted()
    assert not [request for request in requests if request.status == 403]


def test_a_claim_is_served_told_and_keeps_its_port(cluster: Cluster) -> None:
    """Traffic, address and port, Events; the Service goes and comes back, the router too; the claim's end gives the port up."""
    ports = free_ports(3)
    router = start(cluster, ports)
    cluster.create(service("yourservice", 8000), *endpoint_slice("yourservice", cluster.pod(b"pod:")), claim())
    told = ready(cluster, "Served")
    port = int(told["port"])
    assert port in ports
    assert (told["address"], told["port"]) == (ADDRESS, str(port))
    assert exchange(port) == b"pod:ping"
    admitted = conditions(cluster)["Admitted"]
    assert (admitted["status"], admitted["message"]) == ("True", f"tcp-router: has port {port}")
    (event,) = wait_for(lambda: events(cluster, "Admitted"), "the Event") or []
    assert event["note"] == f"served on {ADDRESS}:{port}"
    row = router.ports()[f"{cluster.namespace}/yourservice-tsc"]
    assert (row["kind"], row["port"], row["verdict"]) == (KIND, port, "admitted")
    assert metric(router, "tcp_router_claim_ports") == 3
    assert metric(router, "tcp_router_claim_ports_free") == 2

    cluster.client.delete("Service", cluster.namespace, "yourservice")
    assert ready(cluster, "ServiceNotFound")["port"] == str(port)
    gone = conditions(cluster)["Ready"]
    assert gone["message"] == f"Service {cluster.namespace}/yourservice does not exist"
    wait_for(lambda: events(cluster, "NoEndpoints"), "the Event of the missing Service")
    router.stop()
    router.start()
    cluster.create(service("yourservice", 8000))
    assert ready(cluster, "Served")["port"] == str(port)
    wait_for(lambda: exchange(port) == b"pod:ping", "traffic on the same port")
    cluster.client.delete(KIND, cluster.namespace, "yourservice-tsc")
    wait_for(lambda: is_refused(port), "the port to be closed")
    wait_for(lambda: not cluster.client.list("PortClaim", cluster.namespace), "the PortClaim to be given up")
    check_rights(cluster, router, COMPONENT)


def test_what_a_claim_cannot_have_is_told_on_it(cluster: Cluster) -> None:
    """A port of the Service that there is not, and one that is UDP; the number that was asked for is somebody else's."""
    ports = free_ports(5)
    start(cluster, ports)
    dns = service("dns", 53)
    dns["spec"]["ports"][0]["protocol"] = "UDP"
    cluster.create(service("yourservice", 8000), *endpoint_slice("yourservice", cluster.pod(b"pod:")), dns)
    wanted = sorted(ports)[2]
    cluster.create(claim("first", requestedPort=wanted))
    assert ready(cluster, "Served", "first")["port"] == str(wanted)
    assert conditions(cluster, "first")["RequestedPort"]["status"] == "True"
    cluster.create(
        claim("second", requestedPort=wanted), claim("missing", servicePort="grpc"), claim("udp", "dns", servicePort=53)
    )
    assert ready(cluster, "Served", "second")["port"] != str(wanted)
    other = conditions(cluster, "second")["RequestedPort"]
    assert (other["status"], other["reason"]) == ("False", "OtherPortGiven")
    assert f"port {wanted} was not free" in other["message"]
    assert ready(cluster, "ServicePortNotFound", "missing")["port"]
    assert ready(cluster, "ServicePortNotTCP", "udp")["port"]
    wait_for(lambda: events(cluster, "OtherPortGiven"), "the Event")
    wait_for(
        lambda: any("is 'UDP'" in each["note"] for each in events(cluster, "ServedWithWarning")), "the Event of UDP"
    )


def test_two_routers_divide_claims_and_one_of_porters_is_left_alone(cluster: Cluster) -> None:
    """By the annotation router-name; what Porter serves gets an Event and nothing else, and what others say in a status stays."""
    ports, others = free_ports(2), free_ports(2)
    cluster.create(service("yourservice", 8000), *endpoint_slice("yourservice", cluster.pod(b"pod:")))
    named = claim("named")
    named["metadata"]["annotations"] = {f"{ANNOTATIONS}router-name": "second"}
    porters = claim("porters")
    porters["metadata"]["finalizers"] = [FINALIZER]
    cluster.create(porters)
    running = {"type": "Running", "status": "True", "reason": "Successful", "message": "Awaiting next reconciliation"}
    theirs = {"address": "142.34.64.62", "port": "36760", "conditions": [running]}
    cluster.client.patch(KIND, cluster.namespace, "porters", {"status": theirs}, subresource="status")
    start(cluster, ports)
    start(cluster, others, "--transport-server-claims=named", name="second")
    cluster.create(claim(), named)
    assert int(ready(cluster, "Served")["port"]) in ports
    assert int(ready(cluster, "Served", "named")["port"]) in others
    assert conditions(cluster, "named")["Admitted"]["message"].startswith("second: ")
    wait_for(lambda: events(cluster, "LeftToOthers"), "the Event")
    assert status(cluster, "porters") == theirs
    cluster.client.patch(KIND, cluster.namespace, "porters", {"metadata": {"finalizers": None}})
    told = ready(cluster, "Served", "porters")
    assert int(told["port"]) in ports
    assert told["conditions"][0] == running


def test_a_cluster_without_the_kind_serves_everything_else_until_it_comes(cluster: Cluster) -> None:
    """Told in the log; the kind is applied while the router runs."""
    assert cluster.server is not None
    cluster.server.has_server_claims = False
    ports = free_ports(2)
    router = start(cluster, ports)
    wait_for(lambda: "this cluster has no TransportServerClaims" in router.log(), "the log to say so")
    assert router.is_ready()
    cluster.server.has_server_claims = True
    cluster.create(service("yourservice", 8000), *endpoint_slice("yourservice", cluster.pod(b"pod:")), claim())
    assert int(ready(cluster, "Served")["port"]) in ports


def reserved(cluster: Cluster, port: int, name: str) -> Object:
    """Make a PortClaim that reserves a port for a claim."""
    holder = {"group": "porter.devops.gov.bc.ca", "kind": KIND, "namespace": cluster.namespace, "name": name}
    return {
        "apiVersion": "tcp-router.openshift.io/v1alpha1",
        "kind": "PortClaim",
        "metadata": {"name": f"for-{name}"},
        "spec": {"ledger": "tcp-router", "port": port, "origin": "Reserved", "holder": holder},
    }


def test_a_claim_waits_for_the_port_that_two_clusters_agree_on(cluster: Cluster) -> None:
    """Told as Pairing; the port that is reserved for it is its own, and without any it is served alone after a while."""
    ports = free_ports(4)
    cluster.create(service("yourservice", 8000), *endpoint_slice("yourservice", cluster.pod(b"pod:")))
    router = start(cluster, ports, "--claims-wait-for-pair", "all", "--pair-wait", "10m")
    cluster.create(claim())
    assert "port" not in ready(cluster, "Pairing")
    assert conditions(cluster)["Pairing"]["status"] == "True"
    agreed = sorted(ports)[1]
    cluster.create(reserved(cluster, agreed, "yourservice-tsc"))
    assert ready(cluster, "Served")["port"] == str(agreed)
    assert "Pairing" not in conditions(cluster)
    assert exchange(agreed) == b"pod:ping"
    cluster.create(claim("alone"))
    ready(cluster, "Pairing", "alone")
    router.stop()
    start(cluster, ports, "--claims-wait-for-pair", "all", "--pair-wait", "1s")
    assert int(ready(cluster, "Served", "alone")["port"]) in ports
    assert ready(cluster, "Served")["port"] == str(agreed)


def test_claims_of_a_folder_keep_their_ports_over_a_restart(make_router: Make, echo: TcpServer) -> None:
    """Given at once; a claim that is mistaken, or asks for another number, has its port all the same, and a hostile one costs only itself."""
    ports = free_ports(4)
    options = ("--transport-server-claims", "--claim-ports", ",".join(map(str, ports)), "--allow-loopback-endpoints")
    router = make_router(*options)
    placed_in = {"namespace": "team"}
    claims = [claim(name, requestedPort=number) for name, number in (("a", None), ("b", sorted(ports)[2]))]
    for each in claims:
        each["metadata"] |= placed_in
    router.write("app.yaml", service("yourservice", 8000), *endpoint_slice("yourservice", (echo.address, echo.port)))
    router.write("claims.yaml", *claims)
    router.start()
    router.wait_admitted("team/a", "team/b")
    given = {name: router.ports()[f"team/{name}"]["port"] for name in ("a", "b")}
    assert given["b"] == sorted(ports)[2]
    assert {exchange(port) for port in given.values()} == {b"ping"}
    specs: tuple[Any, ...] = (7, [], {"service": "../x"}, {"service": "yourservice", "servicePort": 1e9}, None)
    odd = [{**claim(f"odd-{number}"), "spec": spec} for number, spec in enumerate(specs)]
    for each in odd:
        each["metadata"] |= placed_in
    claims[0]["spec"]["servicePort"] = "no-such-port"
    claims[1]["spec"]["monitor"] = "often"
    router.write("claims.yaml", *claims, *odd)
    for name in ("b", *(f"odd-{number}" for number in range(5))):
        router.wait_for_row(f"team/{name}", lambda row: row["reason"] == "InvalidSpec", "it to be refused")
    assert "has no port named 'no-such-port'" in router.ports()["team/a"]["warnings"][0]
    router.stop()
    router.start()
    del claims[1]["spec"]["monitor"]
    claims[0]["spec"]["servicePort"] = 8000
    router.write("claims.yaml", *claims, *odd)
    router.wait_admitted("team/a", "team/b")
    assert {name: router.ports()[f"team/{name}"]["port"] for name in ("a", "b")} == given
    for port in given.values():
        wait_for(lambda port=port: exchange(port) == b"ping", "traffic again")  # type: ignore[misc]  # a loop's variable
