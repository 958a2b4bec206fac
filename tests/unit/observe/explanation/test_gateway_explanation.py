"""What is explained of the Gateway API: policies, whose word counts at a listener, and which routes of which kind a listener leads on to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from router.admission import Admission
from router.admission.gateway.imposed import options_for, under
from router.admission.gateway.wishes import FIELDS, merged, read_wishes
from router.objects.decoding import decode
from router.objects.gateway import (
    AllowedListeners,
    AllowedRoutes,
    BackendRef,
    Gateway,
    GatewaySpec,
    Listener,
    ListenerNamespaces,
    ListenerSet,
    ListenerSetSpec,
    ListenerTls,
    ParentGatewayRef,
    ParentRef,
    RouteNamespaces,
    RouteRule,
    TcpRoute,
    TcpRouteSpec,
    TlsRoute,
    TlsRouteSpec,
)
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.objects.unread import Unread
from router.observe.explanation import Explanation, Facts, Wanted, explain, tree
from router.observe.explanation.in_force import levels_of_listener, words_on
from tests.unit.admission.test_gateway_book import SETTINGS, meta
from tests.unit.admission.test_gateway_policies import base, spec_of

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
ALL = AllowedRoutes(RouteNamespaces("All"))
RULES = (RouteRule((BackendRef("x", port=80),)),)
GATEWAY = Gateway(
    meta("gw", "team"),
    GatewaySpec(
        "a",
        (
            Listener("pg", 7000, "TCP", allowed_routes=ALL),
            Listener("tls", 7001, "TLS", "*.x", ListenerTls("Passthrough"), ALL),
            Listener("idle", 7002, "TCP"),
        ),
        allowed_listeners=AllowedListeners(ListenerNamespaces("All")),
    ),
)
SET = ListenerSet(
    meta("set", "other"),
    ListenerSetSpec(
        ParentGatewayRef("gw", namespace="team"),
        (
            Listener("pg", 7003, "TCP", allowed_routes=ALL),
            Listener("tls", 7004, "TLS", "*.y", ListenerTls("Passthrough"), ALL),
        ),
    ),
)


def tcp(name: str, created: str, *parents: ParentRef) -> TcpRoute:
    """Make a TCPRoute of the namespace other."""
    return TcpRoute(meta(name, "other", created), TcpRouteSpec(RULES, parents))


def tls(name: str, host: str, *parents: ParentRef) -> TlsRoute:
    """Make a TLSRoute of the namespace other."""
    return TlsRoute(meta(name, "other", OLD), TlsRouteSpec((host,), RULES, parents))


TO_GATEWAY, TO_SET = ParentRef("gw", namespace="team"), ParentRef("set", kind="ListenerSet")


def policy(namespace: str, name: str, target: dict[str, Any], created: str = OLD, **fields: Any) -> TcpRoutePolicy:
    """Make a policy; underscores in the names of fields are dots."""
    spec = spec_of({path.replace("_", "."): value for path, value in fields.items()})
    found = decode(
        TcpRoutePolicy,
        {
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", **target}], **spec},
        },
    )
    assert isinstance(found, TcpRoutePolicy)
    return found


def facts_of(*objects: KubernetesObject) -> Facts:
    """Judge objects."""
    store = Store()
    store.put(*base(), *objects)
    outcome = Admission(SETTINGS).update(store.objects, store.take()[0])
    return Facts(
        objects=store.objects,
        verdicts=outcome.verdicts,
        model=outcome.model,
        router_name=SETTINGS.router_name,
        gateway_api=outcome.gateway_api,
        runs=False,
    )


def the_way(text: str, *objects: KubernetesObject) -> Explanation:
    """Explain one."""
    (found,) = explain(facts_of(*objects), Wanted.read(text))
    return found


def step(way: Explanation, name: str) -> tuple[str, str, dict[str, str]]:
    """Give state and words of a step, and the words of those below it."""
    found = next(each for each in way.steps if each.name == name)
    return found.state, found.said, {each.name: each.said for each in found.steps}


def test_a_listener_leads_on_to_the_routes_that_it_takes_and_to_no_others() -> None:
    """Of both kinds, of a Gateway and of a ListenerSet; the oldest TCPRoute has the connections, and who gets none is told."""
    objects = (
        GATEWAY,
        SET,
        tcp("first", OLD, TO_GATEWAY),
        tcp("second", NEW, TO_GATEWAY),
        tcp("of-set", OLD, TO_SET),
        tls("name", "a.x", TO_GATEWAY),
        tls("elsewhere", "a.z", TO_GATEWAY),
        tls("of-set", "a.y", TO_SET),
    )
    state, said, below = step(the_way("gateway/team/gw:pg", *objects), "routes")
    assert (state, said) == ("yes", "its connections go to TCPRoute other/first; 1 more get nothing")
    assert below["TCPRoute other/second"].startswith("OlderRouteIsServed: ")
    assert step(the_way("gateway/team/gw:tls", *objects), "routes")[:2] == (
        "yes", "by the name that clients ask for it leads on to TLSRoute other/name",
    )  # fmt: skip
    way = the_way("gateway/team/gw:idle", *objects)
    assert step(way, "routes")[:2] == ("no", "no TCPRoute leads on from it: clients are refused")
    assert (way.served, way.todo[0][:15]) == (False, "Make a TCPRoute")
    assert step(the_way("listenerset/other/set:pg", *objects), "routes")[1] == "its connections go to TCPRoute other/of-set"  # fmt: skip
    assert step(the_way("listenerset/other/set:tls", *objects), "routes")[1].endswith("leads on to TLSRoute other/of-set")  # fmt: skip
    assert the_way("listenerset/other/set:pg", *objects).served


def test_a_tcp_route_is_explained_by_its_parents() -> None:
    """One that is served, one that is behind an older one, one of nobody's Gateway, one that is not there."""
    objects = (GATEWAY, SET, tcp("first", OLD, TO_GATEWAY, TO_SET), tcp("second", NEW, ParentRef("gw", namespace="team", section_name="pg")))  # fmt: skip
    way = the_way("tcproute/other/first", *objects)
    assert (way.served, way.verdict) == (True, "would be served")
    assert step(way, "gateways")[2] == {"Gateway team/gw": "it is served there", "ListenerSet other/set": "it is served there"}  # fmt: skip
    assert "Service other/x: ports 80 (80); endpoints: 1 ready" in tree(way)
    way = the_way("tcproute/other/second", *objects)
    assert (way.served, way.verdict) == (False, "not served")
    assert "NO Gateway team/gw listener pg: OlderRouteIsServed: connections of listener" in tree(way)
    assert the_way("tcproute/other/r", tcp("r", OLD, TO_GATEWAY)).verdict == "left alone"
    assert the_way("tcproute/other/r").verdict == "not there"


POLICIES = (
    policy("team", "of-gateway", {"kind": "Gateway", "name": "gw"}, allowlist=["10.0.0.0/8"], timeouts_client="1m", timeouts_server="5m", limits_ratePerSource=5),
    policy("other", "of-set", {"kind": "ListenerSet", "name": "set"}, allowlist=["10.1.0.0/16"], timeouts_client="2m", limits_ratePerSource=9),
    policy("other", "of-listener", {"kind": "ListenerSet", "name": "set", "sectionName": "pg"}, timeouts_client="3m"),
)  # fmt: skip


def test_a_listener_tells_which_policy_set_which_option() -> None:
    """The most specific one, and who is passed over; of allowlists each counts, of limits per source the lowest."""
    state, said, below = step(the_way("listenerset/other/set:pg", GATEWAY, SET, *POLICIES), "options")
    assert state == "yes"
    assert said.startswith("by TCPRoutePolicy other/of-listener (of listener pg of ListenerSet other/set), other/of-set (of ")  # fmt: skip
    assert below == {
        "allowlist": "10.1.0.0/16, by other/of-set (of ListenerSet other/set); and 10.0.0.0/8, by team/of-gateway (of Gateway team/gw); who connects has to be in each",
        "limits.ratePerSource": "5, by team/of-gateway (of Gateway team/gw); passed over: 9 of other/of-set",
        "timeouts.client": "3m, by other/of-listener (of listener pg of ListenerSet other/set); passed over: 2m of other/of-set, 1m of team/of-gateway",
        "timeouts.server": "5m, by team/of-gateway (of Gateway team/gw)",
    }
    assert "options" not in {each.name for each in the_way("gateway/team/gw:pg", GATEWAY).steps}


def test_policies_of_a_route_and_of_its_listener_are_told_together() -> None:
    """On the way of the listener whose connections the route has, and on the route's: who connects has to be let in by both."""
    of_route = policy("other", "of-route", {"kind": "TCPRoute", "name": "first"}, allowlist=["10.2.0.0/16"], timeouts_server="9m")  # fmt: skip
    second = policy("other", "of-second", {"kind": "TCPRoute", "name": "second"}, timeouts_tunnel="1d")
    at_pg = ParentRef("gw", namespace="team", section_name="pg")
    objects = (GATEWAY, *POLICIES, of_route, second, tcp("first", OLD, at_pg), tcp("second", NEW, TO_GATEWAY))
    ways = [the_way(text, *objects) for text in ("gateway/team/gw:pg", "tcproute/other/first")]
    for way in ways:
        state, said, below = step(way, "options")
        assert state == "yes"
        assert said.startswith("by TCPRoutePolicy other/of-route (of TCPRoute other/first), team/of-gateway (of Gateway team/gw)")  # fmt: skip
        assert below["allowlist"] == (
            "10.2.0.0/16, by other/of-route (of TCPRoute other/first); and 10.0.0.0/8, by team/of-gateway (of Gateway team/gw); who connects has to be in each"
        )
        assert below["timeouts.server"].startswith("9m, by other/of-route")
        assert "timeouts.tunnel" not in below
    # Of a Gateway nobody reads annotations, and what a listener is called is no port.
    assert "annotations" not in {each.name for each in ways[0].steps}
    assert tree(ways[0]).startswith("Gateway team/gw listener pg: ")
    several = tcp("third", OLD, ParentRef("gw", namespace="team", section_name="idle"), TO_SET)
    gateway = structs.replace(GATEWAY, spec=structs.replace(GATEWAY.spec, listeners=tuple(structs.replace(each, allowed_routes=ALL) for each in GATEWAY.spec.listeners or ())))  # fmt: skip
    way = the_way("tcproute/other/third", gateway, SET, *POLICIES, several)
    assert step(way, "options")[:2] == ("yes", "its listeners have several, which explain tells of each")


@pytest.mark.parametrize("kind", ["TCPRoute", "TLSRoute"])
def test_a_route_whose_policy_cannot_be_kept_tells_that_and_not_of_its_pods(kind: str) -> None:
    """On its own way and on that of the listener: what to do is about the policy."""
    route = tcp("r", OLD, TO_GATEWAY) if kind == "TCPRoute" else tls("r", "a.x", TO_GATEWAY)
    wrong = policy("other", "wrong", {"kind": kind, "name": "r"}, timeouts_tunnel="sometime")
    way = the_way(f"{kind.lower()}/other/r", GATEWAY, route, wrong)
    state, said, below = step(way, "options")
    assert (state, below) == ("no", {"timeouts.tunnel": "sometime, by other/wrong (of %s other/r)" % kind})  # noqa: UP031
    assert said.startswith("spec.timeouts.tunnel is 'sometime'")
    assert not way.served
    listener = "pg" if kind == "TCPRoute" else "tls"
    of_listener = the_way(f"gateway/team/gw:{listener}", GATEWAY, route, wrong)
    assert of_listener.todo == ("Mend what is said of its routes; explain of each shows its way.",)
    if kind == "TLSRoute":
        assert way.todo[0].startswith("Mend the policy that is named")


def test_a_policy_tells_what_it_sets_and_what_it_does_at_each_listener() -> None:
    """Of a Gateway also for its ListenerSets; what a more specific one says otherwise is named."""
    way = the_way("tcproutepolicy/team/of-gateway", GATEWAY, SET, *POLICIES)
    assert (way.served, way.verdict, way.todo) == (True, "in force", ())
    assert step(way, "says")[2] == {"allowlist": "10.0.0.0/8", "limits.ratePerSource": "5", "timeouts.client": "1m", "timeouts.server": "5m"}  # fmt: skip
    text = tree(way)
    assert "listener pg: of Gateway team/gw: allowlist 10.0.0.0/8, limits.ratePerSource 5, timeouts.client 1m, timeouts.server 5m" in text  # fmt: skip
    assert "listener pg: of ListenerSet other/set: allowlist 10.0.0.0/8, limits.ratePerSource 5, timeouts.server 5m; passed over: timeouts.client (TCPRoutePolicy other/of-listener says otherwise)" in text  # fmt: skip


@pytest.mark.parametrize(
    ("target", "fields", "verdict", "said"),
    [
        ({"kind": "Gateway", "name": "gw"}, {}, "Conflicted", "TCPRoutePolicy team/of-gateway targets the same, and is older"),
        ({"kind": "Gateway", "name": "gone"}, {}, "TargetNotFound", "Gateway team/gone does not exist"),
        ({"kind": "TCPRoute", "name": "r"}, {"allowlist": ["10.0/8"]}, "Invalid", "spec.allowlist has the entry '10.0/8'"),
    ],
)  # fmt: skip
def test_a_policy_that_is_not_in_force_tells_why(target: dict[str, str], fields: dict[str, Any], verdict: str, said: str) -> None:  # fmt: skip
    """In the words of its status, with what to do."""
    route = TcpRoute(meta("r", "team", OLD), TcpRouteSpec(RULES, (TO_GATEWAY,)))
    mine = policy("team", "p", target, NEW, **fields)
    way = the_way("tcproutepolicy/team/p", GATEWAY, route, *POLICIES, mine)
    assert (way.served, way.verdict) == (False, verdict)
    state, told, _ = step(way, f"target {target['kind']} {target['name']}")
    assert (state, told.startswith(f"{verdict}: {said}")) == ("no", True), told
    assert len(way.todo) == 1


def test_a_policy_of_nobody_here_and_policies_that_are_not_known() -> None:
    """Left alone; not there; and not there because none may be read, which a listener tells too."""
    mine = policy("team", "p", {"kind": "Gateway", "name": "gw"})
    foreign = structs.replace(GATEWAY, spec=structs.replace(GATEWAY.spec, gateway_class_name="theirs"))
    assert the_way("tcppolicy/team/p", foreign, mine).verdict == "left alone"
    assert "there is no TCPRoutePolicy team/p here" in tree(the_way("tcproutepolicies/team/p", GATEWAY))
    unread = Unread.of("tcproutepolicies", "", "they may not be read")
    assert "NO object  they may not be read" in tree(the_way("tcproutepolicy/team/p", unread))
    assert step(the_way("gateway/team/gw:pg", GATEWAY, unread), "options")[:2] == ("no", "they may not be read")


@pytest.mark.parametrize("kind", ["Gateway", "ListenerSet"])
def test_whose_word_counts_is_what_is_served(kind: str) -> None:
    """For each field that two policies say, what is told to count is what admission makes of both."""
    values: dict[str, tuple[Any, Any]] = {
        "limits.concurrentPerSource": (9, 3), "timeouts.client": ("1m", "2m"), "timeouts.server": ("3m", "2m"), "tls.minVersion": ("TLSv1.2", "TLSv1.3"),
        "clientCertificates.ca": ("mine", "theirs"), "proxyProtocol.send": ("v1", "v2"),
    }  # fmt: skip
    section = {"sectionName": "pg"} if kind == "Gateway" else {}
    namespace, name = ("team", "gw") if kind == "Gateway" else ("other", "set")
    for path, (own, imposed) in values.items():
        first = policy(namespace, "first", {"kind": kind, "name": name, **section}, **{path.replace(".", "_"): own})
        second = policy("team", "second", {"kind": "Gateway", "name": "gw"}, **{path.replace(".", "_"): imposed})
        levels = levels_of_listener(
            facts_of(GATEWAY, SET, first, second).objects.gateway_api, kind, ObjectKey(namespace, name), "pg"
        )
        ((found, words),) = words_on(levels)
        assert found == path
        (counts,) = [each.value for each in words if each.counts]
        wishes = [read_wishes(each, SETTINGS) for each in (first, second)]
        both = merged(*wishes) if kind == "Gateway" else under(wishes[1], wishes[0], is_foreign=True)
        assert dict(both.said)[FIELDS[path]] == counts
    assert options_for(both, both, SETTINGS.defaults, has_shares=False).backend.send_proxy == counts
