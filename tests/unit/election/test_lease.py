"""An election's candidates: what they ask, when they lead, and that never two do."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.election.lease import Candidate, LeaseRecord, LeaseTimes, micro_time
from router.errors import ApiBusy, ApiError, ApiForbidden, ApiNotFound, ApiUnreachable
from tests.support.leases import LeaseServer

_WALL = datetime(2026, 11, 20, 10, 0, 0, 7, tzinfo=UTC)
_UNREACHABLE = ApiUnreachable("no route to host")


class Replica:
    """A candidate with a clock that the test moves and a server that it shares."""

    def __init__(self, server: LeaseServer, identity: str, jitter: float = 0.0) -> None:
        self.server = server
        self.now_s = 1000.0
        self.candidate = Candidate("openshift-ingress", "tcp-router", identity, LeaseTimes(), lambda: jitter)
        self.asked: list[str] = []

    @property
    def leads(self) -> bool:
        """Whether it leads at this moment."""
        return self.candidate.leads(self.now_s)

    def ask(self, *, takes_s: float = 0.0, fails: ApiError | None = None, arrives: bool = False) -> float:
        """Send one request, which takes some time, or fails, having arrived all the same or not."""
        sent_s = self.now_s
        request = self.candidate.request(_WALL + timedelta(seconds=sent_s))
        self.asked.append(request.method)
        outcome = self.server.carry_out(request) if fails is None or arrives else fails
        self.now_s += takes_s
        outcome = fails or outcome
        if isinstance(outcome, ApiError):
            return self.candidate.failed(outcome, self.now_s)
        return self.candidate.answered(outcome, sent_s, self.now_s)

    def turn(self) -> float:
        """Send requests until there is to wait; give how long."""
        while (pause_s := self.ask()) == 0.0:
            pass
        return pause_s

    def live(self, seconds: float) -> None:
        """Let time pass with a turn whenever one is due."""
        ends_s = self.now_s + seconds
        while (pause_s := self.turn()) and self.now_s + pause_s <= ends_s:
            self.now_s += pause_s
        self.now_s = ends_s


@pytest.fixture
def server() -> LeaseServer:
    """A server without a Lease."""
    return LeaseServer()


def led_by(server: LeaseServer, identity: str) -> Replica:
    """Give a replica that leads."""
    replica = Replica(server, identity)
    replica.turn()
    assert replica.leads
    return replica


def test_the_first_creates_the_lease(server: LeaseServer) -> None:
    """Without a Lease the first candidate makes one, as client-go would."""
    replica = led_by(server, "a")
    assert replica.asked == ["GET", "POST"]
    assert server.spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-20T10:16:40.000007Z",
        "renewTime": "2026-11-20T10:16:40.000007Z",
        "leaseTransitions": 0,
    }


def test_a_leader_renews_with_one_request(server: LeaseServer) -> None:
    """A renewal moves renewTime and nothing else, and keeps what others put on the Lease."""
    replica = Replica(server, "a")
    replica.turn()
    assert server.lease is not None
    server.put({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"team": "x"}}})
    replica.turn()
    before = dict(server.spec)
    replica.now_s += 2
    replica.asked.clear()
    assert replica.turn() == 2.0
    assert replica.asked == ["PUT"]
    assert server.spec == {**before, "renewTime": "2026-11-20T10:16:42.000007Z"}
    assert server.lease["metadata"]["labels"] == {"team": "x"}


def test_another_waits_as_long_as_the_lease_says(server: LeaseServer) -> None:
    """A candidate takes a Lease that did not change for its whole duration, on the candidate's clock, and counts it."""
    led_by(server, "a")
    other = Replica(server, "b")
    other.turn()
    other.now_s += 14.9
    other.turn()
    assert not other.leads
    other.now_s += 0.1
    other.turn()
    assert other.leads
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("b", 1)


@given(jitter=st.floats(0, 1), began_s=st.floats(0, 3), killed_s=st.floats(20, 30))
def test_a_killed_leader_is_followed_after_13_to_18_seconds(jitter: float, began_s: float, killed_s: float) -> None:
    """Whenever the leader ends: 15 seconds after another saw its last renewal, and not when that one's pause is over."""
    server = LeaseServer()
    first, second = led_by(server, "a"), Replica(server, "b", jitter)
    start_s = first.now_s
    next_s, looks_s, ends_s = start_s + 2.0, start_s + began_s, start_s + killed_s
    while not second.leads:
        if next_s < min(looks_s, ends_s):
            first.now_s = next_s
            next_s += first.turn()
        else:
            second.now_s = looks_s
            looks_s += second.turn()
    assert 13 - 0.001 <= second.now_s - ends_s <= 18 + 0.001


def test_a_living_leader_is_left_alone(server: LeaseServer) -> None:
    """While the holder renews, nobody else leads, however long it takes."""
    first, second = led_by(server, "a"), Replica(server, "b")
    for _ in range(100):
        first.now_s += 2
        second.now_s += 2
        first.turn()
        second.turn()
        assert (first.leads, second.leads) == (True, False)


@pytest.mark.parametrize("skew", [pytest.param(timedelta(days=d), id=f"{d} days") for d in (-4000, 4000)])
def test_the_clock_of_another_is_not_believed(server: LeaseServer, skew: timedelta) -> None:
    """A renewTime of long ago is no reason to take the Lease, and one of the future none to wait longer."""
    led_by(server, "a")
    assert server.lease is not None
    server.put({**server.lease, "spec": {**server.spec, "renewTime": micro_time(_WALL + skew)}})
    other = Replica(server, "b")
    other.turn()
    assert not other.leads
    other.now_s += 15
    other.turn()
    assert other.leads


def test_the_lead_counts_from_before_the_request(server: LeaseServer) -> None:
    """A slow answer does not lengthen the lead."""
    replica = led_by(server, "a")
    replica.now_s += 2
    replica.ask(takes_s=4.0)
    replica.now_s += 5.9
    assert replica.leads
    replica.now_s += 0.1
    assert not replica.leads


def test_an_answer_after_the_deadline_is_no_lead(server: LeaseServer) -> None:
    """A renewal that took longer than the renew deadline does not make a leader."""
    replica = led_by(server, "a")
    replica.ask(takes_s=11.0)
    assert not replica.leads
    assert server.spec["holderIdentity"] == "a"
    replica.turn()
    assert replica.leads


def test_a_leader_that_cannot_renew_stops_first(server: LeaseServer) -> None:
    """The leader stops before another may lead, and tries to renew all the time."""
    first, second = led_by(server, "a"), Replica(server, "b")
    second.turn()
    for _ in range(5):
        assert first.leads
        assert first.ask(fails=_UNREACHABLE) == 2.0
        first.now_s += 2
    assert not first.leads
    second.now_s += 10
    second.turn()
    assert not second.leads
    second.now_s += 5
    second.turn()
    assert second.leads
    first.turn()
    assert not first.leads


def test_a_stolen_lease_is_noticed(server: LeaseServer) -> None:
    """Another name in the Lease ends the lead with the next renewal, not with the deadline."""
    replica = led_by(server, "a")
    assert server.lease is not None
    server.put({**server.lease, "spec": {**server.spec, "holderIdentity": "thief"}})
    assert replica.ask() == 0.0
    assert not replica.leads
    assert replica.ask() == 2.0
    assert not replica.leads
    assert replica.candidate.holder == "thief"
    assert replica.asked[-2:] == ["PUT", "GET"]


def test_a_foreign_edit_costs_no_lead(server: LeaseServer) -> None:
    """A label on the Lease is a conflict, and a look shows that it is still ours."""
    replica = led_by(server, "a")
    assert server.lease is not None
    server.put({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"x": "y"}}})
    assert replica.turn() == 2.0
    assert replica.leads
    assert replica.asked[-3:] == ["PUT", "GET", "PUT"]


def test_a_renewal_that_arrived_unanswered_costs_no_lead(server: LeaseServer) -> None:
    """Where the answer was lost the next renewal meets our own write, and goes on."""
    replica = led_by(server, "a")
    replica.now_s += 2
    replica.ask(takes_s=5.0, fails=_UNREACHABLE, arrives=True)
    assert replica.leads
    replica.turn()
    assert replica.leads
    assert server.spec["leaseTransitions"] == 0


def test_a_claim_that_arrived_unanswered_leads_later(server: LeaseServer) -> None:
    """Where the answer to a claim was lost, nobody leads until the claimant sees that it was carried out."""
    replica = Replica(server, "a")
    replica.ask()
    replica.ask(fails=_UNREACHABLE, arrives=True)
    assert not replica.leads
    replica.turn()
    assert replica.leads


def test_a_late_write_of_a_lost_leader_is_refused(server: LeaseServer) -> None:
    """A renewal that lay in the network until another took the Lease changes nothing."""
    first = led_by(server, "a")
    late = first.candidate.request(_WALL)
    second = Replica(server, "b")
    second.turn()
    second.now_s += 15
    second.turn()
    before = dict(server.spec)
    assert isinstance(server.carry_out(late), ApiError)
    assert server.spec == before


def test_a_released_lease_is_free_at_once(server: LeaseServer) -> None:
    """Release takes the holder out and keeps the count; the next look of another takes the Lease."""
    first, second = led_by(server, "a"), Replica(server, "b")
    second.turn()
    request = first.candidate.release(_WALL)
    assert request is not None
    assert not first.leads
    answer = server.carry_out(request)
    assert isinstance(answer, bytes)
    first.candidate.released(answer, first.now_s)
    assert first.candidate.release(_WALL) is None
    assert server.spec == {
        "leaseDurationSeconds": 1,
        "acquireTime": "2026-11-20T10:00:00.000007Z",
        "renewTime": "2026-11-20T10:00:00.000007Z",
        "leaseTransitions": 0,
    }
    second.turn()
    assert second.leads
    assert server.spec["leaseTransitions"] == 1


def test_release_looks_again_after_a_conflict(server: LeaseServer) -> None:
    """A Lease that was labelled meanwhile is released all the same."""
    replica = led_by(server, "a")
    assert server.lease is not None
    server.put({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"x": "y"}}})
    assert released(replica) == ["PUT", "GET", "PUT"]
    assert "holderIdentity" not in server.spec


def test_release_leaves_another_holder_alone(server: LeaseServer) -> None:
    """Who lost the Lease does not release it."""
    replica = led_by(server, "a")
    assert server.lease is not None
    server.put({**server.lease, "spec": {**server.spec, "holderIdentity": "b"}})
    assert released(replica) == ["PUT", "GET"]
    assert server.spec["holderIdentity"] == "b"


def test_release_finds_out_about_a_claim_without_answer(server: LeaseServer) -> None:
    """A claim that may have been carried out is looked up, and released if it was."""
    replica = Replica(server, "a")
    replica.ask()
    replica.ask(fails=_UNREACHABLE, arrives=True)
    assert released(replica) == ["GET", "PUT"]
    assert "holderIdentity" not in server.spec


def test_who_never_led_releases_nothing(server: LeaseServer) -> None:
    """A candidate that waits asks nothing when it is stopped."""
    led_by(server, "a")
    other = Replica(server, "b")
    assert released(other) == []
    other.turn()
    assert released(other) == []


def released(replica: Replica) -> list[str]:
    """Carry out a release; give what was asked."""
    asked: list[str] = []
    while (request := replica.candidate.release(_WALL)) is not None:
        asked.append(request.method)
        outcome = replica.server.carry_out(request)
        if isinstance(outcome, ApiError):
            replica.candidate.release_failed(outcome)
        else:
            replica.candidate.released(outcome, replica.now_s)
        assert len(asked) < 9
    return asked


def test_a_deleted_lease_is_made_again_by_its_leader(server: LeaseServer) -> None:
    """The leader makes it again at once; another waits, for the leader leads on by what was deleted."""
    first, second = led_by(server, "a"), Replica(server, "b")
    second.turn()
    server.lease = None
    assert second.turn() == 2.0
    assert not second.leads
    first.turn()
    assert first.leads
    assert server.spec["holderIdentity"] == "a"


def test_a_deleted_lease_is_free_after_its_time(server: LeaseServer) -> None:
    """Where the leader does not make it again, another does when the leader's time has passed."""
    led_by(server, "a")
    second = Replica(server, "b")
    second.turn()
    server.lease = None
    second.live(14.9)
    assert not second.leads
    second.live(4)
    assert second.leads


@pytest.mark.parametrize(
    ("spec", "free"),
    [
        pytest.param({}, True, id="empty"),
        pytest.param(None, True, id="no spec"),
        pytest.param({"holderIdentity": ""}, True, id="no holder"),
        pytest.param({"holderIdentity": None}, True, id="null holder"),
        pytest.param({"holderIdentity": "b"}, False, id="no duration"),
        pytest.param({"holderIdentity": "b", "leaseDurationSeconds": None}, False, id="null duration"),
        pytest.param({"holderIdentity": "b", "leaseDurationSeconds": 60}, False, id="longer than ours"),
    ],
)
def test_odd_leases(server: LeaseServer, spec: object, *, free: bool) -> None:
    """What another client or a person left in the Lease is taken for what it says."""
    server.put({"metadata": {"name": "tcp-router"}, "spec": spec})
    replica = Replica(server, "a")
    replica.turn()
    assert replica.leads is free
    replica.now_s += 60
    replica.turn()
    assert replica.leads


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>busy</html>", id="a proxy's page"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"metadata": null}', id="no metadata"),
    ],
)
def test_an_answer_that_is_no_lease(server: LeaseServer, answer: bytes) -> None:
    """It is a failed request: nothing is taken from it, and what follows is asked later."""
    replica = Replica(server, "a")
    replica.candidate.request(_WALL)
    assert replica.candidate.answered(answer, 1000.0, 1000.0) == 2.0
    assert not replica.leads
    replica.turn()
    assert replica.leads


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        pytest.param(ApiForbidden("forbidden", 403), [2, 4, 8, 15, 15], id="no permission"),
        pytest.param(_UNREACHABLE, [2, 4, 8, 15, 15], id="unreachable"),
        pytest.param(ApiBusy("slow down", 429, retry_after_s=9), [9, 9, 9, 15, 15], id="asked to wait"),
        pytest.param(ApiBusy("slow down", 429, retry_after_s=9999), [60, 60], id="asked to wait for ever"),
    ],
)
def test_who_waits_backs_off(server: LeaseServer, error: ApiError, pauses: list[float]) -> None:
    """Failures are followed by longer and longer pauses, up to the time of a Lease."""
    led_by(server, "a")
    replica = Replica(server, "b")
    assert [replica.ask(fails=error) for _ in pauses] == pauses


def test_a_missing_api_is_asked_for_with_pauses(server: LeaseServer) -> None:
    """Where neither Lease nor namespace nor API is there, two requests are made and then a pause."""
    replica = Replica(server, "a")
    missing = ApiNotFound("the server could not find the requested resource", 404)
    pauses = [replica.ask(fails=missing) for _ in range(6)]
    assert pauses == [0, 2, 0, 4, 0, 8]
    assert replica.asked == ["GET", "POST"] * 3


@pytest.mark.parametrize(
    ("pause", "of"),
    [
        pytest.param(lambda c: c.answered(other_lease(), 0.0, 0.0), (2.0, 3.0), id="waiting for another"),
        pytest.param(lambda c: [c.failed(_UNREACHABLE, 0.0) for _ in range(3)][-1], (4.0, 8.0), id="failing"),
    ],
)
def test_pauses_have_jitter(pause: Callable[[Candidate], float], of: tuple[float, float]) -> None:
    """Candidates spread their requests over a part of the pause."""
    seen = set()
    for random in (0.0, 0.5, 1.0):
        candidate = Candidate("n", "l", "a", LeaseTimes(), lambda random=random: random)  # type: ignore[misc]
        candidate.request(_WALL)
        seen.add(pause(candidate))
    assert len(seen) == 3
    assert (min(seen), max(seen)) == of


def other_lease() -> bytes:
    """A Lease that another holds."""
    return json.dumps({"metadata": {}, "spec": {"holderIdentity": "b"}}).encode()


def test_times_must_grow() -> None:
    """A leader must stop before another may take over, and try before it stops."""
    for times in ((10, 10, 2), (15, 2, 2), (15, 10, 0), (2, 10, 15)):
        with pytest.raises(ValueError, match="must grow"):
            LeaseTimes(*times)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        pytest.param(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000000Z", id="whole second"),
        pytest.param(
            datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-02T01:04:05.000006Z",
            id="zone",
        ),
    ],
)
def test_micro_time(moment: datetime, text: str) -> None:
    """Kubernetes' MicroTime has six decimals, always, and UTC."""
    assert micro_time(moment) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["holderIdentity", "leaseDurationSeconds", "acquireTime", "leaseTransitions"]), inner)))  # fmt: skip
def test_any_spec_can_be_read(spec: Any) -> None:
    """Whatever is in a Lease, reading it gives a record."""
    assert isinstance(LeaseRecord.read(spec), LeaseRecord)


# A candidate's way to the server, for some time: how long that is, seconds until the server has a request, seconds until
# the answer is back, and whether either is lost.
_WAYS = st.lists(
    st.tuples(
        st.sampled_from([3.0, 12.0, 20.0, 40.0]),
        st.sampled_from([0.01, 0.01, 0.5, 3.0, 9.0, 40.0]),
        st.sampled_from([0.01, 0.01, 0.5, 3.0]),
        st.sampled_from(["done", "done", "request lost", "answer lost"]),
    ),
    min_size=3,
    max_size=12,
)
_Ways = list[tuple[float, float, float, str]]
_CALL_S = 5.0


class Simulation:
    """Three candidates, each with a clock of its own, and what becomes of their requests.

    Args:
        ways: for each candidate, how its requests fare, one time after another, over and over.
        speeds: of their clocks.
        offsets: of their clocks, in seconds.
        jitter: the random number that all of them draw.
    """

    def __init__(
        self,
        ways: tuple[_Ways, ...],
        speeds: tuple[float, ...],
        offsets: tuple[float, ...],
        jitter: float,
    ) -> None:
        self.server = LeaseServer()
        self.candidates = [Candidate("n", "l", name, LeaseTimes(), lambda: jitter) for name in "abc"]
        self._ways = ways
        self._speeds = speeds
        self._offsets = offsets
        self._ids = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []

    def at(self, time_s: float, action: Callable[[float], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._agenda, (time_s, next(self._ids), action))

    def moments(self, end_s: float) -> Iterator[float]:
        """Do what is due, one after another; gives the time after each."""
        time_s = 0.0
        while time_s < end_s:
            time_s, _, action = heapq.heappop(self._agenda)
            action(time_s)
            yield time_s

    def leaders(self, time_s: float) -> list[str]:
        """Give who leads."""
        return [c.identity for who, c in enumerate(self.candidates) if c.leads(self._clock(who, time_s))]

    def edit(self, _: float) -> None:
        """Change the Lease without changing what it says."""
        if self.server.lease is not None:
            self.server.put(self.server.lease)

    def send(self, who: int, time_s: float) -> None:
        """Let a candidate ask, now and from then on."""
        candidate = self.candidates[who]
        request = candidate.request(_WALL + timedelta(seconds=time_s))
        there_s, back_s, end = self._way(who, time_s)
        outcome: list[bytes | ApiError] = []
        if end != "request lost":
            # Also when the caller has given up long before.
            self.at(time_s + there_s, lambda _: outcome.append(self.server.carry_out(request)))
        answered = end == "done" and there_s + back_s < _CALL_S
        end_s = time_s + (there_s + back_s if answered else _CALL_S)
        self.at(end_s, lambda now_s: self._finish(who, time_s, outcome[0] if answered else _UNREACHABLE, now_s))

    def _finish(self, who: int, sent_s: float, outcome: bytes | ApiError, now_s: float) -> None:
        own_s = self._clock(who, now_s)
        if isinstance(outcome, ApiError):
            pause_s = self.candidates[who].failed(outcome, own_s)
        else:
            pause_s = self.candidates[who].answered(outcome, self._clock(who, sent_s), own_s)
        self.at(now_s + pause_s / self._speeds[who], lambda then_s: self.send(who, then_s))

    def _way(self, who: int, time_s: float) -> tuple[float, float, str]:
        passed_s = time_s % sum(lasts_s for lasts_s, *_ in self._ways[who])
        ends_s = itertools.accumulate(lasts_s for lasts_s, *_ in self._ways[who])
        _, there_s, back_s, end = next(
            way for way, until_s in zip(self._ways[who], ends_s, strict=True) if passed_s < until_s
        )
        return there_s, back_s, end

    def _clock(self, who: int, time_s: float) -> float:
        return self._offsets[who] + time_s * self._speeds[who]


@settings(max_examples=200)
@given(
    ways=st.tuples(_WAYS, _WAYS, _WAYS),
    speeds=st.tuples(*[st.floats(0.9, 1.1)] * 3),
    offsets=st.tuples(*[st.floats(0, 1e6)] * 3),
    jitter=st.floats(0, 1),
    edits=st.lists(st.floats(0, 200), max_size=5),
)
def test_never_two_lead(
    ways: tuple[_Ways, ...],
    speeds: tuple[float, ...],
    offsets: tuple[float, ...],
    jitter: float,
    edits: list[float],
) -> None:
    """Whatever becomes of their requests, and with clocks a fifth apart in speed, no two candidates lead at any time."""
    simulation = Simulation(ways, speeds, offsets, jitter)
    for who in range(3):
        simulation.at(0.1 * who, partial(simulation.send, who))
    for moment in edits:
        simulation.at(moment, simulation.edit)
    for time_s in simulation.moments(200):
        assert len(simulation.leaders(time_s)) <= 1, f"{simulation.leaders(time_s)} lead at {time_s}"
