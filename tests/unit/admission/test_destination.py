"""What is found in a shorter way is what the longer one comes to."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from router.admission.addresses import judge_address
from router.admission.destination import Destination, find_destination
from router.admission.external_names import ExternalNames
from router.admission.own_places import Loops, OwnAddresses
from router.admission.request import Request
from router.admission.route import read_route
from router.objects.discovery import EndpointPort, EndpointSlice
from router.objects.route import RouteTarget
from tests.unit.admission.builders import SETTINGS, endpoint, endpoint_slice, objects_of, route, service

PORTS = st.sampled_from(
    [
        (EndpointPort(name="pg", port=5432, protocol="TCP"),),
        (EndpointPort(name="pg", port=5433), EndpointPort(name="pg", port=5432)),
        (EndpointPort(name="pg", port=0),),
        (),
        None,
    ]
)
ENDPOINTS = st.builds(
    endpoint,
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "127.0.0.1", "10.9.9.9", "name"]),
    st.sampled_from(["ready", "ready", "draining", "gone"]),
    pod=st.sampled_from([None, "a", "b", "b"]),
)
SLICES = st.lists(
    st.builds(
        lambda members, **more: endpoint_slice(*members, **more),
        st.lists(ENDPOINTS, max_size=4),
        name=st.sampled_from(["one", "two"]),
        ports=PORTS,
    ),
    max_size=3,
)


def _found(request: Request, slices: list[EndpointSlice], affinity: str) -> Destination:
    loops = Loops(OwnAddresses(frozenset({"10.9.9.9"})), lambda _address, port: port == 5432)
    objects = objects_of(service(affinity=affinity), *slices)
    found = find_destination(request, objects, names=ExternalNames.of(SETTINGS), is_looked_up=bool, loops=loops)
    assert isinstance(found, Destination)
    return found


@given(SLICES, st.integers(0, 256), st.sampled_from(["None", "ClientIP"]))
def test_one_service_has_the_servers_that_it_has_among_several(
    slices: list[EndpointSlice], weight: int, affinity: str
) -> None:
    """Shares are not computed where there is one Service and nothing is refused, and come to the same."""
    request = read_route(route(to=RouteTarget(name="db", weight=weight)), SETTINGS)
    assert isinstance(request, Request)
    assert _found(request, slices, affinity) == _found(structs.replace(request, refused_weight=0), slices, affinity)


@given(
    st.lists(st.integers(0, 260), min_size=3, max_size=5).map(lambda parts: ".".join(map(str, parts)))
    | st.ip_addresses().map(str)
    | st.text("0129.:f\n\u0661", max_size=12)
)
def test_addresses_are_those_that_python_knows(text: str) -> None:
    """An IPv4 address, which is known by its form, is one to whoever reads it with care; and is spelled as it came."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        assert judge_address(text) == (text, "no IP address")
        return
    spelled, problem = judge_address(text)
    assert problem != "no IP address"
    assert problem is not None or ipaddress.ip_address(spelled) in {address, getattr(address, "ipv4_mapped", None)}
    assert address.version == 6 or spelled == text
