"""Gateways and TCPRoutes on a cluster, by the conformance suite's tests of them and with its strictness: statuses, and real traffic."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Make
from tests.e2e.test_runtime import reloads
from tests.support.cluster import Cluster
from tests.support.commands import invoke, write_manifests
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.kube.resources import TCP_ROUTES
from tests.support.level import metric
from tests.support.objects import app, endpoint_slice, service
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

ACCEPTED = ("True", "Accepted")
RESOLVED = ("True", "ResolvedRefs")
PROGRAMMED = ("True", "Programmed")
GOOD = {
    "Accepted": ACCEPTED,
    "Programmed": PROGRAMMED,
    "ResolvedRefs": RESOLVED,
    "Conflicted": ("False", "NoConflicts"),
}


@pytest.fixture
def gateways(cluster: Cluster) -> Gateways:
    """A class of the test's own."""
    if cluster.server is None:
        pytest.skip("the CRDs of the Gateway API are for whoever runs the cluster to install")
    return Gateways.on(cluster)


def listener(name: str, port: int, protocol: str = "TCP", **more: Any) -> dict[str, Any]:
    """Make a listener."""
    return {"name": name, "port": port, "protocol": protocol, **more}


def backend(name: str, port: int = 5432, **more: Any) -> dict[str, Any]:
    """Make a backendRef."""
    return {"name": name, "port": port, **more}


def give(cluster: Cluster, name: str) -> None:
    """Create a Service with a pod that answers with its name."""
    cluster.create(service(name), *endpoint_slice(name, cluster.pod(f"{name} ".encode())))


def answer(port: int) -> bytes:
    """Connect once, say something, and give what comes back before the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(b"ping")
            return client.recv(100)
        except ConnectionError:
            return b""


def test_a_class_is_accepted_and_followed(gateways: Gateways) -> None:
    """GatewayClassObservedGenerationBump: every class of our controller, at each generation, with what is supported in order."""
    gateways.router().start()
    told = gateways.class_is_told(gateways.class_name, Accepted=ACCEPTED)
    names = [each["name"] for each in told["status"]["supportedFeatures"]]
    assert {"Gateway", "TCPRoute", "ReferenceGrant"} <= set(names)
    assert names == sorted(names)
    gateways.create_class(f"{gateways.class_name}-b")
    gateways.class_is_told(f"{gateways.class_name}-b", Accepted=ACCEPTED)
    gateways.patch("GatewayClass", f"{gateways.class_name}-b", {"description": "new"}, "")
    assert gateways.class_is_told(f"{gateways.class_name}-b", Accepted=ACCEPTED)["metadata"]["generation"] == 2


def test_a_route_is_served_by_port_and_by_name_of_the_listener(gateways: Gateways) -> None:
    """TCPRouteParentRefPortAndSectionName: by port, by sectionName, by both; each port reaches its own backend."""
    cluster, ports = gateways.cluster, [free_port() for _ in range(3)]
    for name in ("a", "b", "c"):
        give(cluster, name)
    of_kind: dict[str, Any] = {"allowedRoutes": {"kinds": [{"kind": "TCPRoute"}], "namespaces": {"from": "Same"}}}
    gateways.create_gateway("gw", *(listener(f"l{number}", port, **of_kind) for number, port in enumerate(ports)))
    gateways.create_route("a", [{"name": "gw", "port": ports[0]}], [backend("a")])
    gateways.create_route("b", [{"name": "gw", "sectionName": "l1"}], [backend("b")])
    gateways.create_route("c", [{"name": "gw", "sectionName": "l2", "port": ports[2]}], [backend("c")])
    gateways.router().start()
    address, _ = gateways.accepted("gw", "a", "b", "c")
    assert address == "127.0.0.1"
    # Accepted is written after HAProxy serves it: no look is too early.
    assert [exchange(port) for port in ports] == [b"a ping", b"b ping", b"c ping"]


def test_a_route_without_section_is_served_by_all_listeners(gateways: Gateways) -> None:
    """TCPRouteParentRefAttachAll."""
    cluster, ports = gateways.cluster, [free_port() for _ in range(4)]
    give(cluster, "a")
    gateways.create_gateway("gw", *(listener(f"l{number}", port) for number, port in enumerate(ports)))
    gateways.create_route("a", [{"name": "gw"}], [backend("a")])
    gateways.router().start()
    gateways.accepted("gw", "a")
    assert [exchange(port) for port in ports] == [b"a ping"] * 4


def test_weights_are_followed_and_those_who_cannot_be_had_refuse_their_share(gateways: Gateways) -> None:
    """TCPRouteWeightedRouting, and the spec beyond it: 70, 30 and 0 of connections; then 30 of them refused, at no reload."""
    cluster, port = gateways.cluster, free_port()
    for name in ("a", "b", "c"):
        give(cluster, name)
    gateways.create_gateway("gw", listener("tcp", port))
    weights = [backend("a", weight=70), backend("b", weight=30), backend("c", weight=0)]
    gateways.create_route("r", [{"name": "gw"}], weights)
    router = gateways.router().start()
    gateways.accepted("gw", "r")
    got = Counter(answer(port) for _ in range(500))
    assert set(got) == {b"a ping", b"b ping"}
    assert got[b"a ping"] == pytest.approx(350, abs=25)
    before = reloads(router)
    cluster.client.delete("Service", cluster.namespace, "b")
    gateways.route_is_told("r", {"Accepted": ACCEPTED, "ResolvedRefs": ("False", "BackendNotFound")})
    got = Counter(answer(port) for _ in range(100))
    assert set(got) == {b"a ping", b""}
    assert got[b""] == pytest.approx(30, abs=3)
    assert reloads(router) == before


def test_the_oldest_route_has_the_port_and_no_connection_fails_when_another_comes(gateways: Gateways) -> None:
    """TCPRouteMultipleRoutesAttachment: both accepted, two attached, the older alone is served; 1 + 100 connections, and none fails."""
    cluster, port = gateways.cluster, free_port()
    give(cluster, "old")
    give(cluster, "new")
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("b-old", [{"name": "gw"}], [backend("old")])
    gateways.router().start()
    gateways.accepted("gw", "b-old")
    held = socket.create_connection(("127.0.0.1", port), timeout=10)
    created = gateways.get("TCPRoute", "b-old")["metadata"]["creationTimestamp"]
    wait_for(lambda: _now_is_after(gateways, created), "a second that is another")
    gateways.create_route("a-new", [{"name": "gw"}], [backend("new")])
    assert [answer(port) for _ in range(100)] == [b"old ping"] * 100
    serves = "tcp-router.openshift.io/Serves"
    gateways.route_is_told("b-old", {"Accepted": ACCEPTED, serves: ("True", "Served")})
    gateways.route_is_told("a-new", {"Accepted": ACCEPTED, serves: ("False", "OlderRouteIsServed")})
    gateways.listeners_are_told("gw", tcp={"kinds": ["TCPRoute"], "attached": 2, "conditions": GOOD})
    held.sendall(b"ping")
    assert held.recv(100) == b"old ping"
    held.close()
    cluster.client.delete("TCPRoute", cluster.namespace, "b-old")
    wait_for(lambda: answer(port) == b"new ping", "the younger to have it")


def _now_is_after(gateways: Gateways, created: str) -> bool:
    """Say whether what is created now is younger."""
    client, namespace = gateways.cluster.client, gateways.cluster.namespace
    client.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "clock", "namespace": namespace},
            "spec": {"ports": [{"port": 1}]},
        }
    )
    found = client.get("Service", namespace, "clock")
    client.delete("Service", namespace, "clock")
    return found is not None and found["metadata"]["creationTimestamp"] > created


def test_a_backend_that_is_not_there_is_told_on_the_route_alone(gateways: Gateways) -> None:
    """TCPRouteInvalidBackendRefNonexistent: BackendNotFound; route and Gateway are accepted, and the port accepts and closes."""
    port = free_port()
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("absent")])
    gateways.router().start()
    gateways.route_is_told("r", {"Accepted": ACCEPTED, "ResolvedRefs": ("False", "BackendNotFound")})
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    assert answer(port) == b""
    give(gateways.cluster, "absent")
    gateways.route_is_told("r", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED})
    wait_for(lambda: answer(port) == b"absent ping", "the backend that came")


def test_a_backend_of_another_namespace_needs_a_grant(gateways: Gateways) -> None:
    """TCPRouteInvalidCrossNamespaceBackendRef and TCPRouteReferenceGrant: no grant, or one of another kind, none; then traffic; then it is revoked."""
    cluster, port = gateways.cluster, free_port()
    other = f"{cluster.namespace}-other"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    for obj in (service("db"), *endpoint_slice("db", cluster.pod(b"db "))):
        cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": other}})
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("db", namespace=other)])
    router = gateways.router("--namespace", other)
    router.start()
    refused = {"Accepted": ACCEPTED, "ResolvedRefs": ("False", "RefNotPermitted")}
    gateways.route_is_told("r", refused)
    gateways.listeners_are_told("gw", tcp={"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD})
    assert answer(port) == b""

    def grant(kind: str) -> dict[str, Any]:
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ReferenceGrant",
            "metadata": {"name": "grant", "namespace": other},
            "spec": {
                "from": [{"group": GROUP, "kind": kind, "namespace": cluster.namespace}],
                "to": [{"group": "", "kind": "Service", "name": "db"}],
            },
        }

    cluster.client.create(grant("TLSRoute"))
    gateways.route_is_told("r", refused)
    cluster.client.patch("ReferenceGrant", other, "grant", {"spec": grant("TCPRoute")["spec"]})
    gateways.route_is_told("r", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED})
    assert exchange(port) == b"db ping"
    cluster.client.delete("ReferenceGrant", other, "grant")
    gateways.route_is_told("r", refused)
    assert answer(port) == b""


def test_a_route_is_refused_by_listeners_of_other_kinds_and_namespaces(gateways: Gateways) -> None:
    """TCPRouteInvalidNonTCPListener's reason, and the order of reasons: no such listener, none that takes it."""
    cluster, port = gateways.cluster, free_port()
    give(cluster, "a")
    of_nobody = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"nobody": "has-it"}}}}
    gateways.create_gateway(
        "gw", listener("web", 80, "HTTP"), listener("tcp", port), listener("far", free_port(), allowedRoutes=of_nobody)
    )
    gateways.create_route("web", [{"name": "gw", "sectionName": "web"}], [backend("a")])
    gateways.create_route("gone", [{"name": "gw", "sectionName": "gone"}], [backend("a")])
    gateways.create_route("far", [{"name": "gw", "sectionName": "far"}], [backend("a")])
    gateways.create_route("both", [{"name": "gw", "sectionName": "tcp"}, {"name": "gw", "port": 1}], [backend("a")])
    gateways.router().start()
    gateways.route_is_told("web", {"Accepted": ("False", "NotAllowedByListeners"), "ResolvedRefs": RESOLVED})
    gateways.route_is_told("gone", {"Accepted": ("False", "NoMatchingParent")})
    gateways.route_is_told("far", {"Accepted": ("False", "NotAllowedByListeners")})
    gateways.route_is_told("both", {"Accepted": ACCEPTED}, {"Accepted": ("False", "NoMatchingParent")})
    gateways.listeners_are_told(
        "gw",
        web={"kinds": [], "attached": 0, "conditions": {"Accepted": ("False", "UnsupportedProtocol")}},
        tcp={"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD},
        far={"kinds": ["TCPRoute"], "attached": 0, "conditions": GOOD},
    )
    cluster.client.patch("Namespace", "", cluster.namespace, {"metadata": {"labels": {"nobody": "has-it"}}})
    gateways.route_is_told("far", {"Accepted": ACCEPTED})


def test_a_gateway_without_any_good_listener_is_not_accepted(gateways: Gateways) -> None:
    """GatewayListenerUnsupportedProtocol: alone it takes its Gateway along, beside a good one it does not."""
    port = free_port()
    gateways.create_gateway("bad", listener("invalid", 1111, "INVALID"))
    gateways.create_gateway("half", listener("tcp", port), listener("invalid", 1111, "INVALID"))
    gateways.router().start()
    unsupported = {"kinds": [], "attached": 0, "conditions": {"Accepted": ("False", "UnsupportedProtocol")}}
    gateways.gateway_is_told("bad", Accepted=("False", "ListenersNotValid"), Programmed=("False", "Invalid"))
    gateways.listeners_are_told("bad", invalid=unsupported)
    gateways.gateway_is_told("half", Accepted=("True", "ListenersNotValid"), Programmed=PROGRAMMED)
    gateways.listeners_are_told(
        "half", tcp={"kinds": ["TCPRoute"], "attached": 0, "conditions": GOOD}, invalid=unsupported
    )


def test_kinds_of_routes_that_a_listener_cannot_have_are_told(gateways: Gateways) -> None:
    """GatewayInvalidRouteKind: no kind left, or the good one."""
    kinds = [{"kind": "InvalidRoute"}, {"kind": "TCPRoute"}]
    gateways.create_gateway(
        "gw",
        listener("none", free_port(), allowedRoutes={"kinds": kinds[:1]}),
        listener("one", free_port(), allowedRoutes={"kinds": kinds}),
    )
    gateways.router().start()
    bad = {"ResolvedRefs": ("False", "InvalidRouteKinds")}
    gateways.listeners_are_told(
        "gw",
        none={"kinds": [], "attached": 0, "conditions": bad},
        one={"kinds": ["TCPRoute"], "attached": 0, "conditions": bad},
    )


def test_a_gateway_with_parameters_is_not_accepted(gateways: Gateways) -> None:
    """GatewayInvalidParametersRef."""
    port = free_port()
    ref = {"group": "invalid.io", "kind": "Thing", "name": "x"}
    gateways.create_gateway("gw", listener("tcp", port), infrastructure={"parametersRef": ref})
    gateways.router().start()
    gateways.gateway_is_told("gw", Accepted=("False", "InvalidParameters"), Programmed=("False", "Invalid"))
    assert is_refused(port)


def test_listeners_come_and_go(gateways: Gateways) -> None:
    """GatewayModifyListeners and GatewayObservedGenerationBump: the status has just those of the spec, and their ports are open."""
    cluster, ports = gateways.cluster, [free_port(), free_port()]
    give(cluster, "a")
    gateways.create_gateway("gw", listener("one", ports[0]))
    gateways.create_route("a", [{"name": "gw"}], [backend("a")])
    gateways.router().start()
    good = {"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD}
    gateways.listeners_are_told("gw", one=good)
    gateways.patch("Gateway", "gw", {"listeners": [listener("one", ports[0]), listener("two", ports[1])]})
    gateways.listeners_are_told("gw", one=good, two=good)
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    assert exchange(ports[1]) == b"a ping"
    gateways.patch("Gateway", "gw", {"listeners": [listener("two", ports[1])]})
    gateways.listeners_are_told("gw", two=good)
    wait_for(lambda: is_refused(ports[0]), "the port to be closed")


def test_protocols_that_do_not_share_a_port_all_lose(gateways: Gateways) -> None:
    """The API's rule for conflicts inside one Gateway."""
    port = free_port()
    gateways.create_gateway(
        "gw",
        listener("tcp", port),
        listener("tls", port, "TLS", tls={"mode": "Passthrough"}),
        listener("ok", free_port()),
    )
    gateways.router().start()
    conflict = ("False", "ProtocolConflict")
    told = gateways.gateway_is_told("gw", Accepted=("True", "ListenersNotValid"))
    of = {
        each["name"]: {c["type"]: (c["status"], c["reason"]) for c in each["conditions"]}
        for each in told["status"]["listeners"]
    }
    assert of["tcp"]["Accepted"] == conflict
    assert of["tcp"]["Conflicted"] == ("True", "ProtocolConflict")
    assert of["ok"]["Programmed"] == PROGRAMMED
    assert is_refused(port)


def test_a_port_that_a_route_or_another_gateway_holds_is_told(gateways: Gateways) -> None:
    """Listeners, Routes and Services have one order: who came later is told whose the port is, and has it when that goes."""
    cluster, ports = gateways.cluster, [free_port(), free_port()]
    cluster.create(*app("holder", ports[0], cluster.pod(b"route ")))
    router = gateways.router().start()
    cluster.wait_for_conditions("holder", Admitted="True", PortClaimed="True")
    give(cluster, "a")
    gateways.create_gateway("gw", listener("taken", ports[0]), listener("own", ports[1]))
    gateways.create_route("a", [{"name": "gw"}], [backend("a")])
    lost = {
        "Accepted": ("False", "PortUnavailable"),
        "Programmed": ("False", "Invalid"),
        "Conflicted": ("True", "PortAlreadyClaimed"),
    }
    gateways.listeners_are_told(
        "gw",
        taken={"kinds": ["TCPRoute"], "attached": 1, "conditions": lost},
        own={"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD},
    )
    gateways.gateway_is_told("gw", Accepted=("True", "ListenersNotValid"), Programmed=PROGRAMMED)
    assert exchange(ports[0]) == b"route ping"
    assert exchange(ports[1]) == b"a ping"
    wait_for(lambda: f"{cluster.namespace}/gw" in "".join(router.ports()), "a row of /ports")
    cluster.client.delete("Route", cluster.namespace, "holder")
    gateways.listeners_are_told(
        "gw",
        taken={"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD},
        own={"kinds": ["TCPRoute"], "attached": 1, "conditions": GOOD},
    )
    assert exchange(ports[0]) == b"a ping"


def test_addresses_are_chosen_and_told(gateways: Gateways) -> None:
    """GatewayStaticAddresses and GatewayOptionalAddressValue, with the addresses of --address."""
    port = free_port()
    gateways.create_gateway(
        "gw",
        listener("tcp", port),
        addresses=[
            {"type": "example.com/fake", "value": "fake"},
            {"type": "IPAddress", "value": "192.0.2.1"},
            {"type": "IPAddress", "value": "127.0.0.9"},
        ],
    )
    gateways.router("--address", "own=127.0.0.9", "--address-default-allowed", "own").start()
    gateways.gateway_is_told("gw", Accepted=("False", "UnsupportedAddress"))
    addresses = gateways.get("Gateway", "gw")["spec"]["addresses"]
    gateways.patch("Gateway", "gw", {"addresses": addresses[1:]})
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=("False", "AddressNotUsable"))
    gateways.patch("Gateway", "gw", {"addresses": addresses[2:]})
    told = gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    assert told["status"]["addresses"] == [{"type": "IPAddress", "value": "127.0.0.9"}]
    gateways.patch("Gateway", "gw", {"addresses": [{"type": "IPAddress"}]})
    told = gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    assert told["status"]["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]


def test_a_gateway_with_a_name_of_full_length_is_served(gateways: Gateways) -> None:
    """GatewayNameMaximumLength: 253 characters, and traffic."""
    port, name = free_port(), ".".join(["g" * 50] * 4 + ["g" * 49])
    assert len(name) == 253
    give(gateways.cluster, "a")
    gateways.create_gateway(name, listener("l" * 63, port))
    gateways.create_route("a", [{"name": name}], [backend("a")])
    gateways.router().start()
    gateways.accepted(name, "a")
    assert exchange(port) == b"a ping"


def test_kinds_that_the_server_has_not_are_not_waited_for_and_may_come_later(gateways: Gateways) -> None:
    """Without TCPRoutes Routes are served at once, and Gateways told; when the CRD comes its routes are served."""
    cluster, ports = gateways.cluster, [free_port(), free_port()]
    assert cluster.server is not None
    give(cluster, "a")
    cluster.create(*app("db", ports[0], cluster.pod(b"route ")))
    gateways.create_gateway("gw", listener("tcp", ports[1]))
    gateways.create_route("a", [{"name": "gw"}], [backend("a")])
    cluster.server.set_custom(TCP_ROUTES, there=False)
    gateways.router().start()
    assert exchange(ports[0]) == b"route ping"
    gateways.listeners_are_told("gw", tcp={"kinds": ["TCPRoute"], "attached": 0, "conditions": GOOD})
    cluster.server.set_custom(TCP_ROUTES, there=True)
    gateways.accepted("gw", "a")
    assert exchange(ports[1]) == b"a ping"


def test_what_others_say_stays_and_what_we_said_is_taken_back(gateways: Gateways) -> None:
    """Another controller's parents entry and foreign conditions are kept as they are; our entry goes with the parentRef."""
    cluster, port = gateways.cluster, free_port()
    give(cluster, "a")
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("a", [{"name": "gw"}, {"name": "foreign"}], [backend("a")])
    condition = {
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "by others",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    }  # fmt: skip
    foreign = {
        "parentRef": {"group": GROUP, "kind": "Gateway", "name": "foreign"},
        "controllerName": "example.com/other",
        "conditions": [condition],
    }
    root = f"/apis/{GROUP}/v1/namespaces/{cluster.namespace}"
    cluster.client.ask(
        "PATCH", f"{root}/tcproutes/a/status", {"status": {"parents": [foreign]}}, "application/merge-patch+json"
    )
    gateways.router().start()
    told = gateways.route_is_told("a", {"Accepted": ACCEPTED})
    assert foreign in told["status"]["parents"]
    conditions = gateways.gateway_is_told("gw", Accepted=ACCEPTED)["status"]["conditions"]
    conditions.append({**condition, "type": "example.com/Seen"})
    cluster.client.ask(
        "PATCH", f"{root}/gateways/gw/status", {"status": {"conditions": conditions}}, "application/merge-patch+json"
    )
    gateways.patch("TCPRoute", "a", {"parentRefs": [{"name": "foreign"}]})
    wait_for(lambda: gateways.get("TCPRoute", "a")["status"]["parents"] == [foreign], "our entry to go")
    told = wait_for(
        lambda: (g := gateways.get("Gateway", "gw"))["status"]["listeners"][0]["attachedRoutes"] == 0 and g,
        "nobody attached",
    )
    assert {**condition, "type": "example.com/Seen"} in told["status"]["conditions"]


def of_folder(port: int) -> list[dict[str, Any]]:
    """Make a class, a Gateway and two routes, of which one leads to nobody, as manifests have them."""
    version = {"apiVersion": f"{GROUP}/v1"}
    return [
        {
            **version,
            "kind": "GatewayClass",
            "metadata": {"name": "tcp"},
            "spec": {"controllerName": "tcp-router.openshift.io/gateway"},
        },
        {
            **version,
            "kind": "Gateway",
            "metadata": {"name": "gw", "namespace": "team"},
            "spec": {"gatewayClassName": "tcp", "listeners": [listener("l", port)]},
        },
        {
            **version,
            "kind": "TCPRoute",
            "metadata": {"name": "a", "namespace": "team"},
            "spec": {
                "parentRefs": [{"name": "gw"}],
                "rules": [{"backendRefs": [backend("db"), backend("gone", weight=0)]}],
            },
        },
    ]


def test_a_folder_of_manifests_has_gateways_too(make_router: Make, echo: TcpServer, tmp_path: Path) -> None:
    """Without an API server listeners are served, and the log says what objects would be told; without the option they are not judged, which check says."""
    port = free_port()
    objects = [*of_folder(port), service("db"), *endpoint_slice("db", (echo.address, echo.port))]
    router = make_router("--gateway-api", "on")
    write_manifests(router.manifests, *objects)
    router.start()
    wait_for(lambda: exchange(port) == b"ping", "the port to be served")
    assert "ResolvedRefs is False (BackendNotFound): Service team/gone does not exist" in router.log()
    folder = write_manifests(tmp_path / "folder", *objects)
    checked = invoke("check", "--gateway-api", "on", folder)
    assert checked.exit_code == 1
    assert "told: TCPRoute team/a: parent gw: ResolvedRefs is False (BackendNotFound)" in checked.stdout
    checked = invoke("check", "--gateway-api", "on", "--gateway-controller", "example.com/x", folder)
    assert "left alone: Gateway team/gw: there is no GatewayClass tcp of this router" in checked.stdout
    assert "not judged: 1 of kind Gateway, 1 of kind TCPRoute: --gateway-api is off" in invoke("check", folder).stdout


def test_a_listener_on_a_pool_port_needs_no_reload(gateways: Gateways) -> None:
    """A Gateway that comes while the router runs has its port open at once, and closed when it goes."""
    port = free_port()
    give(gateways.cluster, "a")
    router = gateways.router("--port-pool", str(port)).start()
    before = reloads(router)
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("a", [{"name": "gw"}], [backend("a")])
    gateways.accepted("gw", "a")
    assert exchange(port) == b"a ping"
    gateways.cluster.client.delete("Gateway", gateways.cluster.namespace, "gw")
    wait_for(lambda: is_refused(port), "the port to be closed")
    assert reloads(router) == before


def test_events_tell_what_became_of_listeners_and_routes(gateways: Gateways) -> None:
    """On the Gateway and on the route, once; the metrics count them."""
    cluster, port = gateways.cluster, free_port()
    give(cluster, "a")
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    router = gateways.router().start()
    gateways.accepted("gw", "r")
    gateways.create_gateway("late", listener("tcp", port))
    gateways.create_route("lost", [{"name": "gw"}], [backend("gone")])

    def told() -> set[tuple[str, str, str, str]]:
        events = cluster.client.list("Event", cluster.namespace)
        of = [(each["regarding"], each) for each in events if each["regarding"]["apiVersion"] == f"{GROUP}/v1"]
        return {(about["kind"], about["name"], event["type"], event["reason"]) for about, event in of}

    wanted = {
        ("Gateway", "gw", "Normal", "Programmed"),
        ("TCPRoute", "r", "Normal", "Served"),
        ("Gateway", "late", "Warning", "PortUnavailable"),
        ("TCPRoute", "lost", "Warning", "BackendNotFound"),
    }
    wait_for(lambda: wanted <= told(), f"Events {wanted}")
    assert told() == wanted
    created = 'tcp_router_events_total{result="created"}'
    wait_for(lambda: (metric(router, created) or 0) >= len(wanted), "all of them to be counted")
