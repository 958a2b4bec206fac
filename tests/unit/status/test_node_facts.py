"""What is a fact of one node: named in the status, told by Events elsewhere, and not turned over by a change of the leader."""

from __future__ import annotations

from typing import Any

import pytest

from router.admission import Reason, Verdict
from router.errors import ApiConflict, ApiUnreachable
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.route import Identity, named_node
from router.status.writer import Rate, StatusWriter
from tests.support.fake_api import FakeApi, entries
from tests.support.objects import route as route_value

DB = ObjectKey("team", "db")
WHO = Asker.route(*DB, f"uid-{DB}")
SERVED = Verdict(asker=WHO, port=6620)
LOST = Verdict(asker=WHO, port=6620, reason=Reason.PORT_ALREADY_CLAIMED, message="port 6620 is held by Route team/a")


def taken(by: str = "sshd") -> Verdict:
    """Make the verdict of a replica on whose node the port has another owner."""
    return Verdict(asker=WHO, port=6620, reason=Reason.PORT_UNAVAILABLE, message=f"taken by {by}", set_aside=True)


class Replicas:
    """Replicas on nodes of their own, one API server, and one of them that leads."""

    def __init__(self, *names: str) -> None:
        self.api = FakeApi()
        self.api.put_route(route_value("db", 6620))
        self.now_s = 0.0
        self.leader = names[0]
        self.nodes: frozenset[str] | None = frozenset(names)
        self.verdicts = dict.fromkeys(names, SERVED)
        self.writers = {name: self._writer(name) for name in names}

    def _writer(self, name: str) -> StatusWriter:
        return StatusWriter(
            self.api,
            "tcp-router",
            "",
            lambda: self.leader == name,
            instance=f"pod-{name}",
            node=name,
            nodes=lambda: self.nodes,
            rate=Rate(1000.0, 1000),
            clock=lambda: self.now_s,
            wall_clock=lambda: 1767229200.0 + self.now_s,
        )

    def restart(self, name: str) -> None:
        """Put a new process in the place of a replica."""
        self.writers[name] = self._writer(name)

    def settle(self, seconds: float = 40.0, **verdicts: Verdict) -> list[str]:
        """Let all replicas work for so long, as their watches bring what is written; give the statements seen on the way."""
        self.verdicts.update(verdicts)
        seen: list[str] = []
        ends_s = self.now_s + seconds
        while self.now_s <= ends_s:
            for name, writer in self.writers.items():
                if name not in self.verdicts:
                    continue
                snapshot = Snapshot(synced=True, configured=True, verdicts={WHO: self.verdicts[name]})
                writer.update(snapshot, Objects({DB: self.api.route(DB)}), frozenset({(Route, DB)}))
                for _ in range(10):
                    if writer.step() > 0:
                        break
                if self.statement() not in seen[-1:]:
                    seen.append(self.statement())
            self.now_s += 0.5
        return seen

    def statement(self) -> str:
        """Give what the Route's Admitted condition says: its message, or its status."""
        found = entries(self.api.routes[DB], "tcp-router")
        admitted: dict[str, Any] = next(
            (c for entry in found for c in entry["conditions"] if c["type"] == "Admitted"), {}
        )
        return str(admitted.get("message") or admitted.get("status"))

    def notes(self, reason: str) -> list[tuple[str, str]]:
        """Give who sent Events with this reason, and what they say."""
        return [(e["reportingInstance"], e["note"]) for e in self.api.events.values() if e["reason"] == reason]


def test_the_leader_names_its_node_in_status_and_event() -> None:
    """Who reads it knows where to look."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    assert world.statement() == "on node a: taken by sshd"
    assert world.notes("PortUnavailable") == [("pod-a", "on node a: taken by sshd")]
    assert named_node(world.api.route(DB), Identity("tcp-router", node="b")) == "a"


def test_others_tell_theirs_by_an_event_once() -> None:
    """The status is the leader's; the Event of a replica that does not lead names its node, and is not sent again."""
    world = Replicas("a", "b", "c")
    world.settle(b=taken())
    assert world.statement() == "True"
    assert world.notes("PortUnavailable") == [("pod-b", "on node b: taken by sshd")]
    requests = len(world.api.requests)
    world.settle(120.0)
    assert len(world.api.requests) == requests
    world.settle(b=SERVED)
    assert ("pod-b", "on node b: served again") in world.notes("Admitted")
    assert world.statement() == "True"


def test_what_is_over_at_once_is_not_told() -> None:
    """A replica that does not lead waits a little before it tells, so that what flaps fills no log."""
    world = Replicas("a", "b")
    world.settle()
    for _ in range(5):
        world.settle(2.0, b=taken())
        world.settle(2.0, b=SERVED)
    world.settle()
    assert world.notes("PortUnavailable") == []


def test_a_change_of_the_leader_does_not_turn_the_status_over() -> None:
    """What was said of a node stands while that is so, whoever leads; its node takes it back, and then it is admitted."""
    world = Replicas("a", "b", "c")
    world.settle(a=taken())
    for leader in ("b", "c", "a", "b"):
        world.leader = leader
        assert world.settle() == ["on node a: taken by sshd"]
    assert world.settle(a=SERVED)[-1] == "True"
    world.leader = "c"
    assert world.settle() == ["True"]


def test_a_node_that_was_restarted_takes_back_what_it_said() -> None:
    """A new process there finds the statement on the Route, though it did not write it, and does not lead."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader = "b"
    world.settle()
    world.restart("a")
    assert world.settle(a=SERVED)[-1] == "True"


def test_what_was_said_of_a_node_without_a_router_goes() -> None:
    """The leader takes it back when the last router there is gone; while it is not told where routers run, at once."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader = "b"
    world.settle()
    assert world.statement() == "on node a: taken by sshd"
    del world.verdicts["a"]
    world.nodes = frozenset({"b"})
    assert world.settle()[-1] == "True"

    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader, world.nodes = "b", None
    assert world.settle()[-1] == "True"


def test_the_second_node_tells_by_an_event_while_the_first_has_the_status() -> None:
    """Also where the second leads; when the first is well, the status is the second's."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader = "b"
    assert world.settle(b=taken("nginx")) == ["on node a: taken by sshd"]
    assert ("pod-b", "on node b: taken by nginx") in world.notes("PortUnavailable")
    assert world.settle(a=SERVED)[-1] == "on node b: taken by nginx"


def test_a_rejection_takes_the_place_of_a_statement() -> None:
    """What follows from the objects holds on every node."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader = "b"
    world.settle()
    assert world.settle(a=LOST, b=LOST)[-1] == LOST.message


@pytest.mark.parametrize("error", [ApiConflict("409", 409), ApiUnreachable("away")], ids=["conflict", "away"])
def test_taking_back_is_tried_again(error: Exception) -> None:
    """A status that changed meanwhile is read again; an API server that is away is waited for."""
    world = Replicas("a", "b")
    world.settle(a=taken())
    world.leader = "b"
    world.settle()
    patch = world.api.patch
    failures: list[Any] = [error, error]

    def failing(path: str, body: bytes, content_type: str) -> bytes:
        if failures:
            raise failures.pop()
        return patch(path, body, content_type)

    world.api.patch = failing  # type: ignore[method-assign]
    assert world.settle(a=SERVED)[-1] == "True"
    assert failures == []
