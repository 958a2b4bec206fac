"""ListenerSets: whose their hosts and claims are, what the Gateway's policies say of them, and what a change of one is looked at for."""

from __future__ import annotations

import pytest

from router.admission import Admission, Outcome
from router.admission.gateway.merging import MOST_LISTENERS
from router.admission.gateway.resolving import Resolved
from router.admission.gateway.states import ListenerSetState, StateKey
from router.admission.verdicts import Reason, Verdict
from router.model import Asker
from router.objects.gateway import (
    GROUP,
    AllowedListeners,
    AllowedRoutes,
    Gateway,
    GatewayClass,
    GatewayClassSpec,
    GatewaySpec,
    Listener,
    ListenerNamespaces,
    ListenerSet,
    ListenerSetSpec,
    ListenerTls,
    ParentGatewayRef,
    ParentRef,
    RouteNamespaces,
    TcpRoute,
    TcpRouteSpec,
)
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.objects.tcp_route_policy import PolicySpec, PolicyTarget, TcpRoutePolicy
from router.reconcile.isolation import _alone
from tests.unit.admission.test_gateway_book import OURS, SETTINGS, meta

ALL = AllowedListeners(ListenerNamespaces("All"))
EVERYBODY = AllowedRoutes(RouteNamespaces("All"))
FIRST, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"


def gateway(*listeners: Listener, allowed: AllowedListeners = ALL) -> Gateway:
    """Make the Gateway of all of these sets."""
    return Gateway(meta("gw", "team", FIRST), GatewaySpec("a", listeners, allowed_listeners=allowed))


def listener_set(name: str, namespace: str, *listeners: Listener, created: str = LATER) -> ListenerSet:
    """Make a set of that Gateway."""
    return ListenerSet(
        meta(name, namespace, created), ListenerSetSpec(ParentGatewayRef("gw", namespace="team"), listeners)
    )


def tls(name: str, hostname: str) -> Listener:
    """Make a TLS listener of one port."""
    return Listener(name, 7443, "TLS", hostname, ListenerTls("Passthrough"))


class World:
    """Objects, and what is decided about them."""

    def __init__(self, *objects: KubernetesObject) -> None:
        self.store, self.admission = Store(), Admission(SETTINGS)
        self.store.put(GatewayClass(meta("a", ""), GatewayClassSpec(OURS)))
        self.put(*objects)

    def put(self, *objects: KubernetesObject) -> Outcome:
        """Add objects, or change them."""
        self.store.put(*objects)
        return self.decide()

    def decide(self) -> Outcome:
        """Decide about what came."""
        self.outcome = self.admission.update(self.store.objects, self.store.take()[0])
        return self.outcome

    def verdict(self, kind: str, namespace: str, name: str, section: str) -> Verdict:
        """Give what became of a listener."""
        return self.outcome.verdicts[Asker(GROUP, kind, namespace, name, section, f"{namespace}/{name}")]


def test_hosts_of_a_set_count_as_the_gateways_and_nobody_elses() -> None:
    """Under the Gateway's wildcard a set of another namespace has its name; under a wildcard of a third namespace it has not, nor has a Gateway of the set's own namespace one there."""
    other = Gateway(meta("gw", "other", LATER), GatewaySpec("a", (tls("l", "b.example.com"),)))
    third = Gateway(meta("third", "third", FIRST), GatewaySpec("a", (tls("l", "*.third.com"),)))
    world = World(
        gateway(tls("wide", "*.example.com")),
        listener_set("set", "other", tls("mine", "a.example.com"), tls("theirs", "a.third.com")),
        other,
        third,
    )
    assert world.verdict("ListenerSet", "other", "set", "mine").admitted
    assert world.verdict("ListenerSet", "other", "set", "theirs").reason is Reason.HOST_ALREADY_CLAIMED
    assert world.verdict("Gateway", "other", "gw", "l").reason is Reason.HOST_ALREADY_CLAIMED


def test_what_gives_way_gives_its_claims_up() -> None:
    """A listener that another comes before, and all of a set that is let no more; one that merely lost to another Gateway keeps what it has."""
    taken = Gateway(meta("first", "team", FIRST), GatewaySpec("a", (Listener("l", 7001, "TCP"),)))
    mine = listener_set(
        "set", "other", Listener("l", 7000, "TCP"), Listener("m", 7001, "TCP"), Listener("n", 7002, "TCP")
    )
    world = World(taken, gateway(Listener("own", 7003, "TCP")), mine)
    assert world.verdict("ListenerSet", "other", "set", "l").admitted
    assert world.verdict("ListenerSet", "other", "set", "m").reason is Reason.PORT_ALREADY_CLAIMED
    world.put(gateway(Listener("own", 7000, "TCP")))
    lost = world.verdict("ListenerSet", "other", "set", "l")
    assert (lost.reason, lost.forfeits, lost.port) == (Reason.LISTENER_NOT_TAKEN, True, 7000)
    assert not world.verdict("ListenerSet", "other", "set", "m").forfeits
    assert world.verdict("ListenerSet", "other", "set", "n").admitted
    assert world.verdict("Gateway", "team", "gw", "own").admitted
    world.put(gateway(Listener("own", 7003, "TCP"), allowed=AllowedListeners()))
    lost = world.verdict("ListenerSet", "other", "set", "n")
    assert (lost.reason, lost.forfeits) == (Reason.LISTENER_NOT_TAKEN, True)


def test_a_namespace_brings_so_many_listeners_to_a_gateway_and_no_more() -> None:
    """All of them are looked at when one changes. The oldest sets are taken, of other namespaces all, and there is room when one goes."""

    def of(name: str, namespace: str, number: int, size: int, created: str) -> ListenerSet:
        ports = range(10_000 + 1_000 * number, 10_000 + 1_000 * number + size)
        return listener_set(name, namespace, *(Listener(f"l{port}", port, "TCP") for port in ports), created=created)

    times = [f"2026-02-01T00:00:0{number}Z" for number in range(4)]
    world = World(
        gateway(Listener("own", 7000, "TCP")),
        of("first", "many", 0, MOST_LISTENERS - 2, times[0]),
        of("second", "many", 1, 3, times[1]),
        of("third", "many", 2, 2, times[2]),
        of("theirs", "few", 3, 3, times[3]),
    )

    def reasons() -> dict[str, str]:
        states = world.outcome.gateway_api.values()
        return {each.key.name: each.accepted.reason for each in states if isinstance(each, ListenerSetState)}

    assert reasons() == {"first": "Accepted", "second": "NotAllowed", "third": "Accepted", "theirs": "Accepted"}
    refused = world.verdict("ListenerSet", "many", "second", "l11000")
    assert (refused.reason, refused.forfeits) == (Reason.LISTENER_NOT_TAKEN, True)
    assert "would have more than 500 listeners" in refused.message
    world.store.delete(ListenerSet, ObjectKey("many", "third"))
    assert reasons()["second"] == "NotAllowed"
    world.store.delete(ListenerSet, ObjectKey("many", "first"))
    world.decide()
    assert reasons()["second"] == "Accepted"


def test_a_policy_of_the_gateway_holds_for_its_sets_and_one_of_a_listener_does_not() -> None:
    """An allowlist of the Gateway lets in nobody else through a set; one of a listener of the same name is the Gateway's own."""
    target = PolicyTarget("Gateway", "gw")
    whole = TcpRoutePolicy(meta("whole", "team"), PolicySpec((target,), allowlist=("10.0.0.0/8",)))
    named = TcpRoutePolicy(
        meta("named", "team"),
        PolicySpec((PolicyTarget("Gateway", "gw", section_name="l"),), allowlist=("10.1.0.0/16",)),
    )
    world = World(
        gateway(Listener("l", 7000, "TCP")),
        listener_set("set", "other", Listener("l", 7001, "TCP", None, None, EVERYBODY)),
        whole,
        named,
    )
    routes = TcpRouteSpec(None, (ParentRef("gw"), ParentRef("set", kind="ListenerSet", namespace="other")))
    world.put(TcpRoute(meta("r", "team"), routes))
    lists = {each.asker.kind: each.backend.allowlist for each in world.outcome.model.routes}
    assert lists == {"Gateway": ("10.1.0.0/16",), "ListenerSet": ("10.0.0.0/8",)}
    world.store.delete(TcpRoutePolicy, whole.key)
    lists = {each.asker.kind: each.backend.allowlist for each in world.decide().model.routes}
    assert lists == {"Gateway": ("10.1.0.0/16",), "ListenerSet": None}


def test_a_set_that_is_left_out_costs_itself() -> None:
    """Its Gateway and the other sets are served, and it is again when it is looked at again; alone it is decided with its Gateway."""
    sets = [listener_set(name, "other", Listener("l", port, "TCP")) for name, port in (("a", 7001), ("b", 7002))]
    world = World(gateway(Listener("l", 7000, "TCP")), *sets)
    slot: Slot = (ListenerSet, ObjectKey("other", "a"))
    for held, ports in ((sets[0], {7000, 7002}), (None, {7000, 7001, 7002})):
        world.admission.hold(slot, held)
        outcome = world.admission.update(world.store.objects, world.store.objects.everything())
        assert {each.frontend.port for each in outcome.model.routes if each.frontend is not None} == ports
    trial = Admission(SETTINGS).update(world.store.objects, _alone(slot, world.store.objects))
    assert isinstance(trial.gateway_api[StateKey("ListenerSet", "other", "a")], ListenerSetState)


def test_a_route_has_the_set_alone_looked_at_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the Gateway, nor its other sets, with all of their routes; a set that changed has those looked at of which something is otherwise by that."""
    sets = [listener_set(f"s{n}", "other", Listener("l", 7001 + n, "TCP", None, None, EVERYBODY)) for n in range(20)]
    world = World(gateway(Listener("l", 7000, "TCP")), *sets)
    for n in range(20):
        world.store.put(
            TcpRoute(
                meta(f"r{n}", "team"), TcpRouteSpec(None, (ParentRef(f"s{n}", kind="ListenerSet", namespace="other"),))
            )
        )
    world.decide()
    looked_at: list[StateKey] = []

    level = Resolved.level

    def counted(resolved: Resolved) -> None:
        level(resolved)
        looked_at.append(resolved.state.key)

    monkeypatch.setattr(Resolved, "level", counted)
    third = StateKey("ListenerSet", "other", "s3")
    world.put(
        TcpRoute(meta("new", "team"), TcpRouteSpec(None, (ParentRef("s3", kind="ListenerSet", namespace="other"),)))
    )
    assert looked_at == [third]
    looked_at.clear()
    world.put(listener_set("s3", "other", Listener("l", 7500, "TCP", None, None, EVERYBODY)))
    assert looked_at == [third]
    looked_at.clear()
    world.put(listener_set("s20", "other", Listener("l", 7600, "TCP")))
    assert set(looked_at) == {StateKey("Gateway", "team", "gw"), StateKey("ListenerSet", "other", "s20")}
