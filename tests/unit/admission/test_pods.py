"""One server for each pod, by however many addresses and Services it is reached."""

from __future__ import annotations

import msgspec
import pytest

from router.objects.core import Service
from router.objects.discovery import EndpointPort, EndpointSlice
from router.objects.route import RouteTarget
from tests.unit.admission.builders import backend_of, endpoint, endpoint_slice, route, service

BOTH = route(alternates=(RouteTarget(name="green"),))


def six(*endpoints: object, name: str = "six", **more: object) -> EndpointSlice:
    """Make an IPv6 slice."""
    return endpoint_slice(*endpoints, name=name, address_type="IPv6", **more)  # type: ignore[arg-type]  # passed on


def families(of: Service, *first: str) -> Service:
    """Give a Service with ``spec.ipFamilies``."""
    return msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, ip_families=first))


def places(*objects: Service | EndpointSlice) -> list[tuple[str, int]]:
    """Give address and weight of each server, of a Route that leads to ``db`` and perhaps to ``green``."""
    by = BOTH if any(isinstance(each, Service) and each.metadata.name == "green" for each in objects) else route()
    return [(server.address, server.weight) for server in backend_of(by, *objects).servers]


DUAL = (
    endpoint_slice(endpoint("10.1.0.1", pod="db-0"), endpoint("10.1.0.2", pod="db-1")),
    six(endpoint("fd00::1", pod="db-0"), endpoint("fd00::2", pod="db-1")),
)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param((), ["10.1.0.1", "10.1.0.2"], id="not told"),
        pytest.param(("IPv4", "IPv6"), ["10.1.0.1", "10.1.0.2"], id="IPv4 first"),
        pytest.param(("IPv6", "IPv4"), ["fd00::1", "fd00::2"], id="IPv6 first"),
    ],
)
def test_a_pod_with_two_addresses_is_one_server(first: tuple[str, ...], expected: list[str]) -> None:
    """By that of the Service's first family; limits and weights are the pod's then."""
    assert [address for address, _ in places(families(service(), *first), *DUAL)] == expected


def test_a_pod_with_one_address_is_served_by_that() -> None:
    """Whatever the Service's first family is, also beside pods that have both."""
    slices = (endpoint_slice(endpoint("10.1.0.1", pod="db-0")), six(endpoint("fd00::2", pod="db-1")))
    assert places(service(), *slices) == [("10.1.0.1", 1), ("fd00::2", 1)]


def test_endpoints_without_a_pod_are_all_served() -> None:
    """Nobody can tell whether two addresses lead to the same."""
    assert places(service(), endpoint_slice("10.1.0.1"), six("fd00::1")) == [("10.1.0.1", 1), ("fd00::1", 1)]


def test_pods_of_one_name_and_family_are_not_one() -> None:
    """As while a pod of a StatefulSet is made anew, at another address."""
    old, new = endpoint("10.1.0.1", "draining", pod="db-0"), endpoint("10.1.0.2", pod="db-0")
    assert places(service(), endpoint_slice(old, new)) == [("10.1.0.1", 0), ("10.1.0.2", 1)]


def test_ports_of_a_pod_are_not_one() -> None:
    """What listens on each is something of its own."""
    slices = (
        endpoint_slice(endpoint("10.1.0.1", pod="db-0")),
        six(endpoint("fd00::1", pod="db-0"), ports=(EndpointPort(name="pg", port=5433),)),
    )
    found = backend_of(route(target_port="pg"), service(), *slices).servers
    assert [(server.address, server.port) for server in found] == [("10.1.0.1", 5432), ("fd00::1", 5433)]


def test_a_pod_behind_two_services_is_one_server() -> None:
    """It gets what it would get by each of them, together."""
    objects = (
        service(),
        endpoint_slice(endpoint("10.1.0.1", pod="a"), endpoint("10.1.0.2", pod="b")),
        service("green"),
        endpoint_slice(endpoint("10.1.0.2", pod="b"), service="green"),
    )
    # Of 200: 50 for a; 50 and 100 for b.
    assert places(*objects) == [("10.1.0.1", 85), ("10.1.0.2", 256)]
    names = [server.name for server in backend_of(BOTH, *objects).servers]
    assert names == ["pod:a:db:pg:10.1.0.1:5432", "pod:b:db:pg:10.1.0.2:5432"]


def test_a_pod_behind_two_services_by_different_families_is_one_server() -> None:
    """The first Service's first family counts."""
    objects = (
        service(),
        endpoint_slice(endpoint("10.1.0.1", pod="a"), endpoint("10.1.0.2", pod="b")),
        families(service("green"), "IPv6"),
        six(endpoint("fd00::2", pod="b"), service="green"),
    )
    assert places(*objects) == [("10.1.0.1", 85), ("10.1.0.2", 256)]


def test_a_pod_that_is_ready_for_one_service_is_ready() -> None:
    """Draining is what both say, while their slices follow each other."""
    objects = (
        service(),
        endpoint_slice(endpoint("10.1.0.1", "draining", pod="a")),
        service("green"),
        endpoint_slice(endpoint("10.1.0.1", pod="a"), service="green"),
    )
    (server,) = backend_of(BOTH, *objects).servers
    assert (server.name, server.weight) == ("pod:a:green:pg:10.1.0.1:5432", 256)
