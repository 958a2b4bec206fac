"""What the policy of a namespace does to those who ask in it, and to those who hold something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission import Admission, Outcome, Reason
from router.admission.places import Place
from router.model import Asker
from router.objects.kinds import KubernetesObject
from router.objects.namespace import PolicyRule, PortPolicy
from router.objects.store import Store
from router.settings import AdmissionSettings, PortRanges
from tests.unit.admission.builders import (
    DB,
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
)
from tests.unit.admission.test_policy import namespace

ENFORCED = replace(SETTINGS, enforces_policy_on_holders=True)
OTHER_DB = (service(namespace="other"), endpoint_slice("10.1.0.2", namespace="other"))


class World:
    """A store, and an admission that follows it."""

    def __init__(self, *objects: KubernetesObject, settings: AdmissionSettings = SETTINGS) -> None:
        self.store = Store()
        self.admission = Admission(settings)
        self.settings = settings
        self.outcome = self.put(*DB, *OTHER_DB, *objects)

    def put(self, *objects: KubernetesObject) -> Outcome:
        """Bring objects, and decide; a full rebuild by who is served says the same."""
        self.store.put(*objects)
        served = dict(self.admission.served())
        self.outcome = self.admission.update(self.store.objects, self.store.take()[0])
        for known in (served, self.admission.served()):
            anew = Admission(self.settings, known).update(self.store.objects, self.store.objects.everything())
            assert anew == self.outcome
        return self.outcome

    def reason(self, whose: Asker) -> Reason | None:
        """Give why somebody is rejected; None if not."""
        return self.outcome.verdicts[whose].reason

    def message(self, whose: Asker) -> str:
        """Give what somebody is told, a warning where there is one."""
        verdict = self.outcome.verdicts[whose]
        return verdict.message or "; ".join(verdict.warnings)


def test_a_port_that_is_not_allowed_is_the_askers_own_loss() -> None:
    """It is told which there are; others of its namespace are served, and the port is free for who may have it."""
    outcome = admit(
        *DB,
        *OTHER_DB,
        namespace("shop", tcp_ports="5000-5009"),
        route("inside", 5000),
        route("outside", 6000),
        route("other", 6000, namespace="other", created="2025-01-01T00:00:00Z"),
        asking("asks", "5001"),
        asking("asks-more", "pg=6001"),
    )
    verdicts = outcome.verdicts
    assert verdicts[asker("inside")].admitted
    assert verdicts[asker("outside")].reason is Reason.PORT_NOT_ALLOWED
    assert verdicts[asker("outside")].message == "port 6000 is not allowed to namespace shop; allowed are 5000-5009"
    assert verdicts[asker("other", "other")].admitted
    assert verdicts[port_of_service("asks", "")].admitted
    assert verdicts[port_of_service("asks-more", "pg")].reason is Reason.PORT_NOT_ALLOWED


def test_hosts_on_the_sni_port_are_no_ports() -> None:
    """A namespace that may have none is reached by its hosts; a shared external port is a port."""
    outcome = admit(
        *DB,
        namespace("shop", tcp_ports="none"),
        sni_route("host", "a.example.com"),
        sni_route("shared", "b.example.com", 7000),
    )
    assert outcome.verdicts[asker("host")].admitted
    assert outcome.verdicts[asker("shared")].reason is Reason.PORT_NOT_ALLOWED


def test_a_policy_that_becomes_tighter_takes_nothing_from_holders() -> None:
    """They are warned, whether a claim says that they hold the port or this replica serves them; who comes new is rejected."""
    world = World(namespace("shop"), route("held", 6000), route("served", 6001), port_claim("c", 6000, asker("held")))
    world.put(namespace("shop", tcp_ports="5000-5009"))
    world.put(route("new", 6002))
    for name, port in (("held", 6000), ("served", 6001)):
        assert world.reason(asker(name)) is None
        assert world.message(asker(name)) == (
            f"port {port} is not allowed to namespace shop; allowed are 5000-5009; who had it before keeps it"
        )
    assert world.reason(asker("new")) is Reason.PORT_NOT_ALLOWED
    world.put(namespace("shop"))
    assert not any(verdict.message or verdict.warnings for verdict in world.outcome.verdicts.values())


def test_holders_lose_what_is_enforced() -> None:
    """With --enforce-policy-on-holders, and who may have the port gets it at once, though the claim is still there."""
    world = World(
        namespace("shop"),
        route("db", 6000),
        port_claim("c", 6000, asker("db")),
        route("next", 6000, namespace="other", created="2025-01-01T00:00:00Z"),
        settings=ENFORCED,
    )
    assert world.reason(asker("next", "other")) is Reason.PORT_ALREADY_CLAIMED
    world.put(namespace("shop", tcp_ports="5000"))
    assert world.reason(asker("db")) is Reason.PORT_NOT_ALLOWED
    assert world.reason(asker("next", "other")) is None


def test_a_holder_that_does_not_ask_loses_what_is_enforced() -> None:
    """What a claim remembers of a namespace that may not have it keeps nobody out."""
    world = World(
        namespace("shop"),
        route("db", 6000, balance="nonsense"),
        port_claim("c", 6000, asker("db")),
        route("next", 6000, namespace="other"),
        settings=ENFORCED,
    )
    assert world.reason(asker("next", "other")) is Reason.PORT_ALREADY_CLAIMED
    world.put(namespace("shop", tcp_ports="5000"))
    assert world.reason(asker("next", "other")) is None


@pytest.mark.parametrize(
    "unclear",
    [
        [namespace("shop", tcp_ports="5000-")],
        [namespace("shop", tcp_ports_exclusive="6000"), namespace("other", tcp_ports_exclusive="6000")],
        [PortPolicy(problem="the file cannot be read")],
    ],
    ids=["a typing mistake", "two who have it to themselves", "an unreadable file"],
)
def test_a_mistake_takes_nothing_from_holders(unclear: list[KubernetesObject]) -> None:
    """Not even where policies are enforced on them: nobody meant that. Nothing new is claimed."""
    world = World(namespace("shop"), namespace("other"), route("db", 6000), settings=ENFORCED)
    world.put(*unclear)
    world.put(route("next", 6000, created="2020-01-01T00:00:00Z"))
    assert world.reason(asker("db")) is None
    assert world.message(asker("db")).endswith("who had it before keeps it")
    assert world.reason(asker("next")) is Reason.PORT_NOT_ALLOWED


def test_exclusive_ports_are_kept_from_others() -> None:
    """Also from the older ones; who has one already keeps it."""
    world = World(route("old", 6000, namespace="other"), namespace("other"), namespace("shop"))
    world.put(namespace("shop", tcp_ports_exclusive="6000-6009"))
    world.put(route("older", 6001, namespace="other", created="2020-01-01T00:00:00Z"), route("own", 6001))
    assert world.reason(asker("old", "other")) is None
    assert world.reason(asker("older", "other")) is Reason.PORT_NOT_ALLOWED
    assert world.message(asker("older", "other")) == (
        "port 6001 is not allowed to namespace other: 6000-6009 is exclusive to namespace shop"
    )
    assert world.reason(asker("own")) is None


def test_a_namespace_that_the_api_server_did_not_tell_of_claims_nothing() -> None:
    """Until it does; and when it goes, those who are in it keep what they have until they go too."""
    settings = replace(SETTINGS, must_know_namespaces=True)
    world = World(route("db", 6000), settings=settings)
    assert world.reason(asker("db")) is Reason.PORT_NOT_ALLOWED
    world.put(namespace("shop"))
    assert world.reason(asker("db")) is None
    world.store.delete(type(namespace("shop")), namespace("shop").key)
    world.put()
    assert world.reason(asker("db")) is None


def test_a_file_says_the_same_by_labels() -> None:
    """And what it says later counts later."""
    world = World(namespace("shop", {"team": "a"}), route("db", 6000))
    world.put(PortPolicy(rules=(PolicyRule(selector="team=a", ports=PortRanges.of(7000)),)), route("new", 6001))
    assert world.reason(asker("db")) is None
    assert world.reason(asker("new")) is Reason.PORT_NOT_ALLOWED
    world.put(PortPolicy())
    assert world.reason(asker("new")) is None


def test_problems_are_told_beside_verdicts() -> None:
    """Whoever tells them needs no verdict for it."""
    world = World(namespace("shop", tcp_ports="x", tcp_connections_max="5"))
    assert list(world.outcome.policy.problems) == ["shop"]
    assert world.outcome.policy.max_connections == {"shop": 5}
    before = world.outcome
    assert world.put(namespace("shop", {"label": "more"}, tcp_ports="x", tcp_connections_max="5")) is before


def test_what_is_served_is_remembered_by_its_place() -> None:
    """A Route that moves to a port that is not allowed loses both, and gets the first back when it asks for it again."""
    world = World(namespace("shop"), route("db", 5000))
    world.put(namespace("shop", tcp_ports="5000"))
    world.put(route("db", 6000))
    assert world.reason(asker("db")) is Reason.PORT_NOT_ALLOWED
    assert Place(5000) not in world.admission.served()
    world.put(route("db", 5000))
    assert world.reason(asker("db")) is None


AUTO = replace(SETTINGS, auto_ports=PortRanges.parse("7000-7009"), auto_at_once=True)


def test_who_asks_for_any_port_gets_one_that_the_namespace_may_have() -> None:
    """From what it is let have, as many as it may hold, and the port stays when the policy becomes tighter."""
    world = World(
        namespace("shop", tcp_ports="7003,9000", tcp_ports_max="1"),
        namespace("other", tcp_ports_exclusive="7000-7002,7004-7008"),
        namespace("none", tcp_ports="9000"),
        route("a", "auto"),
        route("b", "auto", created="2025-01-01T00:00:00Z"),
        route("c", "auto", namespace="none"),
        service(namespace="none"),
        settings=AUTO,
    )
    assert world.outcome.verdicts[asker("a")].port == 7003
    assert world.reason(asker("b")) is Reason.PORT_QUOTA_EXCEEDED
    assert world.message(asker("b")) == "namespace shop may hold 1 port and holds 1: 7003 (Route shop/a)"
    assert world.reason(asker("c", "none")) is Reason.PORT_NOT_ALLOWED
    assert world.message(asker("c", "none")) == (
        "none of the ports that are given is allowed to namespace none; allowed are 9000, "
        "without 7000-7002,7004-7008, which others have to themselves"
    )
    world.put(namespace("shop", tcp_ports="7005"))
    assert world.outcome.verdicts[asker("a")].port == 7003
    assert world.message(asker("a")).endswith("who had it before keeps it")
    world.put(namespace("shop", tcp_ports="7003,7009", tcp_ports_max="2"))
    assert world.outcome.verdicts[asker("b")].port == 7009


def test_a_mistyped_name_of_a_limit_closes_the_namespace() -> None:
    """Who wrote it would have no limit, and not know it; what else is annotated is nothing to the router."""
    world = World(namespace("shop", tcp_port_max="3"), namespace("other", kept="tcp-ports"), route("a", 5000))
    world.put(route("b", 5001, namespace="other"))
    assert world.reason(asker("a")) is Reason.PORT_NOT_ALLOWED
    assert "annotation 'haproxy.router.openshift.io/tcp-port-max' says nothing to this router" in world.message(
        asker("a")
    )
    assert world.reason(asker("b", "other")) is None
    assert list(world.outcome.policy.problems) == ["shop"]
    world.put(namespace("shop", tcp_ports_max="3"))
    assert world.reason(asker("a")) is None
