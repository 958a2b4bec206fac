"""Policies that may not be read: nobody is let in whom they may keep out, and it is told wherever somebody would look."""

from __future__ import annotations

from tests.e2e.test_gateway_api import ACCEPTED, GOOD, answer, backend, gateways, give, listener
from tests.e2e.test_gateway_policies import NOBODY, OK, SERVES, of
from tests.support.gateway_checks import Gateways
from tests.support.kube.resources import TCP_ROUTE_POLICIES
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.router_process import RouterProcess, http_get
from tests.support.waiting import wait_for

__all__ = ["gateways"]

POLICIES = "tcproutepolicies"
CLOSED = {
    "kinds": ["TCPRoute"],
    "attached": 1,
    "conditions": {"Accepted": ACCEPTED, "Programmed": ("False", "Invalid")},
}
UNKNOWN = {"Accepted": ACCEPTED, SERVES: ("False", "PoliciesNotRead")}


def notes(router: RouterProcess) -> str:
    """Give what /readyz says, which says yes."""
    code, body = http_get(router.http_port, "/readyz")
    assert code == 200, body
    return body


def is_forbidden(router: RouterProcess, kind: str = POLICIES) -> bool:
    """Say whether the metric has it that a kind may not be read."""
    return f'tcp_router_kind_forbidden{{kind="{kind}"}} 1.0' in http_get(router.http_port, "/metrics")[1]


def test_policies_that_may_not_be_read_at_the_start_close_gateways_and_nothing_else(gateways: Gateways) -> None:
    """A Route is served at once; listeners lead nobody anywhere, until the right is there: then as policies say."""
    cluster, ports = gateways.cluster, [free_port() for _ in range(3)]
    assert cluster.server is not None
    give(cluster, "a")
    cluster.create(*app("db", ports[0], cluster.pod(b"route ")))
    gateways.create_gateway("gw", listener("open", ports[1]), listener("closed", ports[2]))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    gateways.create_policy("p", of("Gateway", "gw", "closed"), allowlist=NOBODY)
    cluster.server.faults.forbid("list", POLICIES)
    router = gateways.router().start()
    assert exchange(ports[0]) == b"route ping"
    gateways.listeners_are_told("gw", open=CLOSED, closed=CLOSED)
    gateways.route_is_told("r", UNKNOWN)
    assert (answer(ports[1]), answer(ports[2])) == (b"", b"")
    assert "tcproutepolicies: TCPRoutePolicies may not be read" in notes(router)
    assert is_forbidden(router)
    (said,) = router.events("kind withheld")
    assert "nobody is led on until the router may list and watch" in said["consequence"]
    cluster.server.faults.allow("list", POLICIES)
    gateways.policy_is_told("p", OK)
    gateways.listeners_are_told("gw", open={**CLOSED, "conditions": GOOD}, closed={**CLOSED, "conditions": GOOD})
    wait_for(lambda: answer(ports[1]) == b"a ping", "the listener of which no policy says anything")
    assert answer(ports[2]) == b""
    wait_for(lambda: not is_forbidden(router), "the metric to tell")
    assert POLICIES not in notes(router)


def test_a_right_that_is_lost_later_leaves_the_last_known_policies_in_force(gateways: Gateways) -> None:
    """Nobody is closed for it, and nobody let in; what became of a policy meanwhile counts as soon as it may be read."""
    cluster, ports = gateways.cluster, [free_port(), free_port()]
    assert cluster.server is not None
    give(cluster, "a")
    gateways.create_gateway("gw", listener("open", ports[0]), listener("closed", ports[1]))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    gateways.create_policy("p", of("Gateway", "gw", "closed"), allowlist=NOBODY)
    router = gateways.router().start()
    gateways.policy_is_told("p", OK)
    for verb in ("list", "watch"):
        cluster.server.faults.forbid(verb, POLICIES)
    cluster.server.faults.cut_streams()
    wait_for(lambda: is_forbidden(router), "the metric to tell")
    assert "tcproutepolicies: the router may not read them; what was known of them last holds" in notes(router)
    cluster.client.delete("TCPRoutePolicy", cluster.namespace, "p")
    assert (answer(ports[0]), answer(ports[1])) == (b"a ping", b"")
    assert not router.events("kind withheld")
    cluster.server.faults.clear()
    wait_for(lambda: answer(ports[1]) == b"a ping", "the deletion to be seen", 40)
    wait_for(lambda: not is_forbidden(router), "the metric to tell")


def test_without_the_right_and_without_the_kind_there_is_nothing_to_know(gateways: Gateways) -> None:
    """The API server says 403 of kinds that it has not: it is asked what it has. The CRD that comes without a right closes."""
    cluster, port = gateways.cluster, free_port()
    assert cluster.server is not None
    give(cluster, "a")
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("r", [{"name": "gw"}], [backend("a")])
    cluster.server.set_custom(TCP_ROUTE_POLICIES, there=False)
    cluster.server.faults.forbid("list", POLICIES)
    router = gateways.router().start()
    gateways.accepted("gw", "r")
    assert exchange(port) == b"a ping"
    assert not is_forbidden(router)
    cluster.server.set_custom(TCP_ROUTE_POLICIES, there=True)
    gateways.listeners_are_told("gw", tcp=CLOSED)
    wait_for(lambda: answer(port) == b"", "nobody to be led on")
    assert is_forbidden(router)
