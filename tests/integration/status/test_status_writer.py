"""Statuses and Events over HTTP, judged by the Route's real CRD and the rules of API servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.admission import Reason, Verdict
from router.kube.connection import Connection
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.settings import KubeSettings
from router.status.writer import Rate, StatusWriter
from tests.support.api_server import ApiServer
from tests.support.fake_api import entries
from tests.support.objects import route
from tests.support.waiting import wait_for

KEY = ObjectKey("team", "db")
HOST = "db.example.com"
ADMITTED = Verdict(asker=Asker.route(*KEY), port=6620, host=HOST)
LOST = Verdict(
    asker=Asker.route(*KEY), port=6620, reason=Reason.PORT_ALREADY_CLAIMED, message="port 6620 is held by Route team/a"
)
OTHERS = {
    "routerName": "default",
    "host": "db.apps.example.com",
    "conditions": [{"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
}


class Rig:
    """An API server, and a writer that reports to it about one Route."""

    def __init__(self, server: ApiServer, api: Connection) -> None:
        self.server = server
        self.leads = True
        self.writer = StatusWriter(api, "tcp-router", "tcp.example.com", lambda: self.leads, rate=Rate(500.0, 50))
        self.writer.start()

    def tell(self, verdict: Verdict | None, stored: dict[str, Any]) -> None:
        """Publish a verdict about the Route as it was stored."""
        route = msgspec.json.decode(json.dumps(stored), type=Route)
        asker = Asker.route(*KEY, route.metadata.uid)
        verdicts = {asker: replace(verdict, asker=asker)} if verdict is not None else {}
        self.writer.update(
            Snapshot(configured=True, verdicts=verdicts), Objects({KEY: route}), frozenset({(Route, KEY)})
        )

    def stored(self) -> dict[str, Any]:
        """Give the Route as it is stored."""
        found = self.server.get("Route", *KEY)
        assert found is not None
        return found

    def conditions(self) -> dict[str, str]:
        """Give type and status of our conditions."""
        return {c["type"]: c["status"] for e in entries(self.stored(), "tcp-router") for c in e["conditions"]}

    def await_conditions(self, **wanted: str) -> None:
        """Wait until these are our conditions."""
        wait_for(lambda: self.conditions() == wanted, f"conditions {wanted}")

    def await_asked(self, *wanted: tuple[str, int]) -> None:
        """Wait until these, by method and status, are the requests about the Route."""

        def asked() -> list[tuple[str, int]]:
            return [(each.method, each.status) for each in self.server.requests if "/routes/db" in each.path]

        # A request is on record only after its answer, which may be later than what it did can be seen.
        wait_for(lambda: asked() == list(wanted), f"requests {wanted}")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A server with the Route, admitted by another router, and our writer."""
    with ApiServer() as server:
        api = Connection.open(KubeSettings(kubeconfig=server.kubeconfig(tmp_path)))
        server.create({**route("db", 6620, host=HOST, passthrough=True), "status": {"ingress": [OTHERS]}})
        made = Rig(server, api)
        try:
            yield made
        finally:
            made.writer.stop()
            api.close()


def test_route_through_its_life(rig: Rig) -> None:
    """Admitted, rejected, not ours any more: each write is valid, and the other router's entry stays as it was."""
    rig.tell(ADMITTED, rig.stored())
    rig.await_conditions(Admitted="True", PortClaimed="True")
    (entry,) = entries(rig.stored(), "tcp-router")
    assert (entry["host"], entry["wildcardPolicy"]) == (HOST, "None")
    rig.tell(LOST, rig.stored())
    rig.await_conditions(Admitted="False")
    stored = rig.stored()
    del stored["metadata"]["annotations"]
    rig.tell(None, rig.server.update(stored))
    rig.await_conditions()
    assert rig.stored()["status"]["ingress"] == [OTHERS]
    rig.await_asked(("PATCH", 200), ("PATCH", 200), ("PATCH", 200))


def test_first_status_of_all(rig: Rig) -> None:
    """A Route that has no status yet gets one."""
    stored = rig.stored()
    del stored["status"]
    rig.server.delete("Route", *KEY)
    rig.tell(ADMITTED, rig.server.create({**stored, "metadata": {**stored["metadata"], "resourceVersion": ""}}))
    rig.await_conditions(Admitted="True", PortClaimed="True")


def test_conflict_over_http(rig: Rig) -> None:
    """Whoever wrote between our read and our write is not undone: the server answers 409, and we read again."""
    before = rig.stored()
    newer = {**OTHERS, "host": "other.example.com"}
    rig.server.update({**before, "status": {"ingress": [newer]}})
    rig.tell(ADMITTED, before)
    rig.await_conditions(Admitted="True", PortClaimed="True")
    assert rig.stored()["status"]["ingress"][0] == newer
    rig.await_asked(("PATCH", 409), ("GET", 200), ("PATCH", 200))


def test_events_over_http(rig: Rig) -> None:
    """Events have what the API server demands, and name the Route."""
    stored = rig.stored()
    rig.tell(LOST, stored)
    wait_for(lambda: rig.server.list("Event"), "an Event")
    (event,) = rig.server.list("Event")
    assert event["regarding"]["uid"] == stored["metadata"]["uid"]
    assert (event["reason"], event["note"], event["type"]) == (str(LOST.reason), LOST.message, "Warning")


@pytest.mark.parametrize(("status", "retry_after"), [(429, 1), (500, None), (401, None), (503, None)])
def test_server_that_cannot_now(rig: Rig, status: int, retry_after: int | None) -> None:
    """An answer that says later is tried again, and not at once."""
    rig.server.faults.fail("PATCH", "/apis/route", status, 1, retry_after)
    rig.tell(ADMITTED, rig.stored())
    rig.await_conditions(Admitted="True", PortClaimed="True")
    rig.await_asked(("PATCH", status), ("PATCH", 200))


def test_forbidden_status(rig: Rig) -> None:
    """A missing permission is found out by one request."""
    rig.server.faults.forbid("patch", "routes/status")
    rig.tell(ADMITTED, rig.stored())
    wait_for(lambda: rig.writer.writes().get("forbidden"), "the refusal")
    rig.tell(LOST, rig.stored())
    wait_for(lambda: rig.writer.queued == 1, "put back")
    rig.await_asked(("PATCH", 403))
