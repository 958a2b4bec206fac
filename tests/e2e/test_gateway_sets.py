"""ListenerSets on a cluster, by the conformance suite's tests of them and with its strictness; and traffic, which that sends by HTTP alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.test_gateway_api import ACCEPTED, GOOD, PROGRAMMED, RESOLVED, answer, backend, gateways, give, listener
from tests.e2e.test_gateway_http import create_secret, grant, https
from tests.e2e.test_gateway_terminate import ends, keep, shows
from tests.e2e.test_gateway_tls import as_grant, pods, tls, to
from tests.e2e.test_runtime import reloads
from tests.support.certificates import make
from tests.support.clients import reached
from tests.support.commands import invoke, write_manifests
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.kube.resources import LISTENER_SETS
from tests.support.objects import app, endpoint_slice, service
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.router_process import http_get
from tests.support.waiting import wait_for

__all__ = ["gateways", "pods"]

GATEWAY = {"name": "gw"}
NOT_ALLOWED = {"Accepted": ("False", "NotAllowed"), "Programmed": ("False", "NotAllowed")}
TAKEN = {"Accepted": ACCEPTED, "Programmed": PROGRAMMED}
PARTLY = {"Accepted": ("True", "ListenersNotValid"), "Programmed": PROGRAMMED}
INVALID = {"Accepted": ("False", "ListenersNotValid"), "Programmed": ("False", "ListenersNotValid")}


def allowing(which: str, **selector: Any) -> dict[str, Any]:
    """Give ``allowedListeners`` of a Gateway."""
    return {"namespaces": {"from": which, **({"selector": selector} if selector else {})}}


def ref(name: str, section: str | None = None, **more: Any) -> dict[str, Any]:
    """Make a parentRef to a ListenerSet."""
    section_name = {"sectionName": section} if section is not None else {}
    return {"group": GROUP, "kind": "ListenerSet", "name": name, **section_name, **more}


def conflict(reason: str, kinds: list[str], attached: int = 0) -> dict[str, Any]:
    """Give what a listener is told that gives way to another."""
    lost = ("False", reason)
    conditions = {"Accepted": lost, "Programmed": lost, "Conflicted": ("True", reason)}
    return {"kinds": kinds, "attached": attached, "conditions": conditions}


def good(*kinds: str, attached: int = 0) -> dict[str, Any]:
    """Give what a listener is told that has what it asks for."""
    return {"kinds": list(kinds), "attached": attached, "conditions": GOOD}


def other_namespace(gateways: Gateways, name: str = "other", **labels: str) -> str:
    """Create a namespace beside the test's own, and give its name."""
    full = f"{gateways.cluster.namespace}-{name}"
    gateways.cluster.client.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": full, "labels": labels}}
    )
    return full


def give_in(gateways: Gateways, namespace: str, name: str) -> None:
    """Create a Service with a pod that answers with its name, in another namespace."""
    pod = gateways.cluster.pod(f"{name} ".encode())
    for obj in (service(name), *endpoint_slice(name, pod)):
        gateways.cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": namespace}})


@pytest.mark.parametrize(
    ("allowed", "own", "other"),
    [(None, False, False), ("None", False, False), ("Same", True, False), ("Selector", False, True), ("All", True, True)],
)  # fmt: skip
def test_a_gateway_takes_sets_of_the_namespaces_that_it_says(
    gateways: Gateways, allowed: str | None, *, own: bool, other: bool
) -> None:
    """ListenerSetDefaultNotAllowed, -AllowedNamespaceNone, -Same and -Selector: statuses, the count, and which ports are open."""
    there, ports = other_namespace(gateways, takes="sets"), [free_port(), free_port(), free_port()]
    match = {"matchLabels": {"takes": "sets"}} if allowed == "Selector" else {}
    spec: dict[str, Any] = {"allowedListeners": allowing(allowed, **match)} if allowed is not None else {}
    gateways.create_gateway("gw", listener("own", ports[0]), **spec)
    gateways.create_set("mine", GATEWAY, listener("tcp", ports[1]))
    gateways.create_set(
        "theirs", {**GATEWAY, "namespace": gateways.cluster.namespace}, listener("tcp", ports[2]), namespace=there
    )
    gateways.router("--namespace", there).start()
    for name, namespace, is_taken, port in (("mine", None, own, ports[1]), ("theirs", there, other, ports[2])):
        gateways.set_is_told(name, TAKEN if is_taken else NOT_ALLOWED, namespace)
        listeners = {"tcp": good("TCPRoute")} if is_taken else {}
        gateways.set_listeners_are_told(name, namespace, **listeners)
        assert is_refused(port) is not is_taken
    gateways.has_sets("gw", own + other)
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    gateways.listeners_are_told("gw", own=good("TCPRoute"))


def test_routes_are_reached_by_a_set(gateways: Gateways) -> None:
    """Of the set's namespace, by listener or all of them; those of the Gateway are other listeners, and neither is reached by the other's."""
    there, ports = other_namespace(gateways), [free_port(), free_port(), free_port()]
    own = gateways.cluster.namespace
    give(gateways.cluster, "central")
    give_in(gateways, there, "team")
    gateways.create_gateway("gw", listener("tcp", ports[0]), allowedListeners=allowing("All"))
    listeners = [listener("tcp", ports[1]), listener("more", ports[2])]
    gateways.create_set("set", {**GATEWAY, "namespace": own}, *listeners, namespace=there)
    gateways.create_route("central", [GATEWAY, ref("set", "tcp", namespace=there)], [backend("central")])
    gateways.create_route("all", [ref("set")], [backend("team")], namespace=there)
    gateways.create_route("one", [ref("set", "tcp"), ref("set", "none")], [backend("team")], namespace=there)
    router = gateways.router("--namespace", there).start()
    refused, missing = ({"Accepted": ("False", each)} for each in ("NotAllowedByListeners", "NoMatchingParent"))
    gateways.route_is_told("central", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED}, refused)
    gateways.route_is_told("all", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED}, namespace=there)
    gateways.route_is_told("one", {"Accepted": ACCEPTED}, missing, namespace=there)
    gateways.listeners_are_told("gw", tcp=good("TCPRoute", attached=1))
    gateways.set_listeners_are_told("set", there, tcp=good("TCPRoute", attached=2), more=good("TCPRoute", attached=1))
    assert [exchange(port) for port in ports] == [b"central ping", b"team ping", b"team ping"]
    wait_for(lambda: f"{there}/set" in "".join(router.ports()), "a row of /ports")
    assert str(ports[1]) in http_get(router.http_port, f"/explain/listenerset/{there}/set")[1]


def test_hostnames_are_had_by_who_comes_first(gateways: Gateways) -> None:
    """ListenerSetHostnameConflict: the Gateway's own listener, then sets in their order; a set with a good listener is accepted."""

    def http(name: str, host: str) -> dict[str, Any]:
        return listener(name, 80, "HTTP", hostname=host)

    gateways.create_gateway(
        "gw", http("own", "gateway.com"), http("mine", "conflict.com"), allowedListeners=allowing("All")
    )
    sets = {
        "a-1": (http("own", "one.com"), http("mine", "conflict.com"), http("ours", "set.com")),
        "a-2": (http("mine", "conflict.com"),),
        "b-1": (http("own", "two.com"), http("ours", "set.com")),
        "b-2": (http("ours", "set.com"),),
    }
    for name, listeners in sets.items():
        gateways.create_set(name, GATEWAY, *listeners)
    gateways.router(accepts_http=True).start()
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    had, lost = good("HTTPRoute"), conflict("HostnameConflict", ["HTTPRoute"])
    gateways.listeners_are_told("gw", own=had, mine=had)
    gateways.has_sets("gw", 2)
    for name, wanted in (("a-1", PARTLY), ("a-2", INVALID), ("b-1", PARTLY), ("b-2", INVALID)):
        gateways.set_is_told(name, wanted)
    gateways.set_listeners_are_told("a-1", own=had, mine=lost, ours=had)
    gateways.set_listeners_are_told("a-2", mine=lost)
    gateways.set_listeners_are_told("b-1", own=had, ours=lost)
    gateways.set_listeners_are_told("b-2", ours=lost)


def test_ports_are_of_the_protocol_of_who_comes_first(gateways: Gateways) -> None:
    """ListenerSetProtocolConflict: TCP on a port that is HTTP, and HTTP on one that is TCP; the Gateway's own is not marked, nor closed."""
    ports = [free_port() for _ in range(3)]
    give(gateways.cluster, "a")
    gateways.create_gateway(
        "gw", listener("tcp", ports[0]), listener("http", ports[1], "HTTP"), allowedListeners=allowing("Same")
    )
    gateways.create_set(
        "a", GATEWAY, listener("tcp", ports[1]), listener("http", ports[0], "HTTP"), listener("good", ports[2])
    )
    gateways.create_set("b", GATEWAY, listener("http", ports[2], "HTTP"))
    gateways.create_route("r", [GATEWAY, ref("a")], [backend("a")])
    gateways.router(accepts_http=True).start()
    gateways.listeners_are_told("gw", tcp=good("TCPRoute", attached=1), http=good("HTTPRoute"))
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    gateways.set_is_told("a", PARTLY)
    gateways.set_is_told("b", INVALID)
    gateways.has_sets("gw", 1)
    reason = "ProtocolConflict"
    gateways.set_listeners_are_told(
        "a",
        tcp=conflict(reason, ["TCPRoute"], 1),
        http=conflict(reason, ["HTTPRoute"]),
        good=good("TCPRoute", attached=1),
    )
    gateways.set_listeners_are_told("b", http=conflict(reason, ["HTTPRoute"]))
    assert (exchange(ports[0]), exchange(ports[2])) == (b"a ping", b"a ping")
    assert is_refused(ports[1])


def test_a_grant_to_a_gateway_is_none_to_its_sets(gateways: Gateways) -> None:
    """ListenerSetReferenceGrant: Secrets of another namespace need one from kind ListenerSet."""
    there = other_namespace(gateways)
    create_secret(gateways, "certificate", namespace=there)
    certificate = {"name": "certificate", "namespace": there}
    spec: dict[str, Any] = {"allowedListeners": allowing("Same")}
    gateways.create_gateway("gw", https("https", certificate, host="gateway.com"), **spec)
    gateways.create_set("set", GATEWAY, https("https", certificate, host="set.com"))
    grants = {kind: grant(kind, gateways.cluster.namespace, "Secret") for kind in ("Gateway", "ListenerSet")}
    gateways.cluster.client.create(as_grant("grant", there, grants["Gateway"]))
    gateways.router("--namespace", there, accepts_http=True).start()
    gateways.listeners_are_told("gw", https=good("HTTPRoute"))
    lost = {"ResolvedRefs": ("False", "RefNotPermitted"), "Programmed": ("False", "Invalid")}
    gateways.set_listeners_are_told("set", https={"kinds": ["HTTPRoute"], "attached": 0, "conditions": lost})
    gateways.set_is_told("set", INVALID)
    gateways.has_sets("gw", 0)
    gateways.cluster.client.patch("ReferenceGrant", there, "grant", {"spec": grants["ListenerSet"]})
    gateways.set_listeners_are_told("set", https=good("HTTPRoute"))
    gateways.set_is_told("set", TAKEN)
    gateways.has_sets("gw", 1)
    gateways.listeners_are_told("gw", https={"kinds": ["HTTPRoute"], "attached": 0, "conditions": lost})


def test_kinds_that_a_listener_of_a_set_cannot_have(gateways: Gateways) -> None:
    """ListenerSetAllowedRoutesSupportedKinds: HTTPRoutes at a TLS listener, alone and beside TLSRoutes."""
    port = free_port()
    both = [{"kind": "HTTPRoute"}, {"kind": "TLSRoute"}]
    gateways.create_gateway("gw", listener("own", free_port()), allowedListeners=allowing("Same"))
    gateways.create_set(
        "set",
        GATEWAY,
        tls("none", port, "a.example.com", allowedRoutes={"kinds": both[:1]}),
        tls("one", port, "b.example.com", allowedRoutes={"kinds": both}),
    )
    gateways.router().start()
    told = {"ResolvedRefs": ("False", "InvalidRouteKinds"), "Accepted": ACCEPTED}
    gateways.set_listeners_are_told(
        "set",
        none={"kinds": [], "attached": 0, "conditions": told},
        one={"kinds": ["TLSRoute"], "attached": 0, "conditions": told},
    )


def test_a_team_has_its_names_under_the_gateways_wildcard(pods: Gateways) -> None:
    """A set of another namespace, whose listener ends TLS with that namespace's own certificate, beside the Gateway's that does not; isolation holds."""
    there, port = other_namespace(pods), free_port()
    own, made = pods.cluster.namespace, make("team.example.com")
    give_in(pods, there, "team")
    keep(pods, "team-tls", made, there)
    pods.create_gateway("gw", tls("wide", port, "*.example.com"), allowedListeners=allowing("All"))
    team = ends("team", port, "team.example.com", {"name": "team-tls"})
    pods.create_set("set", {**GATEWAY, "namespace": own}, team, namespace=there)
    pods.create_tls_route("wide", [GATEWAY], ["*.example.com"], to("tls-backend"))
    pods.create_tls_route("team", [ref("set")], ["team.example.com"], [backend("team")], namespace=there)
    pods.router("--namespace", there, ends_tls=True).start()
    pods.route_is_told("team", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED}, kind="TLSRoute", namespace=there)
    pods.set_listeners_are_told("set", there, team=good("TLSRoute", attached=1))
    pods.listeners_are_told("gw", wide=good("TLSRoute", attached=1))
    assert shows(port, "team.example.com", made)
    assert reached(port, "abc.example.com") == b"tls-backend"
    pods.cluster.client.delete("ListenerSet", there, "set")
    wait_for(lambda: reached(port, "team.example.com") == b"tls-backend", "the wildcard to have the name")


def test_a_port_goes_to_who_comes_first_and_back(gateways: Gateways) -> None:
    """A listener of the Gateway's own takes the port that a set has, claim and all, and the set has it again when that goes; so is it when the set is let no more."""
    cluster, port, spare = gateways.cluster, free_port(), free_port()
    for name in ("own", "team"):
        give(cluster, name)
    gateways.create_gateway("gw", listener("spare", spare), allowedListeners=allowing("Same"))
    gateways.create_set("set", GATEWAY, listener("tcp", port))
    gateways.create_route("own", [GATEWAY], [backend("own")])
    gateways.create_route("team", [ref("set")], [backend("team")])
    gateways.router().start()
    gateways.set_is_told("set", TAKEN)
    assert exchange(port) == b"team ping"
    gateways.patch("Gateway", "gw", {"listeners": [listener("spare", spare), listener("tcp", port)]})
    gateways.listeners_are_told("gw", spare=good("TCPRoute", attached=1), tcp=good("TCPRoute", attached=1))
    gateways.set_is_told("set", INVALID)
    gateways.has_sets("gw", 0)
    assert exchange(port) == b"own ping"
    gateways.patch("Gateway", "gw", {"listeners": [listener("spare", spare)]})
    gateways.set_is_told("set", TAKEN)
    assert exchange(port) == b"team ping"
    gateways.patch("Gateway", "gw", {"allowedListeners": allowing("None")})
    gateways.set_is_told("set", NOT_ALLOWED)
    gateways.route_is_told("team", {"Accepted": ("False", "NoMatchingParent")})
    wait_for(lambda: is_refused(port), "the port to be closed")
    cluster.create(*app("next", port, cluster.pod(b"route ")))
    cluster.wait_for_conditions("next", Admitted="True", PortClaimed="True")
    assert exchange(port) == b"route ping"


def test_sets_of_a_gateway_that_is_not_served_are_not(gateways: Gateways) -> None:
    """ListenerSetParentNotAccepted, of the suite's main branch; a Gateway of others has sets that are nobody's of ours."""
    bad = {"parametersRef": {"group": "invalid.io", "kind": "Foo", "name": "foo"}}
    port = free_port()
    gateways.create_gateway("gw", listener("own", free_port()), infrastructure=bad, allowedListeners=allowing("Same"))
    gateways.create_set("set", GATEWAY, listener("tcp", port))
    gateways.create_set("elsewhere", {"name": "none"}, listener("tcp", port))
    gateways.router().start()
    gateways.gateway_is_told("gw", Accepted=("False", "InvalidParameters"))
    refused = {"Accepted": ("False", "ParentNotAccepted"), "Programmed": ("False", "ParentNotProgrammed")}
    gateways.set_is_told("set", refused)
    gateways.has_sets("gw", 0)
    assert is_refused(port)
    conditions = gateways.get("ListenerSet", "elsewhere")["status"]["conditions"]
    assert {each["status"] for each in conditions} == {"Unknown"}
    gateways.patch("Gateway", "gw", {"infrastructure": {"parametersRef": None}})
    gateways.set_is_told("set", TAKEN)
    assert answer(port) == b""


def test_sets_may_come_later_and_need_no_reload(gateways: Gateways) -> None:
    """Without the CRD Gateways are served as they are; when it comes its objects are, on a port of the pool, with Events and metrics."""
    cluster, ports = gateways.cluster, [free_port(), free_port()]
    assert cluster.server is not None
    give(cluster, "a")
    gateways.create_gateway("gw", listener("own", ports[0]), allowedListeners=allowing("Same"))
    gateways.create_route("a", [GATEWAY, ref("set")], [backend("a")])
    cluster.server.set_custom(LISTENER_SETS, there=False)
    router = gateways.router("--port-pool", f"{ports[1]}-{ports[1]}").start()
    gateways.listeners_are_told("gw", own=good("TCPRoute", attached=1))
    before = reloads(router)
    cluster.server.set_custom(LISTENER_SETS, there=True)
    gateways.create_set("set", GATEWAY, listener("tcp", ports[1]))
    gateways.set_is_told("set", TAKEN)
    assert exchange(ports[1]) == b"a ping"
    assert reloads(router) == before
    wait_for(
        lambda: [
            each
            for each in cluster.client.list("Event", cluster.namespace)
            if each["regarding"]["kind"] == "ListenerSet" and each["reason"] == "Programmed"
        ],
        "an Event about the set",
    )
    cluster.client.delete("ListenerSet", cluster.namespace, "set")
    wait_for(lambda: is_refused(ports[1]), "the port to be closed")
    assert reloads(router) == before


def test_check_tells_of_sets(tmp_path: Any) -> None:
    """With manifests, too: which are taken, and which not."""
    gateway = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": "team"},
        "spec": {
            "gatewayClassName": "tcp",
            "listeners": [listener("own", 17001)],
            "allowedListeners": allowing("Same"),
        },
    }
    of_class = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "tcp"},
        "spec": {"controllerName": "tcp-router.openshift.io/gateway"},
    }
    sets = [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ListenerSet",
            "metadata": {"name": "set", "namespace": namespace},
            "spec": {"parentRef": {"name": name, "namespace": "team"}, "listeners": [listener("tcp", 17002)]},
        }
        for namespace, name in (("team", "gw"), ("other", "gw"), ("team2", "none"))
    ]
    folder = write_manifests(tmp_path, gateway, of_class, *sets)
    told = invoke("check", folder, "--gateway-api", "on").stdout
    assert "ListenerSet set tcp" in told
    assert "told: ListenerSet other/set: Accepted is False (NotAllowed)" in told
    assert "left alone: ListenerSet team2/set" in told
