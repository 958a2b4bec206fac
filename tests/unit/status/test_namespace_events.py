"""What an admin has to mend is told on the Namespace, once, by the replica that leads."""

from __future__ import annotations

from router.admission.policy import Policies
from router.objects.namespace import Namespace
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.writer import Rate, StatusWriter
from tests.support.fake_api import FakeApi
from tests.unit.admission.builders import SETTINGS, objects_of
from tests.unit.admission.test_policy import namespace


class Replica:
    """A writer, and what there is to tell."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.leads = True
        self.now_s = 0.0
        self.writer = StatusWriter(
            self.api, "tcp-router", "", lambda: self.leads, rate=Rate(1000.0, 1000), clock=lambda: self.now_s
        )
        self.policies = Policies(SETTINGS)
        self.objects = Objects()

    def tell(self, *namespaces: Namespace) -> list[tuple[str, str, str]]:
        """Take these as they are now; give the Events so far: kind and name of what they are about, and what they say."""
        for each in namespaces:
            self.policies.put(each.metadata.name, each)
        self.objects = objects_of(*namespaces) if namespaces else self.objects
        self.policies.take_touched()
        self.writer.update(Snapshot(configured=True, policy=self.policies.news), self.objects, frozenset())
        for _ in range(20):
            self.now_s += 0.01
            self.writer.step()
        return [
            (event["regarding"]["kind"], event["regarding"]["name"], event["note"])
            for event in self.api.events.values()
        ]


def test_a_value_that_does_not_parse_is_an_event() -> None:
    """In the namespace itself, and not again while it is the same."""
    replica = Replica()
    told = replica.tell(namespace("shop", tcp_ports="5000-"))
    assert [each[:2] for each in told] == [("Namespace", "shop")]
    assert told[0][2].startswith("annotation haproxy.router.openshift.io/tcp-ports is '5000-'; accepted is ports")
    (event,) = replica.api.events.values()
    assert event["reason"] == "InvalidPortPolicy"
    assert event["metadata"]["namespace"] == event["regarding"]["namespace"] == "shop"
    assert replica.tell(namespace("shop", {"more": "labels"}, tcp_ports="5000-")) == told
    assert len(replica.tell(namespace("shop", tcp_ports="6000-"))) == 2
    assert len(replica.tell(namespace("shop", tcp_ports="6000"))) == 2


def test_overlapping_ranges_are_told_on_both() -> None:
    """Whoever of the two admins looks finds it."""
    told = Replica().tell(namespace("a", tcp_ports_exclusive="5-9"), namespace("b", tcp_ports_exclusive="9"))
    assert {each[1] for each in told} == {"a", "b"}


def test_who_does_not_lead_tells_nothing() -> None:
    """And tells it when it comes to lead."""
    replica = Replica()
    replica.leads = False
    assert replica.tell(namespace("shop", tcp_ports="x")) == []
    replica.leads = True
    assert len(replica.tell()) == 1
