"""What a TransportServer's status shall say: as F5's controller writes it, and taken back where it is ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from router.admission import Reason, Verdict
from router.model import Asker
from router.objects.cis import GROUP, KIND, TransportServer
from router.objects.meta import ObjectMeta
from router.status.balanced import Balancing
from router.status.route import Identity, StatusChange
from router.status.transport_server import decide_status, has_entry, named_node, own_entry, same_request, warnings

IDENTITY = Identity(
    "tcp-router",
    "tcp.example.com",
    "node-1",
    Balancing({"pg": "pg.example.com"}, {"mq": ("192.0.2.11",), "pg": ("192.0.2.10",)}),
)
WHO = Asker(GROUP, KIND, "shop", "ts", "", "u1")
NOW_S, NOW = 1767229200.0, "2026-01-01T01:00:00Z"
SERVED = Verdict(asker=WHO, port=36_001, address="pg")
REFUSED = replace(SERVED, reason=Reason.PORT_ALREADY_CLAIMED, message="port 36001 is held by Route shop/a")


def server(status: Any = None, **spec: Any) -> TransportServer:
    """Make the TransportServer of these tests."""
    return TransportServer(ObjectMeta("ts", "shop", "u1"), {"virtualServerPort": 36_001, **spec}, status)


def written(change: StatusChange | None) -> dict[str, Any]:
    """Give the status that a change applies."""
    assert change is not None
    body = json.loads(change.patch.body)
    assert body["metadata"] == {"name": "ts", "namespace": "shop", "uid": "u1"}
    assert parse_qs(change.patch.query) == {"fieldManager": ["tcp-router/tcp-router"], "force": ["true"]}
    status: dict[str, Any] = body.get("status", {})
    return status


def decided(of: TransportServer, verdict: Verdict | None, identity: Identity = IDENTITY) -> StatusChange | None:
    """Decide."""
    return decide_status(of, verdict, identity, NOW_S)


@pytest.mark.parametrize(
    ("address", "told"), [("pg", "pg.example.com"), ("mq", "192.0.2.11"), ("", "tcp.example.com"), ("gone", "None")]
)
def test_who_is_served_is_ok_at_its_address(address: str, told: str) -> None:
    """And nothing is written once it stands there."""
    status = written(decided(server(), replace(SERVED, address=address)))
    assert status == {"vsAddress": told, "status": "Ok", "lastUpdated": NOW}
    assert decided(server(status), replace(SERVED, address=address)) is None
    assert bool(warnings(server(), replace(SERVED, address=address), IDENTITY)) is (told == "None")


def test_who_is_not_is_told_why() -> None:
    """By the reason, and in words; served again it has no error, whoever wrote it."""
    status = written(decided(server({"vsAddress": "None", "status": "Pending"}), REFUSED))
    assert status["status"] == "PortAlreadyClaimed"
    assert status["error"] == "tcp-router: port 36001 is held by Route shop/a"
    again = written(decided(server(status), SERVED))
    assert (again["status"], again["error"]) == ("Ok", "")
    assert decided(server(again), SERVED) is None
    assert written(decided(server({"status": "ERROR", "error": "of F5"}), SERVED))["error"] == ""


def test_what_is_ours_is_taken_back_by_applying_nothing() -> None:
    """What only looks like ours is F5's, and stays."""
    for verdict in (SERVED, REFUSED):
        status = written(decided(server(), verdict))
        assert has_entry(server(status), "tcp-router")
        assert written(decided(server(status), None)) == {}
    for others in (
        {"status": "Ok", "vsAddress": "142.34.194.68"},
        {"status": "OK"},
        {"status": "ERROR", "error": "x"},
        None,
        "x",
    ):
        assert own_entry(server(others), IDENTITY) is None
        assert decided(server(others), None) is None


def test_what_is_so_on_another_node_is_that_nodes_to_take_back() -> None:
    """While a router runs there."""
    aside = replace(SERVED, reason=Reason.PORT_UNAVAILABLE, message="on node node-2: taken", set_aside=True)
    told = server(written(decided(server(), aside)))
    assert named_node(told, IDENTITY) == "node-2"
    assert decide_status(told, SERVED, IDENTITY, NOW_S, frozenset({"node-1", "node-2"})) is None
    assert decide_status(told, SERVED, IDENTITY, NOW_S, frozenset({"node-1"})) is not None


def test_another_request_is_another() -> None:
    """Of labels too, by which one is of a class."""
    assert same_request(server(), server({"status": "Ok"}))
    assert not same_request(server(), server(virtualServerPort=1))
