"""Endpoints that are the routers themselves: dropped and told, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Admission, Outcome
from router.admission.own_places import OwnAddresses
from router.objects.core import RouterPod
from router.objects.discovery import EndpointPort
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route
from router.objects.store import Store
from router.settings import AdmissionSettings
from tests.unit.admission.builders import SETTINGS, asker, endpoint, endpoint_slice, key, route, service, sni_route

PORT = 6620
ROUTER = RouterPod(
    ObjectMeta(name="tcp-router-1", namespace="openshift-ingress"), ("10.1.0.1", "192.168.0.1", "fd00::1")
)


def leading_to(*addresses: str, port: int, name: str = "db") -> tuple[KubernetesObject, ...]:
    """Make a Service with these endpoints on this port."""
    family = "IPv6" if ":" in addresses[0] else "IPv4"
    ports = (EndpointPort(name="pg", port=port),)
    return service(name), endpoint_slice(*map(endpoint, addresses), service=name, ports=ports, address_type=family)


class World:
    """Objects that come and go, and what is decided of them."""

    def __init__(self, *objects: KubernetesObject, settings: AdmissionSettings = SETTINGS) -> None:
        self.store = Store()
        self.admission = Admission(settings)
        self.outcome = self.put(*objects)

    def put(self, *objects: KubernetesObject) -> Outcome:
        """Add or change objects."""
        self.store.put(*objects)
        return self._decide()

    def delete(self, kind: type[KubernetesObject], where: ObjectKey) -> Outcome:
        """Take an object away."""
        self.store.delete(kind, where)
        return self._decide()

    def servers(self, name: str = "db") -> list[str]:
        """Give where a Route leads to."""
        (section,) = (each for each in self.outcome.model.routes if each.route == name)
        return [f"{server.address} {server.port}" for server in section.backend.servers]

    def warnings(self, name: str = "db") -> str:
        """Give what is told of a Route that is admitted."""
        verdict = self.outcome.verdicts[asker(name)]
        assert verdict.admitted
        return "; ".join(verdict.warnings)

    def _decide(self) -> Outcome:
        changes, _ = self.store.take()
        self.outcome = self.admission.update(self.store.objects, changes)
        return self.outcome


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("10.1.0.1", id="pod"),
        pytest.param("192.168.0.1", id="node"),
        pytest.param("fd00::1", id="IPv6"),
        pytest.param("fd00:0:0::0001", id="another spelling"),
        pytest.param("::ffff:10.1.0.1", id="IPv4-mapped"),
        pytest.param("64:ff9b::10.1.0.1", id="NAT64"),
        pytest.param("2002:c0a8:1::1", id="6to4 of the node"),
    ],
)
def test_an_endpoint_that_is_a_router_is_dropped(address: str) -> None:
    """The routers' addresses with a port that is served lead back: they are dropped and told, and the Route is told that it has none."""
    world = World(ROUTER, route("db", PORT), *leading_to(address, port=PORT))
    assert world.servers() == []
    assert f"port {PORT} (the router itself)" in world.warnings()
    assert "has no ready endpoints" in world.warnings()


def test_other_endpoints_of_the_route_stay() -> None:
    """One bad endpoint costs only itself."""
    world = World(ROUTER, route("db", PORT), *leading_to("10.1.0.1", "10.1.0.9", port=PORT))
    assert world.servers() == [f"10.1.0.9 {PORT}"]


@pytest.mark.parametrize(
    ("served", "settings"),
    [
        pytest.param(8443, SETTINGS, id="the SNI port"),
        pytest.param(1936, replace(SETTINGS, own_ports=frozenset({1936})), id="a port of its own"),
    ],
)
def test_ports_that_are_always_served(served: int, settings: AdmissionSettings) -> None:
    """What the router listens on without any Route is no endpoint either: its metrics are not for everybody."""
    world = World(ROUTER, route("db", PORT), *leading_to("10.1.0.1", port=served), settings=settings)
    assert world.servers() == []


def test_a_shared_port_counts() -> None:
    """A port that Routes share by name is served as any other."""
    world = World(ROUTER, sni_route("s", "s.example.com", 7000), route("db", PORT), *leading_to("10.1.0.1", port=7000))
    assert world.servers() == []


def test_two_routes_in_a_circle() -> None:
    """Each by itself leads elsewhere; together they lead in a circle, which is broken at both."""
    world = World(ROUTER, route("a", 7000, to="a"), *leading_to("10.1.0.1", port=7001, name="a"))
    assert world.servers("a") == ["10.1.0.1 7001"]
    world.put(route("b", 7001, to="b"), *leading_to("10.1.0.1", port=7000, name="b"))
    assert world.servers("a") == world.servers("b") == []
    world.delete(Route, key("b"))
    assert world.servers("a") == ["10.1.0.1 7001"]


def test_another_port_of_the_node_is_its_owners() -> None:
    """On the host's network other pods have the routers' address: a port that no Route has leads to them."""
    world = World(ROUTER, route("db", PORT), *leading_to("192.168.0.1", port=5432))
    assert world.servers() == ["192.168.0.1 5432"]
    assert world.warnings() == ""


def test_routers_that_come_and_go() -> None:
    """A new replica's address counts from when it is known, and no longer when it is gone."""
    world = World(route("db", PORT), *leading_to("10.1.0.1", "10.1.0.2", port=PORT))
    assert len(world.servers()) == 2
    world.put(ROUTER)
    assert world.servers() == [f"10.1.0.2 {PORT}"]
    world.put(RouterPod(ROUTER.metadata, ("10.1.0.2",)))
    assert world.servers() == [f"10.1.0.1 {PORT}"]
    world.delete(RouterPod, ROUTER.key)
    assert len(world.servers()) == 2


def test_what_the_router_is_told_to_listen_on() -> None:
    """Addresses of --bind-address are the routers', in any spelling; the unspecified one is none."""
    settings = replace(SETTINGS, own_addresses=frozenset({"10.9.0.9", "::FFFF:10.9.0.8", "::"}))
    world = World(route("db", PORT), *leading_to("10.9.0.8", "10.9.0.9", "10.9.0.7", port=PORT), settings=settings)
    assert world.servers() == [f"10.9.0.7 {PORT}"]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        pytest.param(replace(SETTINGS, listens_everywhere=True), [], id="bound to all addresses"),
        pytest.param(
            replace(SETTINGS, listens_everywhere=False, own_addresses=frozenset({"127.0.0.1"})),
            [f"127.0.0.2 {PORT}"],
            id="bound to one",
        ),
    ],
)
def test_loopback_where_it_is_allowed(settings: AdmissionSettings, left: list[str]) -> None:
    """With --allow-loopback-endpoints everything on loopback may be led to, but for what the router listens on there."""
    settings = replace(settings, allow_loopback_endpoints=True)
    world = World(route("db", PORT), *leading_to("127.0.0.1", "127.0.0.2", port=PORT), settings=settings)
    assert world.servers() == left
    world = World(route("db", PORT), *leading_to("127.0.0.1", port=5432), settings=settings)
    assert world.servers() == ["127.0.0.1 5432"]


def test_an_idled_service_that_is_the_router() -> None:
    """The address that wakes an idled Service is looked at as any endpoint."""
    idled = service(cluster_ip="10.1.0.1", annotations={"idling.alpha.openshift.io/idled-at": "2024-01-01T00:00:00Z"})
    world = World(ROUTER, route("db", 5432), idled)
    assert world.servers() == []
    assert "10.1.0.1 port 5432 (the router itself)" in world.warnings()


def test_text_that_is_no_address_is_passed_over() -> None:
    """A pod may have no address yet."""
    assert OwnAddresses.of(["", "nonsense", "::", "10.0.0.1"]).addresses == {"10.0.0.1"}
