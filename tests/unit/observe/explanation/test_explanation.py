"""The way of one asker, as people read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Admission, Outcome
from router.admission.options import PREFIX
from router.admission.remedies import REMEDIES
from router.admission.verdicts import Reason, Verdict
from router.errors import SettingsError
from router.haproxy.talk.stats import ServerNow
from router.model import Asker
from router.objects.kinds import KubernetesObject
from router.objects.portclaim import ClaimHolder
from router.objects.portnote import PortNote
from router.observe.explanation import Explanation, Facts, Wanted, explain, tree
from tests.unit.admission.builders import (
    SETTINGS,
    asking,
    endpoint,
    endpoint_slice,
    objects_of,
    port_claim,
    route,
    service,
)

DB = Wanted("Route", "shop", "db")
UP = ServerNow("UP", "L4OK", 3, 65)
DOWN = ServerNow("DOWN", "L4CON: Connection refused", 0, 7200)


def facts_of(*objects: KubernetesObject, servers: dict[str, ServerNow] | None = None, runs: bool = True) -> Facts:
    """Judge objects; ``servers`` are by address."""
    held = objects_of(*objects)
    outcome: Outcome = Admission(SETTINGS).update(held, held.everything())
    by_name = None
    if servers is not None:
        names = {each.address: each.name for section in outcome.model.routes for each in section.backend.servers}
        by_name = {names[address]: now for address, now in servers.items()}
    return Facts(
        objects=held,
        verdicts=outcome.verdicts,
        model=outcome.model,
        router_name=SETTINGS.router_name,
        policy=outcome.policy,
        gateway_api=outcome.gateway_api,
        servers=by_name,
        canonical_hostname="tcp.example.com",
        runs=runs,
    )


def the_way(facts: Facts, wanted: Wanted = DB) -> Explanation:
    """Give the only one."""
    (found,) = explain(facts, wanted)
    return found


def states(explanation: Explanation) -> dict[str, str]:
    """Give the state of each step."""
    return {step.name: step.state for step in explanation.steps}


PODS = (service(), endpoint_slice(endpoint("10.1.0.1"), endpoint("10.1.0.2"), endpoint("10.1.0.3", "draining")))


def test_one_that_is_served() -> None:
    """The whole of what a user reads."""
    servers = {"10.1.0.1": UP, "10.1.0.2": UP, "10.1.0.3": ServerNow("DRAIN", "L4OK", 1, 4)}
    way = the_way(facts_of(route(balance="source"), *PODS, servers=servers))
    assert (way.served, way.todo) == (True, ())
    assert tree(way).splitlines() == [
        "Route shop/db: served",
        "  ok object       Route shop/db is there, since 2024-01-01T00:00:00Z",
        "  ok router       router-name is tcp-router, which is this one (tcp-router)",
        "  ok annotations  they can be read",
        "                  balance: source",
        "                  external-tcp-port: 6620",
        "  ok port         port 6620",
        "  ok policy       namespace shop may have it, and any number of ports",
        "  ok claim        it has what it asks for",
        "  ok pods         2 take connections (2 of db), 1 drains",
        "                  Service shop/db: ports pg (5432); endpoints: 2 ready, 1 terminating, in 1 EndpointSlice",
        "  ok haproxy      it has the backend be_tcp:shop:db",
        "  ok servers      2 of 3 up, 1 drains",
        "                  10.1.0.1:5432: is UP for 1 min, last check L4OK, 3 connections, weight 64",
        "                  10.1.0.2:5432: is UP for 1 min, last check L4OK, 3 connections, weight 64",
        "                  10.1.0.3:5432: drains for 4 s, last check L4OK, 1 connection, weight 0",
        "  ok address      clients reach it at tcp.example.com:6620",
    ]


def test_one_whose_servers_are_down_is_not_served() -> None:
    """HAProxy's check says why, and what to do is about the pods."""
    way = the_way(facts_of(route(), *PODS[:1], endpoint_slice(endpoint("10.1.0.1")), servers={"10.1.0.1": DOWN}))
    assert (way.served, way.verdict) == (False, "no pod takes connections")
    assert "NO servers      0 of 1 up" in tree(way)
    assert "NO 10.1.0.1:5432: is DOWN for 2 h, last check L4CON: Connection refused, 0 connections, weight 1" in tree(
        way
    )
    assert "NetworkPolicy" in way.todo[0]


def test_one_of_several_that_is_down_is_a_warning() -> None:
    """It is served all the same."""
    slices = endpoint_slice(endpoint("10.1.0.1"), endpoint("10.1.0.2"))
    way = the_way(facts_of(route(), service(), slices, servers={"10.1.0.1": UP, "10.1.0.2": DOWN}))
    assert way.served
    assert states(way)["servers"] == "warning"


def test_without_ready_pods_it_is_not_served() -> None:
    """The Service's endpoints are counted by what they are."""
    way = the_way(facts_of(route(), service(), endpoint_slice(endpoint("10.1.0.1", "gone"))))
    assert way.served is False
    assert states(way)["pods"] == "no"
    assert "endpoints: 1 terminating, in 1 EndpointSlice" in tree(way)
    assert "oc get service,endpointslice,pod" in way.todo[0]


def test_without_haproxys_word_it_is_not_known() -> None:
    """It is being started, or does not answer."""
    assert the_way(facts_of(route(), *PODS)).served is None


def test_of_manifests_it_is_what_would_be() -> None:
    """Nobody asks HAProxy then."""
    way = the_way(facts_of(route(), *PODS, runs=False))
    assert (way.served, way.verdict) == (True, "would be served")
    assert "servers" not in states(way)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_in_one_step_with_what_to_do(reason: Reason) -> None:
    """Its message stands in the step that it is about, once, and the end says what its remedy is."""
    facts = facts_of(route(), *PODS)
    (asker,) = facts.verdicts
    rejected = Verdict(asker=asker, port=6620, reason=reason, message="It is so.")
    way = the_way(replace(facts, verdicts={asker: rejected}))
    assert (way.served, way.verdict) == (False, f"rejected: {reason}")
    told = [step.name for step in way.steps if step.state == "no"]
    assert len(told) == 1, told
    assert tree(way).count("It is so.") == 1
    assert way.todo[0] == REMEDIES[reason].team
    assert len(way.todo) == 1 + bool(REMEDIES[reason].admin)


def test_who_has_the_port_and_since_when() -> None:
    """The loser is told the PortClaim of the holder."""
    held = port_claim(
        "p-6620", 6620, ClaimHolder("route.openshift.io", "Route", "shop", "first"), created="2024-02-01T00:00:00Z"
    )
    first = route("first", created="2024-01-01T00:00:00Z")
    way = the_way(facts_of(route(created="2024-03-01T00:00:00Z"), first, *PODS, held))
    assert states(way)["claim"] == "no"
    assert "port 6620 is held by Route shop/first" in tree(way)
    assert "won for Route shop/first since 2024-02-01T00:00:00Z" in tree(way)


def test_who_waits_for_the_port() -> None:
    """The holder sees who would have it next."""
    second = route("second", created="2024-03-01T00:00:00Z")
    assert "it has what it asks for; shop/second would have it next" in tree(the_way(facts_of(route(), second, *PODS)))


def test_whether_the_service_in_front_has_the_port() -> None:
    """What keeps it out stands there, and in no other step."""
    lacking = "port 6620 is not in Service openshift-ingress/tcp-router: it has as many ports as it may"
    facts = facts_of(route(), *PODS)
    assert states(the_way(replace(facts, published_by="openshift-ingress/tcp-router")))["published"] == "yes"
    facts = facts_of(route(), *PODS, PortNote.about(6620, lacking))
    way = the_way(replace(facts, published_by="openshift-ingress/tcp-router"))
    assert states(way)["published"] == "no"
    assert tree(way).count(lacking) == 1


def test_what_came_of_connecting() -> None:
    """To the port, as clients do."""
    facts = facts_of(route(), *PODS)
    assert states(the_way(replace(facts, probes={"6620": "ok"})))["connecting"] == "yes"
    assert "to port 6620, from the router: Connection refused" in tree(
        the_way(replace(facts, probes={"6620": "Connection refused"}))
    )


def test_one_that_is_not_there() -> None:
    """A name that is nearly right, or is in another namespace, is told."""
    facts = facts_of(route(), route("db", namespace="other", port=6621), *PODS)
    assert "there is no Route shop/dbb here; there is db" in tree(the_way(facts, Wanted("Route", "shop", "dbb")))
    assert "there is one in other, shop" in tree(the_way(facts, Wanted("Route", "nobody", "db")))


def test_one_that_is_left_alone() -> None:
    """Its annotations are nearly ours, another router's, or none."""
    others = route(annotations={f"{PREFIX}router-name": "tcp-ruter"})
    way = the_way(facts_of(others, *PODS))
    assert (way.served, way.verdict) == (False, "left alone")
    assert "it is for the router 'tcp-ruter', nearly 'tcp-router', which is this one's" in tree(way)
    plain = service("web")
    way = the_way(facts_of(plain), Wanted("Service", "shop", "web"))
    assert "it asks for nothing: no annotation of it is this router's" in tree(way)


def test_a_section_of_a_service() -> None:
    """Each is explained for itself; one that the Service does not ask for is told."""
    facts = facts_of(asking(asks="pg=6620"), endpoint_slice(endpoint("10.1.0.1")))
    (only,) = explain(facts, Wanted("Service", "shop", "db"))
    assert only.section == "pg"
    way = the_way(facts, Wanted("Service", "shop", "db", "web"))
    assert "it asks for no port web; it asks for pg" in tree(way)


def test_a_warning_stands_where_it_belongs() -> None:
    """A mistyped key beside the annotations, a missing Service beside the pods."""
    way = the_way(facts_of(route(annotations={f"{PREFIX}timeout-tunel": "1h"})))
    steps = {step.name: step for step in way.steps}
    assert steps["annotations"].state == "warning"
    assert any("timeout-tunnel" in each.said for each in steps["annotations"].steps)
    assert [each.said for each in steps["pods"].steps] == ["there is none", "Service shop/db does not exist"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("shop/db", Wanted("", "shop", "db")),
        ("route/shop/db", DB),
        ("Routes/shop/db", DB),
        ("svc/shop/db:pg", Wanted("Service", "shop", "db", "pg")),
        ("service/shop/db", Wanted("Service", "shop", "db")),
    ],
)
def test_who_is_wanted(text: str, wanted: Wanted) -> None:
    """Kinds as kubectl writes them, or none."""
    assert Wanted.read(text) == wanted
    assert Wanted.read(wanted.path) == wanted


def test_without_a_kind_it_is_what_there_is() -> None:
    """A Route before a Service of the same name."""
    only_service = facts_of(asking(asks="6620"))
    assert the_way(only_service, Wanted.read("shop/db")).kind == "Service"
    assert the_way(facts_of(asking(asks="6621"), route()), Wanted.read("shop/db")).kind == "Route"
    assert the_way(facts_of(), Wanted.read("shop/db")).kind == "Route"


@pytest.mark.parametrize("text", ["", "db", "/db", "shop/", "pod/shop/db", "a/b/c/d", "shop/db:", "route/shop/db:a:b"])
def test_who_is_nobody(text: str) -> None:
    """What would be right is told."""
    with pytest.raises(SettingsError, match=r"write \[KIND/\]NAMESPACE/NAME\[:PORT\]"):
        Wanted.read(text)


def test_a_hostile_name_is_text() -> None:
    """Nothing of it moves a terminal's cursor; the command makes it printable, and the tree keeps to its lines."""
    way = the_way(facts_of(route()), Wanted("Route", "shop", "\x1b[2J\nok"))
    assert way.steps[0].state == "no"


def test_many_servers_are_told_in_part() -> None:
    """Those that are not up come first."""
    many = tuple(endpoint(f"10.1.0.{number}") for number in range(1, 61))
    servers = {f"10.1.0.{number}": DOWN if number == 60 else UP for number in range(1, 61)}
    way = the_way(facts_of(route(), service(), endpoint_slice(*many), servers=servers))
    (step,) = [each for each in way.steps if each.name == "servers"]
    assert len(step.steps) == 50
    assert step.steps[0].state == "no"
    assert "59 of 60 up; 10 more are not shown" in step.said


def test_of_an_asker_made_again_the_newest_is_told() -> None:
    """Uids tell them apart; the name is what is asked for."""
    facts = facts_of(route(), *PODS)
    assert all(isinstance(each, Asker) for each in facts.verdicts)
    assert len(explain(facts, DB)) == 1
