"""The page /ports: what it says, and that it is made no oftener than it changes."""

from __future__ import annotations

import json
from dataclasses import replace

from router.admission import Verdict
from router.haproxy.talk.stats import BackendNow
from router.model import Asker, Model
from router.observe.http import JSON
from router.observe.ports_page import PortsPage
from router.reconcile.snapshot import Snapshot
from tests.support.models import section, server

KEY = Asker.route("team", "db")


class Seen:
    """What the page is made of, and how often each was asked for."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(applied=Model((section("db", 6620),)), verdicts={KEY: Verdict(asker=KEY, port=6620)})
        self.counts: dict[str, BackendNow] | None = {"be_tcp:team:db": BackendNow(3, 0)}
        self.page = PortsPage(lambda: self.snapshot, lambda: self.counts, lambda: "tcp.example.com")


def test_page_is_compact_json() -> None:
    """The objects are those of docs/settings.md, on one line without blanks between them."""
    page = Seen().page()
    assert page.content_type == JSON
    assert b": " not in page.body
    assert page.body.count(b"\n") == 1
    (row,) = json.loads(page.body)
    assert {
        name: row[name] for name in ("namespace", "name", "port", "address", "verdict", "sessions", "warnings")
    } == {
        "namespace": "team",
        "name": "db",
        "port": 6620,
        "address": "tcp.example.com:6620",
        "verdict": "admitted",
        "sessions": 3,
        "warnings": [],
    }


def test_page_is_made_once_for_all_who_ask() -> None:
    """Until the snapshot or the counts are others, everybody gets the very same page."""
    seen = Seen()
    first = seen.page()
    assert seen.page() is first
    seen.counts = {"be_tcp:team:db": BackendNow(4, 0)}
    second = seen.page()
    assert json.loads(second.body)[0]["sessions"] == 4
    assert seen.page() is second
    seen.snapshot = replace(seen.snapshot, verdicts={})
    assert json.loads(seen.page().body) == []


def test_sessions_of_the_pool_are_the_routes() -> None:
    """A Route that a section of the pool serves shows that section's connections."""
    seen = Seen()
    seen.snapshot = replace(seen.snapshot, owners={"pool:6620": "be_tcp:team:db"})
    seen.counts = {"pool:6620": BackendNow(7, 0)}
    assert json.loads(seen.page().body)[0]["sessions"] == 7


def test_a_route_whose_servers_are_all_down_is_told() -> None:
    """How many are up stands beside the servers, and none of them is a warning; without servers the verdict has its own."""
    seen = Seen()
    pods = (server(1, pod="a"), server(2, pod="b"))
    seen.snapshot = replace(seen.snapshot, applied=Model((section("db", 6620, *pods),)))
    (row,) = json.loads(seen.page().body)
    assert (row["servers_up"], len(row["servers"])) == (0, 2)
    assert row["warnings"] == ["none of its servers is up (2 in all): HAProxy's health checks cannot reach them"]
    seen.counts = {"be_tcp:team:db": BackendNow(0, 1)}
    (row,) = json.loads(seen.page().body)
    assert (row["servers_up"], row["warnings"]) == (1, [])
    seen.counts = None
    (row,) = json.loads(seen.page().body)
    assert (row["servers_up"], row["sessions"], row["warnings"]) == (None, None, [])
