"""Who gets a port and a host: the holder by a PortClaim, then the oldest, then by name; whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Admission, Outcome
from router.admission.options import PREFIX
from router.admission.places import Place
from router.admission.request import displayed_host
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.kinds import KubernetesObject
from router.objects.portclaim import ClaimHolder, PortClaim
from router.objects.route import Route
from router.settings import AdmissionSettings
from tests.unit.admission.builders import (
    DB,
    admit,
    asker,
    holding,
    objects_of,
    port_claim,
    route,
    service,
    shared_of,
    sni_route,
)

OLD, MIDDLE, NEW = (f"202{year}-01-01T00:00:00Z" for year in (0, 1, 2))
HOST = "db.example.com"
WILD = AdmissionSettings(allow_wildcard_routes=True)
UNOWNED = replace(WILD, disable_namespace_ownership_check=True)


def winners(outcome: Outcome) -> set[str]:
    """Name the Routes that are admitted."""
    return {route.name for route, verdict in outcome.verdicts.items() if verdict.admitted}


QUEUES: dict[str, tuple[Sequence[KubernetesObject], str]] = {
    "the oldest": ((route("a", created=NEW), route("b", created=OLD)), "b"),
    "the holder, though younger": (
        (route("a", created=OLD), route("b", created=NEW), port_claim("c", 6620, asker("b"))),
        "b",
    ),
    "the oldest of two holders": (
        (
            route("a", created=NEW),
            route("b", created=OLD),
            port_claim("c", 6620, asker("a"), created=OLD),
            port_claim("d", 6620, asker("b"), created=MIDDLE),
        ),
        "a",
    ),
    "by name": ((route("b"), route("a")), "a"),
    "by namespace before name": ((route("a", namespace="z"), route("b")), "b"),
    "without a time comes last": ((route("a", created=None), route("b", created=NEW)), "b"),
    "an empty time is none": ((route("a", created=""), route("b", created=NEW)), "b"),
    "a holder of another port is none": ((route("a"), route("b"), port_claim("c", 7000, asker("b"))), "a"),
    "a claim that was changed is none": (
        (route("a"), route("b"), port_claim("c", 6620, asker("b"), generation=2)),
        "a",
    ),
    "what a status says counts for nothing": ((route("a"), route("b", status=holding(6620))), "a"),
}


@pytest.mark.parametrize(("routes", "winner"), QUEUES.values(), ids=QUEUES)
def test_who_gets_a_port(routes: Sequence[KubernetesObject], winner: str) -> None:
    """Holder by PortClaim, then age, then name; the loser is told who holds it."""
    outcome = admit(*routes, *DB, service(namespace="z"))
    assert winners(outcome) == {winner}
    (loser,) = (verdict for verdict in outcome.verdicts.values() if not verdict.admitted)
    assert (loser.reason, loser.port) == (Reason.PORT_ALREADY_CLAIMED, 6620)
    assert loser.message == f"port 6620 is held by Route shop/{winner}"
    assert [section.route for section in outcome.model.routes] == [winner]


@pytest.mark.parametrize("host", ["", HOST])
def test_a_holder_that_does_not_ask_now_keeps_others_out(host: str) -> None:
    """Until the leader gives its claim up, who has asked for it by its name; a message names the claim."""
    remembered = port_claim("kept", 6620, asker("gone"), host=host)
    for each in (route("a"), sni_route("a", HOST, 6620)):
        verdict = admit(each, remembered, *DB).verdicts[asker("a")]
        assert not verdict.admitted
        assert "Route shop/gone" in verdict.message
        if verdict.reason is Reason.PORT_ALREADY_CLAIMED:
            assert "(PortClaim kept)" in verdict.message
    assert winners(admit(sni_route("a", "other.example.com", 6620), remembered, *DB)) == ({"a"} if host else set())


RESERVED: dict[str, tuple[ClaimHolder | None, str]] = {
    "for nobody": (None, "nobody"),
    "for a namespace": (ClaimHolder(namespace="billing"), "namespace billing"),
    "for another": (ClaimHolder("", "Service", "shop", "db", "pg"), "Service shop/db port pg"),
}


@pytest.mark.parametrize(("holder", "whom"), RESERVED.values(), ids=RESERVED)
def test_a_reservation_goes_before_what_was_won(holder: ClaimHolder | None, whom: str) -> None:
    """Of a port, of a range, and of a host on the SNI port; the message says for whom it is, and by which claim."""
    for port, end in ((6620, None), (6000, 7000)):
        keep = port_claim("keep", port, holder, origin="Reserved", end=end)
        verdict = admit(route("a"), port_claim("won", 6620, asker("a")), keep, *DB).verdicts[asker("a")]
        assert (verdict.reason, verdict.places) == (Reason.PORT_RESERVED, ())
        assert verdict.message == f"port 6620 is reserved for {whom} by PortClaim keep"
    keep = port_claim("keep", 0, holder, origin="Reserved", host=HOST)
    verdict = admit(sni_route("a", HOST), port_claim("won", 0, asker("a"), host=HOST), keep, *DB).verdicts[asker("a")]
    assert verdict.message == f"host {HOST} on the SNI port 8443 is reserved for {whom} by PortClaim keep"
    verdict = admit(sni_route("a", HOST, 7000), keep, *DB).verdicts[asker("a")]
    assert (verdict.admitted, verdict.places) == (True, (Place(7000, HOST),))
    assert f"is reserved for {whom} by PortClaim keep; this Route is reached on port 7000 only" in verdict.warnings[0]


def test_the_loser_gets_the_port_when_it_is_free() -> None:
    """Nothing but the claim of the other kept it out."""
    assert winners(admit(route("b"), *DB)) == {"b"}


REJECTED_FIRST = {
    "by an annotation": route("a", created=OLD, balance="nonsense"),
    "by its host": route("a", created=OLD, host="-"),
    "by its Service": route("a", created=OLD, to="outside"),
}


@pytest.mark.parametrize("rejected", REJECTED_FIRST.values(), ids=REJECTED_FIRST)
def test_a_rejected_route_claims_nothing(rejected: Route) -> None:
    """What is not served must not keep others out."""
    outcome = admit(rejected, route("b", created=NEW), service("outside", kind="ExternalName"), *DB)
    assert winners(outcome) == {"b"}


def test_routes_without_endpoints_keep_their_claim() -> None:
    """A port is not lost because its pods are gone for a while."""
    outcome = admit(route("a", created=OLD, to="nowhere"), route("b", created=NEW), *DB)
    assert winners(outcome) == {"a"}


def test_different_hosts_share_a_port() -> None:
    """Routes that share a port are told apart by SNI; each has its backend, none a frontend of its own."""
    outcome = admit(sni_route("a", "a.example.com", 7000), sni_route("b", "b.example.com", 7000), *DB)
    assert winners(outcome) == {"a", "b"}
    shared = shared_of(outcome, 7000)
    assert shared is not None
    assert [(host.host, host.asker.name) for host in shared.hosts] == [("a.example.com", "a"), ("b.example.com", "b")]
    assert all(section.frontend is None for section in outcome.model.routes)
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert sni.hosts == shared.hosts
    assert [frontend.port for frontend in outcome.model.shared] == [7000, 8443]


def test_one_host_on_one_shared_port_goes_to_one_route() -> None:
    """The second is rejected for the host, as the port would have room."""
    outcome = admit(sni_route("a", HOST, 7000), sni_route("b", HOST.upper(), 7000, created=NEW), *DB)
    assert winners(outcome) == {"a"} or winners(outcome) == {"b"}
    verdict = outcome.verdicts[asker("b")] if "a" in winners(outcome) else outcome.verdicts[asker("a")]
    assert verdict.reason is Reason.HOST_ALREADY_CLAIMED
    assert verdict.message.startswith(f"host {HOST} on port 7000 is held by Route shop/")


def test_one_host_on_two_shared_ports_is_two_claims() -> None:
    """Each is reached on its port; on the SNI port the first in the queue, and the other is warned."""
    outcome = admit(sni_route("a", HOST, 7000, created=OLD), sni_route("b", HOST, 7001, created=NEW), *DB)
    assert winners(outcome) == {"a", "b"}
    assert outcome.verdicts[asker("a")].warnings == ()
    assert outcome.verdicts[asker("b")].host == HOST
    assert outcome.verdicts[asker("b")].warnings == (
        f"host {HOST} is held by Route shop/a on the SNI port 8443; this Route is reached on port 7001 only",
    )


def test_dedicated_and_shared_claims_exclude_each_other() -> None:
    """The first in the queue decides which kind the port is."""
    shared_first = admit(sni_route("a", HOST, 7000, created=OLD), route("b", 7000, created=NEW), *DB)
    assert winners(shared_first) == {"a"}
    assert shared_first.verdicts[asker("b")].reason is Reason.PORT_ALREADY_CLAIMED
    assert f"shares it with Routes that have the annotation {PREFIX}external-tcp-port-sni" in (
        shared_first.verdicts[asker("b")].message
    )
    dedicated_first = admit(sni_route("a", HOST, 7000, created=NEW), route("b", 7000, created=OLD), *DB)
    assert winners(dedicated_first) == {"b"}
    assert dedicated_first.verdicts[asker("a")].reason is Reason.PORT_ALREADY_CLAIMED
    assert shared_of(dedicated_first, 7000) is None


DIFFERENCES = {
    "timeout-client": ("1m", "annotation {key} is 60000ms, but 30000ms on Route shop/a, which holds port 7000"),
    "max-connections": ("5", "annotation {key} is 5, but absent on Route shop/a, which holds port 7000"),
    "tcp-keepalive": ("false", "annotation {key} is false, but true on Route shop/a, which holds port 7000"),
    "accept-proxy": ("true", "annotation {key} is true, but false on Route shop/a, which holds port 7000"),
}


@pytest.mark.parametrize(
    ("name", "value", "said"), [(name, *rest) for name, rest in DIFFERENCES.items()], ids=DIFFERENCES
)
def test_routes_that_share_a_port_agree_on_its_options(name: str, value: str, said: str) -> None:
    """The holder's options count; one that differs is told key, value and holder, and costs nobody else."""
    odd = sni_route("b", "b.example.com", 7000, created=MIDDLE, annotations={PREFIX + name: value})
    outcome = admit(
        sni_route("a", "a.example.com", 7000, created=OLD), odd, sni_route("c", "c.example.com", 7000, created=NEW), *DB
    )
    assert winners(outcome) == {"a", "c"}
    verdict = outcome.verdicts[asker("b")]
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert said.format(key=PREFIX + name) in verdict.message


def test_the_oldest_claim_decides_the_properties_of_a_shared_port() -> None:
    """Whatever the ages of the Routes; a port with claims of hosts is shared, also while their holders ask in vain."""
    first = sni_route("a", "x.example.com", 7000, created=NEW, timeout_client="5s")
    second = sni_route("b", "y.example.com", 7000, created=OLD, timeout_client="9s")
    whole = route("c", 7000, created=OLD)
    claims = [
        port_claim("p", 7000, asker("a"), host="x.example.com", created=OLD),
        port_claim("q", 7000, asker("b"), host="y.example.com", created=NEW),
    ]
    outcome = admit(first, second, whole, *claims, *DB)
    assert winners(outcome) == {"a"}
    shared = shared_of(outcome, 7000)
    assert shared is not None
    assert shared.options.timeout_client_ms == 5000
    assert outcome.verdicts[asker("b")].reason is Reason.INVALID_ANNOTATION
    in_vain = admit(whole, *claims, *DB)
    assert in_vain.verdicts[asker("c")].message.startswith("port 7000 is held by Route shop/a (PortClaim p)")


def test_what_the_holder_has_must_be_said_by_those_who_join() -> None:
    """Equal options share, also other ones than the defaults."""
    options = {f"{PREFIX}max-connections": "5", f"{PREFIX}timeout-client": "60s"}
    same = {f"{PREFIX}max-connections": "5", f"{PREFIX}timeout-client": "1m"}
    outcome = admit(
        sni_route("a", "a.example.com", 7000, annotations=options),
        sni_route("b", "b.example.com", 7000, annotations=same),
        *DB,
    )
    assert winners(outcome) == {"a", "b"}
    shared = shared_of(outcome, 7000)
    assert shared is not None
    assert (shared.options.maxconn, shared.options.timeout_client_ms) == (5, 60_000)


HOST_QUEUES: dict[str, tuple[Sequence[KubernetesObject], str]] = {
    "the oldest": ((sni_route("a", HOST, created=NEW), sni_route("b", HOST, created=OLD)), "b"),
    "the holder, though younger": (
        (
            sni_route("a", HOST, created=OLD),
            sni_route("b", HOST, created=NEW),
            port_claim("c", 0, asker("b"), host=HOST),
        ),
        "b",
    ),
    "a holder of another host is none": (
        (
            sni_route("a", HOST, created=OLD),
            sni_route("b", HOST, created=NEW),
            port_claim("c", 0, asker("b"), host="x.example.com"),
        ),
        "a",
    ),
    "what a status says counts for nothing": (
        (sni_route("a", HOST, created=OLD), sni_route("b", HOST, created=NEW, status=holding(host=HOST))),
        "a",
    ),
    "a holder of the host holds no wildcard": (
        (
            sni_route("a", "a.example.com", wildcard="Subdomain", created=OLD),
            sni_route("b", "b.example.com", wildcard="Subdomain", created=NEW),
            port_claim("c", 0, asker("b"), host="b.example.com"),
        ),
        "a",
    ),
    "a holder of the wildcard": (
        (
            sni_route("a", "a.example.com", wildcard="Subdomain", created=OLD),
            sni_route("b", "b.example.com", wildcard="Subdomain", created=NEW),
            port_claim("c", 0, asker("b"), host="*.example.com"),
        ),
        "b",
    ),
    "a holder on a shared port is none here": (
        (
            sni_route("a", HOST, created=OLD),
            sni_route("b", HOST, 7000, created=NEW),
            port_claim("c", 7000, asker("b"), host=HOST),
        ),
        "a",
    ),
    "one with a dedicated port": (
        (sni_route("a", HOST, created=NEW), route("b", 7000, host=HOST, termination="passthrough", created=OLD)),
        "b",
    ),
}


@pytest.mark.parametrize(("routes", "winner"), HOST_QUEUES.values(), ids=HOST_QUEUES)
def test_who_gets_a_host_on_the_sni_port(routes: Sequence[KubernetesObject], winner: str) -> None:
    """Holder by PortClaim, then age, then name."""
    sni = shared_of(admit(*routes, *DB, settings=WILD), 8443)
    assert sni is not None
    assert [host.asker.name for host in sni.hosts] == [winner]


def test_a_route_that_had_its_host_alone_is_rejected_without_it() -> None:
    """It could not be reached any more; the message names the holder."""
    outcome = admit(sni_route("a", HOST, created=OLD), sni_route("b", HOST, created=NEW), *DB)
    verdict = outcome.verdicts[asker("b")]
    assert (verdict.reason, verdict.host) == (Reason.HOST_ALREADY_CLAIMED, HOST)
    assert verdict.message == f"host {HOST} is held by Route shop/a on the SNI port 8443"
    assert [section.route for section in outcome.model.routes] == ["a"]


def test_a_route_with_a_port_of_its_own_stays_without_its_host() -> None:
    """The port is what it asked for; a warning names who has the host, and its verdict claims none."""
    loser = route("b", host=HOST, termination="passthrough", created=NEW)
    outcome = admit(sni_route("a", HOST, created=OLD), loser, *DB)
    verdict = outcome.verdicts[asker("b")]
    assert (verdict.admitted, verdict.port, verdict.host) == (True, 6620, None)
    assert verdict.warnings == (
        f"host {HOST} is held by Route shop/a on the SNI port 8443; this Route is reached on port 6620 only",
    )


def test_an_exact_host_and_its_wildcard_are_two_claims() -> None:
    """Exact names go first when a connection comes."""
    routes = sni_route("a", "www.example.com", wildcard="Subdomain"), sni_route("b", "www.example.com")
    outcome = admit(*routes, *DB, settings=WILD)
    assert winners(outcome) == {"a", "b"}
    assert [outcome.verdicts[asker(name)].host for name in "ab"] == ["*.example.com", "www.example.com"]


def wild(created: str, port: int | None = None) -> Route:
    """Make a Route of another namespace that asks for all hosts under example.com."""
    return sni_route("wild", "www.example.com", port, wildcard="Subdomain", namespace="greedy", created=created)


@pytest.mark.parametrize("port", [None, 7000], ids=["on the SNI port", "on a shared port"])
@pytest.mark.parametrize("first", ["host", "wildcard"])
@pytest.mark.parametrize("by", ["age", "claim", "claim of one that does not ask now"])
def test_a_wildcard_and_a_host_under_it_are_of_one_namespace(port: int | None, first: str, by: str) -> None:
    """Who comes first in the queue has it, on each port; the other is told by what, and whose it is."""
    older = first if by == "age" else {"host": "wildcard", "wildcard": "host"}[first]
    exact = sni_route("db", HOST, port, created=OLD if older == "host" else NEW)
    greedy = wild(OLD if older == "wildcard" else NEW, port)
    claims = []
    if by != "age":
        told = {"host": (asker("db"), HOST), "wildcard": (asker("wild", "greedy"), "*.example.com")}[first]
        # Of the SNI port, too, where the one on a shared port has its host as well.
        claims = [port_claim(f"c{each}", each, told[0], host=told[1]) for each in {port or 0, 0}]
    if by == "claim of one that does not ask now":
        loser = greedy if first == "host" else exact
        outcome = admit(loser, *claims, *DB, settings=WILD)
        verdict = outcome.verdicts[Asker.route(*loser.key)]
        assert verdict.reason is Reason.HOST_ALREADY_CLAIMED
        return
    outcome = admit(exact, greedy, *claims, *DB, settings=WILD)
    lost = Asker.route(*(greedy.key if first == "host" else exact.key))
    where = "on the SNI port 8443" if port is None else "on port 7000"
    said = {
        "host": f"a route in another namespace holds a host under *.example.com {where}",
        "wildcard": f"a route in another namespace holds host {HOST} {where}: *.example.com is held by Route greedy/wild",
    }[first]
    assert [each.asker for each in outcome.verdicts.values() if not each.admitted] == [lost]
    assert (outcome.verdicts[lost].reason, outcome.verdicts[lost].message) == (Reason.HOST_ALREADY_CLAIMED, said)
    assert all(verdict.admitted for verdict in admit(exact, greedy, *DB, settings=UNOWNED).verdicts.values())


def test_a_route_with_a_port_of_its_own_loses_nothing_but_its_host_to_a_wildcard() -> None:
    """It is reached by its port, with a warning."""
    loser = route("b", host=HOST, termination="passthrough", created=NEW)
    verdict = admit(wild(OLD), loser, *DB, settings=WILD).verdicts[Asker.route(*loser.key)]
    assert (verdict.admitted, verdict.port, verdict.host) == (True, 6620, None)
    (warning,) = verdict.warnings
    assert warning == (
        f"a route in another namespace holds host {HOST} on the SNI port 8443: *.example.com is held by Route greedy/wild; "
        "this Route is reached on port 6620 only"
    )


def test_a_wildcard_that_is_kept_out_keeps_nobody_out() -> None:
    """The host that keeps it out goes: then it has its domain, and those who come after it in the queue have nothing there."""
    first, later = sni_route("a", "a.example.com", created=OLD), sni_route("b", "b.example.com", created=NEW)
    both = admit(first, later, wild(MIDDLE), *DB, settings=WILD)
    assert {str(each.asker) for each in both.verdicts.values() if each.admitted} == {"Route shop/a", "Route shop/b"}
    without = admit(later, wild(MIDDLE), *DB, settings=WILD)
    assert {str(each.asker) for each in without.verdicts.values() if each.admitted} == {"Route greedy/wild"}


@pytest.mark.parametrize("port", [None, 6620], ids=["SNI", "dedicated port"])
def test_wildcards_are_not_allowed_unless_told(port: int | None) -> None:
    """As in OpenShift's router, also where the host would not be used; it claims nothing then."""
    asked = route("a", port, host="www.example.com", termination="passthrough", wildcard="Subdomain", created=OLD)
    outcome = admit(asked, sni_route("b", HOST, namespace="other", created=NEW), *DB)
    verdict = outcome.verdicts[Asker.route(*asked.key)]
    assert (verdict.reason, verdict.host, verdict.port) == (Reason.ROUTE_NOT_ADMITTED, "*.example.com", port)
    assert verdict.message.startswith("wildcard routes are not allowed")
    assert "--allow-wildcard-routes" in verdict.message
    assert outcome.verdicts[Asker.route("other", "b")].admitted


def test_a_route_that_lost_its_port_claims_no_host() -> None:
    """Port first, then host: its host is free for others."""
    loser = route("b", host=HOST, termination="passthrough", created=MIDDLE)
    outcome = admit(route("a", created=OLD), loser, sni_route("c", HOST, created=NEW), *DB)
    assert winners(outcome) == {"a", "c"}


def claims_of(*objects: KubernetesObject) -> list[PortClaim]:
    """Give the PortClaims that a leader would write, who serves these."""
    there = objects_of(*objects)
    admission = Admission(WILD)
    admission.update(there, there.everything())
    return [
        port_claim(f"c{number}", place.port, held_by, host=displayed_host(place.host))
        for number, (place, held_by) in enumerate(sorted(admission.served().items()))
    ]


CLAIMANTS = st.lists(
    st.builds(
        lambda name, namespace, port, host, shares, created, wildcard: (
            sni_route(name, host, port, namespace=namespace, created=created, wildcard=wildcard)
            if shares or port is None
            else route(
                name,
                port,
                namespace=namespace,
                host=host,
                termination="passthrough",
                created=created,
                wildcard=wildcard,
            )
        ),
        name=st.sampled_from("abcdefgh"),
        namespace=st.sampled_from(["shop", "shop", "other"]),
        port=st.sampled_from([None, 7000, 7001]),
        host=st.sampled_from(["x.example.com", "y.example.com"]),
        shares=st.booleans(),
        created=st.sampled_from([OLD, MIDDLE, NEW, None]),
        wildcard=st.sampled_from(["None", "None", "Subdomain"]),
    ),
    max_size=8,
    unique_by=lambda each: each.key,
)


@given(CLAIMANTS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(routes: list[Route], random: object) -> None:
    """Equal objects give an equal outcome, however they came in."""
    shuffled = list(routes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives random.Random and types it away
    assert admit(*routes, *DB, settings=WILD) == admit(*shuffled, *DB, settings=WILD)


@given(CLAIMANTS)
def test_what_is_served_stays_served(routes: list[Route]) -> None:
    """Once PortClaims are written, deciding again gives the same, but for whom refusals name: nobody takes anything from a holder in two steps."""
    before = admit(*routes, *DB, settings=WILD)
    after = admit(*routes, *claims_of(*routes, *DB), *DB, settings=WILD)
    assert after.model == before.model
    assert [replace(each, message="") for each in after.verdicts.values()] == [
        replace(each, message="") for each in before.verdicts.values()
    ]


@given(CLAIMANTS, CLAIMANTS)
def test_newcomers_take_nothing_from_holders(holders: list[Route], newcomers: list[Route]) -> None:
    """However old a newcomer is, the ports of holders stay theirs, and so do hosts where a Route has nothing else."""
    outcome = admit(*holders, *DB, settings=WILD)
    renamed = [
        msgspec.structs.replace(each, metadata=msgspec.structs.replace(each.metadata, name=f"n{each.key.name}"))
        for each in newcomers
    ]
    after = admit(*holders, *claims_of(*holders, *DB), *renamed, *DB, settings=WILD)
    for each in holders:
        before = outcome.verdicts[Asker.route(*each.key)]
        if before.admitted:
            assert after.verdicts[Asker.route(*each.key)].admitted
            assert after.verdicts[Asker.route(*each.key)].port == before.port


@given(CLAIMANTS)
def test_every_port_and_host_has_one_owner(routes: list[Route]) -> None:
    """No port is dedicated to two Routes or both dedicated and shared, no host stands twice on a port."""
    outcome = admit(*routes, *DB, settings=WILD)
    dedicated = [section.frontend.port for section in outcome.model.routes if section.frontend is not None]
    shared = [frontend.port for frontend in outcome.model.shared]
    assert len({*dedicated, *shared}) == len(dedicated) + len(shared)
    backends = {section.backend.name for section in outcome.model.routes}
    for frontend in outcome.model.shared:
        hosts = [host.host for host in frontend.hosts]
        assert hosts == sorted(set(hosts))
        assert {host.backend for host in frontend.hosts} <= backends
    for verdict in outcome.verdicts.values():
        assert verdict.admitted or verdict.message
