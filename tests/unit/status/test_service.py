"""What a Service's status shall say, from the verdicts of its ports."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from router.admission import Reason, Verdict
from router.admission.service import ADMITTED, held
from router.model import Asker
from router.objects.core import Condition, Service, ServiceStatus
from router.objects.meta import ObjectMeta
from router.status.route import Identity, StatusChange
from router.status.service import APPLY_PATCH, decide_status, named_node, summed

IDENTITY = Identity("tcp-router", "tcp.example.com", "node-1")
NOW_S = 1767229200.0


def service(*conditions: Condition) -> Service:
    """Make the Service ``shop/db`` with these conditions."""
    return Service(ObjectMeta(name="db", namespace="shop", uid="u1"), status=ServiceStatus(conditions or None))


def verdict(
    section: str, port: int, reason: Reason | None = None, message: str = "", *, aside: bool = False
) -> Verdict:
    """Make the verdict of one port."""
    asker = Asker("", "Service", "shop", "db", section, "u1")
    return Verdict(asker=asker, port=port, reason=reason, message=message, set_aside=aside)


def told(change: StatusChange | None) -> Condition:
    """Give the condition that a change applies."""
    assert change is not None
    (condition,) = json.loads(change.patch.body)["status"]["conditions"]
    return Condition(
        condition["type"],
        condition["status"],
        condition["reason"],
        condition["message"],
        condition["lastTransitionTime"],
    )


def decided(of: Service, *verdicts: Verdict, nodes: frozenset[str] | None = None) -> StatusChange | None:
    """Sum up and decide."""
    return decide_status(of, summed(of, verdicts, IDENTITY), IDENTITY, NOW_S, nodes)


PG, METRICS = verdict("pg", 15432), verdict("metrics", 19187)
LOST = verdict("metrics", 19187, Reason.PORT_ALREADY_CLAIMED, "port 19187 is held by Route shop/a")


def test_all_ports_are_summed_up_in_one_condition_and_remembered() -> None:
    """It is true if all are served, else false with the first reason; which ports there are can be read of it again."""
    both = told(decided(service(), METRICS, PG))
    assert (both.status, both.reason) == ("True", "Admitted")
    assert both.message == "tcp-router: has metrics=19187 pg=15432"
    one = told(decided(service(both), PG, LOST))
    assert (one.status, one.reason) == ("False", "PortAlreadyClaimed")
    assert one.message == "tcp-router: has pg=15432; metrics: port 19187 is held by Route shop/a"
    assert held(service(both), "tcp-router") == {"pg": 15432, "metrics": 19187}
    assert held(service(one), "tcp-router") == {"pg": 15432}
    single = told(decided(service(), verdict("", 6620)))
    assert single.message == "tcp-router: has 6620"
    assert held(service(single), "tcp-router") == {"": 6620}


def test_what_another_router_said_is_no_claim_here() -> None:
    """A Service that is given from one router to another brings no port along."""
    there = told(decided(service(), PG))
    assert held(service(there), "another") == {}
    assert held(service(Condition(ADMITTED, "True", "Admitted", "tcp-router: nonsense pg=1")), "tcp-router") == {}


def test_nothing_is_written_twice_and_times_move_with_the_status_alone() -> None:
    """The same verdict is no write; another message of the same status keeps its time."""
    first = told(decided(service(), PG))
    assert decided(service(first), PG) is None
    old = Condition(first.type, first.status, first.reason, first.message, "2020-01-01T00:00:00Z")
    assert told(decided(service(old), PG, METRICS)).last_transition_time == "2020-01-01T00:00:00Z"
    assert told(decided(service(old), LOST)).last_transition_time == "2026-01-01T01:00:00Z"


def test_the_write_is_an_apply_of_our_condition_alone() -> None:
    """Other conditions are not sent, a Service of another uid is not written, and what asks no more is taken back by applying nothing."""
    others = Condition("LoadBalancer", "True", "x", "y", "2020-01-01T00:00:00Z")
    change = decided(service(others), PG)
    assert change is not None
    assert change.patch.content_type == APPLY_PATCH
    assert parse_qs(change.patch.query) == {"fieldManager": ["tcp-router/tcp-router"], "force": ["true"]}
    body = json.loads(change.patch.body)
    assert body["metadata"] == {"name": "db", "namespace": "shop", "uid": "u1"}
    assert [each["type"] for each in body["status"]["conditions"]] == [ADMITTED]
    back = decided(service(told(change)))
    assert back is not None
    assert (back.entry, "status" in json.loads(back.patch.body)) == (None, False)
    assert decided(service(others)) is None


def test_a_port_that_is_set_aside_keeps_what_it_had_and_wins_nothing() -> None:
    """As with Routes: only what was served is a claim."""
    aside = verdict("pg", 15432, Reason.PORT_UNAVAILABLE, "on node node-1: taken", aside=True)
    fresh = told(decided(service(), aside))
    assert fresh.message == "tcp-router: pg: on node node-1: taken"
    kept = told(decided(service(told(decided(service(), PG))), aside))
    assert kept.message == "tcp-router: has pg=15432; pg: on node node-1: taken"
    assert named_node(service(kept), IDENTITY) == "node-1"


def test_what_another_node_said_of_itself_is_its_own_to_take_back() -> None:
    """As long as a router runs there."""
    aside = verdict("pg", 15432, Reason.PORT_UNAVAILABLE, "on node node-2: taken", aside=True)
    there = service(told(decided(service(), aside)))
    assert decided(there, PG, nodes=frozenset({"node-1", "node-2"})) is None
    assert told(decided(there, PG, nodes=frozenset({"node-1"}))).status == "True"
