"""Which Events go with a written status of the Gateway API: each thing once, and nothing that was said before."""

from __future__ import annotations

from typing import Any

import pytest

from router.objects.decoding import decode
from router.objects.gateway import Gateway, TcpRoute
from router.shapes import write
from router.status.gateway_notices import notices
from router.status.notices import MAX_NOTE

OURS = "example.com/ours"
SERVES = "tcp-router.openshift.io/Serves"
METADATA = {"name": "x", "namespace": "team", "uid": "u", "generation": 3, "resourceVersion": "7"}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    """Make a condition."""
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**said, "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 3}


def told_of_gateway(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Give kind, reason and note of each notice of a Gateway."""
    spec = {"gatewayClassName": "a", "listeners": [{"name": "l", "port": 7000, "protocol": "TCP"}]}
    obj = decode(Gateway, {"metadata": METADATA, "spec": spec, "status": before})
    assert isinstance(obj, Gateway)
    found = list(notices(obj, "Gateway", write({"status": after}), OURS))
    assert {(each.regarding, each.namespace, each.route, each.uid) for each in found} <= {("Gateway", "team", "x", "u")}
    return [(each.kind, each.reason, each.note) for each in found]


def of_listener(*conditions: dict[str, Any], whole: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """Make the status of a Gateway with one listener."""
    return {
        "conditions": list(whole),
        "listeners": [{"name": "l", "attachedRoutes": 0, "supportedKinds": [], "conditions": list(conditions)}],
    }


GOOD = (
    condition("Accepted", "True", "Accepted"),
    condition("ResolvedRefs", "True", "ResolvedRefs"),
    condition("Programmed", "True", "Programmed"),
)
LOST = (
    condition("Accepted", "False", "PortUnavailable", "PortAlreadyClaimed: it is of b"),
    GOOD[1],
    condition("Programmed", "False", "Invalid", "x"),
)


def test_a_listener_is_told_once() -> None:
    """What comes first of what is wrong, and when it is served; neither the Gateway as a whole nor what is on its way is told beside."""
    whole = (
        condition("Accepted", "False", "ListenersNotValid", "not valid: 'l'"),
        condition("Programmed", "False", "Invalid", "x"),
    )
    lost = ("Warning", "PortUnavailable", "listener l: PortAlreadyClaimed: it is of b")
    served = ("Normal", "Programmed", "listener l: served")
    assert told_of_gateway({}, of_listener(*LOST, whole=whole)) == [lost]
    assert told_of_gateway(of_listener(*LOST), of_listener(*LOST)) == []
    assert told_of_gateway(of_listener(*LOST), of_listener(*GOOD)) == [served]
    assert told_of_gateway(of_listener(*GOOD), of_listener(*LOST)) == [lost]
    pending = (GOOD[0], GOOD[1], condition("Programmed", "False", "Pending", "not yet"))
    assert told_of_gateway({}, of_listener(*pending)) == []
    assert told_of_gateway(of_listener(*pending), of_listener(*GOOD)) == [served]
    # A long message is cut to what an Event may have, and no letter in two.
    (long,) = told_of_gateway({}, of_listener(condition("Accepted", "False", "PortUnavailable", "é" * 4000)))
    assert MAX_NOTE - 2 <= len(long[2].encode()) <= MAX_NOTE


@pytest.mark.parametrize("reason", ["InvalidParameters", "UnsupportedAddress"])
def test_a_gateway_is_told_what_its_listeners_do_not_say(reason: str) -> None:
    """Its own faults."""
    whole = condition("Accepted", "False", reason, "no")
    assert told_of_gateway({}, {"conditions": [whole], "listeners": []}) == [("Warning", reason, "no")]


def test_a_route_is_told_of_each_parent_of_ours() -> None:
    """By the Gateway's name; entries of others are none of ours."""

    def status(*entries: tuple[str, str, tuple[dict[str, Any], ...]]) -> dict[str, Any]:
        group = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
        return {
            "parents": [
                {
                    "parentRef": {**group, "name": name, "sectionName": "l"},
                    "controllerName": controller,
                    "conditions": list(conditions),
                }
                for name, controller, conditions in entries
            ]
        }

    def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
        obj = decode(TcpRoute, {"metadata": METADATA, "spec": {}, "status": before})
        assert isinstance(obj, TcpRoute)
        return [
            (each.kind, each.reason, each.note) for each in notices(obj, "TCPRoute", write({"status": after}), OURS)
        ]

    served = (GOOD[0], GOOD[1], condition(SERVES, "True", "Served"))
    no_backend = (
        GOOD[0],
        condition("ResolvedRefs", "False", "BackendNotFound", "gone"),
        condition(SERVES, "True", "Served"),
    )
    first = status(("gw", OURS, served), ("other", "example.com/theirs", no_backend))
    assert told({}, first) == [("Normal", "Served", "Gateway gw listener l: served")]
    second = status(("gw", OURS, no_backend), ("other", "example.com/theirs", served), ("new", OURS, served))
    assert told(first, second) == [
        ("Warning", "BackendNotFound", "Gateway gw listener l: gone"),
        ("Normal", "Served", "Gateway new listener l: served"),
    ]
    assert told(second, second) == []
