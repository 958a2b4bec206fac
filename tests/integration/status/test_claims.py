"""PortClaims written over HTTP, judged by their CRD and the rules of API servers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from router.admission import Verdict
from router.admission.ledger import Ledger
from router.admission.places import Place, place_of
from router.cluster.decoding import decode_object
from router.kube.connection import Connection
from router.model import Asker, backend_name
from router.objects.decoding import Misfit
from router.objects.portclaim import PortClaim
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, KubeSettings
from router.status.claim_api import ClaimApi
from router.status.claim_usage import ClaimUsage
from router.status.claim_work import stranger, telling, work_on
from router.status.claims import ClaimsWriter
from router.status.holders import Holders
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer
from tests.support.objects import port_claim, route
from tests.support.waiting import wait_for

NAMESPACE = "openshift-ingress"
PLACE = Place(6620)
NAME = "tcp-router-6620"
PATH = f"/apis/tcp-router.openshift.io/v1alpha1/namespaces/{NAMESPACE}/portclaims"

COOLDOWN_S = 60.0


class Replica:
    """A writer, and what it would be told by the loop of a router: the claims as the API has them, and whom it serves."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        self.server = server
        self.leads = True
        self.cools = False
        self.ahead_s = 0.0
        """By how much its clocks are ahead."""
        self.served: dict[Place, Asker] = {}
        self.api = Connection.open(KubeSettings(kubeconfig=kubeconfig))
        self.supervisor = Supervisor()
        self.writer = ClaimsWriter(
            self.api,
            NAMESPACE,
            "tcp-router",
            "tcp-router",
            holders=Holders(self.api, AdmissionSettings()),
            is_leader=lambda: self.leads,
            cooldown_s=COOLDOWN_S,
            clock=lambda: time.monotonic() + self.ahead_s,
            wall_clock=lambda: time.time() + self.ahead_s,
            supervisor=self.supervisor,
        )

    def look(self) -> None:
        """Do what the loop does at each turn."""
        ledger = ledger_of(self.server)
        places = {PLACE, *self.served, *(place_of(claim) for name in ledger.names() if (claim := ledger.claim(name)))}
        self.writer.note(
            {place: work_on(place, self.served.get(place), ledger, cools=self.cools) for place in places},
            {
                name: telling(name, self.served.get(place_of(found)), ledger)
                for name in ledger.names()
                if (found := ledger.claim(name)) is not None
            },
        )

    def stop(self) -> None:
        """End it."""
        self.writer.stop()
        self.api.close()
        assert self.supervisor.deaths == {}


def ledger_of(server: ApiServer) -> Ledger:
    """Give the claims as they are stored."""
    ledger = Ledger("tcp-router")
    for stored in server.list("PortClaim"):
        claim = decode_object(PortClaim, json.dumps(stored).encode())
        assert not isinstance(claim, Misfit)
        ledger.put(claim.metadata.name, claim)
    return ledger


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server with a Route that asks for the port."""
    with ApiServer() as api:
        api.create(route("db", 6620))
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield api


@pytest.fixture
def replica(server: ApiServer, tmp_path: Path) -> Iterator[Replica]:
    """A replica that leads, and serves the Route."""
    made = Replica(server, server.kubeconfig(tmp_path))
    made.served = {PLACE: asker(server)}
    made.writer.start()
    yield made
    made.stop()


def asker(server: ApiServer, name: str = "db") -> Asker:
    """Give a Route as it is stored, as who asks."""
    stored = server.get("Route", "team", name)
    assert stored is not None
    return Asker.route("team", name, stored["metadata"]["uid"])


def claims(server: ApiServer) -> dict[str, str]:
    """Give the claims by name, and whose uid they have."""
    return {
        each["metadata"]["name"]: each["spec"].get("holder", {}).get("uid", "") for each in server.list("PortClaim")
    }


def wait_while_it_turns(replica: Replica, condition: Callable[[], object], what: str) -> None:
    """Wait for something, while the loop turns."""

    def is_so() -> object:
        replica.look()
        return condition()

    wait_for(is_so, what)


def wait_until(replica: Replica, expected: dict[str, str]) -> None:
    """Wait until these are the claims, while the loop turns."""
    wait_while_it_turns(replica, lambda: claims(replica.server) == expected, f"the claims to be {expected}")


def _did_more(replica: Replica, done: int) -> bool:
    return sum(replica.writer.writes().values()) > done


def asked(server: ApiServer, method: str, path: str) -> int:
    """Count requests."""
    return sum((each.method, each.path) == (method, path) for each in server.requests)


def test_a_claim_through_its_life(server: ApiServer, replica: Replica) -> None:
    """It is written when its holder is served, says so in words, and goes when its holder does."""
    uid = asker(server).uid
    wait_until(replica, {NAME: uid})

    def status() -> dict[str, Any]:
        replica.look()
        found = server.get("PortClaim", NAMESPACE, NAME) or {}
        told: dict[str, Any] = found.get("status", {})
        return told

    wait_for(lambda: status().get("holder") == "Route team/db", "the holder in words")
    (condition,) = status()["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("InForce", "True", "InForce")
    server.delete("Route", "team", "db")
    replica.served = {}
    wait_until(replica, {})


def test_a_port_that_is_given_cools_down(server: ApiServer, replica: Replica, tmp_path: Path) -> None:
    """Its claim stays for a while after it was released, and says since when; a replica that comes to lead goes by that."""
    uid = asker(server).uid
    wait_until(replica, {NAME: uid})
    server.delete("Route", "team", "db")
    replica.served, replica.cools = {}, True
    wait_while_it_turns(replica, lambda: replica.writer.writes().get("cooling"), "the claim to cool down")

    def released() -> str:
        found = server.get("PortClaim", NAMESPACE, NAME) or {}
        return str(found.get("status", {}).get("releasedAt", ""))

    wait_while_it_turns(replica, released, "the moment to be told")
    replica.ahead_s = COOLDOWN_S / 2
    cooling = replica.writer.writes()["cooling"]
    replica.writer.wake()
    replica.look()
    assert claims(server) == {NAME: uid}
    replica.leads = False
    other = Replica(server, server.kubeconfig(tmp_path))
    other.cools, other.ahead_s = True, COOLDOWN_S + 1
    other.writer.start()
    try:
        wait_until(other, {})
        assert other.writer.writes().get("cooling", 0) == 0
        assert replica.writer.writes()["cooling"] == cooling
    finally:
        other.stop()


def test_who_is_waited_for_by_number_does_not_cool_down(server: ApiServer, replica: Replica) -> None:
    """What was to stay for a while goes as soon as somebody asks for the very port; and else when the time is over."""
    wait_until(replica, {NAME: asker(server).uid})
    server.delete("Route", "team", "db")
    replica.served, replica.cools = {}, True
    wait_while_it_turns(replica, lambda: replica.writer.writes().get("cooling"), "the claim to cool down")
    replica.cools = False
    wait_until(replica, {})
    server.create(route("db", 6620))
    replica.served, replica.cools = {PLACE: asker(server)}, True
    wait_until(replica, {NAME: asker(server).uid})
    server.delete("Route", "team", "db")
    replica.served = {}
    cooling = replica.writer.writes()["cooling"]
    wait_while_it_turns(replica, lambda: replica.writer.writes()["cooling"] > cooling, "the claim to cool down")
    replica.ahead_s = COOLDOWN_S + 1
    wait_until(replica, {})


@pytest.mark.parametrize("change", ["port", "router"])
def test_who_asks_no_more_gives_it_up(server: ApiServer, replica: Replica, change: str) -> None:
    """A Route that asks for another port, or for another router."""
    wait_until(replica, {NAME: asker(server).uid})
    server.update(route("db", 6621) if change == "port" else route("db", 6620, router_name="other"))
    replica.served = {}
    wait_until(replica, {})


def test_a_route_that_is_made_again_is_another(server: ApiServer, replica: Replica) -> None:
    """The claim of the former one goes, and the new one is written like any other."""
    wait_until(replica, {NAME: asker(server).uid})
    server.delete("Route", "team", "db")
    server.create(route("db", 6620))
    replica.served = {}
    wait_until(replica, {})
    replica.served = {PLACE: asker(server)}
    wait_until(replica, {NAME: asker(server).uid})


def test_who_still_asks_keeps_it(server: ApiServer, replica: Replica) -> None:
    """Though this replica does not serve it, for whatever reason: it is asked about, and again only after a while."""
    uid = asker(server).uid
    wait_until(replica, {NAME: uid})
    replica.served = {}
    replica.look()
    wait_for(lambda: replica.writer.writes().get("kept"), "the holder to be asked about")
    broken = route("db", 6620, annotations={"haproxy.router.openshift.io/balance": "nonsense"})
    server.update(broken)
    kept = replica.writer.writes()["kept"]
    wait_while_it_turns(replica, lambda: replica.writer.writes()["kept"] > kept, "the broken Route to be asked about")
    assert claims(server) == {NAME: uid}
    assert replica.writer.writes().get("deleted", 0) == 0


@pytest.mark.parametrize("fault", ["forbidden", "kind", "unreachable"])
def test_what_cannot_be_known_is_kept(server: ApiServer, replica: Replica, fault: str) -> None:
    """A holder that may not be read, a kind that is away, and an API server that does not answer take nothing from anybody."""
    uid = asker(server).uid
    wait_until(replica, {NAME: uid})
    wait_while_it_turns(replica, lambda: replica.writer.queued == 0 or replica.writer.writes().get("told"), "a calm")
    if fault == "forbidden":
        server.faults.forbid("get", "routes")
        server.delete("Route", "team", "db")
        replica.served = {}
        wait_while_it_turns(replica, lambda: replica.writer.writes().get("forbidden"), "the refusal")
    elif fault == "kind":
        server.has_routes = False
        replica.served = {}
        wait_while_it_turns(replica, lambda: replica.writer.writes().get("absent"), "the answer")
    else:
        server.faults.fail("GET", "/apis/route", 503, times=3)
        replica.served = {}
        wait_while_it_turns(replica, lambda: replica.writer.writes().get("busy"), "the answer")
    assert claims(server) == {NAME: uid}


def test_what_somebody_deletes_or_changes_is_restored(server: ApiServer, replica: Replica) -> None:
    """From what is served, by a claim that is new."""
    uid = asker(server).uid
    wait_until(replica, {NAME: uid})
    server.delete("PortClaim", NAMESPACE, NAME)
    wait_until(replica, {NAME: uid})
    stored = server.get("PortClaim", NAMESPACE, NAME) or {}
    stored["spec"]["holder"].update(namespace="evil", uid="evil")
    server.update(stored)
    wait_until(replica, {NAME: uid})
    restored = server.get("PortClaim", NAMESPACE, NAME) or {}
    assert (restored["metadata"]["generation"], restored["spec"]["holder"]["namespace"]) == (1, "team")


def test_reservations_are_never_touched(server: ApiServer, replica: Replica) -> None:
    """By whatever name; the port is written beside."""
    server.create(port_claim(NAME, 6620, origin="Reserved", holder=("", "team")))
    server.create(port_claim("free", 7000))
    before = {name: server.get("PortClaim", NAMESPACE, name) or {} for name in (NAME, "free")}
    wait_while_it_turns(replica, lambda: len(claims(server)) == 3, "the claim beside")
    for name, stored in before.items():
        found = server.get("PortClaim", NAMESPACE, name) or {}
        assert found["spec"] == stored["spec"]
        assert found["metadata"]["uid"] == stored["metadata"]["uid"]


def test_of_two_leaders_one_writes(server: ApiServer, replica: Replica, tmp_path: Path) -> None:
    """Both lead for a moment and serve different Routes: the API server's 409 decides, and nobody writes over it."""
    server.create(route("web", 6620))
    other = Replica(server, server.kubeconfig(tmp_path))
    other.served = {PLACE: asker(server, "web")}
    other.writer.start()
    both = (replica, other)
    try:
        # Both know of no claim when they begin to lead, so both ask for it.
        for each in both:
            each.leads = False
            each.look()
        for each in both:
            each.leads = True
        wait_for(lambda: all(_did_more(each, 0) for each in both), "a request of each")
        first = claims(server)
        assert len(first) == 1
        assert sum(each.writer.writes().get("created", 0) for each in both) == 1
        for each in both:
            each.look()
        assert claims(server) == first
    finally:
        other.stop()


def test_a_write_that_is_lost_is_made_again(server: ApiServer, replica: Replica) -> None:
    """Whether the API server did it or not: where it did, it refuses the second, and nothing is deleted or written over for that."""
    server.faults.fail("POST", PATH, 503, times=2, retry_after=0)
    wait_until(replica, {NAME: asker(server).uid})
    before = claims(server)
    replica.leads = False
    wait_for(lambda: replica.writer.step() > 0, "the writer to notice")
    # It knows nothing of what it wrote.
    replica.writer.note({PLACE: work_on(PLACE, asker(server), Ledger("tcp-router"))}, {})
    replica.leads = True
    wait_for(lambda: replica.writer.writes().get("conflict"), "the refusal")
    assert claims(server) == before
    assert replica.writer.writes().get("deleted", 0) == 0


def test_who_does_not_lead_writes_nothing(server: ApiServer, replica: Replica) -> None:
    """And one that begins to lead does what was left."""
    replica.leads = False
    wait_for(lambda: replica.writer.step() > 0, "the writer to notice")
    replica.look()
    assert claims(server) == {}
    assert asked(server, "POST", PATH) == 0
    replica.leads = True
    wait_until(replica, {NAME: asker(server).uid})


def test_a_pace_of_their_own(server: ApiServer, replica: Replica) -> None:
    """Five hundred claims at a first start are written at the rate that was set, and what changes meanwhile goes before them."""
    replica.leads = False
    replica.served = {Place(10_000 + number): asker(server) for number in range(500)}
    replica.look()
    replica.leads = True
    wait_for(lambda: len(claims(server)) > 10, "the first claims")
    replica.served[Place(9000)] = asker(server)
    replica.look()
    wait_for(lambda: "tcp-router-9000" in claims(server), "what is new")
    wait_for(lambda: len(claims(server)) == 501, "all claims", 60)


def test_when_a_claim_was_last_used(server: ApiServer, replica: Replica) -> None:
    """Whichever replica sees a connection says so, at most once an hour; also of a port that the pool serves."""
    who = asker(server)
    wait_until(replica, {NAME: who.uid})
    wait_while_it_turns(replica, lambda: not replica.writer.queued and replica.writer.writes().get("told"), "a calm")
    now_s = 1_700_000_000.0
    usage = ClaimUsage(
        ClaimApi(replica.api, NAMESPACE, "tcp-router", "tcp-router"),
        lambda place: ledger_of(server).at(place),
        wall_clock=lambda: now_s,
        supervisor=replica.supervisor,
    )
    verdicts = {who: Verdict(asker=who, port=6620, places=(PLACE,))}
    usage.take(Snapshot(configured=True, verdicts=verdicts, owners={"pool:6620": backend_name(who)}))

    def last_used() -> str:
        found = server.get("PortClaim", NAMESPACE, NAME) or {}
        told: str = found["status"].get("lastUsed", "")
        return told

    assert (usage.look(), last_used()) == (0, "")
    usage.busy = lambda: ["pool:6620", "be_tcp:team:other"]
    assert (usage.look(), last_used()) == (1, "2023-11-14T22:13:20Z")
    now_s += 3599
    assert usage.look() == 0
    now_s += 1
    usage.busy = lambda: [backend_name(who)]
    assert (usage.look(), last_used()) == (1, "2023-11-14T23:13:20Z")
    server.faults.forbid("patch", "portclaims/status")
    now_s += 3600
    assert usage.look() == 0
    # The holder in words and the conditions are the leader's, and as they were.
    assert (server.get("PortClaim", NAMESPACE, NAME) or {})["status"]["holder"] == "Route team/db"


def test_a_reservation_of_no_router_is_told_after_a_while(server: ApiServer, tmp_path: Path) -> None:
    """By its condition, on which a router of that ledger has the first word for a minute."""
    server.create(port_claim("typo", 7000, ledger="tcp-ruoter", origin="Reserved", holder=("", "team")))
    stored = server.get("PortClaim", NAMESPACE, "typo") or {}
    created_s = datetime.fromisoformat(stored["metadata"]["creationTimestamp"]).timestamp()
    api = Connection.open(KubeSettings(kubeconfig=server.kubeconfig(tmp_path)))
    now_s = created_s + 59
    writer = ClaimsWriter(
        api,
        NAMESPACE,
        "tcp-router",
        "tcp-router",
        holders=Holders(api, AdmissionSettings()),
        is_leader=lambda: True,
        clock=lambda: now_s,
        wall_clock=lambda: now_s,
        supervisor=Supervisor(),
    )
    found = decode_object(PortClaim, json.dumps(stored).encode())
    assert not isinstance(found, Misfit)
    writer.note({}, {"typo": stranger(found, "tcp-router")})
    while writer.step() == 0:
        pass
    assert server.get("PortClaim", NAMESPACE, "typo") == stored
    now_s += 2
    writer.step()
    (condition,) = (server.get("PortClaim", NAMESPACE, "typo") or {})["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("Unknown", "UnknownLedger")
    api.close()
