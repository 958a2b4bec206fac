"""TransportServerClaims: what they ask for, which port they get, and that they keep it whatever happens to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from router.admission import Reason, Verdict
from router.admission.options import PREFIX
from router.admission.places import Place
from router.admission.transport_server_claim import ADMITTED, read_claim, requested_port
from router.admission.verdicts import Lack
from router.model import Asker, RouteSection
from router.objects.core import ServicePort
from router.objects.discovery import EndpointPort
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.objects.pair_note import PairNote
from router.objects.portclaim import ClaimHolder
from router.objects.porter import CLAIM_KIND, FINALIZER, GROUP, ClaimMeta, TransportServerClaim
from router.objects.store import Store
from router.settings import AdmissionSettings, NamedAddress, PortRanges
from tests.unit.admission.builders import NAMESPACE, SETTINGS, endpoint_slice, port_claim, route, service
from tests.unit.admission.test_autos import Router

CLAIM_PORTS = PortRanges(((36_000, 36_009),))
GIVEN: frozenset[int | None] = frozenset(CLAIM_PORTS)
SERVING = replace(SETTINGS, server_claims="default", claim_ports=CLAIM_PORTS)
AT_ONCE = replace(SERVING, auto_at_once=True)
YOURSERVICE = service("yourservice", ServicePort(port=8000, name="web", target_port=9000))
PODS = endpoint_slice("10.1.0.1", service="yourservice", ports=(EndpointPort(name="web", port=9000),))
MONITOR = {"type": "tcp", "interval": 10, "timeout": 10}


def claim(
    name: str = "tsc",
    spec: Any = None,
    *,
    uid: str = "",
    finalizers: tuple[str, ...] | None = None,
    status: Any = None,
    created: str | None = "2024-01-01T00:00:00Z",
    annotations: dict[str, str] | None = None,
    **more: Any,
) -> TransportServerClaim:
    """Make a claim of the Service of these tests; ``more`` are fields of its spec."""
    said = {"service": "yourservice", "servicePort": 8000, "monitor": MONITOR, **more} if spec is None else spec
    meta = ClaimMeta(name, NAMESPACE, uid, "", 1, created, annotations, None, finalizers)
    return TransportServerClaim(meta, said, status)


def who(name: str = "tsc", uid: str = "") -> Asker:
    """Give a claim as an asker."""
    return Asker(GROUP, CLAIM_KIND, NAMESPACE, name, "", uid)


class Claims(Router):
    """An admission that serves claims."""

    def __init__(self, *objects: KubernetesObject, settings: AdmissionSettings = AT_ONCE) -> None:
        super().__init__(YOURSERVICE, PODS, *objects, settings=settings)

    def of(self, name: str = "tsc", uid: str = "") -> Verdict:
        """Give what became of a claim."""
        return self.outcome.verdicts[who(name, uid)]

    def section(self, name: str = "tsc") -> RouteSection:
        """Give what is served of a claim."""
        (section,) = (each for each in self.outcome.model.routes if each.asker == who(name))
        return section


def test_a_claim_is_given_a_port_of_the_claim_ports_and_leads_to_the_pods_behind_its_service_port() -> None:
    """The document's own claim; the Service's port 8000 leads to port 9000 of the pods."""
    router = Claims(claim())
    verdict = router.of()
    assert (verdict.admitted, verdict.auto, verdict.lack) == (True, True, None)
    assert verdict.port in GIVEN
    section = router.section()
    assert section.backend.name == f"be_tcp:{NAMESPACE}:transportserverclaim_tsc"
    assert section.frontend is not None
    assert section.frontend.port == verdict.port
    assert [(each.address, each.port) for each in section.backend.servers] == [("10.1.0.1", 9000)]


@pytest.mark.parametrize("port", [8000, "8000", "web", 9000], ids=repr)
def test_a_service_port_is_a_number_a_name_or_else_what_leads_to_the_pods_port(port: int | str) -> None:
    """The Service's own ports come first, also where pods have another port of that number."""
    other = ServicePort(port=80, name="other", target_port=8000)
    both = service("yourservice", ServicePort(port=8000, name="web", target_port=9000), other)
    pods = endpoint_slice(
        "10.1.0.1",
        service="yourservice",
        ports=(EndpointPort(name="web", port=9000), EndpointPort(name="other", port=8000)),
    )
    router = Claims(claim(servicePort=port))
    router.put(both, pods)
    assert [each.port for each in router.section().backend.servers] == [9000]


@pytest.mark.parametrize(
    ("monitor", "interval_ms", "fall"),
    [
        (MONITOR, 10_000, 1),
        (None, 10_000, 1),
        ({}, 10_000, 1),
        ({"type": "tcp", "interval": 5, "timeout": 16}, 5_000, 4),
        ({"interval": 5, "timeout": 15}, 5_000, 3),
        ({"interval": 30, "timeout": 1}, 30_000, 1),
        ({"timeout": None, "interval": 2}, 2_000, 5),
    ],
)
def test_a_monitor_is_an_interval_and_how_long_a_pod_may_be_silent(monitor: Any, interval_ms: int, fall: int) -> None:
    """F5's timeout is the time until a pod counts as down, not that of one check."""
    backend = Claims(claim(monitor=monitor)).section().backend
    assert (backend.check_interval_ms, backend.check_fall) == (interval_ms, fall)


def test_annotations_work_on_it_and_that_of_the_interval_counts() -> None:
    """The allowlist and all others."""
    said = {f"{PREFIX}ip_allowlist": "192.0.2.0/24", "router.openshift.io/haproxy.health.check.interval": "2s"}
    backend = Claims(claim(annotations=said, monitor={"interval": 5, "timeout": 9})).section().backend
    assert backend.allowlist == ("192.0.2.0/24",)
    assert (backend.check_interval_ms, backend.check_fall) == (2_000, 5)
    off = {"router.openshift.io/haproxy.health.check.interval": "0"}
    assert Claims(claim(annotations=off)).section().backend.check_fall is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("x", "spec is 'x', and must be a mapping"),
        (None, None),
        ([], "spec is a list, and must be a mapping"),
        ({}, "spec.service is missing; it must name a Service"),
        ({"service": "a/b", "servicePort": 1}, "spec.service is 'a/b', which no Service can be named"),
        ({"service": ["a"], "servicePort": 1}, "spec.service is a list, which no Service can be named"),
        ({"service": "a"}, "spec.servicePort is missing; it must be a number or a name"),
        ({"service": "a", "servicePort": 0}, "spec.servicePort is 0; accepted is 1 to 65535"),
        ({"service": "a", "servicePort": True}, "spec.servicePort is true; accepted is 1 to 65535"),
        ({"service": "a", "servicePort": 10**30}, "spec.servicePort is a number of more than 18 digits"),
        ({"service": "a", "servicePort": 1.5}, "spec.servicePort is 1.5; accepted is 1 to 65535"),
        ({"service": "a", "servicePort": 1, "monitor": 3}, "spec.monitor is 3, and must be a mapping"),
        ({"service": "a", "servicePort": 1, "monitor": {"type": "http"}}, "spec.monitor.type is 'http'; this router checks"),
        ({"service": "a", "servicePort": 1, "monitor": {"type": ["tcp"]}}, "spec.monitor.type is a list"),
        ({"service": "a", "servicePort": 1, "monitor": {"interval": "10"}}, "spec.monitor.interval is '10'; accepted is a whole"),
        ({"service": "a", "servicePort": 1, "monitor": {"timeout": 0}}, "spec.monitor.timeout is 0; accepted is a whole"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_mistaken_is_told_by_its_field(spec: Any, said: str | None) -> None:
    """No API server has to have checked it."""
    verdict = Claims(claim(spec={} if spec is None else spec)).of()
    assert verdict.reason is Reason.INVALID_SPEC
    assert verdict.message.startswith(said or "spec.service is missing")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("service", "servicePort", "monitor", "requestedPort", "overrideServicePort", "other")


@given(
    ANYTHING | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANYTHING)),
    ANYTHING,
    st.none() | st.just((FINALIZER,)),
)
def test_nothing_that_a_claim_can_say_raises(spec: Any, status: Any, finalizers: tuple[str, ...] | None) -> None:
    """It is read, or refused in words of one line; either way it stays somebody who asks for a port of these."""
    (asked,) = read_claim(claim(spec=spec, status=status, finalizers=finalizers), SERVING)
    assert asked.asker == who()
    assert not isinstance(asked, Verdict)
    assert (asked.auto, asked.pool) == (True, "claims")
    for text in (*asked.warnings, asked.refused.message if asked.refused else ""):
        assert text.isprintable()


def test_the_port_stays_whatever_changes_about_spec_service_and_address() -> None:
    """Only the end of the claim gives it up."""
    settings = replace(AT_ONCE, addresses={"pg": NamedAddress(ips=("192.0.2.10",), overlaps=False)})
    settings = replace(settings, default_addresses=frozenset({"pg"}))
    router = Claims(claim(), settings=settings)
    port = router.of().port
    for changed in (
        claim(servicePort="web"),
        claim(service="missing"),
        claim(spec="nonsense"),
        claim(annotations={f"{PREFIX}external-address": "nowhere"}),
        claim(annotations={f"{PREFIX}external-address": "pg"}),
        claim(requestedPort=36_005),
        claim(),
    ):
        router.put(changed)
        assert router.of().port == port
        router.put(claim("other"))
        assert router.of("other").port != port
    router.delete(type(YOURSERVICE), "yourservice")
    assert (router.of().port, router.of().lack) == (port, Lack.SERVICE)
    router.delete(TransportServerClaim, "tsc")
    assert who() not in router.outcome.verdicts


def test_a_claim_that_is_mended_is_served_on_its_port_again() -> None:
    """On a cluster, where PortClaims remember; what is mistaken claims nothing, and keeps it from all others."""
    router = Claims(claim(uid="u"), settings=SERVING)
    assert router.of(uid="u").reason is Reason.ALLOCATING
    router.write()
    port = router.of(uid="u").port
    router.put(claim(spec={"service": "yourservice"}, uid="u"))
    assert (router.of(uid="u").reason, router.of(uid="u").port) == (Reason.INVALID_SPEC, port)
    assert router.of(uid="u").places == (Place(port or 0),)
    router.put(claim(uid="u"))
    assert (router.of(uid="u").admitted, router.of(uid="u").port) == (True, port)


def test_all_ports_can_be_had_and_no_more() -> None:
    """Two claims of one Service and port have a port each."""
    router = Claims(*(claim(f"tsc{number}") for number in range(11)))
    ports = [router.of(f"tsc{number}").port for number in range(11)]
    assert sorted(filter(None, ports)) == list(CLAIM_PORTS)
    (late,) = (each for each in router.outcome.verdicts.values() if not each.admitted)
    assert (late.reason, late.message) == (
        Reason.NO_PORT_FREE,
        "none of the ports 36000-36009 is free; it is served when one is",
    )


def test_ports_for_others_are_not_for_claims_nor_the_other_way_round() -> None:
    """Each is given from its own."""
    settings = replace(AT_ONCE, auto_ports=PortRanges(((7000, 7000),)))
    router = Claims(claim(), route("db", "auto"), settings=settings)
    assert router.port() == 7000
    assert router.of().port in GIVEN
    assert router.counts("auto") == (1, 0)
    assert router.counts("claims") == (10, 9)


@pytest.mark.parametrize(
    ("asked", "given_it"),
    [
        (36_001, True),
        (36_008, True),
        (36_000, False),
        (36_009, False),
        (35_000, False),
        ("36001", False),
        (True, False),
    ],
    ids=repr,
)
def test_a_requested_port_lies_strictly_inside_the_claim_ports(asked: Any, given_it: bool) -> None:  # noqa: FBT001 - a table
    """As Porter has it; one that cannot be had is told, and another given."""
    verdict = Claims(claim(requestedPort=asked)).of()
    assert verdict.admitted
    assert (verdict.port == asked) is given_it
    assert any(each.startswith("OtherPortGiven: ") for each in verdict.warnings) is not given_it


def test_a_requested_port_that_somebody_has_is_told_and_another_given() -> None:
    """A Route that names it has it; so has an older claim. It is not moved there when that ends."""
    router = Claims(route("db", 36_004), claim(requestedPort=36_004), claim("late", requestedPort=36_005))
    verdict = router.of()
    assert verdict.admitted
    assert verdict.port != 36_004
    assert verdict.warnings[-1] == (
        f"OtherPortGiven: port 36004 was not free, or not asked for yet, when a port was given; it has {verdict.port}, and keeps that"
    )
    assert router.of("late").port == 36_005
    router.put(route("db", None))
    assert router.of().port == verdict.port


def test_gaps_between_the_claim_ports_are_not_requested() -> None:
    """The first and the last of all of them are the ends."""
    ports = PortRanges(((36_000, 36_002), (36_008, 36_009)))
    asked = {port: requested_port(claim(requestedPort=port), ports)[0] for port in range(35_999, 36_011)}
    assert [port for port, got in asked.items() if got is not None] == [36_001, 36_002, 36_008]


def test_what_a_service_lacks_is_told_and_the_port_kept() -> None:
    """Missing, without such a port, UDP, and without pods: each by its own word."""
    router = Claims(claim("none", service="missing"), claim("port", servicePort=1), claim("name", servicePort="grpc"))
    dns = service("dns", ServicePort(port=53, name="dns", protocol="UDP"))
    router.put(dns, service("idle", ServicePort(port=1, name="x")))
    router.put(claim("udp", service="dns", servicePort=53), claim("idle", service="idle", servicePort=1))
    found = {name: router.of(name) for name in ("none", "port", "name", "udp", "idle")}
    assert {name: each.lack for name, each in found.items()} == {
        "none": Lack.SERVICE,
        "port": Lack.PORT,
        "name": Lack.PORT,
        "udp": Lack.TCP,
        "idle": Lack.ENDPOINTS,
    }
    assert all(each.admitted and each.port in GIVEN for each in found.values())
    assert found["none"].warnings == ("Service shop/missing does not exist",)


@pytest.mark.parametrize(
    ("serves", "annotation", "is_served"),
    [
        ("off", None, False),
        ("off", "tcp-router", False),
        ("named", None, False),
        ("named", "tcp-router", True),
        ("named", "other", False),
        ("default", None, True),
        ("default", "tcp-router", True),
        ("default", "other", False),
    ],
)
def test_the_router_that_is_named_serves_it_else_the_default(
    serves: Any,
    annotation: str | None,
    is_served: bool,  # noqa: FBT001 - a table
) -> None:
    """So that of several routers one does."""
    said = {f"{PREFIX}router-name": annotation} if annotation is not None else None
    router = Claims(claim(annotations=said), settings=replace(AT_ONCE, server_claims=serves))
    assert (who() in router.outcome.verdicts) is is_served


def test_a_claim_that_porter_serves_is_left_to_it() -> None:
    """Its finalizer and a port that is none of ours; without either it is ours."""
    told = {"address": "142.34.194.68", "port": "36760"}
    router = Claims(claim(finalizers=(FINALIZER,), status=told), settings=SERVING)
    verdict = router.of()
    assert (verdict.reason, verdict.port) == (Reason.LEFT_TO_OTHERS, None)
    assert "status.port '36760', which this router did not give it: left to who did" in verdict.message
    assert not router.admission.proposed
    router.put(claim(finalizers=(FINALIZER,), status=told, monitor={"type": "http"}))
    assert router.of().reason is Reason.LEFT_TO_OTHERS
    for taken in (
        claim(status=told),
        claim(finalizers=(FINALIZER,)),
        claim(finalizers=("other/finalizer",), status=told),
        claim(finalizers=(FINALIZER,), status={**told, "conditions": [ours()]}),
    ):
        router.put(taken)
        assert router.of().reason is Reason.ALLOCATING


def ours() -> dict[str, str]:
    """Make the condition by which a router told a claim that it serves it."""
    return {"type": ADMITTED, "status": "True", "reason": "Admitted", "message": "tcp-router: has port 36001"}


def test_a_port_that_an_admin_reserves_for_a_claim_is_its_port() -> None:
    """Also one outside of the claim ports, and of a claim that Porter serves: that is how a router takes over."""
    told = {"port": "36760"}
    holder = ClaimHolder(GROUP, CLAIM_KIND, NAMESPACE, "tsc")
    router = Claims(
        port_claim("imported", 36_760, holder, origin="Reserved"),
        claim(finalizers=(FINALIZER,), status=told),
        claim("other"),
        settings=SERVING,
    )
    assert (router.of().admitted, router.of().port) == (True, 36_760)
    router.write()
    assert router.of("other").port in GIVEN


def test_a_claim_that_was_made_again_has_its_port_again() -> None:
    """By the PortClaim of the former one, until somebody else needs it."""
    router = Claims(claim(uid="1"), settings=SERVING)
    router.write()
    port = router.of(uid="1").port
    router.put(claim(uid="2"))
    router.write()
    assert router.of(uid="2").reason in {None, Reason.ALLOCATING}
    assert str(port) in router.of(uid="2").message or router.of(uid="2").port == port


def test_the_services_that_a_claim_leads_to_are_known_before_it_is_read() -> None:
    """Of one that is mistaken none is."""
    from router.admission.transport_server_claim import services_of  # noqa: PLC0415 - of this test

    assert services_of(claim()) == {ObjectKey(NAMESPACE, "yourservice")}
    assert services_of(claim(spec=3)) == frozenset()


def test_the_order_of_events_does_not_matter() -> None:
    """A full rebuild says the same as what was followed."""
    router = Claims(settings=AT_ONCE)
    router.put(claim("a"), claim("b", requestedPort=36_003))
    router.put(claim("b", servicePort=1), claim("c", spec=1))
    store = Store()
    store.put(*router.store.objects.services.values(), *router.store.objects.server_claims.values())
    store.put(*(each for slices in router.store.objects.slices.values() for each in slices.values()))
    store.take()
    anew = router.admission.anew().update(store.objects, store.objects.everything())
    assert anew.verdicts == router.outcome.verdicts
    assert structs.asdict(router.store.objects.server_claims[ObjectKey(NAMESPACE, "c")])["spec"] == 1


def waiting(selector: str) -> AdmissionSettings:
    """Give settings of a router that waits for a pair."""
    return replace(SERVING, pair_selector=selector)


RESERVED = port_claim("pair", 36_007, ClaimHolder(GROUP, CLAIM_KIND, NAMESPACE, "tsc"), origin="Reserved")


def test_a_claim_waits_until_its_port_is_reserved() -> None:
    """It is given no other meanwhile; one that has a port does not wait."""
    router = Claims(claim(), settings=waiting("all"))
    assert router.of().reason is Reason.PAIRING
    assert not router.admission.proposed
    router.put(RESERVED)
    assert (router.of().admitted, router.of().port) == (True, 36_007)
    had = Claims(port_claim("won", 36_002, who("tsc", "u")), claim(uid="u"), settings=waiting("all"))
    assert (had.of(uid="u").admitted, had.of(uid="u").port) == (True, 36_002)
    had.put(RESERVED)
    assert had.of(uid="u").port == 36_002
    # Nor by a router that begins anew, and finds both.
    begun = Claims(port_claim("won", 36_002, who("tsc", "u")), RESERVED, claim(uid="u"), settings=waiting("all"))
    assert begun.of(uid="u").port == 36_002


def test_a_claim_that_has_waited_long_enough_is_given_a_port_alone() -> None:
    """And keeps it when a reservation comes late; the note is about that very claim."""
    router = Claims(claim(uid="u"), settings=waiting("all"))
    router.put(PairNote.about(ObjectKey(NAMESPACE, "tsc"), "other"))
    assert router.of(uid="u").reason is Reason.PAIRING
    router.put(PairNote.about(ObjectKey(NAMESPACE, "tsc"), "u"))
    assert router.of(uid="u").reason is Reason.ALLOCATING
    router.write()
    port = router.of(uid="u").port
    router.put(RESERVED)
    assert router.of(uid="u").port == port


def test_claims_of_namespaces_that_are_not_paired_do_not_wait() -> None:
    """By the namespace's labels, as they are; while they are not known a claim waits."""

    def labelled(labels: dict[str, str]) -> Namespace:
        return Namespace(ObjectMeta(NAMESPACE, "", labels=labels))

    router = Claims(claim(), settings=waiting("paired=yes"))
    assert router.of().reason is Reason.PAIRING
    router.put(labelled({}))
    assert router.of().reason is Reason.ALLOCATING
    router.put(labelled({"paired": "yes"}))
    assert router.of().reason is Reason.PAIRING
    assert not router.admission.proposed
    router.put(labelled({"paired": "no"}))
    router.write()
    assert router.of().admitted
    router.put(labelled({"paired": "yes"}))
    assert router.of().admitted
    assert Claims(claim(), settings=waiting("")).of().reason is Reason.ALLOCATING
