"""Writing statuses and Events: when, how often, and what happens when the API server says no."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from router.admission import Reason, Verdict
from router.errors import (
    ApiBusy,
    ApiConflict,
    ApiError,
    ApiForbidden,
    ApiGone,
    ApiInvalid,
    ApiUnauthorized,
    ApiUnreachable,
)
from router.kube.api import Query
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.events import MAX_WAITING, SERIES_PAUSE_S, EventSender
from router.status.notices import Notice
from router.status.precedence import Precedence
from router.status.route import Identity
from router.status.selection import Selection
from router.status.writer import Rate, StatusWriter
from tests.support.fake_api import FakeApi, entries
from tests.support.objects import route as route_value
from tests.support.waiting import wait_for

EVERYTHING = Selection()
SHARD = Selection(route_selector="shard=a")
FAST = Rate(1000.0, 1000)
OTHERS = {"routerName": "default", "host": "x.example.com", "unknown": True}


def key(name: str) -> ObjectKey:
    """Make the key of ``team/<name>``."""
    return ObjectKey("team", name)


def asker(name: str, namespace: str = "team") -> Asker:
    """Make the asker that the Route ``team/<name>`` is, with the uid that the API server gives it."""
    return Asker.route(namespace, name, f"uid-{namespace}/{name}")


def slots(keys: Iterable[ObjectKey]) -> frozenset[Slot]:
    """Give Routes as what changed."""
    return frozenset((Route, each) for each in keys)


class ListingApi(FakeApi):
    """One that lists Routes too, and knows a single selector."""

    page_size = 2

    def get(self, path: str, query: Query | None = None) -> bytes:
        """Give a Route, or a page of Routes."""
        if query is None:
            return super().get(path)
        self._begin("LIST", path)
        namespace, _, rest = (
            path.removeprefix("/apis/route.openshift.io/v1/").removeprefix("namespaces/").partition("/")
        )
        found = [value for at, value in sorted(self.routes.items()) if not rest or at.namespace == namespace]
        if "fieldSelector" in query:
            assert query["labelSelector"] == SHARD.route_selector
            labels = [value["metadata"].get("labels") or {} for value in found]
            named = [
                value["metadata"]["name"] == query["fieldSelector"].removeprefix("metadata.name=") for value in found
            ]
            found = [
                value
                for value, has, is_it in zip(found, labels, named, strict=True)
                if is_it and has.get("shard") == "a"
            ]
        start = int(query.get("continue", "0"))
        end = start + self.page_size
        metadata = {"continue": str(end)} if end < len(found) else {}
        return json.dumps({"metadata": metadata, "items": found[start:end]}).encode()


@dataclass
class Bench:
    """A writer whose time is ours, and the part of the router around it."""

    rate: Rate = FAST
    name: str = "tcp-router"
    selection: Selection = EVERYTHING
    hostname: str = "tcp.example.com"
    precedence: Precedence | None = None
    api: FakeApi = field(default_factory=ListingApi)
    leads: bool = True
    now_s: float = 0.0
    routes: dict[ObjectKey, Route] = field(default_factory=dict)
    verdicts: dict[Asker, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.is_leader: Callable[[], bool] = lambda: self.leads
        self.writer = StatusWriter(
            self.api,
            self.name,
            self.hostname,
            lambda: self.is_leader(),  # noqa: PLW0108 - tests put another in its place
            instance="pod-1",
            selection=self.selection,
            precedence=self.precedence,
            rate=self.rate,
            clock=lambda: self.now_s,
            wall_clock=lambda: 1767229200.0 + self.now_s,
        )

    def put(self, name: str, port: int = 6620, **changes: Any) -> ObjectKey:
        """Create or change a Route, as users do; it is seen by the next ``tell``."""
        value = {**route_value(name, port, router_name=self.name), **changes}
        self.api.put_route(value)
        return key(name)

    def see(self, *names: str) -> frozenset[ObjectKey]:
        """Bring what the router knows level with the API server."""
        keys = frozenset(key(name) for name in names) or frozenset(self.api.routes) | frozenset(self.routes)
        for each in keys:
            if each in self.api.routes:
                self.routes[each] = self.api.route(each)
            else:
                self.routes.pop(each, None)
        return keys

    def tell(self, *verdicts: Verdict, changed: frozenset[ObjectKey] = frozenset(), **snapshot: Any) -> None:
        """Publish verdicts, in the place of former ones of their Routes."""
        self.verdicts = {**self.verdicts, **{verdict.asker: verdict for verdict in verdicts}}
        state = {"synced": True, "configured": True, **snapshot}
        self.writer.update(Snapshot(verdicts=self.verdicts, **state), Objects(self.routes), slots(changed))

    def forget(self, name: str) -> None:
        """Have no verdict about a Route any more."""
        self.verdicts = {each: verdict for each, verdict in self.verdicts.items() if each != asker(name)}

    def work(self, seconds: float = 0.0) -> None:
        """Let the writer do all that is due until so much time has passed."""
        ends_s = self.now_s + seconds
        while True:
            pause_s = self.writer.step()
            if pause_s <= 0:
                continue
            if self.now_s >= ends_s:
                return
            self.now_s = min(self.now_s + pause_s, ends_s)

    def entry(self, name: str) -> dict[str, Any]:
        """Give the one entry of this router."""
        (entry,) = entries(self.api.routes[key(name)], self.name)
        return entry

    def conditions(self, name: str) -> dict[str, str]:
        """Give the conditions of this router's entry: status and, for others than True, reason; message for a port."""
        return {c["type"]: c.get("message") or c["status"] for c in self.entry(name)["conditions"]}


@pytest.fixture
def bench() -> Bench:
    """A leader with one Route, ``db``, admitted on 6620 and not yet reported on."""
    made = Bench()
    made.put("db")
    made.tell(Verdict(asker=asker("db"), port=6620), changed=made.see())
    return made


@pytest.fixture
def sharded() -> Bench:
    """The same, where a selector decides which Routes are followed; that nothing is left over of before is known."""
    made = Bench(selection=SHARD)
    made.put("db")
    made.tell(Verdict(asker=asker("db"), port=6620), changed=made.see())
    made.work()
    made.api.requests.clear()
    return made


def test_admitted_route_is_told(bench: Bench) -> None:
    """Status is written once; the Event is sent after it."""
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}
    (event,) = bench.api.events.values()
    assert (event["type"], event["action"], event["reason"]) == ("Normal", "Admit", "Admitted")
    assert event["note"] == "served on tcp.example.com:6620"
    assert event["reportingController"] == "tcp-router/tcp-router"
    assert [method for method, _ in bench.api.requests] == ["PATCH", "POST"]
    assert bench.writer.writes() == {"written": 1}


def test_own_write_comes_back_without_another(bench: Bench) -> None:
    """The watch brings our own write as a changed Route; nothing is written again."""
    bench.work()
    for _ in range(3):
        bench.tell(changed=bench.see())
        bench.work(60.0)
    assert len(bench.api.requests) == 2


def test_nothing_before_haproxy_serves() -> None:
    """Before a first configuration, and while changes cannot be applied, held claims stay as they are; nothing is lost."""
    bench = Bench()
    bench.put("db", status={"ingress": [{"routerName": "tcp-router", "conditions": []}]})
    bench.tell(changed=bench.see(), configured=False)
    bench.tell(problem="no space left on device")
    bench.work(10.0)
    assert bench.api.requests == []
    bench.tell(Verdict(asker=asker("db"), port=6620))
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}


def test_stale_replica_reports_nothing(bench: Bench) -> None:
    """A leader that cannot apply changes serves what was; it does not write that over what a former leader wrote."""
    bench.work()
    bench.put(
        "db", 6621, status={"ingress": [{**bench.entry("db"), "conditions": [{"type": "Admitted", "status": "True"}]}]}
    )
    bench.tell(changed=bench.see(), problem="no space left on device")
    bench.work(10.0)
    assert len(bench.api.writes()) == 1
    bench.tell(Verdict(asker=asker("db"), port=6621))
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6621"}


def test_undecided_route_keeps_its_entry(bench: Bench) -> None:
    """A Route of ours without a verdict (it waits for a reload) is left alone, its claim above all."""
    bench.work()
    bench.forget("db")
    bench.tell(changed=bench.see())
    bench.work(10.0)
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}


def test_route_that_stops_being_ours_loses_the_entry(bench: Bench) -> None:
    """Only when HAProxy does not serve it any more, and others' entries stay."""
    bench.work()
    stored = bench.api.routes[key("db")]
    stored["status"]["ingress"].insert(0, OTHERS)
    bench.api.put_route({**stored, "metadata": {**stored["metadata"], "annotations": {}}})
    bench.tell(changed=bench.see())
    bench.work(1.0)
    assert len(bench.api.writes()) == 1
    bench.forget("db")
    bench.tell()
    bench.work(1.0)
    assert bench.api.routes[key("db")]["status"]["ingress"] == [OTHERS]
    bench.tell(changed=bench.see())
    bench.work(60.0)
    assert len(bench.api.writes()) == 2


def test_route_that_left_the_shard_loses_the_entry(sharded: Bench) -> None:
    """A Route that the input gives no more, though it exists, is read and our entry removed."""
    sharded.work()
    del sharded.routes[key("db")]
    sharded.forget("db")
    sharded.tell(changed=frozenset({key("db")}))
    sharded.work()
    assert sharded.api.routes[key("db")]["status"]["ingress"] == []
    assert sharded.writer.writes()["removed"] == 1


def test_route_that_comes_back_keeps_the_entry(sharded: Bench) -> None:
    """A Route that is back in the shard by the time that it is read keeps what it has."""
    sharded.work()
    del sharded.routes[key("db")]
    sharded.tell(changed=frozenset({key("db")}))
    sharded.api.before = lambda method, _: sharded.tell(changed=sharded.see()) if method == "GET" else None
    sharded.work(10.0)
    assert sharded.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}
    assert sharded.api.writes() == []


def test_deleted_route_is_forgotten(sharded: Bench) -> None:
    """A deleted Route costs one read where selectors decide what is followed."""
    sharded.work()
    del sharded.api.routes[key("db")]
    sharded.forget("db")
    sharded.tell(changed=sharded.see())
    sharded.work(60.0)
    routes = "/apis/route.openshift.io/v1/namespaces/team/routes"
    assert [asked for asked in sharded.api.requests if asked[0] == "GET"] == [("GET", f"{routes}/db")]
    assert sharded.writer.queued == 0


def test_deleted_route_costs_nothing_where_all_are_followed() -> None:
    """Without selectors a Route goes out of sight only by being deleted."""
    bench = Bench(selection=Selection(namespaces=("team",)))
    bench.put("db")
    bench.tell(Verdict(asker=asker("db"), port=6620), changed=bench.see())
    bench.work()
    del bench.api.routes[key("db")]
    bench.forget("db")
    bench.tell(changed=bench.see())
    bench.work(60.0)
    assert [method for method, _ in bench.api.requests] == ["PATCH", "POST"]


# What left while nobody ran


def left_over(bench: Bench, name: str, *, hostname: str = "tcp.example.com", **changes: Any) -> None:
    """Put a Route that is not in sight, with an entry that says our name."""
    ours = {"routerName": "tcp-router", "routerCanonicalHostname": hostname, "conditions": []}
    bench.put(name, **{"status": {"ingress": [OTHERS, ours]}, **changes})


def found_names(bench: Bench) -> dict[str, list[str]]:
    """Give who has entries in the status of which Route."""
    return {
        each.name: [e["routerName"] for e in value["status"]["ingress"]] for each, value in bench.api.routes.items()
    }


def test_entries_of_routes_that_left_while_nobody_ran() -> None:
    """On gaining the lead all Routes are listed once, in pages: where ours is not ours any more, it goes; others' stay."""
    bench = Bench(selection=SHARD)
    for number in range(5):
        left_over(bench, f"left{number}")
    annotations = {"metadata": {"name": "given-away", "namespace": "team", "annotations": {}}}
    left_over(bench, "given-away", hostname="other.example.com", **annotations)
    bench.put("foreign", status={"ingress": [OTHERS]})
    bench.tell()
    bench.work(60.0)
    assert found_names(bench) == {name: ["default"] for name in found_names(bench)}
    assert bench.writer.writes() == {"removed": 6}
    asked = len(bench.api.requests)
    bench.work(600.0)
    assert len(bench.api.requests) == asked, "once"


def test_nothing_is_looked_for_before_all_is_known() -> None:
    """Before the first configuration nobody knows which Routes are ours, and nothing is listed."""
    bench = Bench(selection=SHARD)
    left_over(bench, "db")
    bench.tell(configured=False)
    bench.work(60.0)
    assert bench.api.requests == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param("", "", id="no hostnames"),
        pytest.param("", "b.example.com", id="a hostname of theirs"),
        pytest.param("a.example.com", "", id="a hostname of ours"),
        pytest.param("a.example.com", "b.example.com", id="two hostnames"),
    ],
)
def test_two_routers_of_one_name_do_not_fight(ours: str, theirs: str) -> None:
    """Two routers that share a name and divide the Routes by labels: neither takes what may be the other's."""
    bench = Bench(selection=SHARD, hostname=ours)
    left_over(bench, "of-the-other", hostname=theirs)
    bench.tell()
    bench.work(60.0)
    assert found_names(bench) == {"of-the-other": ["default", "tcp-router"]}


def test_route_that_another_router_of_our_name_took_over(sharded: Bench) -> None:
    """A Route that went from our shard to that of a router with our name keeps the entry which that one wrote."""
    sharded.work()
    stored = sharded.api.routes[key("db")]
    (entry,) = stored["status"]["ingress"]
    sharded.api.put_route({**stored, "status": {"ingress": [{**entry, "routerCanonicalHostname": "b.example.com"}]}})
    del sharded.routes[key("db")]
    sharded.forget("db")
    sharded.tell(changed=frozenset({key("db")}))
    sharded.work(60.0)
    assert sharded.entry("db")["routerCanonicalHostname"] == "b.example.com"


def test_route_that_comes_back_while_it_is_looked_for() -> None:
    """A Route that is selected by the time that it is read keeps its entry, though nobody has told us of it yet."""
    bench = Bench(selection=SHARD)
    metadata = route_value("db", 6620)["metadata"]
    left_over(bench, "db", metadata={**metadata, "labels": {"shard": "a"}})
    bench.tell()
    bench.work(60.0)
    assert found_names(bench) == {"db": ["default", "tcp-router"]}


def test_looking_for_what_left_is_given_up_without_permission(capsys: pytest.CaptureFixture[str]) -> None:
    """Where all Routes may not be listed, nothing is removed, it is said once, and the rest goes on."""
    bench = Bench(selection=SHARD)
    left_over(bench, "db")
    bench.api.faults.append(ApiForbidden("needs list of routes", 403))
    bench.tell()
    bench.work(600.0)
    assert found_names(bench) == {"db": ["default", "tcp-router"]}
    assert len(bench.api.requests) == 1
    assert capsys.readouterr().out.count("routes that left the shard are not looked for") == 1


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        pytest.param(ApiUnreachable("cut"), {"unreachable": 1}, id="outage"),
        pytest.param(ApiGone("expired", 410), {}, id="410"),
    ],
)
def test_looking_for_what_left_outlives_faults(fault: ApiError, counted: dict[str, int]) -> None:
    """The page that failed is asked for again; pages that the server forgot are listed anew."""
    bench = Bench(selection=SHARD)
    for number in range(5):
        left_over(bench, f"left{number}")
    pages = iter([None, fault])

    def spoil(method: str, path: str) -> None:
        if method == "LIST" and "/namespaces/" not in path:
            bench.api.faults.append(next(pages, None))

    bench.api.before = spoil
    bench.tell()
    bench.work(60.0)
    assert bench.writer.writes() == {"removed": 5, **counted}


# What goes first


def test_change_overtakes_what_was_there_at_the_start() -> None:
    """At a first start with 5,000 Routes one that changes then, and its Event, do not wait for the others."""
    bench = Bench(Rate(50.0, 100))
    for number in range(5000):
        bench.put(f"r{number}", 7000 + number)
    bench.tell(*(Verdict(asker=asker(f"r{n}"), port=7000 + n) for n in range(5000)), changed=bench.see())
    bench.work(10.0)
    bench.put("r4999", 30000)
    bench.tell(Verdict(asker=asker("r4999"), port=30000), changed=bench.see("r4999"))
    bench.put("new", 30001)
    bench.tell(Verdict(asker=asker("new"), port=30001), changed=bench.see("new"))
    bench.tell(
        Verdict(asker=asker("r4998"), port=11998, reason=Reason.PORT_UNAVAILABLE, message="taken", set_aside=True)
    )
    bench.work(0.5)
    assert bench.conditions("r4999") == {"Admitted": "True", "PortClaimed": "30000"}
    assert bench.conditions("new")["PortClaimed"] == "30001"
    assert bench.conditions("r4998") == {"Admitted": "taken"}
    assert {event["regarding"]["name"] for event in bench.api.events.values()} == {"r4999", "r4998", "new"}
    assert bench.writer.queued > 4000
    bench.work(300.0)
    assert bench.writer.writes() == {"written": 5001}


def test_what_routers_write_overtakes_nothing() -> None:
    """Statuses, ours and others', come back as changes of their Routes; these are no news."""
    bench = Bench(Rate(50.0, 10))
    for number in range(500):
        bench.put(f"r{number}", 7000 + number)
    bench.tell(*(Verdict(asker=asker(f"r{n}"), port=7000 + n) for n in range(500)), changed=bench.see())
    bench.work(1.0)
    for number in range(500):
        if "status" not in bench.api.routes[key(f"r{number}")]:
            bench.put(f"r{number}", 7000 + number, status={"ingress": [OTHERS]})
    bench.tell(changed=bench.see())
    bench.put("r499", 30000)
    bench.tell(Verdict(asker=asker("r499"), port=30000), changed=bench.see("r499"))
    bench.work(0.2)
    assert bench.conditions("r499")["PortClaimed"] == "30000"
    bench.work(30.0)
    assert bench.writer.writes() == {"written": 500}


def test_changes_without_end_do_not_starve_the_start() -> None:
    """Of what is written while Routes change all the time, a part is of those that were there at the start."""
    bench = Bench(Rate(50.0, 1))
    for number in range(300):
        bench.put(f"r{number}", 7000 + number)
    bench.tell(*(Verdict(asker=asker(f"r{n}"), port=7000 + n) for n in range(300)), changed=bench.see())
    bench.work(0.1)
    for turn in range(10):
        names = [f"r{number}" for number in range(200, 300)]
        for name in names:
            bench.put(name, 30000 + turn)
        verdicts = [Verdict(asker=asker(name), port=30000 + turn) for name in names]
        bench.tell(*verdicts, changed=bench.see(*names))
        bench.work(1.0)
    assert sum("status" in bench.api.routes[key(f"r{number}")] for number in range(200)) >= 50


def test_news_is_dropped_last() -> None:
    """Of more Events than may wait, those of the start are dropped first."""
    bench = Bench(Rate(10_000.0, 10_000))
    count = MAX_WAITING + 50
    for number in range(count):
        bench.put(f"r{number}", 7000 + number)
    bench.api.before = lambda method, _path: bench.api.faults.append(
        ApiBusy("busy", 429, 60.0) if method == "POST" else None
    )
    bench.tell(*(Verdict(asker=asker(f"r{n}"), port=7000 + n) for n in range(count)), changed=bench.see())
    bench.work(1.0)
    for number in range(60):
        bench.put(f"new{number}", 30000 + number)
    verdicts = [Verdict(asker=asker(f"new{n}"), port=30000 + n) for n in range(60)]
    bench.tell(*verdicts, changed=bench.see(*(f"new{n}" for n in range(60))))
    bench.work(1.0)
    bench.api.before = lambda _method, _path: None
    bench.work(200.0)
    told = {event["regarding"]["name"] for event in bench.api.events.values()}
    assert {f"new{number}" for number in range(60)} <= told
    assert bench.writer.events()["dropped"] == 110


def test_foreign_routes_cost_nothing() -> None:
    """Routes of other routers cause no request, whatever happens to them."""
    bench = Bench()
    value = route_value("web", 7000, router_name="other")
    bench.api.put_route({**value, "status": {"ingress": [OTHERS]}})
    bench.tell(changed=bench.see())
    bench.work(1.0)
    del bench.api.routes[key("web")]
    bench.tell(changed=bench.see())
    bench.work(1.0)
    assert bench.api.requests == []


def test_conflict_is_read_and_decided_again(bench: Bench) -> None:
    """Another router wrote meanwhile: its entry stays, ours is added at the next try."""
    stored = bench.api.routes[key("db")]
    bench.api.put_route({**stored, "status": {"ingress": [OTHERS]}})
    bench.work(1.0)
    assert [method for method, _ in bench.api.requests[:3]] == ["PATCH", "GET", "PATCH"]
    assert bench.api.routes[key("db")]["status"]["ingress"][0] == OTHERS
    assert bench.conditions("db")["PortClaimed"] == "6620"
    assert bench.writer.writes() == {"conflict": 1, "written": 1}


def test_conflict_after_conflict_backs_off(bench: Bench) -> None:
    """Endless conflicts are tried less and less often."""
    bench.api.before = lambda method, _: (
        None if method == "GET" else bench.api.faults.append(ApiConflict("modified", 409))
    )
    bench.work(60.0)
    assert 10 < len(bench.api.writes()) < 40


def test_conflict_with_another_request_waits_for_its_verdict(bench: Bench) -> None:
    """The Route asks for another port now; what was decided for the old one is not written on it."""
    bench.put("db", 6621)
    bench.work(60.0)
    assert "status" not in bench.api.routes[key("db")]
    assert bench.writer.writes() == {"conflict": 1, "superseded": 1}
    bench.tell(Verdict(asker=asker("db"), port=6621), changed=bench.see())
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6621"}


def test_latest_verdict_wins(bench: Bench) -> None:
    """What changes several times before its turn is written once."""
    bench.tell(Verdict(asker=asker("db"), port=6620, reason=Reason.PORT_NOT_ALLOWED, message="no"))
    bench.tell(Verdict(asker=asker("db"), port=6620, reason=Reason.PORT_RESERVED, message="reserved"))
    bench.work()
    assert bench.conditions("db") == {"Admitted": "reserved"}
    assert len(bench.api.writes()) == 1


def test_rate_is_kept() -> None:
    """500 Routes at 50 a second with a burst of 20: no window has more requests than that."""
    bench = Bench(Rate(50.0, 20))
    names = [f"r{number}" for number in range(500)]
    for number, name in enumerate(names):
        bench.put(name, 7000 + number)
    times: list[float] = []
    bench.api.before = lambda _method, _path: times.append(bench.now_s)
    bench.tell(*(Verdict(asker=asker(name), port=7000 + n) for n, name in enumerate(names)), changed=bench.see())
    bench.work(30.0)
    assert len(times) == 1000, "a status and an Event for each"
    for start, first in enumerate(times):
        assert sum(1 for each in times[start:] if each < first + 1.0) <= 20 + 50 + 1
    assert times[-1] >= (1000 - 21) / 50.0
    kinds = [method for method, _ in bench.api.requests]
    assert kinds == ["PATCH"] * 500 + ["POST"] * 500, "statuses go before Events"


def test_only_the_leader_writes(bench: Bench) -> None:
    """Without the Lease nothing is sent; with it, everything is looked at again."""
    bench.leads = False
    bench.work(5.0)
    assert bench.api.requests == []
    assert bench.writer.queued == 0
    bench.leads = True
    bench.work()
    assert bench.conditions("db")["Admitted"] == "True"


def test_lease_lost_between_read_and_write(bench: Bench) -> None:
    """Leadership is asked for at the moment of each request, not only at the beginning of a turn."""
    bench.put("db")
    bench.api.before = lambda method, _: setattr(bench, "leads", method != "GET")
    bench.work(5.0)
    assert [method for method, _ in bench.api.requests] == ["PATCH", "GET"]


def test_lease_renewed_late(bench: Bench) -> None:
    """A lead that ended between two requests, and is back before the writer has turned, leaves nothing unwritten."""
    bench.work()
    bench.put("another", 6621)
    bench.tell(Verdict(asker=asker("another"), port=6621), changed=bench.see())
    answers = iter((True, False))
    bench.is_leader = lambda: next(answers, True)
    bench.work(1.0)
    assert bench.conditions("another")["Admitted"] == "True"


def test_what_happened_while_another_led(sharded: Bench) -> None:
    """A Route that went out of sight while another replica led is cleaned up by who leads next."""
    sharded.work()
    sharded.leads = False
    sharded.work(1.0)
    del sharded.routes[key("db")]
    sharded.forget("db")
    sharded.tell(changed=frozenset({key("db")}))
    sharded.leads = True
    sharded.work()
    assert sharded.api.routes[key("db")]["status"]["ingress"] == []


@pytest.mark.parametrize(
    ("fault", "result", "pause_s"),
    [
        pytest.param(ApiBusy("busy", 429, 7.0), "busy", 7.0, id="429 with Retry-After"),
        pytest.param(ApiBusy("broken", 500), "busy", 1.0, id="500"),
        pytest.param(ApiUnreachable("refused"), "unreachable", 1.0, id="unreachable"),
        pytest.param(ApiUnauthorized("expired", 401), "unauthorized", 1.0, id="401"),
        pytest.param(ApiForbidden("patch routes/status", 403), "forbidden", 5.0, id="403"),
        pytest.param(ApiError("odd", 418), "failed", 1.0, id="anything else"),
    ],
)
def test_failure_is_tried_again_later(bench: Bench, fault: ApiError, result: str, pause_s: float) -> None:
    """Each failure has its pause, after which the same is tried again and works."""
    bench.api.faults.append(fault)
    bench.work(pause_s - 0.3)
    assert len(bench.api.requests) == 1
    bench.work(0.6)
    assert bench.conditions("db")["Admitted"] == "True"
    assert bench.writer.writes() == {result: 1, "written": 1}


def test_outage_is_tried_less_and_less_often(bench: Bench) -> None:
    """Half an hour without an API server costs a request every half minute."""
    bench.api.before = lambda _method, _path: bench.api.faults.append(ApiUnreachable("refused"))
    bench.work(1800.0)
    assert 60 <= len(bench.api.requests) <= 70


def test_any_good_answer_ends_an_outage(sharded: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Also a Route that is gone tells that the API server is well: the next outage is logged, and begins with a short pause."""
    sharded.put("another", 6621)
    sharded.tell(Verdict(asker=asker("another"), port=6621), changed=sharded.see())
    sharded.work()
    capsys.readouterr()
    for name in ("db", "another"):
        sharded.forget(name)
        del sharded.routes[key(name)], sharded.api.routes[key(name)]
        sharded.api.faults.append(ApiUnreachable("refused"))
        sharded.tell(changed=frozenset({key(name)}))
        sharded.work(1.3)
        assert "status not written" in capsys.readouterr().out
        assert sharded.api.requests[-1][0] == "GET"
    assert sharded.writer.writes() == {"written": 2, "unreachable": 2, "gone": 2}


def test_forbidden_namespace_costs_only_itself(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """One namespace's missing permission is told once, and keeps nobody else waiting."""
    for number in range(50):
        bench.put(f"f{number}", 7000 + number)
    team = [Verdict(asker=asker(f"f{number}"), port=7000 + number) for number in range(50)]
    other = replace(team[0], asker=asker("x", "other"))
    value = route_value("x", 7000, namespace="other")
    bench.api.put_route(value)

    def forbid(_: str, path: str) -> None:
        if "/team/" in path:
            bench.api.faults.append(ApiForbidden("needs patch of routes/status", 403))

    bench.api.before = forbid
    bench.tell(*team, other, changed=bench.see())
    bench.work(1.0)
    assert len([path for path in bench.api.writes() if "/team/" in path]) == 1
    assert entries(bench.api.routes[ObjectKey("other", "x")], "tcp-router")
    bench.work(600.0)
    assert len([path for path in bench.api.writes() if "/team/" in path]) < 125, "one every five seconds"
    assert capsys.readouterr().out.count("status not permitted") == 1
    bench.api.before = lambda _method, _path: None
    bench.work(6.0)
    assert all(bench.conditions(f"f{number}")["Admitted"] == "True" for number in range(50))
    assert capsys.readouterr().out.count("status permitted again") == 1


def test_many_forbidden_namespaces_leave_time_for_others() -> None:
    """A permission that is missing everywhere is looked for twice a second, not once a namespace every few seconds."""
    bench = Bench()
    keys = [ObjectKey(f"n{number}", "db") for number in range(100)]
    for each in keys:
        bench.api.put_route(route_value("db", 7000, namespace=each.namespace))
    bench.api.before = lambda _method, _path: bench.api.faults.append(ApiForbidden("needs patch of routes/status", 403))
    changed = frozenset(keys)
    bench.routes = {each: bench.api.route(each) for each in keys}
    bench.tell(*(Verdict(asker=asker(each.name, each.namespace), port=7000) for each in keys), changed=changed)
    bench.work(1.0)
    asked = len(bench.api.writes())
    bench.work(300.0)
    assert len(bench.api.writes()) - asked < 2.2 * 300
    bench.api.before = lambda _method, _path: None
    bench.work(15.0)
    assert all(entries(bench.api.routes[each], "tcp-router") for each in keys)


def test_refused_status_is_not_sent_again(bench: Bench) -> None:
    """What the server's validation refuses, of the Route as it is now too, waits for another change."""
    bench.api.faults.extend([ApiInvalid("422", 422), None, ApiInvalid("422", 422)])
    bench.work(300.0)
    assert [method for method, _ in bench.api.requests] == ["PATCH", "GET", "PATCH"]
    bench.tell(changed=bench.see())
    bench.work()
    assert bench.conditions("db")["Admitted"] == "True"


def test_patch_of_an_entry_that_moved_is_made_anew(bench: Bench) -> None:
    """A patch that fits the Route no more is 422, as the server applies it before it looks at the version: read, and again."""
    bench.api.faults.append(ApiInvalid("422", 422))
    bench.work(300.0)
    assert bench.conditions("db")["Admitted"] == "True"


def test_two_routers_do_not_fight() -> None:
    """Two routers with different names write on one Route, once each."""
    one = Bench()
    two = Bench(name="other", api=one.api)
    value = route_value("db", 6620)
    value["metadata"]["annotations"]["haproxy.router.openshift.io/router-name"] = "other"
    value["status"] = {"ingress": [{"routerName": "tcp-router"}, OTHERS]}
    one.api.put_route(value)
    for _ in range(5):
        one.tell(changed=one.see())
        two.tell(Verdict(asker=asker("db"), port=6620), changed=two.see())
        one.work(10.0)
        two.work(10.0)
    assert [entry["routerName"] for entry in one.api.routes[key("db")]["status"]["ingress"]] == ["default", "other"]
    assert one.writer.writes()["removed"] == two.writer.writes()["written"] == 1


# Events


def test_rejection_event(bench: Bench) -> None:
    """A rejected Route gets an Event with reason and message; one that is set aside says so."""
    bench.tell(Verdict(asker=asker("db"), port=6620, reason=Reason.PORT_RESERVED, message="port 6620 is reserved"))
    bench.work()
    aside = Verdict(asker=asker("db"), port=6620, reason=Reason.PORT_UNAVAILABLE, message="taken", set_aside=True)
    bench.tell(aside, changed=bench.see())
    bench.work()
    told = [(e["type"], e["action"], e["reason"], e["note"]) for e in bench.api.events.values()]
    assert told == [
        ("Warning", "Reject", "PortReserved", "port 6620 is reserved"),
        ("Warning", "SetAside", "PortUnavailable", "taken"),
    ]


def test_another_port_is_news(bench: Bench) -> None:
    """A Route that is served on another port than before says so, though it was and is admitted."""
    bench.work()
    bench.put("db", 6621, status=bench.api.routes[key("db")]["status"])
    bench.tell(Verdict(asker=asker("db"), port=6621), changed=bench.see())
    bench.work()
    notes = [event["note"] for event in bench.api.events.values()]
    assert notes == ["served on tcp.example.com:6620", "served on tcp.example.com:6621"]


def test_warnings_are_events(bench: Bench) -> None:
    """A Route without endpoints says so, once for as long as it lasts."""
    verdict = Verdict(asker=asker("db"), port=6620, warnings=("Service team/db has no endpoints",))
    bench.tell(verdict)
    bench.work(60.0)
    bench.tell(changed=bench.see())
    bench.work(60.0)
    warned = [e for e in bench.api.events.values() if e["type"] == "Warning"]
    assert [(e["reason"], e["note"], e.get("series")) for e in warned] == [
        ("NoEndpoints", "Service team/db has no endpoints", None)
    ]


@pytest.mark.parametrize(("reason", "kind"), [("NotPublished", "Warning"), ("NodePort", "Normal")])
def test_a_warning_may_have_a_reason_of_its_own(bench: Bench, reason: str, kind: str) -> None:
    """By what it begins with; where nothing is wrong, it is no Warning."""
    bench.work()
    bench.tell(Verdict(asker=asker("db"), port=6620, warnings=(f"{reason}: so it is",)))
    bench.work()
    (told,) = [each for each in bench.api.events.values() if each["reason"] == reason]
    assert (told["type"], told["note"]) == (kind, "so it is")


def test_another_name_of_the_router_is_written_everywhere(bench: Bench) -> None:
    """Also if it became another while another replica led; and once."""
    bench.work()
    bench.writer.reached_by("lb.example.com")
    bench.work()
    assert bench.entry("db")["routerCanonicalHostname"] == "lb.example.com"
    bench.leads = False
    bench.work()
    bench.writer.reached_by("192.0.2.1")
    bench.work()
    assert bench.entry("db")["routerCanonicalHostname"] == "lb.example.com"
    bench.leads = True
    bench.work()
    assert bench.entry("db")["routerCanonicalHostname"] == "192.0.2.1"
    writes = len(bench.api.writes())
    bench.work(60.0)
    assert len(bench.api.writes()) == writes


def test_a_certificate_that_was_taken_is_an_event(bench: Bench) -> None:
    """That of a Route which was never told of is one, and each other one after it; the same again is none."""
    first = Verdict(asker=asker("db"), port=6620, certificate="ab (SHA-256), valid until then")
    for verdict in (
        first,
        first,
        replace(first, certificate="cd (SHA-256), valid until then"),
        replace(first, certificate=""),
    ):
        bench.tell(verdict, changed=bench.see())
        bench.work(60.0)
    taken = [event["note"] for event in bench.api.events.values() if event["reason"] == "CertificateTaken"]
    assert taken == [f"clients are shown the certificate {name} (SHA-256), valid until then" for name in ("ab", "cd")]


def test_repeated_events_are_counted(bench: Bench) -> None:
    """A Route that loses its endpoints 100 times in 100 seconds has one Event with the count, written now and then."""
    bad = Verdict(asker=asker("db"), port=6620, warnings=("Service team/db has no endpoints",))
    for _ in range(100):
        bench.tell(bad)
        bench.work(0.5)
        bench.tell(replace(bad, warnings=()))
        bench.work(0.5)
    bench.work(SERIES_PAUSE_S)
    (event,) = [e for e in bench.api.events.values() if e["type"] == "Warning"]
    assert event["series"]["count"] == 100
    counted = [path for method, path in bench.api.requests if method == "PATCH" and "/events/" in path]
    assert 1 <= len(counted) <= 5


def test_warning_of_a_lead_that_comes_again_is_counted(bench: Bench) -> None:
    """A lead that is lost and won again, as with a slow API server, makes no second Event of the same warning."""
    bench.tell(Verdict(asker=asker("db"), port=6620, warnings=("Service db does not exist",)))
    bench.work(1.0)
    bench.leads = False
    bench.work(1.0)
    bench.leads = True
    bench.work(SERIES_PAUSE_S)
    warnings = [event for event in bench.api.events.values() if event["reason"] == "NoEndpoints"]
    assert [event.get("series", {}).get("count") for event in warnings] == [2]


def test_expired_event_is_said_anew(bench: Bench) -> None:
    """Where the API server has dropped the Event, its next count becomes a new one."""
    bad = Verdict(asker=asker("db"), port=6620, warnings=("Service team/db has no endpoints",))
    bench.tell(bad)
    bench.work()
    bench.api.events.clear()
    bench.tell(replace(bad, warnings=()))
    bench.work()
    bench.tell(bad)
    bench.work(2 * SERIES_PAUSE_S)
    (event,) = bench.api.events.values()
    assert "series" not in event


def test_waiting_events_are_bounded() -> None:
    """A flood of news drops the oldest of it, and counts that."""
    bench = Bench()
    count = MAX_WAITING + 50
    for number in range(count):
        bench.put(f"r{number}", 7000 + number)
    bench.rate = Rate(10_000.0, 10_000)
    bench.__post_init__()
    bench.tell(*(Verdict(asker=asker(f"r{n}"), port=7000 + n) for n in range(count)), changed=bench.see())
    bench.work(2.0)
    assert bench.writer.events() == {"created": MAX_WAITING, "dropped": 50}
    assert len(bench.api.events) == MAX_WAITING


def test_event_failures_do_not_touch_the_status(bench: Bench) -> None:
    """A forbidden Event is dropped; statuses go on."""

    def forbid(method: str, _: str) -> None:
        if method == "POST":
            bench.api.faults.append(ApiForbidden("namespace is being terminated", 403))

    bench.api.before = forbid
    bench.work(1.0)
    bench.tell(Verdict(asker=asker("db"), port=6620, reason=Reason.PORT_RESERVED, message="no"), changed=bench.see())
    bench.work(200.0)
    assert bench.conditions("db")["Admitted"] == "no"
    assert bench.writer.events()["forbidden"] == 2


# The thread


def test_thread_writes_and_stops() -> None:
    """Started, the writer does its work by itself; stopped, nothing more is sent."""
    api = FakeApi()
    routes = {key("db"): api.put_route(route_value("db", 6620))}
    writer = StatusWriter(api, "tcp-router", "", lambda: True)
    writer.start()
    verdicts = {asker("db"): Verdict(asker=asker("db"), port=6620)}
    writer.update(Snapshot(configured=True, verdicts=verdicts), Objects(routes), slots(routes))
    wait_for(lambda: len(api.requests) == 2, "status and Event")
    writer.stop()
    writer.update(Snapshot(configured=True, verdicts={}), Objects(routes), slots(routes))
    assert not any(thread.name == "status" for thread in threading.enumerate())
    assert len(api.requests) == 2


def test_stop_does_not_wait_for_a_hanging_server() -> None:
    """An API server that does not answer keeps nobody from ending; what it still says leads to no further request."""
    api = FakeApi()
    routes = {key(f"r{n}"): api.put_route(route_value(f"r{n}", 7000 + n)) for n in range(3)}
    hangs, release = threading.Event(), threading.Event()

    def hang(_method: str, _path: str) -> None:
        hangs.set()
        release.wait(20.0)

    api.before = hang
    writer = StatusWriter(api, "tcp-router", "", lambda: True)
    writer.start()
    verdicts = {who: Verdict(asker=who, port=7000) for each in routes if (who := asker(each.name))}
    writer.update(Snapshot(configured=True, verdicts=verdicts), Objects(routes), slots(routes))
    assert hangs.wait(10.0)
    began_s = time.monotonic()
    writer.stop()
    assert time.monotonic() - began_s < 1.0
    release.set()
    wait_for(lambda: not any(t.name == "status" for t in threading.enumerate()), "the thread ends")
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [400, 413])
def test_a_status_that_the_server_cannot_take_keeps_nobody_waiting(bench: Bench, status: int) -> None:
    """A Route with 100,000 entries of others in its status makes a patch that is refused: that one is left, the next is written."""
    bench.put("web", 6621)
    bench.api.faults.append(ApiError("too large", status))
    verdicts = [Verdict(asker=asker(name), port=port) for name, port in (("db", 6620), ("web", 6621))]
    bench.tell(*verdicts, changed=bench.see("db", "web"))
    bench.work(0.5)
    assert sum(len(entries(bench.api.routes[key(name)], "tcp-router")) for name in ("db", "web")) == 1
    assert bench.writer.writes() == {"invalid": 1, "written": 1}


def test_events_are_dropped_of_who_has_most() -> None:
    """A namespace that floods the router with news loses its own; what happened once elsewhere is told."""
    bench = Bench(Rate(10_000.0, 10_000))
    sender = EventSender(bench.api, Identity("tcp-router"), "pod", clock=lambda: 0.0, wall_clock=lambda: 0.0)

    def notice(namespace: str, number: int) -> Notice:
        return Notice(namespace, f"r{number}", "uid", "Warning", "Reject", "InvalidPort", "no")

    sender.add(notice("quiet", 0))
    for number in range(3 * MAX_WAITING):
        sender.add(notice("loud", number))
    assert len(sender) == MAX_WAITING
    while sender.send_one(lambda: True):
        pass
    told = [(event["regarding"]["namespace"], event["regarding"]["name"]) for event in bench.api.events.values()]
    assert told[0] == ("quiet", "r0")
    assert told[-1] == ("loud", f"r{3 * MAX_WAITING - 1}")


def test_thousands_of_entries_in_our_name_are_removed_in_several_patches() -> None:
    """Who may write a status may write our name into it; API servers take no patch of more than 10,000 operations."""
    bench = Bench()
    bench.put("db", status={"ingress": [{"routerName": "tcp-router", "host": f"h{number}"} for number in range(2500)]})
    operations = []
    for _ in range(4):
        bench.tell(Verdict(asker=asker("db"), port=6620), changed=bench.see())
        before = len(bench.api.routes[key("db")]["status"]["ingress"])
        bench.work(1.0)
        operations.append(before - len(bench.api.routes[key("db")]["status"]["ingress"]))
    assert operations == [1000, 1000, 499, 0]
    assert bench.conditions("db")["Admitted"] == "True"
