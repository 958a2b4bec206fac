"""The thread that stands for election: what it tells, and that it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from router.election.leader import LeaderElection, steady_clock, unique_identity
from router.election.lease import Method, Request
from router.errors import ApiError, ApiForbidden, ApiUnauthorized, ApiUnreachable
from router.kube.api import Query
from tests.support.leases import LeaseServer
from tests.support.unused_api import UnusedApi
from tests.support.waiting import wait_for

_HANGS_S = 20.0
_LONG = {"lease_s": 300.0, "renew_deadline_s": 200.0}
"""Times that no test reaches, however slow the machine."""
_COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/openshift-ingress/leases"


class MemoryApi(UnusedApi):
    """An Api that has one Lease; calls can be made to fail or to hang."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.fails: ApiError | None = None
        self.hangs = threading.Event()
        self.asked: list[Method] = []
        self._closed = threading.Event()

    def get(self, path: str, query: Query | None = None) -> bytes:
        """GET the Lease."""
        assert (path, query) == (f"{_COLLECTION}/tcp-router", None)
        return self._do(Request("GET"))

    def post(self, path: str, body: bytes) -> bytes:
        """POST it."""
        assert path == _COLLECTION
        return self._do(Request("POST", body))

    def put(self, path: str, body: bytes) -> bytes:
        """PUT it."""
        assert path == f"{_COLLECTION}/tcp-router"
        return self._do(Request("PUT", body))

    def close(self) -> None:
        """End what hangs."""
        self._closed.set()

    def _do(self, request: Request) -> bytes:
        self.asked.append(request.method)
        if self.hangs.is_set():
            self._closed.wait(_HANGS_S)
        if self._closed.is_set():
            raise ApiUnreachable("closed")
        outcome = self.fails or self.server.carry_out(request)
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now_s


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def leading(self, leads: bool) -> None:  # noqa: FBT001 - as the protocol has it
        """Remember."""
        self.told.append(leads)


Make = Callable[..., tuple[LeaderElection, MemoryApi, Witness]]


@pytest.fixture
def server() -> LeaseServer:
    """A server without a Lease."""
    return LeaseServer()


@pytest.fixture
def elect(server: LeaseServer) -> Iterator[Make]:
    """Start elections that ask often; they are stopped after the test."""
    made: list[LeaderElection] = []

    def make(identity: str = "a", **options: Any) -> tuple[LeaderElection, MemoryApi, Witness]:
        api, witness = MemoryApi(server), Witness()
        options = {**_LONG, "retry_s": 0.02, **options}
        election = LeaderElection(api, "openshift-ingress", "tcp-router", identity, observer=witness, **options)
        made.append(election)
        election.start()
        return election, api, witness

    yield make
    for election in made:
        election.stop()
    wait_for(lambda: not any(t.name == "leader election" for t in threading.enumerate()), "the threads to end")


def test_one_leads_and_the_next_takes_over_at_once(server: LeaseServer, elect: Make) -> None:
    """Gain and loss are told once each; a stopped leader frees the Lease for another that is waiting."""
    first, _, told = elect("a")
    wait_for(first.is_leader, "the first to lead")
    second, _, told_second = elect("b")
    wait_for(lambda: second.holder == "a", "the second to look")
    assert not second.is_leader()
    first.stop(20.0)
    assert not first.is_leader()
    wait_for(second.is_leader, "the second to lead")
    assert told.told == [True, False]
    wait_for(lambda: told_second.told == [True], "the second to be told")
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("b", 1)


def test_a_leader_whose_api_hangs_leads_no_more_in_time(elect: Make) -> None:
    """The time is over while the renewal still hangs; stop ends it within a second."""
    clock = Clock()
    election, api, _ = elect(clock=clock)
    wait_for(election.is_leader, "it to lead")
    asked = len(api.asked)
    api.hangs.set()
    wait_for(lambda: len(api.asked) > asked, "a renewal to hang")
    clock.now_s += _LONG["renew_deadline_s"]
    assert not election.is_leader()
    began_s = time.monotonic()
    election.stop()
    assert time.monotonic() - began_s < _HANGS_S / 2


def test_stop_ends_the_lead_before_it_waits(elect: Make) -> None:
    """From the call of stop on this process does not lead, also while a renewal hangs."""
    election, api, _ = elect()
    wait_for(election.is_leader, "it to lead")
    asked = len(api.asked)
    api.hangs.set()
    wait_for(lambda: len(api.asked) > asked, "a renewal to hang")
    stopping = threading.Thread(target=election.stop, args=(_HANGS_S,))
    stopping.start()
    wait_for(lambda: not election.is_leader(), "it to lead no more", _HANGS_S / 2)
    assert stopping.is_alive()
    api.close()
    stopping.join()


def test_a_leader_that_cannot_renew_is_told(elect: Make) -> None:
    """A loss is told, and so is the gain after it."""
    clock = Clock()
    election, api, witness = elect(clock=clock)
    wait_for(lambda: witness.told == [True], "the gain to be told")
    api.fails = ApiUnreachable("no route to host")
    clock.now_s += _LONG["renew_deadline_s"]
    wait_for(lambda: witness.told == [True, False], "the loss to be told")
    api.fails = None
    wait_for(lambda: witness.told == [True, False, True], "the second gain to be told")
    assert election.is_leader()


def test_missing_permission_is_said_once_and_names_what(elect: Make) -> None:
    """The log says which verb on which resource is missing, once and not with each try."""
    with structlog.testing.capture_logs() as lines:
        election, api, _ = elect()
        api.fails = ApiForbidden("leases is forbidden", 403)
        asked = len(api.asked)
        wait_for(lambda: len(api.asked) > asked + 4, "some tries")
        election.stop()
    told = [line for line in lines if "no permission" in line["event"]]
    assert len(told) == 1
    assert told[0]["verb"] in {"get", "update", "create"}
    assert told[0]["resource"] == "leases.coordination.k8s.io"
    assert told[0]["lease"] == "openshift-ingress/tcp-router"


def test_refused_credentials_are_tried_on(elect: Make) -> None:
    """Credentials that are not accepted (the connection has read them again by then) cost the election nothing once they are."""
    election, api, _ = elect()
    wait_for(election.is_leader, "it to lead")
    api.fails = ApiUnauthorized("the token has expired", 401)
    asked = len(api.asked)
    wait_for(lambda: len(api.asked) > asked + 1, "another try")
    api.fails = None
    wait_for(election.is_leader, "it to lead again")


def test_stop_before_start_and_twice(server: LeaseServer) -> None:
    """An election that never began, or has ended, can be stopped."""
    election = LeaderElection(MemoryApi(server), "openshift-ingress", "tcp-router", "a")
    election.stop()
    election.stop()
    assert not election.is_leader()


def test_identities_are_of_one_process() -> None:
    """Two processes of one pod, one after the other, are two candidates."""
    assert unique_identity("pod-1") != unique_identity("pod-1")
    assert unique_identity("pod-1").startswith("pod-1_")


def test_the_clock_goes_on() -> None:
    """The clock never goes back."""
    assert steady_clock() <= steady_clock()
