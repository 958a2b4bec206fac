"""Who asks for any port: what it is given, when it is served, and that it keeps it."""

from __future__ import annotations

import cProfile
import time
from dataclasses import replace

import pytest
from msgspec import structs

from router.admission import Admission, Outcome, Reason, Verdict
from router.admission.allocation import Pool, first_choice
from router.admission.options import PREFIX
from router.admission.places import Place
from router.model import Asker
from router.objects.core import ServicePort
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.objects.portclaim import ClaimHolder, PortClaim, PortClaimStatus
from router.objects.route import Route
from router.objects.store import Store
from router.settings import AdmissionSettings, NamedAddress, PortRanges
from tests.unit.admission.builders import (
    DB,
    NAMESPACE,
    SETTINGS,
    admit,
    asker,
    asking,
    endpoint_slice,
    port_claim,
    port_of_service,
    route,
    service,
    sni_route,
    verdict_of,
)
from tests.unit.admission.test_policy import namespace

PORTS = PortRanges(((7000, 7002),))
MORE = PortRanges(((7000, 7009),))
AUTO = replace(SETTINGS, auto_ports=PORTS)
AT_ONCE = replace(AUTO, auto_at_once=True)
FIRST = first_choice(asker("db"), PORTS)
LATER = "2025-01-01T00:00:00Z"


class Router:
    """An admission, and the objects that it follows."""

    def __init__(self, *objects: KubernetesObject, settings: AdmissionSettings = AUTO) -> None:
        self.store = Store()
        self.admission = Admission(settings)
        self.put(*DB, *objects)

    def put(self, *objects: KubernetesObject) -> Outcome:
        """Add or change."""
        self.store.put(*objects)
        return self.take()

    def delete(self, kind: type[KubernetesObject], name: str) -> Outcome:
        """Delete one."""
        self.store.delete(kind, ObjectKey("openshift-ingress" if kind is PortClaim else NAMESPACE, name))
        return self.take()

    def take(self) -> Outcome:
        """Decide about what changed."""
        self.outcome = self.admission.update(self.store.objects, self.store.take()[0])
        return self.outcome

    def counts(self, pool: Pool) -> tuple[int, int]:
        """Give how many ports there are of a pool, and how many are free."""
        assert self.admission.autos is not None
        return self.admission.autos.counts(pool)

    def write(self) -> None:
        """Write what is proposed, as a leader does."""
        for place, who in self.admission.proposed.items():
            claim = port_claim(f"tcp-router-{place.port}-{place.address}".rstrip("-"), place.port, who)
            self.store.put(structs.replace(claim, spec=structs.replace(claim.spec, address=place.address)))
        self.take()

    def verdict(self, name: str = "db") -> Verdict:
        """Give what became of a Route."""
        return self.outcome.verdicts[asker(name)]

    def port(self, name: str = "db") -> int | None:
        """Give the port that a Route is served on."""
        verdict = self.verdict(name)
        return verdict.port if verdict.admitted else None


def test_without_ports_to_give_it_is_told() -> None:
    """By the option that its admin has to set."""
    verdict = verdict_of(*DB, route("db", "auto"))
    assert verdict.reason is Reason.PORT_NOT_ALLOWED
    assert "external-tcp-port is auto; this router gives out no ports (--auto-ports)" in verdict.message


@pytest.mark.parametrize("settings", [AUTO, AT_ONCE], ids=["cluster", "manifests"])
def test_it_keeps_its_port_whatever_else_it_asks_for(settings: AdmissionSettings) -> None:
    """Another option is no other wish for a port."""
    router = Router(route("db", "auto"), settings=settings)
    router.write()
    port = router.port()
    assert port is not None
    router.put(route("db", "auto", balance="source"))
    assert router.port() == port
    assert [each.backend.balance for each in router.outcome.model.routes] == ["source"]


def test_it_is_served_when_its_claim_is_written() -> None:
    """Until then it is told so, nobody is proposed anything else, and nothing is opened."""
    router = Router(route("db", "auto"))
    assert router.verdict().reason is Reason.ALLOCATING
    assert router.verdict().message == f"port {FIRST} is being claimed; it is served when its PortClaim is written"
    assert router.admission.proposed == {Place(FIRST): asker("db")}
    assert not router.outcome.model.routes
    router.write()
    assert router.port() == FIRST
    assert router.verdict().auto
    assert router.verdict().places == (Place(FIRST),)
    assert [each.frontend.port for each in router.outcome.model.routes if each.frontend is not None] == [FIRST]
    assert not router.admission.proposed


def test_in_a_folder_it_is_served_at_once_and_remembered() -> None:
    """A restart goes by what was, also where others were there first."""
    router = Router(route("db", "auto"), settings=AT_ONCE)
    assert router.port() == FIRST
    older = route("other", "auto", created="2020-01-01T00:00:00Z")
    again = Admission(AT_ONCE, {Place(FIRST + 1 if FIRST < 7002 else 7000): asker("db")})
    router.put(older)
    verdict = again.update(router.store.objects, router.store.objects.everything()).verdicts[asker("db")]
    assert verdict.port == (FIRST + 1 if FIRST < 7002 else 7000)


def test_a_port_that_is_spoken_of_is_not_free() -> None:
    """By a claim that was won, whether it counts or not, by a reservation, for whomever it is, or by somebody who asks for it."""
    others: dict[str, KubernetesObject] = {
        "won": port_claim("won", FIRST, asker("other")),
        "changed": port_claim("won", FIRST, asker("other"), generation=2),
        "a host on it": port_claim("won", FIRST, asker("other"), host="a.example.com"),
        "reserved": port_claim("kept", FIRST, ClaimHolder(namespace=NAMESPACE), origin="Reserved"),
        "reserved for nobody": port_claim("kept", FIRST, None, origin="Reserved"),
        "a range": port_claim("kept", 6000, None, origin="Reserved", end=FIRST),
        "asked for": route("other", FIRST, created=LATER),
    }
    for what, other in others.items():
        router = Router(route("db", "auto"), other)
        (place,) = router.admission.proposed
        assert place.port != FIRST, what
    other_ledger = port_claim("won", FIRST, asker("other"))
    other_ledger = structs.replace(other_ledger, spec=structs.replace(other_ledger.spec, ledger="other"))
    assert Router(route("db", "auto"), other_ledger).admission.proposed == {Place(FIRST): asker("db")}


def test_ports_that_nobody_may_have_are_not_given() -> None:
    """Reserved ones, and the SNI port."""
    settings = replace(AUTO, reserved_ports=PortRanges.of(7000), sni_port=7001)
    assert Router(route("db", "auto"), settings=settings).admission.proposed == {Place(7002): asker("db")}
    beside = NamedAddress(ips=("10.0.0.1",), overlaps=False, reserved_ports=PortRanges.of(7002))
    settings = replace(settings, addresses={"one": beside}, default_addresses=frozenset({"one"}))
    router = Router(route("db", "auto", external_address="one"), settings=settings)
    assert {place.port for place in router.admission.proposed} <= {7000, 7001}


def test_a_full_range_is_told_and_served_when_one_is_free() -> None:
    """The oldest first, whatever the order in which they came."""
    router = Router(*(route(name, "auto") for name in "abc"))
    router.write()
    router.put(route("late", "auto", created=LATER), route("db", "auto"))
    for name in ("late", "db"):
        assert router.verdict(name).reason is Reason.NO_PORT_FREE
        assert router.verdict(name).message == "none of the ports 7000-7002 is free; it is served when one is"
    freed = router.port("b")
    assert freed is not None
    router.delete(Route, "b")
    assert router.verdict().reason is Reason.NO_PORT_FREE, "its claim is there"
    router.delete(PortClaim, f"tcp-router-{freed}")
    assert router.admission.proposed == {Place(freed): asker("db")}
    router.write()
    assert router.port() == freed
    assert router.verdict("late").reason is Reason.NO_PORT_FREE


def test_without_portclaims_it_is_told_and_served_when_they_come() -> None:
    """What is served already stays served."""
    router = Router(route("db", "auto"))
    router.write()
    router.store.remember(does=False)
    router.put(route("late", "auto", created=LATER))
    assert router.port() == FIRST
    assert router.verdict("late").reason is Reason.CLAIMS_UNAVAILABLE
    assert "(--claims)" in router.verdict("late").message
    assert not router.admission.proposed
    router.store.remember(does=True)
    router.take()
    assert router.verdict("late").reason is Reason.ALLOCATING


def served() -> Router:
    """Make a router that serves one."""
    router = Router(route("db", "auto"))
    router.write()
    return router


def test_it_keeps_its_port_whatever_happens_to_its_claim() -> None:
    """Deleted, or changed by somebody; and no other gets what it has."""
    router = served()
    router.delete(PortClaim, f"tcp-router-{FIRST}")
    assert router.port() == FIRST
    router.put(port_claim(f"tcp-router-{FIRST}", FIRST, asker("evil"), generation=2))
    assert router.port() == FIRST
    router.put(route("older", FIRST, created="2001-01-01T00:00:00Z"))
    assert router.port() == FIRST
    assert router.verdict("older").reason is Reason.PORT_ALREADY_CLAIMED
    router.put(route("old", "auto", created="2001-01-01T00:00:00Z"))
    assert Place(FIRST) not in router.admission.proposed


def test_it_keeps_its_port_while_it_cannot_be_served() -> None:
    """Its Service is gone for a while; in a folder too, where no claim says so."""
    for settings in (AUTO, AT_ONCE):
        router = Router(
            route("db", "auto", to="x"), service("x"), endpoint_slice("10.1.0.9", service="x"), settings=settings
        )
        router.write()
        router.put(service("x", kind="ExternalName"))
        assert router.verdict().reason is Reason.EXTERNAL_NAME_NOT_ALLOWED
        assert router.verdict().port == FIRST
        assert router.verdict().places == (Place(FIRST),)
        router.put(route("other", "auto"))
        router.write()
        router.put(service("x"))
        assert router.port() == FIRST


def test_who_asks_for_the_port_by_number_gets_it_where_nobody_is_served_there() -> None:
    """In a folder: what is not served keeps nobody out, and moves on when it is served again."""
    router = Router(route("db", "auto", to="x"), service("x"), settings=AT_ONCE)
    router.put(service("x", kind="ExternalName"))
    router.put(route("other", FIRST))
    assert router.port("other") == FIRST
    router.put(service("x"))
    assert router.port() not in {None, FIRST}


def test_an_admin_takes_a_port_and_it_gets_another() -> None:
    """Reserved for somebody else, what was won says nothing, and the next port is claimed."""
    router = served()
    router.put(port_claim("kept", FIRST, ClaimHolder(namespace="billing"), origin="Reserved"))
    assert router.verdict().reason is Reason.ALLOCATING
    (place,) = router.admission.proposed
    assert place.port != FIRST


def test_an_admin_gives_it_a_certain_port() -> None:
    """By a reservation that names it, also outside of what is given to others: at once, as nobody else may have it."""
    router = Router(
        route("db", "auto"),
        port_claim("kept", 8000, ClaimHolder("", "Route", NAMESPACE, "db"), origin="Reserved"),
    )
    assert router.port() == 8000
    router = served()
    router.delete(PortClaim, f"tcp-router-{FIRST}")
    router.put(port_claim(f"tcp-router-{FIRST}", FIRST, ClaimHolder("", "Route", NAMESPACE, "db"), origin="Reserved"))
    again = Admission(AUTO).update(router.store.objects, router.store.objects.everything())
    assert again.verdicts == router.outcome.verdicts
    assert router.port() == FIRST


def test_a_number_that_becomes_auto_stays_and_auto_that_becomes_its_number_too() -> None:
    """It holds the port, whatever it asks for by."""
    router = Router(route("db", 8000), port_claim("won", 8000, asker("db")))
    router.put(route("db", "auto"))
    assert router.port() == 8000
    router.put(route("db", 8000))
    assert router.port() == 8000
    assert not router.verdict().auto


def test_of_two_claims_the_one_that_it_is_served_by_counts() -> None:
    """Two leaders wrote one each. A replica that begins goes by the one that was not released, then by the oldest."""
    claims = [port_claim("a", 7000, asker("db"), created=LATER), port_claim("b", 7001, asker("db"))]
    assert Router(route("db", "auto"), *claims).port() == 7001
    router = Router(route("db", "auto"), claims[0])
    router.put(claims[1])
    assert router.port() == 7000
    released = replace_status(claims[1])
    assert Router(route("db", "auto"), claims[0], released).port() == 7000


def replace_status(claim: PortClaim) -> PortClaim:
    """Give a claim that was released."""
    return PortClaim(claim.metadata, claim.spec, PortClaimStatus(released_at=LATER))


def test_who_is_made_again_gets_the_port_of_the_one_before() -> None:
    """Though its claim is there still, which keeps it from everybody else."""
    former = Asker.route(NAMESPACE, "db", "uid of the one before")
    other = next(port for port in PORTS if port != FIRST)
    router = Router(route("db", "auto"), port_claim("won", other, former))
    assert router.admission.proposed == {Place(other): asker("db")}
    router = Router(route("else", "auto"), port_claim("won", first_choice(asker("else"), PORTS), former))
    assert Place(first_choice(asker("else"), PORTS)) not in router.admission.proposed


def test_a_service_asks_for_any_port_of_each_of_its_ports() -> None:
    """Or of some of them; the message of one that is malformed names the word."""
    pg, metrics = ServicePort(port=5432, name="pg"), ServicePort(port=9187, name="metrics")
    router = Router(asking("db", "pg=auto metrics=auto", pg, metrics), settings=AT_ONCE)
    verdicts = [router.outcome.verdicts[port_of_service("db", section)] for section in ("pg", "metrics")]
    assert all(verdict.admitted and verdict.port in tuple(PORTS) for verdict in verdicts)
    assert len({verdict.port for verdict in verdicts}) == 2
    router = Router(asking("db", "pg=8000 metrics=auto", pg, metrics), settings=AT_ONCE)
    assert router.outcome.verdicts[port_of_service("db", "pg")].port == 8000
    assert router.outcome.verdicts[port_of_service("db", "metrics")].port in tuple(PORTS)
    single = Router(asking("db", "auto"), settings=AT_ONCE)
    assert single.outcome.verdicts[port_of_service("db", "")].port in tuple(PORTS)
    unknown = admit(*DB, asking("db", "any"), settings=AT_ONCE).verdicts[port_of_service("db", "")]
    assert unknown.reason is Reason.INVALID_PORT
    assert "accepted is a port or auto, or up to 16 names" in unknown.message


def test_a_shared_port_needs_a_number() -> None:
    """Those who share it have to name the same one."""
    verdict = verdict_of(*DB, sni_route("db", "db.example.com", "auto"), settings=AUTO)  # type: ignore[arg-type]  # passed on
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert f"that needs {PREFIX}external-tcp-port with a number" in verdict.message


def test_its_host_on_the_sni_port_is_served_with_its_port() -> None:
    """A passthrough Route has both, and neither before it has a port."""
    router = Router(route("db", "auto", host="db.example.com", termination="passthrough"))
    assert router.verdict().reason is Reason.ALLOCATING
    assert not router.outcome.model.shared[0].hosts
    router.write()
    assert router.verdict().places == (Place(FIRST), Place(0, "db.example.com"))


@pytest.mark.parametrize("value", ["Auto", "AUTO", " auto", "auto "])
def test_the_word_is_spelled_to_the_letter(value: str) -> None:
    """As every value is; the message has the word."""
    verdict = verdict_of(*DB, route("db", value), settings=AT_ONCE)
    assert verdict.reason is Reason.INVALID_PORT
    assert verdict.message.endswith("without leading zeros, or auto")


def test_a_thousand_at_once_have_a_port_each() -> None:
    """All replicas propose the same, and claims that are written one after the other change nothing for the others."""
    settings = replace(SETTINGS, auto_ports=PortRanges(((20_000, 29_999),)))
    routes = [route(f"r{number}", "auto") for number in range(1000)]
    router = Router(*routes, settings=settings)
    other = Router(*reversed(routes), settings=settings)
    proposed = dict(router.admission.proposed)
    assert len(proposed) == 1000
    assert other.admission.proposed == proposed
    took_s = []
    for place, who in list(proposed.items())[:300]:
        router.store.put(port_claim(f"tcp-router-{place.port}", place.port, who))
        began_s = time.perf_counter()
        router.take()
        took_s.append(time.perf_counter() - began_s)
        assert router.admission.proposed.items() <= proposed.items()
    assert sorted(took_s)[150] < 0.02
    router.write()
    assert {each.port for each in router.outcome.verdicts.values()} == {place.port for place in proposed}


def test_an_endpoint_costs_nothing_more_where_many_wait() -> None:
    """Nothing is chosen for anybody by what is not about ports."""
    router = Router(*(route(f"r{number}", "auto", to=f"r{number}") for number in range(2000)))
    before = router.admission.proposed
    took_s = []
    for number in range(20):
        router.store.put(endpoint_slice(f"10.9.0.{number}", service=f"r{number}"))
        began_s = time.perf_counter()
        router.take()
        took_s.append(time.perf_counter() - began_s)
    assert router.admission.proposed is before
    assert sorted(took_s)[10] < 0.005


def test_nothing_is_chosen_for_those_who_wait_in_vain_by_what_is_not_about_ports() -> None:
    """Thousands that ask for a port of a range that is full cost an endpoint of another nothing."""
    waiting = (route(f"r{number}", "auto", to=f"r{number}") for number in range(3000))
    router = Router(*waiting, route("other", 9000, to="x"), service("x"))
    took_s = []
    for number in range(20):
        router.store.put(endpoint_slice(f"10.9.0.{number}", service="x"))
        began_s = time.perf_counter()
        router.take()
        took_s.append(time.perf_counter() - began_s)
    assert sorted(took_s)[10] < 0.005
    assert {each.reason for each in router.outcome.verdicts.values()} == {None, Reason.ALLOCATING, Reason.NO_PORT_FREE}


def test_an_endpoint_costs_nothing_more_where_many_are_over_what_they_may_hold() -> None:
    """Of as many namespaces: what is told to each is made when somebody holds something else."""
    waiting = [
        each
        for number in range(1000)
        for each in (
            route("one", "auto", namespace=f"n{number}", to="x"),
            service("x", namespace=f"n{number}"),
        )
    ]
    settings = replace(AT_ONCE, namespace_max_ports=0)
    router = Router(*waiting, route("other", 9000, to="x"), service("x"), settings=settings)
    assert {each.reason for each in router.outcome.verdicts.values()} == {Reason.PORT_QUOTA_EXCEEDED}
    took_s = []
    for number in range(20):
        router.store.put(endpoint_slice(f"10.9.0.{number}", service="x"))
        began_s = time.perf_counter()
        router.take()
        took_s.append(time.perf_counter() - began_s)
    assert sorted(took_s)[10] < 0.002


def test_ten_thousand_that_wait_in_vain_cost_who_asks_next_little() -> None:
    """Whether their namespace holds as many as it may, or the range is full: one team's objects are not all others' time."""
    waiting = [route(f"r{number}", "auto", namespace="many", to="x") for number in range(10_000)]
    services = service("x", namespace="many"), service("x", namespace="other")
    limited = Router(*services, *waiting, namespace("many", tcp_ports_max="2"), settings=replace(AUTO, auto_ports=MORE))
    full = Router(*services, *waiting, settings=replace(AT_ONCE, auto_ports=MORE))
    for router, reason, most in ((limited, Reason.ALLOCATING, 5), (full, Reason.NO_PORT_FREE, 15)):
        router.store.put(route("next", "auto", namespace="other", to="x"))
        with cProfile.Profile() as profile:
            router.take()
        assert router.outcome.verdicts[asker("next", "other")].reason is reason
        # Calls: it took 19 and 20 for each of them once.
        assert sum(each.callcount for each in profile.getstats()) < most * len(waiting)


def test_who_waits_behind_what_is_being_claimed_is_told_so() -> None:
    """Not that its namespace may hold one and holds none, which would be no reason."""
    router = Router(route("db", "auto"), route("late", "auto", created=LATER), namespace("shop", tcp_ports_max="1"))
    assert router.verdict("late").reason is Reason.PORT_QUOTA_EXCEEDED
    assert router.verdict("late").message == "namespace shop may hold 1 port and holds none; 1 more is being claimed"
    router.write()
    assert (
        router.verdict("late").message == f"namespace shop may hold 1 port and holds 1: {router.port()} (Route shop/db)"
    )


def test_an_address_of_its_own() -> None:
    """It is given a port of that address, whose number nobody else has anywhere; with another address it keeps the number."""
    addresses = {
        name: NamedAddress(ips=(f"10.0.0.{index}",), overlaps=False) for index, name in enumerate(("one", "two"), 1)
    }
    settings = replace(AUTO, addresses=addresses, default_addresses=frozenset(addresses))
    router = Router(route("db", "auto", external_address="one"), settings=settings)
    assert router.admission.proposed == {Place(FIRST, "", "one"): asker("db")}
    router.put(route("else", "auto", external_address="two"), route("other", "auto"))
    assert {place.port for place in router.admission.proposed} == set(PORTS)
    router.write()
    assert router.verdict().places == (Place(FIRST, "", "one"),)
    router.put(route("db", "auto", external_address="two"))
    assert router.verdict().reason is Reason.ALLOCATING
    assert router.admission.proposed == {Place(FIRST, "", "two"): asker("db")}
    router.write()
    assert router.verdict().places == (Place(FIRST, "", "two"),)


def policy(**annotations: str) -> Namespace:
    """Say what the namespace of these tests may have."""
    said = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    return Namespace(ObjectMeta(name=NAMESPACE, namespace="", annotations=said))


@pytest.mark.parametrize("base", [AUTO, AT_ONCE])
def test_a_policy_that_becomes_tighter_moves_it_only_where_it_is_enforced(base: AdmissionSettings) -> None:
    """It keeps its port with a warning; or it gets one that is allowed, and its own again where that is allowed before its claim went."""
    other = next(port for port in PORTS if port != FIRST)
    router = Router(route("db", "auto"), settings=base)
    router.write()
    router.put(policy(tcp_ports=str(other)))
    assert router.port() == FIRST
    assert router.verdict().warnings
    router = Router(route("db", "auto"), settings=replace(base, enforces_policy_on_holders=True))
    router.write()
    router.put(policy(tcp_ports=str(other)))
    if base.auto_at_once:
        assert router.port() == other
        return
    assert router.verdict().reason is Reason.ALLOCATING
    assert router.admission.proposed == {Place(other): asker("db")}
    router.put(policy())
    assert router.port() == FIRST
    assert not router.admission.proposed
    router.put(policy(tcp_ports=str(other)))
    router.write()
    router.delete(PortClaim, f"tcp-router-{FIRST}")
    assert router.port() == other


def test_what_is_free_is_counted() -> None:
    """For the metric."""
    router = Router(route("db", "auto"), route("other", 7001 if FIRST != 7001 else 7002))
    assert router.counts("auto") == (3, 2)
    router.write()
    assert router.counts("auto") == (3, 1)
    assert Router(settings=SETTINGS).admission.autos is None


def test_nobody_gives_way_where_there_is_nobody_to_agree_with() -> None:
    """In a folder a PortClaim of another, and a number that is lower than before, take nothing away; nor does a restart see it otherwise."""
    router = Router(route("db", "auto"), settings=AT_ONCE)
    port = router.port()
    router.put(port_claim("p", 7009, asker("other")))
    router.put(namespace(NAMESPACE, None, tcp_ports_max="1"))
    assert (router.port(), port) == (port, FIRST)
    assert router.verdict().warnings[-1].endswith("who had it before keeps it")
    again = Admission(AT_ONCE, router.admission.memory()).update(
        router.store.objects, router.store.objects.everything()
    )
    assert again == router.outcome


def test_who_gives_way_to_a_claim_has_the_port_no_more() -> None:
    """It was its own by number, without a PortClaim yet: then others of its namespace were written, and neither this replica nor a new one keeps it."""
    router = Router(namespace(NAMESPACE, None, tcp_ports_max="1"), route("db", 7000))
    router.put(route("db", "auto"))
    assert router.port() == 7000
    router.put(port_claim("p", 7009, asker("other")))
    verdict = router.verdict()
    assert (verdict.reason, verdict.port) == (Reason.PORT_QUOTA_EXCEEDED, None)
    assert not router.admission.memory()
    again = Admission(AUTO, router.admission.memory()).update(router.store.objects, router.store.objects.everything())
    assert again == router.outcome
