"""Services of type LoadBalancer of the router's class: each TCP port is a claim, whatever else the Service says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from router.admission import Reason, Verdict
from router.admission.balanced import MAX_PORTS, SOURCE_RANGES
from router.admission.options import PREFIX
from router.objects.core import Service, ServicePort
from router.objects.discovery import EndpointPort
from tests.unit.admission.builders import (
    SETTINGS,
    admit,
    asking,
    endpoint_slice,
    port_of_service,
    route,
    service,
)
from tests.unit.admission.test_policy import namespace

PG, METRICS = ServicePort(port=5432, name="pg"), ServicePort(port=9187, name="metrics")
DNS = ServicePort(port=5353, name="dns", protocol="UDP")
SLICE = endpoint_slice("10.1.0.1", ports=(EndpointPort(name="pg", port=15432), EndpointPort(name="metrics", port=9187)))
CLASS = f"tcp-router.openshift.io/{SETTINGS.router_name}"


def balanced(*ports: ServicePort, annotations: dict[str, str] | None = None, **spec: Any) -> Service:
    """Make such a Service, without node ports."""
    made = service("db", *ports, annotations=annotations, created="2024-01-01T00:00:00Z")
    of_spec = {"type": "LoadBalancer", "load_balancer_class": CLASS, "allocate_load_balancer_node_ports": False, **spec}
    return replace(made, spec=replace(made.spec, **of_spec))


def rejected(made: Service) -> tuple[Reason | None, str]:
    """Give why its port ``pg`` is rejected."""
    verdict = admit(made, SLICE).verdicts[port_of_service("db", "pg")]
    return verdict.reason, verdict.message


def verdicts(*objects: Any) -> dict[str, Verdict]:
    """Give what became of the sections of the Service ``db``."""
    outcome = admit(*objects)
    return {asker.section: verdict for asker, verdict in outcome.verdicts.items() if asker.kind == "Service"}


def test_each_tcp_port_is_a_claim_at_its_own_number() -> None:
    """Without any annotation; each leads to its own target port, and is in one queue with Routes."""
    outcome = admit(balanced(PG, METRICS, DNS), SLICE, route("first", 9187, created="2020-01-01T00:00:00Z"))
    (section,) = (each for each in outcome.model.routes if each.asker.kind == "Service")
    assert (section.asker, section.frontend and section.frontend.port) == (port_of_service("db", "pg"), 5432)
    assert [(each.address, each.port) for each in section.backend.servers] == [("10.1.0.1", 15432)]
    assert section.backend.allowlist is None
    metrics = outcome.verdicts[port_of_service("db", "metrics")]
    assert (metrics.reason, metrics.message) == (Reason.PORT_ALREADY_CLAIMED, "port 9187 is held by Route shop/first")
    (warning,) = outcome.verdicts[port_of_service("db", "pg")].warnings
    assert warning == "only TCP is served; left out are 'dns' ('UDP' 5353)"


def test_a_single_port_needs_no_name() -> None:
    """As Kubernetes has it."""
    found = verdicts(balanced(ServicePort(port=6620)), SLICE)
    assert (found[""].admitted, found[""].port) == (True, 6620)


def test_annotations_and_affinity_count_as_with_routes() -> None:
    """``sessionAffinity`` is balance by source, and any annotation of a Route says the same here."""
    outcome = admit(balanced(PG, annotations={f"{PREFIX}timeout": "5s"}, session_affinity="ClientIP"), SLICE)
    (section,) = outcome.model.routes
    assert (section.backend.balance, section.backend.timeout_tunnel_ms) == ("source", 5000)
    outcome = admit(balanced(PG, annotations={f"{PREFIX}balance": "random"}, session_affinity="ClientIP"), SLICE)
    assert outcome.model.routes[0].backend.balance == "random"


@pytest.mark.parametrize(
    ("annotations", "ranges", "allowed"),
    [
        ({}, ("10.0.0.0/8", " 192.0.2.7/32 "), ("10.0.0.0/8", "192.0.2.7")),
        ({SOURCE_RANGES: "10.0.0.0/8,2001:db8::/32"}, None, ("10.0.0.0/8", "2001:db8::/32")),
        ({SOURCE_RANGES: "10.0.0.0/8"}, ("192.0.2.0/24",), ("192.0.2.0/24",)),
        ({f"{PREFIX}ip_allowlist": "192.0.2.0/24"}, (), ("192.0.2.0/24",)),
        ({}, (), None),
    ],
)
def test_source_ranges_are_the_allowlist(
    annotations: dict[str, str], ranges: tuple[str, ...] | None, allowed: tuple[str, ...] | None
) -> None:
    """Of the spec, or of the annotation of before; without either, that of a Route's annotation."""
    outcome = admit(balanced(PG, annotations=annotations, load_balancer_source_ranges=ranges), SLICE)
    assert outcome.model.routes[0].backend.allowlist == allowed


@pytest.mark.parametrize(
    ("annotations", "spec", "reason", "said"),
    [
        ({f"{PREFIX}external-tcp-port": "7000"}, {}, Reason.INVALID_ANNOTATION, "both say which ports"),
        ({f"{PREFIX}router-name": "another"}, {}, Reason.INVALID_ANNOTATION, "router-name is 'another', and spec.loadBalancerClass"),
        ({f"{PREFIX}external-tcp-port-sni": "true"}, {}, Reason.INVALID_ANNOTATION, "that needs a host"),
        ({f"{PREFIX}balance": "leastconns"}, {}, Reason.INVALID_ANNOTATION, "balance"),
        ({}, {"load_balancer_source_ranges": ("10.0.0.0/33",)}, Reason.INVALID_SOURCE_RANGES, "spec.loadBalancerSourceRanges has the entry '10.0.0.0/33'"),
        ({}, {"load_balancer_source_ranges": ("",)}, Reason.INVALID_SOURCE_RANGES, "has the entry ''"),
        ({SOURCE_RANGES: ""}, {}, Reason.INVALID_SOURCE_RANGES, "has the entry ''"),
        ({f"{PREFIX}ip_allowlist": "10.0.0.1"}, {"load_balancer_source_ranges": ("10.0.0.0/8",)}, Reason.INVALID_SOURCE_RANGES, "both say who may connect"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_rejects_each_port(
    annotations: dict[str, str], spec: dict[str, Any], reason: Reason, said: str
) -> None:
    """An allowlist fails closed, and of two that say which ports, or which router, none counts; the ports are named all the same."""
    found = verdicts(balanced(PG, METRICS, annotations=annotations, **spec), SLICE)
    assert {section: verdict.port for section, verdict in found.items()} == {"pg": 5432, "metrics": 9187}
    assert {verdict.reason for verdict in found.values()} == {reason}
    assert all(said in verdict.message for verdict in found.values())


def test_our_own_name_beside_the_class_is_no_contradiction() -> None:
    """Nor is that of a router whose class it is not: the other one is told there, and neither serves it."""
    assert verdicts(balanced(PG, annotations={f"{PREFIX}router-name": SETTINGS.router_name}), SLICE)["pg"].admitted
    other = balanced(
        PG,
        annotations={f"{PREFIX}router-name": SETTINGS.router_name, f"{PREFIX}external-tcp-port": "7000"},
        load_balancer_class="tcp-router.openshift.io/another",
    )
    assert verdicts(other, SLICE)["pg"].reason is Reason.INVALID_ANNOTATION


@pytest.mark.parametrize(
    "spec",
    [
        {"load_balancer_class": None},
        {"load_balancer_class": "tcp-router.openshift.io/another"},
        {"load_balancer_class": "example.com/tcp-router"},
        {"type": "ClusterIP"},
    ],
)
def test_other_classes_are_not_ours(spec: dict[str, Any]) -> None:
    """Nor a Service without one, nor one of another type; where it asks by annotations, these count."""
    assert verdicts(balanced(PG, **spec), SLICE) == {}
    if spec.get("load_balancer_class") != "tcp-router.openshift.io/another":
        asks = asking("db", "7000", PG)
        asks = replace(asks, spec=replace(balanced(PG, **spec).spec))
        assert verdicts(asks, SLICE)[""].port == 7000


def test_node_ports_beside_the_router_are_a_warning() -> None:
    """They lead past its allowlist; so is a field that has no effect."""
    for allocates in (None, True):
        (warning,) = verdicts(balanced(PG, allocate_load_balancer_node_ports=allocates), SLICE)["pg"].warnings
        assert warning.startswith("NodePortsOpen: ")
    assert verdicts(balanced(PG, load_balancer_ip="192.0.2.1"), SLICE)["pg"].warnings == (
        "spec.loadBalancerIP has no effect",
    )


def test_a_service_without_tcp_ports_or_with_too_many() -> None:
    """It is rejected as a whole: bounded is what one object costs."""
    (verdict,) = verdicts(balanced(DNS)).values()
    assert (verdict.reason, verdict.message) == (
        Reason.INVALID_PORT,
        "the Service has no TCP port, and only TCP can be served; it has 'dns' ('UDP' 5353)",
    )
    many = [ServicePort(port=7000 + number, name=f"p{number}") for number in range(MAX_PORTS + 1)]
    (verdict,) = verdicts(balanced(*many)).values()
    assert verdict.message == "the Service has 101 TCP ports; accepted are up to 100 of one Service"


@pytest.mark.parametrize(
    "ports",
    [
        (PG, ServicePort(port=5433, name="pg")),
        (PG, ServicePort(port=5433)),
        (ServicePort(port=5432), ServicePort(port=5433)),
        (ServicePort(port=5432, name="a\n  server x 10.0.0.1:1"),),
        (ServicePort(port=5432, name="A"), PG),
    ],
)
def test_names_of_ports_are_what_an_api_server_takes(ports: tuple[ServicePort, ...]) -> None:
    """In a folder they may be anything: what cannot be told apart, or stand in a configuration, is no claim."""
    (verdict,) = verdicts(balanced(*ports), SLICE).values()
    assert verdict.reason is Reason.INVALID_PORT


def test_a_reserved_port_costs_only_itself() -> None:
    """As a port that the router does not give."""
    found = verdicts(balanced(PG, ServicePort(port=22, name="ssh")), SLICE)
    assert (found["pg"].admitted, found["ssh"].reason) == (True, Reason.PORT_NOT_ALLOWED)


def test_it_is_read_as_the_api_writes_it() -> None:
    """The fields' names."""
    text = b"""{"metadata": {"name": "db"}, "spec": {"type": "LoadBalancer", "loadBalancerClass": "tcp-router.openshift.io/x",
      "loadBalancerSourceRanges": ["10.0.0.0/8"], "loadBalancerIP": "192.0.2.1", "allocateLoadBalancerNodePorts": false},
      "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [{"port": 1, "protocol": "TCP", "error": "No"}]}]}}}"""
    read = msgspec.json.decode(text, type=Service)
    assert read.router_of_class == "x"
    assert read.spec.load_balancer_source_ranges == ("10.0.0.0/8",)
    assert (read.spec.load_balancer_ip, read.spec.allocate_load_balancer_node_ports) == ("192.0.2.1", False)
    (ingress,) = read.status.ingress
    assert (ingress.ip_mode, ingress.ports and ingress.ports[0].error) == ("Proxy", "No")


def test_ports_beyond_what_the_namespace_may_hold_are_rejected_each_for_itself() -> None:
    """The others are served; of one Service those of the first names, whatever their numbers."""
    found = verdicts(namespace("shop", tcp_ports_max="1"), balanced(PG, METRICS), SLICE)
    assert (found["metrics"].admitted, found["pg"].reason) == (True, Reason.PORT_QUOTA_EXCEEDED)
    assert found["pg"].message == "namespace shop may hold 1 port and holds 1: 9187 (Service shop/db port metrics)"
    kept_out = verdicts(namespace("shop", tcp_ports="5000-5999"), balanced(PG, METRICS), SLICE)
    assert (kept_out["metrics"].reason, kept_out["pg"].admitted) == (Reason.PORT_NOT_ALLOWED, True)
