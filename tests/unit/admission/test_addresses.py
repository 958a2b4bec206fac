"""Ports of named addresses: who may use them, and what is said to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Admission, Verdict
from router.admission.options import PREFIX
from router.admission.verdicts import Reason
from router.objects.kinds import KubernetesObject
from router.objects.store import Store
from router.settings import NamedAddress, PortRanges
from tests.unit.admission.builders import SETTINGS, asker, asking, endpoint_slice, route, service
from tests.unit.admission.test_policy import namespace

GIVEN = replace(
    SETTINGS,
    addresses={
        "pg": NamedAddress(ips=("10.0.0.1",), reserved_ports=PortRanges.of(7009)),
        "my": NamedAddress(ips=("10.0.0.2",)),
    },
    default_addresses=frozenset({"my"}),
    auto_ports=PortRanges(((7000, 7002),)),
    auto_at_once=True,
)


class World:
    """Objects, and what is decided about them."""

    def __init__(self) -> None:
        self.store = Store()
        self.admission = Admission(GIVEN)
        self.put(service("db"), endpoint_slice("10.1.1.1", service="db"))

    def put(self, *objects: KubernetesObject) -> dict[str, Verdict]:
        """Bring objects; give the verdicts by name."""
        for obj in objects:
            self.store.put(obj)
        outcome = self.admission.update(self.store.objects, self.store.take()[0])
        return {who.name: verdict for who, verdict in outcome.verdicts.items()}


@pytest.mark.parametrize("port", [7100, "auto"])
def test_who_may_use_an_address(port: int | str) -> None:
    """Only whom an admin lets; who has a port of it keeps it when that changes, and who comes then is kept out at once."""
    world = World()
    told = world.put(route("a", port, external_address="pg"))
    assert told["a"].reason is Reason.ADDRESS_NOT_ALLOWED
    assert "tcp-addresses" in told["a"].message
    told = world.put(namespace("shop", None, tcp_addresses="pg"))
    assert told["a"].admitted
    assert told["a"].address == "pg"
    told = world.put(
        namespace("shop", None, tcp_addresses="none"),
        route("b", 7101 if port != "auto" else port, external_address="pg"),
    )
    assert told["a"].admitted
    assert told["b"].reason is Reason.ADDRESS_NOT_ALLOWED
    # What is said counts in the place of the default.
    assert world.put(route("c", 7102, external_address="my"))["c"].reason is Reason.ADDRESS_NOT_ALLOWED


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, Reason.ADDRESS_NOT_ALLOWED),
        ("pg,my", None),
        ("my", Reason.ADDRESS_NOT_ALLOWED),
        ("PG!", Reason.ADDRESS_NOT_ALLOWED),
    ],
)
def test_what_is_said_of_a_namespace(said: str | None, reason: Reason | None) -> None:
    """What cannot be read closes the namespace, for the default addresses too."""
    world = World()
    world.put(namespace("shop", None, **({"tcp_addresses": said} if said is not None else {})))
    assert world.put(route("a", 7100, external_address="pg"))["a"].reason is reason
    if said == "PG!":
        assert world.put(route("b", 7101, external_address="my"))["b"].reason is Reason.PORT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("address", "port", "reason", "said"),
    [
        ("nowhere", 7100, Reason.INVALID_ANNOTATION, "this router has pg, my"),
        ("", 7100, Reason.INVALID_ANNOTATION, "must be the name of an address"),
        (
            "my",
            None,
            Reason.INVALID_ANNOTATION,
            "needs haproxy.router.openshift.io/external-tcp-port",
        ),
        ("my", 8443, Reason.PORT_RESERVED, "told apart by SNI"),
        ("my", 7009, None, ""),
        (None, 7009, None, ""),
    ],
)
def test_what_cannot_be_had(address: str | None, port: int | None, reason: Reason | None, said: str) -> None:
    """It is told by the key, or the port; what is reserved on one address is not on another one."""
    said_of_it = {f"{PREFIX}external-address": address} if address is not None else {}
    told = World().put(route("a", port, host="a.example.com", termination="passthrough", annotations=said_of_it))["a"]
    assert told.reason is reason
    assert said in told.message


def test_a_reserved_port_of_an_address() -> None:
    """It is reserved there alone."""
    world = World()
    world.put(namespace("shop", None, tcp_addresses="pg,my"))
    assert world.put(route("a", 7009, external_address="pg"))["a"].reason is Reason.PORT_RESERVED
    assert world.put(route("b", 7009, external_address="my"))["b"].admitted


def test_a_service_has_all_its_ports_on_its_address() -> None:
    """Each for itself."""
    world = World()
    world.put(
        asking("queue", "pg=7100 metrics=7101", external_address="my"), endpoint_slice("10.1.1.2", service="queue")
    )
    verdicts = world.admission.update(world.store.objects, world.store.objects.everything()).verdicts
    assert {(each.port, each.address) for each in verdicts.values()} == {(7100, "my"), (7101, "my")}


def test_all_addresses_and_one_of_them_are_one_conflict() -> None:
    """The queue decides, and says who is in the way and why."""
    world = World()
    told = world.put(
        route("a", 7100, created="2020-01-01T00:00:00Z", external_address="my"),
        route("b", 7100, created="2021-01-01T00:00:00Z"),
        route("c", 7101, created="2020-01-01T00:00:00Z"),
        route("d", 7101, created="2021-01-01T00:00:00Z", external_address="my"),
    )
    assert told["a"].admitted
    assert told["c"].admitted
    assert told["b"].message == (
        "port 7100 on address my is held by Route shop/a; without an address of its own this one would have it there, too"
    )
    assert told["d"].message == "port 7101 is held by Route shop/c, on all addresses of the router, my too"
    assert asker("a") in world.admission.served().values()
