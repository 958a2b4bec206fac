"""TCPRoutePolicies on a cluster: what they say holds for connections, is told in statuses, and nearly all of it needs no reload."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.test_gateway_api import ACCEPTED, answer, backend, gateways, give, listener
from tests.e2e.test_gateway_terminate import HOST, ends, keep
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, make
from tests.support.client_certificates import authority, context_of, speaking
from tests.support.clients import asked, connect
from tests.support.clients import tls as tls_client
from tests.support.commands import invoke
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.objects import endpoint_slice, service
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

__all__ = ["gateways"]

SERVES = "tcp-router.openshift.io/Serves"
EVERYBODY, NOBODY = ["0.0.0.0/0", "::/0"], ["192.0.2.1"]
OK, INVALID = {"Accepted": ACCEPTED}, {"Accepted": ("False", "Invalid")}
CONFLICTED, NOT_FOUND = {"Accepted": ("False", "Conflicted")}, {"Accepted": ("False", "TargetNotFound")}
COMPONENT = Path(__file__).parents[2] / "manifests" / "components" / "client-certificates" / "rbac.yaml"


def of(kind: str, name: str, section: str = "") -> dict[str, str]:
    """Make a targetRef."""
    return {"kind": kind, "name": name, **({"sectionName": section} if section else {})}


def test_an_allowlist_comes_changes_and_goes_without_a_reload_where_it_has_a_place(gateways: Gateways) -> None:
    """On a port of the pool: of the Gateway, then of the route beside it, of which both have to let a client in."""
    port = free_port()
    give(gateways.cluster, "a")
    router = gateways.router("--port-pool", str(port)).start()
    before = reloads(router)
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    gateways.accepted("gw", "r")
    held = connect(port)
    gateways.create_policy("p", of("Gateway", "gw"), allowlist=NOBODY)
    gateways.policy_is_told("p", OK)
    assert answer(port) == b""
    held.sendall(b"ping")
    assert held.recv(100) == b"a ping"
    held.close()
    gateways.patch("TCPRoutePolicy", "p", {"allowlist": EVERYBODY})
    wait_for(lambda: answer(port) == b"a ping", "everybody to be let in")
    gateways.create_policy("of-route", of("TCPRoute", "r"), allowlist=NOBODY)
    gateways.policy_is_told("of-route", OK)
    assert answer(port) == b""
    client, namespace = gateways.cluster.client, gateways.cluster.namespace
    client.delete("TCPRoutePolicy", namespace, "of-route")
    wait_for(lambda: answer(port) == b"a ping", "the route's policy to be gone")
    client.delete("TCPRoutePolicy", namespace, "p")
    wait_for(lambda: exchange(port) == b"a ping", "no policy")
    assert reloads(router) == before


def test_the_oldest_of_several_has_its_target_and_the_most_specific_goes_first(gateways: Gateways) -> None:
    """Conflicted, TargetNotFound and Invalid; what others say in the status stays, and what is ours goes with the target."""
    port, closed = free_port(), free_port()
    give(gateways.cluster, "a")
    gateways.create_gateway("gw", listener("open", port), listener("closed", closed))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    gateways.create_policy("a-first", of("Gateway", "gw", "closed"), allowlist=NOBODY)
    gateways.create_policy("b-second", of("Gateway", "gw", "closed"), of("Gateway", "gw"), allowlist=EVERYBODY)
    gateways.create_policy("gone", of("Gateway", "gw", "gone"), of("TLSRoute", "gone"), allowlist=NOBODY)
    gateways.router().start()
    gateways.accepted("gw", "r")
    gateways.policy_is_told("a-first", OK)
    told = gateways.policy_is_told("b-second", CONFLICTED, OK)
    gateways.policy_is_told("gone", NOT_FOUND, NOT_FOUND)
    first, _ = told["status"]["ancestors"]
    assert first["ancestorRef"] == {
        "group": GROUP, "kind": "Gateway", "namespace": gateways.cluster.namespace, "name": "gw", "sectionName": "closed",
    }  # fmt: skip
    assert "a-first targets the same, and is older" in first["conditions"][0]["message"]
    wait_for(lambda: {"Accepted", "Conflicted"} <= events(gateways, "b-second"), "Events of the policy")
    assert (answer(port), answer(closed)) == (b"a ping", b"")
    client, namespace = gateways.cluster.client, gateways.cluster.namespace
    foreign = {**first, "controllerName": "example.com/other"}
    client.patch("TCPRoutePolicy", namespace, "b-second", {"status": {"ancestors": [foreign, *told["status"]["ancestors"]]}}, "status")  # fmt: skip
    client.delete("TCPRoutePolicy", namespace, "a-first")
    told = gateways.policy_is_told("b-second", OK, OK)
    assert foreign in told["status"]["ancestors"]
    wait_for(lambda: answer(closed) == b"a ping", "the other policy to have the listener")
    client.delete("Gateway", namespace, "gw")
    told = gateways.policy_is_told("b-second", NOT_FOUND, NOT_FOUND)
    assert foreign in told["status"]["ancestors"]


def events(gateways: Gateways, policy: str) -> set[str]:
    """Give the reasons of the Events about a policy."""
    found = gateways.cluster.client.list("Event", gateways.cluster.namespace)
    return {each["reason"] for each in found if each["regarding"]["name"] == policy}


def test_of_clients(gateways: Gateways) -> None:
    """A policy that cannot be kept lets nobody in: a ConfigMap that is not there; it is told on the policy, on the listener and on its routes, and mended by it."""
    port, shown, ours = free_port(), make(HOST), authority("ours")
    alice, mallory = make("alice", signed_by=ours), make("mallory", signed_by=authority("others"))
    give(gateways.cluster, "a")
    keep(gateways, "certificate", shown)
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "certificate"}))
    gateways.create_tls_route("r", [{"name": "gw"}], [HOST], [backend("a")])
    gateways.create_policy(
        "p", of("Gateway", "gw"), clientCertificates={"ca": "clients"}, tls={"minVersion": "TLSv1.3"}
    )
    gateways.router("--mtls-pool", "2", ends_tls=True, reads_config_maps=True).start()
    told = gateways.policy_is_told("p", INVALID)
    message = told["status"]["ancestors"][0]["conditions"][0]["message"]
    assert "spec.clientCertificates.ca: there is no ConfigMap clients in the namespace" in message
    gateways.route_is_told("r", {"Accepted": ACCEPTED, SERVES: ("False", "ListenerNotServed")}, kind="TLSRoute")
    gateways.listeners_are_told(
        "gw", tls={"kinds": ["TLSRoute"], "attached": 1, "conditions": {"Programmed": ("False", "Invalid")}}
    )
    assert not lets_in(port, None)
    client, namespace = gateways.cluster.client, gateways.cluster.namespace
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clients", "namespace": namespace}}
    client.create({**config_map, "data": {"ca-bundle.crt": ours.pem}})
    gateways.policy_is_told("p", OK)
    gateways.route_is_told("r", {"Accepted": ACCEPTED, SERVES: ("True", "Served")}, kind="TLSRoute")
    assert [lets_in(port, each) for each in (alice, mallory, None)] == [True, False, False]
    assert not lets_in(port, alice, version="1.2")
    # What was good is in force while the ConfigMap says what is of no use.
    client.patch("ConfigMap", namespace, "clients", {"data": {"ca-bundle.crt": "nothing"}})
    gateways.patch("TCPRoutePolicy", "p", {"tls": None})
    wait_for(lambda: lets_in(port, alice, version="1.2"), "the older version")
    assert not lets_in(port, None)
    client.delete("TCPRoutePolicy", namespace, "p")
    wait_for(lambda: lets_in(port, None), "nobody to be asked any more")


def lets_in(port: int, made: Made | None, version: str = "1.3") -> bool:
    """Say whether a client with a certificate, or without, is served."""
    with contextlib.suppress(OSError), speaking(context_of(made, version), port, HOST) as connection:
        return asked(connection) == b"a who?"
    return False


def test_proxy_headers_come_in_and_go_out(gateways: Gateways) -> None:
    """What a client's balancer says goes on to the pod; the address in it is that of the allowlist."""
    port = free_port()
    namespace = gateways.cluster.namespace

    def first_line(connection: socket.socket) -> None:
        connection.sendall(b"got " + connection.recv(200))

    address, _ = gateways.cluster.pod()
    with TcpServer(first_line, address) as pod:
        gateways.cluster.create(service("a"), *endpoint_slice("a", (pod.address, pod.port)))
        gateways.create_gateway("gw", listener("tcp", port))
        gateways.create_route("r", [{"name": "gw"}], [backend("a")])
        gateways.create_policy("in", of("Gateway", "gw"), proxyProtocol={"accept": True}, allowlist=["198.51.100.0/24"])
        gateways.create_policy("out", of("TCPRoute", "r"), proxyProtocol={"send": "v1"}, healthChecks={"interval": "0"})
        gateways.router().start()
        gateways.accepted("gw", "r")
        gateways.policy_is_told("in", OK)
        gateways.policy_is_told("out", OK)
        header = b"PROXY TCP4 %s 203.0.113.1 40000 5432\r\n"
        assert exchange(port, header % b"198.51.100.7" + b"ping").startswith(b"got PROXY TCP4 198.51.100.7 ")
        with connect(port) as refused:
            refused.sendall(header % b"203.0.113.9" + b"ping")
            with contextlib.suppress(ConnectionResetError):
                assert refused.recv(100) == b""
        gateways.cluster.client.delete("TCPRoutePolicy", namespace, "in")
        wait_for(lambda: b"PROXY TCP4 127.0.0.1 " in answer(port), "no header to be expected")


def test_limits_of_a_tls_route_and_of_its_gateway(gateways: Gateways) -> None:
    """The lowest counts, whoever said it: one connection at a time from one address."""
    port, made = free_port(), make(HOST)
    give(gateways.cluster, "a")
    keep(gateways, "certificate", made)
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "certificate"}))
    gateways.create_tls_route("r", [{"name": "gw"}], [HOST], [backend("a")])
    gateways.create_policy("of-gateway", of("Gateway", "gw", "tls"), limits={"concurrentPerSource": 1})
    gateways.create_policy("of-route", of("TLSRoute", "r"), limits={"concurrentPerSource": 100})
    gateways.router(ends_tls=True).start()
    gateways.accepted("gw", "r", kind="TLSRoute")
    gateways.policy_is_told("of-gateway", OK)
    gateways.policy_is_told("of-route", OK)
    with tls_client(port, HOST) as first:
        assert asked(first) == b"a who?"
        assert not _is_served(port)
    wait_for(lambda: _is_served(port), "room for the next one")


def _is_served(port: int) -> bool:
    try:
        with tls_client(port, HOST) as connection:
            return asked(connection) == b"a who?"
    except (OSError, ssl.SSLError):
        return False


def test_the_crd_comes_later_and_a_policy_that_is_not_read_lets_nobody_in(gateways: Gateways) -> None:
    """Nothing waits for the kind; and what a newer CRD lets in, and this router cannot read, is no open door."""
    port = free_port()
    server = gateways.cluster.server
    assert server is not None
    give(gateways.cluster, "a")
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    gateways.router().start()
    gateways.accepted("gw", "r")
    assert exchange(port) == b"a ping"
    gateways.create_policy("p", of("Gateway", "gw"), allowlist=NOBODY)
    gateways.policy_is_told("p", OK)
    assert answer(port) == b""


def test_a_listener_set_has_policies_of_its_own_below_that_of_its_gateway(gateways: Gateways) -> None:
    """Of all its listeners, and of one by name; the Gateway's own listener of that name is not meant, and who is kept out by the Gateway stays out."""
    own, first, second = (free_port() for _ in range(3))
    ref = {"name": "gw"}
    give(gateways.cluster, "a")
    gateways.create_gateway("gw", listener("l", own), allowedListeners={"namespaces": {"from": "Same"}})
    gateways.create_set("set", ref, listener("l", first), listener("m", second))
    gateways.create_route("r", [ref, {"name": "set", "kind": "ListenerSet"}], [backend("a")])
    gateways.create_policy("one", of("ListenerSet", "set", "l"), allowlist=NOBODY)
    gateways.create_policy("gone", of("ListenerSet", "set", "gone"), of("ListenerSet", "nowhere"), allowlist=NOBODY)
    gateways.router().start()
    gateways.policy_is_told("one", OK)
    told = gateways.policy_is_told("gone", NOT_FOUND, NOT_FOUND)
    assert told["status"]["ancestors"][0]["ancestorRef"]["kind"] == "ListenerSet"
    assert [answer(port) for port in (own, first, second)] == [b"a ping", b"", b"a ping"]
    gateways.create_policy("all", of("ListenerSet", "set"), allowlist=EVERYBODY)
    gateways.create_policy("of-gateway", of("Gateway", "gw"), allowlist=NOBODY)
    gateways.policy_is_told("all", OK)
    gateways.policy_is_told("of-gateway", OK)
    assert [answer(port) for port in (own, first, second)] == [b"", b"", b""]
    client, namespace = gateways.cluster.client, gateways.cluster.namespace
    client.delete("TCPRoutePolicy", namespace, "of-gateway")
    client.delete("TCPRoutePolicy", namespace, "one")
    wait_for(lambda: [answer(port) for port in (own, first, second)] == [b"a ping"] * 3, "all to be let in")


def test_check_says_what_is_wrong_with_a_policy(tmp_path: Path) -> None:
    """From files: a bad entry, a target that is not there, and a field that is none."""
    policy: dict[str, Any] = {
        "apiVersion": "tcp-router.openshift.io/v1alpha1",
        "kind": "TCPRoutePolicy",
        "metadata": {"name": "p", "namespace": "team"},
        "spec": {"targetRefs": [{"group": GROUP, "kind": "Gateway", "name": "gw"}], "allowlist": ["10.0.0/8"]},
    }
    others: list[dict[str, Any]] = [
        {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": "tcp"}, "spec": {"controllerName": "tcp-router.openshift.io/gateway"}},
        {"apiVersion": f"{GROUP}/v1", "kind": "Gateway", "metadata": {"name": "gw", "namespace": "team"}, "spec": {"gatewayClassName": "tcp", "listeners": [{"name": "l", "port": 15432, "protocol": "TCP"}]}},
    ]  # fmt: skip

    def checked(*objects: dict[str, Any]) -> str:
        path = tmp_path / "all.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        ended = invoke("check", "--gateway-api", "on", str(path))
        return ended.stdout + ended.stderr

    said = checked(policy, *others)
    assert "target Gateway gw: Accepted is False (Invalid): spec.allowlist has the entry '10.0.0/8'" in said
    assert "target Gateway gw: Accepted is False (TargetNotFound)" in checked(policy, others[0])
    policy["spec"] = {"targetRefs": policy["spec"]["targetRefs"], "allowList": ["10.0.0.0/8"]}
    said = checked(policy, *others)
    assert "spec.allowList: is no field that is known" in said
    assert "target Gateway gw: Accepted is False (Invalid): spec cannot be read: spec.allowList: is no field that is known" in said  # fmt: skip
    policy["spec"] = {
        "targetRefs": policy["spec"]["targetRefs"],
        "limits": {"ratePerSource": 5},
        "tls": {"alpn": ["h2"]},
    }
    others[1]["metadata"]["name"] = "theirs"
    others[1]["spec"]["gatewayClassName"] = "theirs"
    left = "left alone: TCPRoutePolicy team/p: none of its targets is of a Gateway of this router"
    policy["spec"]["targetRefs"][0]["name"] = "theirs"
    assert left in checked(policy, *others)
    rendered = invoke("render", "--gateway-api", "on", str(tmp_path / "all.yaml"))
    assert left in rendered.stderr
    off = invoke("check", str(tmp_path / "all.yaml"))
    assert "not judged: 1 of kind Gateway, 1 of kind TCPRoutePolicy: --gateway-api is off" in off.stdout + off.stderr
    policy["spec"]["allowlist"] = ["10.0.0/8"]
    others[1]["spec"]["gatewayClassName"] = "tcp"
    checked(policy, *others)
    rendered = invoke("render", "--gateway-api", "on", str(tmp_path / "all.yaml"))
    assert "told: TCPRoutePolicy team/p: target Gateway theirs: Accepted is False (Invalid)" in rendered.stderr
    explained = invoke("explain", "tcproutepolicy/team/p", "--gateway-api", "on", "--manifests", str(tmp_path / "all.yaml"))  # fmt: skip
    assert "TCPRoutePolicy team/p: Invalid" in explained.stdout
    assert explained.exit_code == 1
