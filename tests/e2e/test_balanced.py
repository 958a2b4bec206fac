"""Services of type LoadBalancer of the router's class, on a cluster: to traffic, and back to where clients shall come."""

from __future__ import annotations

from typing import Any

from tests.support.cluster import Cluster
from tests.support.objects import ANNOTATIONS, app, endpoint_slice
from tests.support.ports import free_port
from tests.support.probing import exchange, is_refused
from tests.support.waiting import wait_for

CLASS = "tcp-router.openshift.io/tcp-router"
Object = dict[str, Any]


def balanced(name: str, *ports: Object, **spec: Any) -> Object:
    """Make such a Service, without node ports."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": CLASS,
            "allocateLoadBalancerNodePorts": False,
            "selector": {"app": name},
            "ports": list(ports),
            **spec,
        },
    }


def found(cluster: Cluster, name: str) -> Object:
    """Give a Service as it is."""
    there = cluster.client.get("Service", cluster.namespace, name)
    assert there is not None
    return there


def ingress(cluster: Cluster, name: str) -> list[Object]:
    """Give what its status says of where clients come in."""
    entries: list[Object] = found(cluster, name).get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return entries


def reasons(cluster: Cluster, name: str) -> set[str]:
    """Give the reasons of Events about a Service."""
    return {
        each["reason"]
        for each in cluster.client.list("Event", cluster.namespace)
        if (each["regarding"]["kind"], each["regarding"]["name"]) == ("Service", name)
    }


def test_each_port_is_served_and_the_status_says_where(cluster: Cluster) -> None:
    """TCP ports at their own numbers, one of which a Route holds; UDP has an error; the allowlist holds; another type takes it back."""
    held, port = free_port(), free_port()
    cluster.create(*app("holder", held, cluster.pod(b"route ")))
    cluster.router("--canonical-hostname", "tcp.example.com").start()
    cluster.wait_for_conditions("holder", Admitted="True", PortClaimed="True")
    ports = (
        {"name": "tcp", "port": port},
        {"name": "more", "port": held},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    )
    cluster.create(balanced("db", *ports), *endpoint_slice("db", cluster.pod(b"service ")))
    wait_for(lambda: ingress(cluster, "db"), "the status")
    (told,) = ingress(cluster, "db")
    assert told == {
        "hostname": "tcp.example.com",
        "ports": [
            {"port": port, "protocol": "TCP"},
            {"port": held, "protocol": "TCP", "error": "PortAlreadyClaimed"},
            {"port": 53, "protocol": "UDP", "error": "ProtocolNotSupported"},
        ],
    }
    assert (exchange(port), exchange(held)) == (b"service ping", b"route ping")
    claim = next(each for each in cluster.client.list("PortClaim", cluster.namespace) if each["spec"]["port"] == port)
    assert (claim["spec"]["holder"]["kind"], claim["spec"]["holder"]["section"]) == ("Service", "tcp")
    cluster.client.delete("Route", cluster.namespace, "holder")
    wait_for(lambda: "error" not in ingress(cluster, "db")[0]["ports"][1], "the other port to be served, too")
    wait_for(lambda: {"PortAlreadyClaimed", "Admitted"} <= reasons(cluster, "db"), "Events")
    closed = {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}
    cluster.client.patch("Service", cluster.namespace, "db", closed)
    wait_for(lambda: not exchange(port), "who is not in the ranges to be refused")
    asks = {f"{ANNOTATIONS}external-tcp-port": f"tcp={port}"}
    cluster.client.patch("Service", cluster.namespace, "db", {"metadata": {"annotations": asks}})
    wait_for(lambda: not ingress(cluster, "db"), "the two that say which ports to be told")
    assert "InvalidAnnotation" in str(found(cluster, "db")["status"]["conditions"])
    wait_for(lambda: is_refused(port), "the port to be closed")
    ours = {"metadata": {"annotations": {f"{ANNOTATIONS}router-name": "tcp-router"}}, "spec": {"type": "ClusterIP"}}
    cluster.client.patch("Service", cluster.namespace, "db", ours)
    wait_for(lambda: not is_refused(port), "its annotations to count again")
    assert is_refused(held)
    assert found(cluster, "db")["status"]["loadBalancer"] == {}


def test_without_a_name_an_event_says_which_option_gives_one(cluster: Cluster) -> None:
    """It is served all the same, and one of a named address is told its IP where that is chosen; node ports that stay open are a warning; what is not of our class is left alone, and all is taken back."""
    port, other = free_port(), free_port()
    cluster.create(
        balanced("db", {"name": "tcp", "port": port}, allocateLoadBalancerNodePorts=True),
        balanced("other", {"name": "tcp", "port": other}, loadBalancerClass="example.com/other"),
        *endpoint_slice("db", cluster.pod()),
    )
    on_address = balanced("named", {"name": "tcp", "port": port})
    on_address["metadata"]["annotations"] = {f"{ANNOTATIONS}external-address": "pg"}
    cluster.create(on_address, *endpoint_slice("named", cluster.pod(b"named ")))
    address = ("--address", "pg=127.0.0.9", "--address-default-allowed", "pg", "--load-balancer-ips")
    router = cluster.router(*address).start()
    wait_for(lambda: ingress(cluster, "named"), "the address to be told")
    (told,) = ingress(cluster, "named")
    assert (told["ip"], told["ipMode"], told["ports"]) == ("127.0.0.9", "Proxy", [{"port": port, "protocol": "TCP"}])
    assert exchange(port, address="127.0.0.9") == b"named ping"
    if cluster.server is not None:
        # An older API server: what is written next loses its mode.
        cluster.server.storage.knows_ip_mode = False
        cluster.client.patch(
            "Service", cluster.namespace, "named", {"spec": {"ports": [{"name": "tcp", "port": other}]}}
        )
        wait_for(lambda: not ingress(cluster, "named"), "the address to be taken out again")
        wait_for(lambda: "NoHostname" in reasons(cluster, "named"), "an Event")
        assert exchange(other, address="127.0.0.9") == b"named ping"
    wait_for(lambda: {"Admitted", "NoHostname", "NodePortsOpen"} <= reasons(cluster, "db"), "Events")
    assert exchange(port) == b"ping"
    assert ingress(cluster, "db") == []
    assert is_refused(other)
    assert "conditions" not in found(cluster, "other")["status"]
    assert sorted(row["name"] for row in router.ports().values()) == ["db", "named"]
    cluster.client.patch("Service", cluster.namespace, "db", {"spec": {"type": "ClusterIP"}})
    wait_for(lambda: is_refused(port), "the port to be closed")
    wait_for(lambda: not found(cluster, "db")["status"].get("conditions"), "the condition to be taken back")
