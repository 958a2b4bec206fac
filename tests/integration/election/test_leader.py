"""The election by Lease over HTTP: real conflicts, and the faults of an API server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from router.election.leader import LeaderElection
from router.kube.connection import Connection, Deadlines
from router.settings import KubeSettings
from tests.support.api_server import ApiServer
from tests.support.kube.resources import of_kind
from tests.support.waiting import wait_for

PATIENT = Deadlines(connect_s=20.0, read_s=20.0, total_s=20.0)
"""For tests that count requests: a machine that is slow for a second makes no failures of them."""
IMPATIENT = Deadlines(connect_s=1.0, read_s=1.0, total_s=1.0)
"""For tests in which the server does not answer, and shall be asked again."""

_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "openshift-ingress"}}
_LEASE_S, _RENEW_DEADLINE_S, _RETRY_S = 3.0, 2.0, 0.1
_LONG = {"lease_s": 300.0, "renew_deadline_s": 200.0}
"""Times that no test reaches: who leads here leads until something else ends it, however slow the machine."""
_RELEASE_S = 20.0

Elect = Callable[..., LeaderElection]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now_s


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with the router's namespace."""
    with ApiServer() as server:
        server.create(_NAMESPACE)
        yield server


@pytest.fixture
def elect(api: ApiServer, tmp_path: Path) -> Iterator[Elect]:
    """Start replicas that stand for election; they are stopped after the test."""
    kubeconfig = api.kubeconfig(tmp_path)
    made: list[LeaderElection] = []

    def make(identity: str, **options: Any) -> LeaderElection:
        election = started(kubeconfig, identity, **options)
        made.append(election)
        return election

    yield make
    for election in made:
        election.stop()


def started(
    kubeconfig: Path, identity: str, *, deadlines: Deadlines = PATIENT, lease_s: float = _LEASE_S, **options: Any
) -> LeaderElection:
    """Start an election with a connection of its own."""
    connection = Connection.open(KubeSettings(kubeconfig=kubeconfig), deadlines=deadlines)
    times = {"lease_s": lease_s, "renew_deadline_s": _RENEW_DEADLINE_S, "retry_s": _RETRY_S, **options}
    election = LeaderElection(connection, "openshift-ingress", "tcp-router", identity, **times)
    election.start()
    return election


def lease(api: ApiServer) -> dict[str, Any]:
    """Give the spec of the Lease, as the server has it."""
    found = api.get("Lease", "openshift-ingress", "tcp-router")
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


def leads(election: LeaderElection) -> None:
    """Wait until it leads."""
    wait_for(election.is_leader, "it to lead")


def edit(api: ApiServer, **spec: object) -> None:
    """Change the Lease, as somebody does who asks nobody."""
    found = api.get("Lease", "openshift-ingress", "tcp-router")
    assert found is not None
    del found["metadata"]["resourceVersion"]
    api.update({**found, "spec": {**found["spec"], **spec}})


def test_many_stand_and_one_leads(api: ApiServer, elect: Elect) -> None:
    """Of replicas that start together one leads; when it stops, another does at once; the Lease tells who and how often."""
    elections = {name: elect(name, **_LONG) for name in "abcd"}
    for count in range(4):
        (leader,) = wait_for(lambda: [n for n, e in elections.items() if e.is_leader()], "one to lead")
        assert lease(api)["holderIdentity"] == leader
        assert lease(api)["leaseTransitions"] == count
        elections.pop(leader).stop(_RELEASE_S)
    assert "holderIdentity" not in lease(api)


def test_a_leader_renews(api: ApiServer, elect: Elect) -> None:
    """A leader goes on leading far beyond the Lease's time, by renewals."""
    election = elect("a")
    leads(election)
    acquired, renewed = lease(api)["acquireTime"], lease(api)["renewTime"]
    ends_s = time.monotonic() + _LEASE_S + 1
    wait_for(lambda: time.monotonic() > ends_s, "the time to pass")
    leads(election)
    assert lease(api)["acquireTime"] == acquired
    assert lease(api)["renewTime"] > renewed
    assert lease(api)["leaseTransitions"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda api: api.faults.refuse_connections(), id="down"),
        pytest.param(lambda api: api.faults.silence(everything=True), id="silent"),
        pytest.param(lambda api: api.faults.slow(20), id="slow"),
        pytest.param(lambda api: api.faults.fail("", "/", 500, times=10_000), id="500"),
        pytest.param(lambda api: api.faults.fail("", "/", 429, times=10_000, retry_after=1), id="429"),
        pytest.param(lambda api: api.faults.forbid("update", "leases"), id="403"),
    ],
)
def test_an_outage_ends_the_lead_in_time(api: ApiServer, elect: Elect, fault: Callable[[ApiServer], None]) -> None:
    """Whatever the server does, the lead ends with the renew deadline, not before; then the same replica leads again."""
    clock = Clock()
    election = elect("a", clock=clock, deadlines=IMPATIENT)
    leads(election)
    # From here on no request succeeds: the last renewal was sent at this time of the election's clock.
    fault(api)
    clock.now_s += _RENEW_DEADLINE_S - 0.01
    assert election.is_leader()
    clock.now_s += 0.01
    assert not election.is_leader()
    api.faults.clear()
    leads(election)
    assert lease(api)["leaseTransitions"] == 0


def test_a_single_fault_costs_nothing(api: ApiServer, elect: Elect) -> None:
    """A renewal that fails is tried again within the deadline."""
    election = elect("a", **_LONG)
    leads(election)
    for status in (500, 429, 409, 404, 503):
        renewed = lease(api)["renewTime"]
        api.faults.fail("PUT", "/apis/coordination", status)
        wait_for(lambda before=renewed: lease(api)["renewTime"] != before, "a renewal")  # type: ignore[misc]
        leads(election)
    assert lease(api)["leaseTransitions"] == 0


def test_a_stolen_lease_is_noticed(api: ApiServer, elect: Elect) -> None:
    """Who finds another name in the Lease leads no more, long before its deadline, and takes it back when its time is over."""
    election = elect("a", **_LONG)
    leads(election)
    edit(api, holderIdentity="thief", leaseDurationSeconds=300)
    wait_for(lambda: not election.is_leader(), "it to notice")
    # That the renewal was refused ends the lead; who holds the Lease now, the look after that tells.
    wait_for(lambda: election.holder == "thief", "it to look who it was")
    assert not election.is_leader()
    edit(api, leaseDurationSeconds=1)
    leads(election)
    assert lease(api)["leaseTransitions"] == 1


def test_a_missing_namespace_is_waited_for(tmp_path: Path) -> None:
    """Without the namespace the election says so once, and goes on when it is there."""
    with ApiServer() as server, structlog.testing.capture_logs() as lines:
        election = started(server.kubeconfig(tmp_path), "a")
        wait_for(lambda: sum(method == "POST" for method, *_ in server.requests) > 2, "some tries")
        server.create(_NAMESPACE)
        leads(election)
        election.stop()
    assert [line["verb"] for line in lines if "cannot be used" in line["event"]] == ["create"]


def test_stop_while_the_server_is_silent(api: ApiServer, elect: Elect) -> None:
    """Stop does not wait for an answer, whatever the server does."""
    election = elect("a")
    leads(election)
    api.faults.silence(everything=True)
    # No renewal is answered, and the lead ends by its deadline: one hangs, as it may for far longer than that.
    wait_for(lambda: not election.is_leader(), "a renewal to hang")
    began_s = time.monotonic()
    election.stop()
    assert time.monotonic() - began_s < PATIENT.read_s / 2
    assert not election.is_leader()


def test_a_killed_leader_is_followed(api: ApiServer, elect: Elect, tmp_path: Path) -> None:
    """After kill -9 another leads when the Lease's time is over, and not before."""
    program = f"""
        import time
        from pathlib import Path
        from router.kube.connection import Connection
        from router.election.leader import LeaderElection
        from router.settings import KubeSettings
        connection = Connection.open(KubeSettings(kubeconfig=Path({str(api.kubeconfig(tmp_path))!r})))
        LeaderElection(connection, "openshift-ingress", "tcp-router", "killed", lease_s=3.0, renew_deadline_s=2.0, retry_s=0.1).start()
        time.sleep(100)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: api.get("Lease", "openshift-ingress", "tcp-router"), "the first to lead")
            election = elect("other")
            wait_for(lambda: election.holder == "killed", "the other to look")
        finally:
            process.kill()
    leads(election)
    written = [change.new.obj["spec"] for change in api.storage.history(of_kind("Lease")) if change.new]
    taken = next(spec for spec in written if spec["holderIdentity"] == "other")
    last = [spec for spec in written if spec["holderIdentity"] == "killed"][-1]
    passed_s = (moment(taken["acquireTime"]) - moment(last["renewTime"])).total_seconds()
    # By the time of day, which may be set a little meanwhile.
    assert passed_s > _LEASE_S - 0.5
    assert lease(api)["leaseTransitions"] == 1


def moment(micro_time: str) -> datetime:
    """Read a time of a Lease."""
    return datetime.fromisoformat(micro_time)
