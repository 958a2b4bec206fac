"""Which endpoints a Route leads to, with which weights, and what is said about the others."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from router.admission import addresses, endpoints
from router.admission.destination import uniquely_named
from router.admission.endpoints import IDLED_AT, MAX_ENDPOINTS
from router.admission.verdicts import Reason
from router.model import Server
from router.objects.core import Service, ServicePort
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef
from router.objects.route import RouteTarget
from router.server_ids import server_ids
from router.settings import AdmissionSettings
from tests.unit.admission.builders import (
    DB,
    admit,
    asker,
    backend_of,
    endpoint,
    endpoint_slice,
    route,
    section_of,
    service,
    verdict_of,
)

PG = EndpointPort(name="pg", port=5432, protocol="TCP")
METRICS = EndpointPort(name="metrics", port=9187, protocol="TCP")
DNS = EndpointPort(name="dns", port=5353, protocol="UDP")
TWO = service(
    "db",
    ServicePort(port=6000, name="pg", target_port="postgres"),
    ServicePort(port=9187, name="metrics", target_port=9187),
    ServicePort(port=5353, name="dns", protocol="UDP", target_port=5353),
)
TWO_SLICE = endpoint_slice("10.1.0.1", ports=(PG, METRICS, DNS))


def places(*objects: Service | EndpointSlice, target_port: int | str | None = 5432) -> list[tuple[str, int, int]]:
    """Give address, port and weight of each server."""
    servers = backend_of(route(target_port=target_port), *objects).servers
    return [(server.address, server.port, server.weight) for server in servers]


TARGET_PORTS: dict[str, tuple[int | str | None, list[tuple[str, int, int]]]] = {
    "number of the endpoints": (5432, [("10.1.0.1", 5432, 1)]),
    "number of the Service, followed": (6000, [("10.1.0.1", 5432, 1)]),
    "digits in a text": ("5432", [("10.1.0.1", 5432, 1)]),
    "name": ("pg", [("10.1.0.1", 5432, 1)]),
    "another name": ("metrics", [("10.1.0.1", 9187, 1)]),
    "name of the pod's port": ("postgres", []),
    "no such name": ("nope", []),
    "no such number": (1, []),
    "UDP by name": ("dns", []),
    "UDP by number": (5353, []),
}


@pytest.mark.parametrize(("target_port", "expected"), TARGET_PORTS.values(), ids=TARGET_PORTS)
def test_target_ports_of_a_service_with_several(target_port: int | str, expected: list[tuple[str, int, int]]) -> None:
    """A number is the endpoints' port first and the Service's second; a name is the Service's."""
    assert places(TWO, TWO_SLICE, target_port=target_port) == expected


def test_the_endpoints_number_goes_before_the_services() -> None:
    """Where both have the number, the pods' own port is meant."""
    crossed = service(
        "db", ServicePort(port=5432, name="a", target_port=9187), ServicePort(port=9187, name="b", target_port=5432)
    )
    ports = (EndpointPort(name="a", port=9187), EndpointPort(name="b", port=5432))
    assert places(crossed, endpoint_slice("10.1.0.1", ports=ports), target_port=5432) == [("10.1.0.1", 5432, 1)]


def rolling_out(*ports: EndpointPort) -> list[EndpointSlice]:
    """Make a slice for each version of an app, as while its container's port changes."""
    return [endpoint_slice(f"10.1.0.{at}", name=f"v{at}", ports=(port,)) for at, port in enumerate(ports, 1)]


def test_the_services_number_leads_to_all_its_pods() -> None:
    """Also to those that listen on another number, while some listen on just that one."""
    slices = rolling_out(EndpointPort(name="pg", port=5433), EndpointPort(name="pg", port=5432))
    followed = service("db", ServicePort(port=5432, name="pg", target_port="pg"))
    assert places(followed, *slices, target_port=5432) == [("10.1.0.1", 5433, 1), ("10.1.0.2", 5432, 1)]
    assert places(followed, slices[0], target_port=5432) == [("10.1.0.1", 5433, 1)]
    assert verdict_of(route(target_port=5432), followed, *slices).warnings == ()


def test_the_services_number_leads_to_what_is_written_by_hand_too() -> None:
    """A slice that has the number and another name was served before its neighbour had the Service's name."""
    slices = rolling_out(
        EndpointPort(name="pg", port=5433), EndpointPort(name="pg", port=5432), EndpointPort(port=5432)
    )
    followed = service("db", ServicePort(port=5432, name="pg", target_port="pg"))
    assert [port for _, port, _ in places(followed, *slices, target_port=5432)] == [5433, 5432, 5432]


def test_the_services_number_leads_to_one_port_of_each_pod() -> None:
    """A pod that has the number under another name as well is meant by the name: that port is another Service port's."""
    ports = (EndpointPort(name="pg", port=5433), EndpointPort(name="admin", port=5432))
    slices = (endpoint_slice("10.1.0.1", name="old", ports=ports), endpoint_slice("10.1.0.2", name="new"))
    two = service("db", ServicePort(port=5432, name="pg", target_port="pg"), ServicePort(port=80, name="admin"))
    assert places(two, *slices, target_port=5432) == [("10.1.0.1", 5433, 1), ("10.1.0.2", 5432, 1)]


def test_pods_that_a_number_leaves_out_are_told() -> None:
    """Where it is the pods' own number alone, those of another version are not meant; nobody would notice."""
    slices = rolling_out(EndpointPort(name="pg", port=5433), EndpointPort(name="pg", port=5434))
    followed = service("db", ServicePort(port=5432, name="pg", target_port="pg"))
    assert places(followed, *slices, target_port=5433) == [("10.1.0.1", 5433, 1)]
    assert verdict_of(route(target_port=5433), followed, *slices).warnings == (
        (
            "endpoints of Service shop/db whose port 'pg' has another number than 5433 are left out; "
            "to have them all, say the Service port's name or number in spec.port.targetPort"
        ),
    )
    emptied = (slices[0], endpoint_slice(name="v2", ports=(EndpointPort(name="pg", port=5434),)))
    assert verdict_of(route(target_port=5433), followed, *emptied).warnings == ()


def test_without_a_target_port_the_only_tcp_port_is_meant() -> None:
    """UDP ports do not make it ambiguous."""
    mixed = service("db", ServicePort(port=1, name="pg"), ServicePort(port=2, name="dns", protocol="UDP"))
    assert places(mixed, TWO_SLICE, target_port=None) == [("10.1.0.1", 5432, 1)]


def test_a_port_without_name_is_followed() -> None:
    """A Service's only port needs no name, and its slices then have none either."""
    unnamed = service("db", ServicePort(port=80))
    for name in (None, ""):
        slices = endpoint_slice("10.1.0.1", ports=(EndpointPort(name=name, port=8080, protocol=None),))
        assert places(unnamed, slices, target_port=None) == [("10.1.0.1", 8080, 1)]
        assert places(unnamed, slices, target_port=80) == [("10.1.0.1", 8080, 1)]


def test_several_tcp_ports_without_a_target_port_are_ambiguous() -> None:
    """The Route is rejected, and the message lists the ports."""
    verdict = verdict_of(route(target_port=None), TWO, TWO_SLICE)
    assert verdict.reason is Reason.AMBIGUOUS_TARGET_PORT
    assert verdict.message == (
        "Service shop/db has the TCP ports 'pg' (6000), 'metrics' (9187); say which in spec.port.targetPort"
    )


def test_an_ambiguous_alternate_rejects_the_route_too() -> None:
    """The rule is the same for every Service of the Route."""
    verdict = verdict_of(
        route(target_port=None, to="web", alternates=(RouteTarget(name="db"),)), service("web"), TWO, TWO_SLICE
    )
    assert verdict.reason is Reason.AMBIGUOUS_TARGET_PORT


def test_different_pod_ports_of_one_name_are_followed() -> None:
    """During a rollout that changes a container's port, each slice has its own number."""
    slices = (
        endpoint_slice("10.1.0.1", name="old"),
        endpoint_slice("10.1.0.2", name="new", ports=(EndpointPort(name="pg", port=5433),)),
    )
    assert places(service(), *slices, target_port="pg") == [("10.1.0.1", 5432, 1), ("10.1.0.2", 5433, 1)]


def test_external_names_are_refused() -> None:
    """A Route must not lead out of the cluster, be it by its first Service or by another."""
    outside = service("db", kind="ExternalName")
    assert verdict_of(route(), outside).reason is Reason.EXTERNAL_NAME_NOT_ALLOWED
    both = (route(to="web", alternates=(RouteTarget(name="db", weight=0),)), service("web"), outside)
    assert verdict_of(*both).reason is Reason.EXTERNAL_NAME_NOT_ALLOWED
    assert "shop/db" in verdict_of(*both).message


STATES: dict[str, tuple[EndpointConditions, int | None]] = {
    "ready": (EndpointConditions(ready=True), 1),
    "nothing told": (EndpointConditions(), 1),
    "ready though terminating (publishNotReadyAddresses)": (EndpointConditions(ready=True, terminating=True), 1),
    "not ready": (EndpointConditions(ready=False), None),
    "not ready, serving": (EndpointConditions(ready=False, serving=True), None),
    "draining": (EndpointConditions(ready=False, serving=True, terminating=True), 0),
    "terminating, serving not told": (EndpointConditions(ready=False, terminating=True), 0),
    "terminating, not serving": (EndpointConditions(ready=False, serving=False, terminating=True), None),
}


@pytest.mark.parametrize(("conditions", "weight"), STATES.values(), ids=STATES)
def test_conditions_of_endpoints(conditions: EndpointConditions, weight: int | None) -> None:
    """Ready endpoints serve, serving and terminating ones drain, others are absent."""
    slices = endpoint_slice(Endpoint(addresses=("10.1.0.1",), conditions=conditions))
    assert places(service(), slices) == ([("10.1.0.1", 5432, weight)] if weight is not None else [])


DROPPED = {
    "127.0.0.1": "loopback",
    "127.8.9.1": "loopback",
    "0.0.0.0": "unspecified",  # noqa: S104  # an address to refuse, not one to bind
    "0.1.2.3": "unspecified",
    "169.254.169.254": "link-local",
    "169.254.1.1": "link-local",
    "224.0.0.1": "multicast",
    "255.255.255.255": "broadcast",
    "100.100.100.200": "cloud metadata",
    "168.63.129.16": "cloud metadata",
    "192.0.0.192": "cloud metadata",
    "::1": "loopback",
    "::": "unspecified",
    "fe80::1": "link-local",
    "fe80::a9fe:a9fe": "link-local",
    "ff02::1": "multicast",
    "fd00:ec2::254": "cloud metadata",
    "fd20:ce::254": "cloud metadata",
    "FD00:C1::A9FE:A9FE": "cloud metadata",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:a9fe:a9fe": "link-local",
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b::127.0.0.1": "loopback",
    "fd00:ec2::23": "cloud metadata",
    "::127.0.0.1": "loopback",
    "::169.254.169.254": "link-local",
    "::a9fe:a9fe": "link-local",
    "::2": "unspecified",
    "::ffff:0:169.254.169.254": "link-local",
    "64:ff9b:1::10.1.0.1": "local NAT64",
    "2002:7f00:1::": "loopback",
    "2002:a9fe:a9fe::1": "link-local",
    "2002:a01:1::5efe:169.254.169.254": "link-local",
    "2001:0:a01:1:0:0:5601:5601": "link-local",
    "2001:0:a9fe:a9fe::f5fe:fffe": "link-local",
    "2001:0:7f00:1:0:0:5601:5601": "link-local",
    "fd00::5efe:169.254.169.254": "link-local",
    "fd00::200:5efe:127.0.0.1": "loopback",
    "2001:db8::5efe:a9fe:a9fe": "link-local",
    "fe80::1%eth0": "with a zone",
    "fd00::1%eth0": "with a zone",
    "010.0.0.1": "no IP address",
    "10.0.0.1 ": "no IP address",
    "10.0.0.1:80": "no IP address",
    "db.example.com": "no IP address",
    "\u0661.1.1.1": "no IP address",
    "": "no IP address",
    "x\n": "no IP address",
}


@pytest.mark.parametrize(("address", "kind"), DROPPED.items(), ids=[ascii(address) for address in DROPPED])
def test_addresses_that_nobody_may_be_led_to(address: str, kind: str) -> None:
    """They are dropped and reported, in words that are safe to print; the Route's other endpoints stay."""
    outcome = admit(route(), service(), endpoint_slice(address, "10.1.0.1"))
    assert [server.address for server in section_of(outcome).backend.servers] == ["10.1.0.1"]
    (warning,) = outcome.verdicts[asker("db")].warnings
    hint = (
        "; a router for demonstrations leads to loopback with --allow-loopback-endpoints" if kind == "loopback" else ""
    )
    assert warning == f"endpoints of Service shop/db were dropped: {address!a} ({kind}){hint}"


@pytest.mark.parametrize(
    "address",
    ["::a01:1", "64:ff9b::a01:1", "2002:a01:1::1", "2001:0:a01:1::f5fe:fffe", "fd00::5efe:a01:1", "fd00::a9fe:a9fe"],
)
def test_addresses_that_carry_a_good_one_are_served(address: str) -> None:
    """It is the address inside that is judged; where none is by any standard, four bytes say nothing."""
    assert places(service(), endpoint_slice(address, address_type="IPv6")) == [(address, 5432, 1)]


def test_loopback_alone_may_be_let_through() -> None:
    """--allow-loopback-endpoints is for demos, and opens nothing else."""
    slices = endpoint_slice("127.0.0.1", "::1", "::ffff:127.0.0.2", "169.254.169.254", "0.0.0.0")  # noqa: S104  # dropped
    outcome = admit(route(), service(), slices, settings=AdmissionSettings(allow_loopback_endpoints=True))
    assert sorted(server.address for server in section_of(outcome).backend.servers) == ["127.0.0.1", "127.0.0.2", "::1"]
    (warning,) = outcome.verdicts[asker("db")].warnings
    assert "'0.0.0.0' (unspecified), '169.254.169.254' (link-local)" in warning


CANONICAL = {
    "2001:DB8:0:0::0001": "2001:db8::1",
    "::ffff:10.1.0.1": "10.1.0.1",
    "::FFFF:a01:1": "10.1.0.1",
    "10.1.0.1": "10.1.0.1",
}


@pytest.mark.parametrize(("address", "canonical"), CANONICAL.items(), ids=CANONICAL)
def test_addresses_have_one_spelling(address: str, canonical: str) -> None:
    """The same endpoint is the same bytes, however its slice spells it."""
    (server,) = backend_of(route(), service(), endpoint_slice(address)).servers
    (number,) = server_ids([(canonical, 5432, "db")]).values()
    assert server == Server(f"pod:{canonical}:db:pg:{canonical}:5432", canonical, 5432, 1, id=number)


def test_many_dropped_addresses_are_counted() -> None:
    """A warning names a few and counts the rest."""
    (warning, nothing_left) = verdict_of(
        route(), service(), endpoint_slice(*(f"127.0.0.{number}" for number in range(1, 101)))
    ).warnings
    assert warning.endswith(
        "'127.0.0.1' (loopback), '127.0.0.10' (loopback), '127.0.0.100' (loopback) and 97 more; a router for demonstrations leads to loopback with --allow-loopback-endpoints"
    )
    assert nothing_left == "Service shop/db has no ready endpoints on this port"


def test_names_instead_of_addresses_are_dropped() -> None:
    """FQDN slices would make HAProxy resolve names that a team chose."""
    slices = endpoint_slice("10.9.9.9", address_type="FQDN")
    assert places(service(), slices) == []
    assert "'10.9.9.9' (a name, not an address)" in verdict_of(route(), service(), slices).warnings[0]


@pytest.mark.parametrize("port", [0, -1, 65536, 10**40])
def test_ports_that_are_none_are_dropped(port: int) -> None:
    """A slice that was written by hand may say anything."""
    slices = endpoint_slice("10.1.0.1", ports=(EndpointPort(name="pg", port=port),))
    assert places(service(), slices, target_port="pg") == []
    assert "dropped" in verdict_of(route(target_port="pg"), service(), slices).warnings[0]


def test_a_slice_that_means_all_ports_leads_nowhere() -> None:
    """A port without number stands for all, of which none can be chosen."""
    assert places(service(), endpoint_slice("10.1.0.1", ports=(EndpointPort(name="pg"),)), target_port="pg") == []


def test_the_first_of_several_addresses_is_taken() -> None:
    """The addresses of one endpoint are alternatives to each other."""
    slices = endpoint_slice(Endpoint(addresses=("10.1.0.7", "10.1.0.1")), Endpoint(addresses=()))
    assert places(service(), slices) == [("10.1.0.7", 5432, 1)]


def test_an_endpoint_in_two_slices_is_one_server() -> None:
    """While the control plane moves endpoints between slices, both have them; ready goes before draining."""
    ready, draining = endpoint("10.1.0.1", "ready", "db-0"), endpoint("10.1.0.1", "draining", "db-0")
    for first, second in ((ready, draining), (draining, ready), (ready, ready)):
        slices = (endpoint_slice(first, name="a"), endpoint_slice(second, name="b"))
        assert places(service(), *slices) == [("10.1.0.1", 5432, 1)]


SERVER_NAMES: dict[str, tuple[TargetRef | None, str, str]] = {
    "pod": (TargetRef(kind="Pod", name="db-0"), "pg", "pod:db-0:db:pg:10.1.0.1:5432"),
    "no pod": (None, "pg", "pod:10.1.0.1:db:pg:10.1.0.1:5432"),
    "no Pod": (TargetRef(kind="VirtualMachine", name="vm"), "pg", "pod:10.1.0.1:db:pg:10.1.0.1:5432"),
    "hostile pod": (TargetRef(kind="Pod", name="x\n  bad"), "pg", "pod:10.1.0.1:db:pg:10.1.0.1:5432"),
    "hostile port": (None, "p:g #", "pod:10.1.0.1:db:p_g__:10.1.0.1:5432"),
    "unicode": (None, "\u0661", "pod:10.1.0.1:db:_:10.1.0.1:5432"),
    "long": (None, "p" * 5000, f"pod:10.1.0.1:db:{'p' * 63}:10.1.0.1:5432"),
}


@pytest.mark.parametrize(("target", "port_name", "expected"), SERVER_NAMES.values(), ids=SERVER_NAMES)
def test_server_names(target: TargetRef | None, port_name: str, expected: str) -> None:
    """Servers are named as OpenShift's router names them; what Kubernetes would not take is made fit."""
    slices = endpoint_slice(
        Endpoint(addresses=("10.1.0.1",), target_ref=target), ports=(EndpointPort(name=port_name, port=5432),)
    )
    assert [server.name for server in backend_of(route(), service(), slices).servers] == [expected]


def test_server_names_are_unique_in_their_backend() -> None:
    """Whatever makes names of several servers one, HAProxy must not see them so; many cost no more than as many."""
    twins = [Server("pod:a", "10.1.0.1", port, 1, id=port) for port in range(1, 3001)]
    other = Server("pod:a:2", "10.1.0.2", 1, 1, id=3001)
    named = uniquely_named([*twins, other])
    assert len({server.name for server in named}) == len(named) == 3001
    assert {server.name for server in named if server.port in {1, 2}} == {"pod:a", "pod:a:2", "pod:a:2:2"}
    assert list(named) == sorted(named, key=lambda server: server.name)


def test_weights_of_several_services_reach_the_servers() -> None:
    """Draining endpoints get nothing and do not count in the sharing."""
    blue = endpoint_slice("10.1.0.1", endpoint("10.1.0.2", "draining"), endpoint("10.1.0.3", "gone"))
    green = (service("green"), endpoint_slice("10.2.0.1", "10.2.0.2", service="green"))
    split = route(to=RouteTarget(name="db", weight=50), alternates=(RouteTarget(name="green", weight=50),))
    servers = backend_of(split, service(), blue, *green).servers
    assert {server.address: server.weight for server in servers} == {
        "10.1.0.1": 256,
        "10.1.0.2": 0,
        "10.2.0.1": 128,
        "10.2.0.2": 128,
    }


def test_an_absent_weight_is_100() -> None:
    """As the API defines it."""
    green = (service("green"), endpoint_slice("10.2.0.1", service="green"))
    servers = backend_of(route(alternates=(RouteTarget(name="green", weight=50),)), *DB, *green).servers
    assert [server.weight for server in servers] == [128, 256]


WARNINGS: dict[str, tuple[tuple[Service | EndpointSlice, ...], int | str | None, str]] = {
    "no Service": ((), 5432, "Service shop/db does not exist"),
    "slices without a Service": ((DB[1],), 5432, "Service shop/db does not exist"),
    "no slices": ((service(),), 5432, "Service shop/db has no endpoints"),
    "an empty slice": ((service(), endpoint_slice()), 5432, "Service shop/db has no endpoints"),
    "none ready": (
        (service(), endpoint_slice(endpoint("10.1.0.1", "gone"))),
        5432,
        "Service shop/db has no ready endpoints on this port",
    ),
    "all drain": (
        (service(), endpoint_slice(endpoint("10.1.0.1", "draining"))),
        5432,
        "Service shop/db has no ready endpoints; 1 drain",
    ),
    "no such name": (DB, "amqp", "Service shop/db has no port named 'amqp'"),
    "no such number": (DB, 5, "neither Service shop/db nor its endpoints have a port 5"),
    "UDP by name": ((TWO, TWO_SLICE), "dns", "port 'dns' of Service shop/db is 'UDP'; only TCP can be served"),
    "UDP by number": ((TWO, TWO_SLICE), 5353, "port 5353 of Service shop/db is 'UDP'; only TCP can be served"),
    "UDP of the endpoints": (
        (service(), endpoint_slice("10.1.0.1", ports=(EndpointPort(name="x", port=53, protocol="SCTP"),))),
        53,
        "port 53 of Service shop/db is 'SCTP'; only TCP can be served",
    ),
    "UDP alone": (
        (service("db", ServicePort(port=53, protocol="UDP")),),
        None,
        "Service shop/db has no TCP port; UDP and SCTP cannot be served",
    ),
    "pods' number, no endpoints yet": (
        (service("db", ServicePort(port=80, name="web", target_port=8080)),),
        8080,
        "Service shop/db has no endpoints",
    ),
}


@pytest.mark.parametrize(("objects", "target_port", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_a_route_without_servers_keeps_its_port_and_says_why(
    objects: tuple[Service | EndpointSlice, ...], target_port: int | str | None, warning: str
) -> None:
    """The Route stays admitted, and the warning names what is missing."""
    outcome = admit(route(target_port=target_port), *objects)
    verdict = outcome.verdicts[asker("db")]
    assert (verdict.admitted, verdict.warnings) == (True, (warning,))
    assert all(server.weight == 0 for server in section_of(outcome).backend.servers)


def idled(cluster_ip: str = "172.30.0.10") -> Service:
    """Make a Service that ``oc idle`` put to sleep."""
    return service(
        "db",
        ServicePort(port=80, name="pg", target_port=5432),
        cluster_ip=cluster_ip,
        annotations={IDLED_AT: "2024-01-01T00:00:00Z"},
    )


@pytest.mark.parametrize("target_port", [5432, 80, "pg", None])
def test_an_idled_service_is_woken_through_its_cluster_ip(target_port: int | str | None) -> None:
    """Connections go to ClusterIP and Service port, without checks, which would wake it too."""
    outcome = admit(route(target_port=target_port), idled())
    (number,) = server_ids([("172.30.0.10", 80, "db")]).values()
    assert section_of(outcome).backend.servers == (
        Server("pod:idled:db:pg:172.30.0.10:80", "172.30.0.10", 80, 1, check=False, id=number),
    )
    assert outcome.verdicts[asker("db")].warnings == ()


def test_an_idled_service_that_woke_leads_to_its_pods() -> None:
    """The annotation may outlive the sleep."""
    assert places(idled(), endpoint_slice("10.1.0.1")) == [("10.1.0.1", 5432, 1)]


def test_pods_of_an_idled_service_may_still_drain() -> None:
    """New connections wake it, established ones end in peace."""
    slices = endpoint_slice(endpoint("10.1.0.1", "draining"))
    assert places(idled(), slices) == [("10.1.0.1", 5432, 0), ("172.30.0.10", 80, 1)]


@pytest.mark.parametrize("cluster_ip", ["", "None", "127.0.0.1", "169.254.169.254", "nonsense"])
def test_a_cluster_ip_passes_the_same_filter(cluster_ip: str) -> None:
    """A headless Service cannot be woken, and a ClusterIP in a manifest may say anything."""
    outcome = admit(route(), idled(cluster_ip))
    assert section_of(outcome).backend.servers == ()
    assert "Service shop/db has no endpoints" in outcome.verdicts[asker("db")].warnings


def test_v4_and_v6_endpoints_are_served_together() -> None:
    """A dual-stack Service has a slice for each."""
    slices = (endpoint_slice("10.1.0.1", name="four"), endpoint_slice("fd00::1", name="six", address_type="IPv6"))
    assert [address for address, _, _ in places(service(), *slices)] == ["10.1.0.1", "fd00::1"]


def test_slices_of_another_namespace_are_not_followed() -> None:
    """A Service is looked for beside its Route only."""
    elsewhere = endpoint_slice("10.9.0.1", namespace="other")
    assert places(service(), elsewhere) == []
    assert verdict_of(route(), service(namespace="other"), elsewhere).warnings == ("Service shop/db does not exist",)


def test_a_route_leads_to_a_bounded_number_of_endpoints() -> None:
    """The first slices by name are looked at, of the Services in their order, and the Route's owner is told; nothing is refused."""
    many = [
        endpoint_slice(*(f"10.{number}.{i // 250}.{i % 250}" for i in range(1000)), name=f"db-{number}")
        for number in range(4)
    ]
    looked_at = judged()
    outcome = admit(route(), service(), *reversed(many))
    servers = section_of(outcome).backend.servers
    assert len(servers) == MAX_ENDPOINTS == 2000
    assert {server.address.split(".")[1] for server in servers} == {"0", "1"}
    assert judged() - looked_at == MAX_ENDPOINTS
    (warning,) = outcome.verdicts[asker("db")].warnings
    assert warning == (
        "Service shop/db has 4000 endpoints; only the first 2000 are looked at, by the names of their EndpointSlices: "
        "a Route leads to at most 2000"
    )


def test_all_services_of_a_route_share_the_bound() -> None:
    """Seventeen Services with as many endpoints each are no way around it."""
    names = [f"s{number}" for number in range(3)]
    slices = [
        endpoint_slice(*(f"10.{number}.{i // 250}.{i % 250}" for i in range(1500)), service=name)
        for number, name in enumerate(names)
    ]
    alternates = tuple(RouteTarget(name=name) for name in names[1:])
    outcome = admit(route(to="s0", alternates=alternates), *map(service, names), *slices)
    assert len(section_of(outcome).backend.servers) == MAX_ENDPOINTS
    assert [warning.split(";")[1].split(" are ")[0] for warning in outcome.verdicts[asker("db")].warnings[:2]] == [
        " only the first 500",
        " only the first 0",
    ]


def test_a_port_that_a_slice_has_under_many_names_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice may have 20,000 ports, all of one number: 1,000 endpoints are 1,000 servers, not 20 million that are thrown away."""
    named = Mock(wraps=endpoints.server_name)
    monkeypatch.setattr(endpoints, "server_name", named)
    ports = tuple(EndpointPort(name=f"p{number}", port=5432) for number in range(300))
    places = [f"10.1.{i // 250}.{i % 250}" for i in range(1000)]
    backend = backend_of(route(), service(), endpoint_slice(*places, ports=ports))
    assert len(backend.servers) == named.call_count == 1000
    assert {server.name.split(":")[3] for server in backend.servers} == {"p0"}


def judged() -> int:
    """Count how many addresses were looked at so far."""
    info = addresses._judge.cache_info()  # noqa: SLF001 - to count
    return info.hits + info.misses


def test_long_addresses_are_not_remembered() -> None:
    """What is no address may be a megabyte, and another one with each write."""
    before = judged()
    (warning, *_) = verdict_of(route(), service(), endpoint_slice("1" * 100_000)).warnings
    assert warning.endswith("(100000 characters) (no IP address)")
    assert judged() == before
