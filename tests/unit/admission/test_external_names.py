"""Services of type ExternalName: which names may be led to, and to which of their addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Admission, Outcome
from router.admission.external_names import MAX_ADDRESSES, spelled
from router.admission.name_book import MAX_NAMES, NameBook
from router.admission.text import is_host_pattern
from router.admission.verdicts import Reason
from router.objects.core import RouterPod, Service, ServicePort
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.resolved import ResolvedName
from router.objects.route import RouteTarget
from router.objects.store import Store
from tests.unit.admission.builders import (
    NAMESPACE,
    SETTINGS,
    admit,
    asker,
    asking,
    backend_of,
    endpoint_slice,
    key,
    resolved,
    route,
    service,
    verdict_of,
)

ON = replace(SETTINGS, external_names=("*.db.example.com", "one.example.org"))
PRIVATE = replace(ON, external_names_private=True)
NAME = "pg.db.example.com"
PUBLIC = "203.0.113.7"


def external(name: str = NAME, *ports: ServicePort, service_name: str = "db") -> Service:
    """Make a Service of type ExternalName."""
    return service(service_name, *ports, kind="ExternalName", external_name=name)


def places(*objects: KubernetesObject, target_port: int | str | None = None) -> list[tuple[str, int, int]]:
    """Give address, port and weight of the servers of a Route to db."""
    servers = backend_of(route(target_port=target_port), *objects, settings=PRIVATE).servers
    return [(each.address, each.port, each.weight) for each in servers]


@pytest.mark.parametrize(
    ("name", "is_allowed"),
    [
        (NAME, True),
        ("PG.DB.Example.com.", True),
        ("a.b.c.db.example.com", True),
        ("one.example.org", True),
        ("db.example.com", False),
        ("two.one.example.org", False),
        ("evildb.example.com", False),
        ("db.example.com.evil.net", False),
        ("10.0.0.1", False),
        ("localhost", False),
        ("", False),
        ("a..db.example.com", False),
        ("-.db.example.com", False),
        ("p\u0261.db.example.com", False),
        ("\u212a.db.example.com", False),
        (f"{'a.' * 130}db.example.com", False),
    ],
)
def test_which_names_are_allowed(name: str, *, is_allowed: bool) -> None:
    """Those below a suffix at whatever depth, and those that are named; in whatever case, and with a dot at the end or not."""
    verdict = verdict_of(route(), external(name), settings=ON)
    assert verdict.admitted is is_allowed
    if not is_allowed:
        assert verdict.reason is Reason.EXTERNAL_NAME_NOT_ALLOWED
        assert "shop/db" in verdict.message


def test_what_is_allowed_is_said() -> None:
    """A name that is not: the message has those that are. Without the option it says that pods are all that is led to."""
    message = verdict_of(route(), external("x.example.net"), settings=ON).message
    assert message == (
        "Service shop/db leads to the name x.example.net, which is not allowed; allowed are *.db.example.com, one.example.org"
    )
    assert "leads to pods only" in verdict_of(route(), external()).message


def test_patterns() -> None:
    """What the option takes."""
    assert [each for each in ("*", "*.a.b", "a.b", "a") if not is_host_pattern(each)] == []
    assert [
        each for each in ("", "*.", "**", "a.*", "*a.b", "*.*.a", ".a", "a.", "A", "a b") if is_host_pattern(each)
    ] == []
    assert verdict_of(route(), external("x.y"), settings=replace(ON, external_names=("*",))).admitted
    assert spelled("A.b.") == "a.b"


def test_addresses_are_servers() -> None:
    """Each address, of both families, is a server at the Service's port; before they are known there are none, and nothing is told."""
    known = resolved("db", NAME, ("203.0.113.7", "2001:db8::7"))
    assert places(external(), known) == [("2001:db8::7", 5432, 1), ("203.0.113.7", 5432, 1)]
    verdict = verdict_of(route(), external(), settings=ON)
    assert verdict.admitted
    assert verdict.warnings == ()
    assert backend_of(route(), external(), settings=ON).servers == ()


def test_slices_of_such_a_service_are_nobodys_word() -> None:
    """A team can write EndpointSlices for it by hand: where it leads is what its name resolves to."""
    assert places(external(), endpoint_slice("10.1.0.1")) == []
    assert places(external(), endpoint_slice("10.1.0.1"), resolved("db", NAME, (PUBLIC,))) == [(PUBLIC, 5432, 1)]


def test_an_answer_about_another_name_is_none() -> None:
    """The Service says another name by now: what the former one led to is not where it leads."""
    assert places(external("new.db.example.com"), resolved("db", NAME, (PUBLIC,))) == []
    assert places(external(NAME.upper()), resolved("db", NAME, (PUBLIC,))) == [(PUBLIC, 5432, 1)]


PORTS = {
    "the only port": ((), None, 5432),
    "by its name": ((ServicePort(1, name="a"), ServicePort(2, name="b")), "b", 2),
    "by its number": ((ServicePort(1, name="a"), ServicePort(2, name="b")), 2, 2),
    "to another number": ((ServicePort(1, name="a", target_port=11), ServicePort(2, name="b", target_port=12)), 2, 12),
    "by the other number": ((ServicePort(1, name="a", target_port=11), ServicePort(2, name="b")), 11, 11),
    "a target of pods": ((ServicePort(1, name="a", target_port="pg"),), "a", 1),
}


@pytest.mark.parametrize(("ports", "target", "expected"), PORTS.values(), ids=PORTS)
def test_ports(ports: tuple[ServicePort, ...], target: int | str | None, expected: int) -> None:
    """The port that is meant is found as for other Services; there are no pods whose ports have names."""
    assert places(external(NAME, *ports), resolved("db", NAME, (PUBLIC,)), target_port=target) == [
        (PUBLIC, expected, 1)
    ]


def test_a_service_without_ports() -> None:
    """Kubernetes demands none of such a Service: the Route's number is the port, and without one it is told."""
    bare = external()
    bare = Service(bare.metadata, type(bare.spec)(type="ExternalName", external_name=NAME))
    assert places(bare, resolved("db", NAME, (PUBLIC,)), target_port=6432) == [(PUBLIC, 6432, 1)]
    verdict = verdict_of(route(target_port=None), bare, resolved("db", NAME, (PUBLIC,)), settings=ON)
    assert verdict.warnings == ("Service shop/db has no ports",)


def test_a_port_that_must_be_said() -> None:
    """Several ports, and the Route says none: rejected as with every Service."""
    verdict = verdict_of(
        route(target_port=None), external(NAME, ServicePort(1, name="a"), ServicePort(2, name="b")), settings=ON
    )
    assert verdict.reason is Reason.AMBIGUOUS_TARGET_PORT


FORBIDDEN = {
    "127.0.0.1": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "0.0.0.0": "unspecified",  # noqa: S104 - nothing is bound
    "::": "unspecified",
    "169.254.169.254": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "64:ff9b::a9fe:a9fe": "link-local",
    "2002:a9fe:a9fe::1": "link-local",
    "fe80::1": "link-local",
    "fd00:ec2::254": "cloud metadata",
    "100.100.100.200": "cloud metadata",
    "168.63.129.16": "cloud metadata",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    "255.255.255.255": "broadcast",
    "64:ff9b:1::1": "local NAT64",
    "no address": "no IP address",
}
OF_ONES_OWN = (
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "240.0.0.1",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "::a00:1",
)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden_addresses(address: str) -> None:
    """They are refused and told, however they are spelled, also where private ones are allowed; the others serve on."""
    known = resolved("db", NAME, (address, PUBLIC))
    verdict = verdict_of(route(), external(), known, settings=PRIVATE)
    assert places(external(), known) == [(PUBLIC, 5432, 1)]
    assert verdict.admitted
    (warning,) = verdict.warnings
    assert warning.startswith(f"addresses of {NAME} (Service shop/db) were refused: ")
    assert FORBIDDEN[address] in warning
    alone = verdict_of(route(), external(), resolved("db", NAME, (address,)), settings=PRIVATE)
    # What decides who has a port is no answer of a DNS server.
    assert alone.admitted


@pytest.mark.parametrize("address", OF_ONES_OWN)
def test_private_addresses(address: str) -> None:
    """They are led to by an option alone."""
    known = resolved("db", NAME, (address,))
    assert backend_of(route(), external(), known, settings=ON).servers == ()
    (warning,) = verdict_of(route(), external(), known, settings=ON).warnings
    assert "private" in warning
    assert "--external-names-private" in warning
    assert len(places(external(), known)) == 1


@pytest.mark.parametrize(
    "address", ["9.255.255.255", "11.0.0.0", "172.32.0.0", "100.128.0.0", "2001:db8::a00:1", "fbff::1"]
)
def test_public_addresses(address: str) -> None:
    """What lies beside the private ranges is led to."""
    assert len(backend_of(route(), external(), resolved("db", NAME, (address,)), settings=ON).servers) == 1


def test_loopback_by_its_option() -> None:
    """What demonstrations allow for endpoints they allow for names."""
    known = resolved("db", NAME, ("127.0.0.1",))
    demo = replace(ON, allow_loopback_endpoints=True)
    assert len(backend_of(route(), external(), known, settings=demo).servers) == 1


def test_the_router_itself() -> None:
    """A name that leads to a router's own port is refused as an endpoint there is, from when the port is served."""
    pod = RouterPod(ObjectMeta(name="router-1", namespace="openshift-ingress"), (PUBLIC,))
    loop = external(NAME, ServicePort(6620, name="self"))
    known = resolved("db", NAME, (PUBLIC, "203.0.113.8"))
    objects = (route(port=6620, target_port=None), loop, known, pod)
    assert [each.address for each in backend_of(*objects, settings=ON).servers] == ["203.0.113.8"]
    assert "the router itself" in verdict_of(*objects, settings=ON).warnings[0]


def test_too_many_addresses() -> None:
    """A name with hundreds of addresses has the first of them, and is told."""
    known = resolved("db", NAME, tuple(f"203.0.113.{number}" for number in range(1, 200)))
    assert len(backend_of(route(), external(), known, settings=ON).servers) == MAX_ADDRESSES
    assert f"the first {MAX_ADDRESSES} are used" in verdict_of(route(), external(), known, settings=ON).warnings[0]


def test_what_is_wrong_is_told() -> None:
    """The resolver's own words are a warning; the last addresses stay."""
    known = resolved("db", NAME, (PUBLIC,), "it cannot be resolved any more")
    assert verdict_of(route(), external(), known, settings=ON).warnings == (
        "Service shop/db: it cannot be resolved any more",
    )
    assert places(external(), known) == [(PUBLIC, 5432, 1)]


def test_weights_and_alternate_backends() -> None:
    """A name shares the connections with pods as another Service does."""
    objects = (
        route(to=RouteTarget(name="pods", weight=10), alternates=(RouteTarget(name="db", weight=30),)),
        service("pods"),
        endpoint_slice("10.1.0.1", service="pods"),
        external(),
        resolved("db", NAME, (PUBLIC, "203.0.113.8")),
    )
    servers = backend_of(*objects, settings=ON).servers
    weights = {each.address: each.weight for each in servers}
    assert weights["10.1.0.1"] == weights[PUBLIC] * 10 // 15
    assert weights[PUBLIC] == weights["203.0.113.8"]
    both = (*objects[:1], service("pods"), *objects[2:3], external("evil.example.net"))
    assert verdict_of(*both, settings=ON).reason is Reason.EXTERNAL_NAME_NOT_ALLOWED


def test_a_service_that_asks_itself() -> None:
    """By its annotation, with the option alone."""
    one = asking(kind="ExternalName", external_name=NAME)
    outcome = admit(one, resolved("db", NAME, (PUBLIC,)), settings=ON)
    assert [each.admitted for each in outcome.verdicts.values()] == [True]
    assert [each.address for section in outcome.model.routes for each in section.backend.servers] == [PUBLIC]
    assert outcome.names == {key("db"): NAME}
    refused = admit(one)
    assert [each.reason for each in refused.verdicts.values()] == [Reason.EXTERNAL_NAME_NOT_ALLOWED]


def test_names_to_look_up() -> None:
    """Those that somebody of ours leads to, by their Services; nothing without the option."""
    objects = (
        route(),
        route("other", to="other", port=6621),
        route("rejected", to="evil", port=6622),
        external(),
        external(NAME, service_name="other"),
        external("evil.example.net", service_name="evil"),
        external("x.db.example.com", service_name="nobodys"),
    )
    assert admit(*objects, settings=ON).names == {key("db"): NAME, key("other"): NAME}
    assert admit(*objects).names == {}


def many(*numbers: int, created: str = "2024-01-01T00:00:00Z") -> list[KubernetesObject]:
    """Make Routes to a name each."""
    return [
        each
        for number in numbers
        for each in (
            route(f"r{number}", 7000 + number, to=f"s{number}", created=created),
            external(f"n{number}.db.example.com", service_name=f"s{number}"),
        )
    ]


def test_a_namespace_has_a_bounded_number_of_names() -> None:
    """Those of its oldest askers are looked up; others keep their port, and are told. When one goes, the next is taken up."""
    settings = replace(ON, ports=replace(SETTINGS.ports, ranges=((1024, 65535),)))
    store, admission = Store(), Admission(settings)
    store.put(*many(*range(MAX_NAMES), created="2024-01-02T00:00:00Z"))
    first = admission.update(store.objects, store.take()[0])
    assert len(first.names) == MAX_NAMES
    store.put(*many(40, created="2024-01-03T00:00:00Z"))
    later = admission.update(store.objects, store.take()[0])
    assert later.names == first.names
    assert "is not looked up: a namespace may lead to 32 names" in said(later, "r40")
    store.put(*many(50, created="2024-01-01T00:00:00Z"))
    oldest = admission.update(store.objects, store.take()[0])
    assert key("s50") in oldest.names
    assert len(oldest.names) == MAX_NAMES
    lost = [name for name in first.names if name not in oldest.names]
    assert [each.name for each in lost] == ["s9"]
    assert "is not looked up" in said(oldest, "r9")
    store.delete(type(route()), ObjectKey(NAMESPACE, "r50"))
    assert admission.update(store.objects, store.take()[0]).names == first.names


def said(outcome: Outcome, name: str) -> str:
    """Give the warnings of a Route."""
    verdict = outcome.verdicts[asker(name)]
    assert verdict.admitted
    return "; ".join(verdict.warnings)


def test_names_of_one_namespace_cost_no_other() -> None:
    """Each has its own count, and a name that two lead to is one."""
    book = NameBook()
    for number in range(MAX_NAMES):
        book.put(asker(f"r{number:02}", "a"), "2024", {ObjectKey("a", f"s{number}"): f"n{number}"})
    book.put(asker("x", "b"), "2025", {ObjectKey("b", "s"): "other"})
    book.put(asker("y", "a"), "2025", {ObjectKey("a", "again"): "n0"})
    assert len(book.wanted()) == MAX_NAMES + 2
    assert book.wanted() is book.wanted()


def test_an_answer_changes_its_askers_alone() -> None:
    """An address that changes makes one section anew; the verdicts are the objects that they were."""
    store, admission = Store(), Admission(ON)
    store.put(*many(1, 2), resolved("s1", "n1.db.example.com", (PUBLIC,)))
    before = admission.update(store.objects, store.take()[0])
    store.put(resolved("s1", "n1.db.example.com", ("203.0.113.9",)))
    changes, _ = store.take()
    assert changes.services == {key("s1")}
    after = admission.update(store.objects, changes)
    changed = [new.route for old, new in zip(before.model.routes, after.model.routes, strict=True) if old is not new]
    assert changed == ["r1"]
    assert after.verdicts is before.verdicts
    assert after.names is before.names
    store.put(resolved("s1", "n1.db.example.com", ("203.0.113.9",)))
    assert not store.take()[0]
    store.delete(ResolvedName, key("s1"))
    assert not admission.update(store.objects, store.take()[0]).model.routes[0].backend.servers
