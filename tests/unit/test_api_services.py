"""The API server of tests treats Services as real ones do: who owns which port of one, its node ports, its load balancer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_server import ApiServer
from tests.unit.test_api_server import MERGE, Client

PATH = "/api/v1/namespaces/team/services/front"
APPLY = "application/apply-patch+yaml"

Object = dict[str, Any]


@pytest.fixture
def client() -> Iterator[Client]:
    """Who asks a server with the Service of ``front``, which kubectl made."""
    with ApiServer() as server:
        server.create(front({"name": "sni", "port": 8443}))
        yield Client(server)


def front(*ports: Object, **spec: Any) -> Object:
    """Make a Service of type LoadBalancer."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": "team"},
        "spec": {"type": "LoadBalancer", "ports": list(ports), **spec},
    }


def tcp(port: int, **more: Any) -> Object:
    """Make an entry as the router would."""
    return {"name": f"tcp-{port}", "port": port, "protocol": "TCP", "targetPort": port, **more}


def apply(client: Client, *ports: Object, manager: str = "ours", **query: str) -> Object:
    """Apply these ports alone."""
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {"ports": list(ports)}}
    answer: Object = client.ask("PATCH", PATH, body, APPLY, fieldManager=manager, **query)
    return answer


def refused(client: Client, *ports: Object, manager: str = "ours") -> Object:
    """Apply these ports alone, in vain."""
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {"ports": list(ports)}}
    return client.refused("PATCH", PATH, body, APPLY, fieldManager=manager)


def numbers(service: Object) -> list[int]:
    """Give the ports of a Service."""
    return [port["port"] for port in service["spec"]["ports"]]


def owners(service: Object, port: int) -> list[str]:
    """Give who owns an entry."""
    key = f'k:{{"port":{port},"protocol":"TCP"}}'
    entries = service["metadata"]["managedFields"]
    return [each["manager"] for each in entries if key in each["fieldsV1"].get("f:spec", {}).get("f:ports", {})]


def test_each_manager_has_entries_of_its_own(client: Client) -> None:
    """What one applies stands beside what others have, and goes alone when it applies it no more."""
    made = apply(client, tcp(20000), tcp(20001))
    assert numbers(made) == [8443, 20000, 20001]
    assert (owners(made, 20000), owners(made, 8443)) == (["ours"], ["test"])
    assert numbers(apply(client, tcp(20001))) == [8443, 20001]
    assert numbers(apply(client)) == [8443]


def test_an_equal_entry_is_shared_and_stays_for_the_other(client: Client) -> None:
    """Two that apply the same both own it; it goes with the last of them. An update by the one owner changes it all the same."""
    apply(client, tcp(20000), manager="kubectl")
    made = apply(client, tcp(20000))
    assert owners(made, 20000) == ["kubectl", "ours"]
    assert numbers(apply(client, manager="kubectl")) == [8443, 20000]
    assert numbers(apply(client)) == [8443]


def test_what_another_has_otherwise_is_a_conflict(client: Client) -> None:
    """409 with a cause for each field, unless forced."""
    status = refused(client, tcp(8443))
    assert (status["code"], status["reason"]) == (409, "Conflict")
    (cause,) = status["details"]["causes"]
    assert cause["field"] == '.spec.ports[port=8443,protocol="TCP"].name'
    assert 'conflict with "test"' in status["message"]
    assert apply(client, tcp(8443), force="true")["spec"]["ports"][0]["name"] == "tcp-8443"


def test_an_update_takes_fields_from_who_applied_them(client: Client) -> None:
    """Whoever writes without applying owns what is other by it."""
    apply(client, tcp(20000))
    ports = client.ask("GET", PATH)["spec"]["ports"]
    ports[1]["targetPort"] = 20001
    client.ask("PATCH", PATH, {"spec": {"ports": ports}}, MERGE)
    assert owners(client.ask("GET", PATH), 20000) == ["ours", "tester"]
    assert refused(client, tcp(20000))["code"] == 409


def test_node_ports_are_given_kept_and_taken(client: Client) -> None:
    """Each port gets one of the range, keeps it, and may name one that is free; freed ones can be had again."""
    made = apply(client, tcp(20000), tcp(30100, nodePort=30100))
    given = made["spec"]["ports"][1]["nodePort"]
    assert 30000 <= given <= 32767
    assert made["spec"]["ports"][2]["nodePort"] == 30100
    assert apply(client, tcp(20000))["spec"]["ports"][1]["nodePort"] == given
    client.server.create({**front(tcp(30100, nodePort=30100)), "metadata": {"name": "other", "namespace": "team"}})
    status = refused(client, tcp(20000), tcp(30100, nodePort=30100))
    assert status["code"] == 422
    assert "spec.ports[2].nodePort" in status["message"]
    assert "provided port is already allocated" in status["message"]
    assert "not in the valid range" in refused(client, tcp(20000, nodePort=20000))["message"]
    client.server.delete("Service", "team", "other")
    assert numbers(apply(client, tcp(30100, nodePort=30100))) == [8443, 30100]


def test_equal_names_and_numbers_are_refused(client: Client) -> None:
    """422 for a name that another entry has; 500 for a key that is applied twice, as real ones answer."""
    assert refused(client, {**tcp(20000), "name": "sni"})["code"] == 422
    assert refused(client, tcp(20000), tcp(20000))["code"] == 500


def test_a_quota_refuses_what_is_over_it(client: Client) -> None:
    """403 that names the quota; nothing is written."""
    client.server.storage.quotas["team"] = {"services.nodeports": 2}
    assert numbers(apply(client, tcp(20000))) == [8443, 20000]
    status = refused(client, tcp(20000), tcp(20001))
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert "exceeded quota" in status["message"]
    assert numbers(client.ask("GET", PATH)) == [8443, 20000]


def test_a_load_balancers_status_goes_with_its_type(client: Client) -> None:
    """Ingress is for LoadBalancer alone, an address without a mode is a VIP, a hostname is no address, and the class is for good."""
    status = {"loadBalancer": {"ingress": [{"hostname": "tcp.example.com"}, {"ip": "192.0.2.1"}]}}
    made = client.ask("PATCH", f"{PATH}/status", {"status": status}, MERGE)
    assert made["status"]["loadBalancer"]["ingress"][1] == {"ip": "192.0.2.1", "ipMode": "VIP"}
    wrong = {"loadBalancer": {"ingress": [{"hostname": "192.0.2.1"}]}}
    assert client.refused("PATCH", f"{PATH}/status", {"status": wrong}, MERGE)["code"] == 422
    assert client.refused("PATCH", PATH, {"spec": {"loadBalancerClass": "a/b"}}, MERGE)["code"] == 422
    made = client.ask("PATCH", PATH, {"spec": {"type": "ClusterIP"}}, MERGE)
    assert made["status"]["loadBalancer"] == {}
    assert "allocateLoadBalancerNodePorts" not in made["spec"]
    assert "nodePort" not in made["spec"]["ports"][0]
    assert client.refused("PATCH", f"{PATH}/status", {"status": status}, MERGE)["code"] == 422
