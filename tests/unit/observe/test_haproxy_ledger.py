"""Counters of workers, added up: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from router.errors import UnexpectedReply
from router.haproxy.talk.stats import WorkerId
from router.haproxy.talk.tables import Table, parse_info_fields, parse_stat
from router.haproxy.talk.workers import Reading
from router.model import Model, Spot
from router.observe.metrics.haproxy.exposition import exposition
from router.observe.metrics.haproxy.families import FAMILIES, is_up, seconds
from router.observe.metrics.haproxy.ledger import KEEP_S, Ledger
from router.observe.metrics.haproxy.owners import Labels, Owners
from tests.support.counting import instructions
from tests.support.exposition import Exposition, promtool_complaints
from tests.support.models import section, server

A, B, C = "be_tcp:ns:a", "be_tcp:ns:b", "be_tcp:ns:service_db_pg"
POD = "pod:db-0:db:pg:10.0.0.1:5432"
FIRST, SECOND = WorkerId(7, 1000), WorkerId(8, 1001)
# Those of HAProxy 2.8 and 3.0, as far as they are read.
HEADER = (
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,"
    "chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,"
    "check_code,check_duration,last_chk,qtime,ctime,rtime,ttime,conn_tot,dcon,dses,ttime_max,h1_bytes_in,"
)
COLUMNS = HEADER.removeprefix("# ").split(",")[:-2]
INFO = {"Pid": "7", "Start_time_sec": "1000", "Stopping": "0", "CurrConns": "0", "Maxconn": "100", "CumConns": "5"}
OWNERS = Owners({"fe_tcp:6620": A}, {}, {A: Spot(6620)}, 1)


def row(kind: str, proxy: str, server_name: str, **cells: object) -> list[str]:
    """Give a row of ``show stat``."""
    known = {"pxname": proxy, "svname": server_name, "type": kind, "status": "UP", **cells}
    return [str(known.get(column, "0")) for column in COLUMNS]


def frontend(name: str = "fe_tcp:6620", **cells: object) -> list[str]:
    """Give a frontend's row."""
    return row("0", name, "FRONTEND", **{"status": "OPEN", **cells})


def backend(name: str = "be_tcp:ns:a", **cells: object) -> list[str]:
    """Give a backend's row."""
    return row("1", name, "BACKEND", **cells)


def of_server(name: str = POD, proxy: str = "be_tcp:ns:a", **cells: object) -> list[str]:
    """Give a server's row."""
    return row("2", proxy, name, **cells)


def reading(*rows: list[str], worker: WorkerId = FIRST, is_old: bool = False, **info: str) -> Reading:
    """Give what a worker said."""
    table = Table(tuple(COLUMNS), rows)
    return Reading(worker, is_old, int(info.get("CurrConns", "0")), {**INFO, **info}, (table,))


class Books:
    """A ledger and a clock."""

    def __init__(self, owners: Owners = OWNERS) -> None:
        self.ledger = Ledger()
        self.owners = owners
        self.now_s = 0.0

    def take(self, *readings: Reading, owners: Owners | None = None) -> Exposition:
        """Take readings, and give what a scrape would show; a second passes."""
        self.owners = owners or self.owners
        self.now_s += 1.0
        self.ledger.take(readings, self.owners, self.now_s)
        return self.shown()

    def shown(self) -> Exposition:
        """Give what a scrape would show."""
        return Exposition(exposition(self.ledger).encode())


def bytes_in(scraped: Exposition, kind: str = "backend", route: str = "a") -> list[float]:
    """Give the counter of bytes that most tests look at."""
    return scraped.values(f"haproxy_{kind}_bytes_in_total", route=route)


def test_one_worker() -> None:
    """A worker's counters and gauges come out with labels that tell Route, pod, Service and port."""
    scraped = Books().take(
        reading(
            frontend(bin=100, bout=200, scur=3, conn_tot=9, slim=50),
            backend(bin=100, status="DOWN", act=0, ctime=12),
            of_server(bin=100, chkfail=2, check_duration=1500, status="no check", weight=3),
            CurrConns="3",
        )
    )
    route = {"namespace": "ns", "route": "a", "port": "6620"}
    pod = {**route, "server": "10.0.0.1:5432", "pod": "db-0", "service": "db"}
    for name, labels, expected in (
        ("frontend_bytes_in_total", {**route, "frontend": "fe_tcp:6620"}, 100),
        ("frontend_bytes_out_total", route, 200),
        ("frontend_current_sessions", route, 3),
        ("frontend_connections_total", route, 9),
        ("frontend_limit_sessions", route, 50),
        ("frontend_up", route, 1),
        ("backend_up", {**route, "backend": "tcp"}, 0),
        ("backend_connect_time_average_seconds", route, 0.012),
        ("server_up", pod, 1),
        ("server_weight", pod, 3),
        ("server_check_failures_total", pod, 2),
        ("server_check_duration_seconds", pod, 1.5),
        ("process_current_connections", {}, 3),
        ("process_max_connections", {}, 100),
        ("process_connections_total", {}, 5),
    ):
        assert scraped.value(f"haproxy_{name}", **labels) == expected, name


def test_growth_is_added_once() -> None:
    """A worker that is read again adds what it counted meanwhile, and nothing when it counted nothing."""
    books = Books()
    seen = [bytes_in(books.take(reading(backend(bin=value)))) for value in (100, 150, 150, 151)]
    assert seen == [[100], [150], [150], [151]]


def test_a_reload_adds_the_new_worker_to_the_old() -> None:
    """While an old worker lives both count; when it has ended its last values stay."""
    books = Books()
    books.take(reading(backend(bin=100, scur=2)))
    both = books.take(
        reading(backend(bin=10, scur=1), worker=SECOND), reading(backend(bin=130, scur=2), is_old=True, CurrConns="2")
    )
    assert (bytes_in(both), both.value("haproxy_backend_current_sessions")) == ([140], 3)
    books.ledger.count([reading(backend(bin=135), is_old=True)], OWNERS, 3.0)
    after = books.take(reading(backend(bin=11), worker=SECOND))
    assert (bytes_in(after), after.value("haproxy_backend_current_sessions")) == ([146], 0)


def test_gauges_of_state_are_the_current_workers() -> None:
    """An old worker has no say in whether a server is up; its sessions count."""
    scraped = Books().take(
        reading(of_server(status="UP", slim=5, scur=1), worker=SECOND),
        reading(of_server(status="DOWN", slim=9, scur=4), is_old=True),
    )
    assert scraped.value("haproxy_server_up") == 1
    assert scraped.value("haproxy_server_limit_sessions") == 5
    assert scraped.value("haproxy_server_current_sessions") == 5


def test_checks_are_counted_by_one_worker_only() -> None:
    """Old workers go on to check the same pods; downtime is not counted twice for that."""
    books = Books()
    books.take(reading(of_server(downtime=5)))
    scraped = books.take(
        reading(of_server(downtime=1), worker=SECOND), reading(of_server(downtime=9, bin=7), is_old=True)
    )
    assert scraped.value("haproxy_server_downtime_seconds_total") == 6
    assert bytes_in(scraped, "server") == [7]


@pytest.mark.parametrize(
    "next_life",
    [
        pytest.param(WorkerId(9, 2000), id="another pid"),
        pytest.param(WorkerId(7, 2000), id="the same pid, as in a container"),
        pytest.param(FIRST, id="nothing tells them apart"),
    ],
)
def test_a_kill_and_a_restart_take_nothing_away(next_life: WorkerId) -> None:
    """After HAProxy was killed totals go on from where they were."""
    books = Books()
    before = books.take(reading(frontend(bin=500, conn_tot=3), backend(bin=500)))
    books.ledger.hide_gauges()
    down = books.shown()
    assert down.fallen_since(before) == {}
    assert down.values("haproxy_backend_up") == []
    after = books.take(reading(frontend(bin=20, conn_tot=1), backend(bin=20), worker=next_life))
    assert (bytes_in(after), bytes_in(after, "frontend")) == ([520], [520])
    assert after.value("haproxy_frontend_connections_total") == 4
    assert after.fallen_since(before) == {}


def test_a_server_that_was_deleted_and_added_again_begins_anew() -> None:
    """Within one worker a server's counters can fall, or the server can be gone for a while; the total does not care."""
    books = Books()
    books.take(reading(of_server(bin=100)))
    assert bytes_in(books.take(reading(of_server(bin=30))), "server") == [130]
    assert bytes_in(books.take(reading()), "server") == [130]
    assert bytes_in(books.take(reading(of_server(bin=40))), "server") == [170]


def test_a_pool_backend_becomes_the_routes_own() -> None:
    """A Route's counters go on when a reload gives it a backend of its own; idle objects of the pool are nobody's."""
    books = Books(Owners())
    idle = books.take(
        reading(frontend("fe_tcp:7000", status="STOP"), backend("pool:7000"), of_server(proxy="pool:7000"))
    )
    assert [name for name, _ in idle.samples if not name.startswith("haproxy_process")] == []
    claimed = Owners({"fe_tcp:7000": A}, {"pool:7000": A}, {A: Spot(7000)})
    books.take(reading(frontend("fe_tcp:7000", bin=50), backend("pool:7000", bin=50)), owners=claimed)
    named = Owners({"fe_tcp:7000": A}, {}, {A: Spot(7000)})
    scraped = books.take(
        reading(frontend("fe_tcp:7000", bin=1), backend("be_tcp:ns:a", bin=1), worker=SECOND),
        reading(frontend("fe_tcp:7000", bin=60), backend("pool:7000", bin=60), is_old=True),
        owners=named,
    )
    assert (bytes_in(scraped), bytes_in(scraped, "frontend")) == ([61], [61])


def test_a_port_that_changes_hands() -> None:
    """What connections from before send is counted for the Route that had the port, new ones for the new one."""
    books = Books(Owners({"fe_tcp:7000": A}, {"pool:7000": A}, {A: Spot(7000)}))
    books.take(reading(frontend("fe_tcp:7000", bin=50), backend("pool:7000", bin=50, scur=1)))
    released = books.take(
        reading(frontend("fe_tcp:7000", bin=55), backend("pool:7000", bin=55, scur=1)), owners=Owners()
    )
    assert (bytes_in(released), bytes_in(released, "frontend")) == ([55], [55])
    assert released.value("haproxy_backend_current_sessions", route="a") == 1
    assert released.values("haproxy_backend_up") == []
    other = books.take(
        reading(frontend("fe_tcp:7000", bin=65), backend("pool:7000", bin=65)),
        owners=Owners({"fe_tcp:7000": B}, {"pool:7000": B}, {B: Spot(7000)}),
    )
    assert (bytes_in(other), bytes_in(other, route="b")) == ([55], [10])


def test_a_route_that_moves_keeps_its_counters() -> None:
    """Another port is another label, not another counter."""
    books = Books()
    books.take(reading(backend(bin=100)))
    moved = books.take(reading(backend(bin=101)), owners=Owners({"fe_tcp:6621": A}, {}, {A: Spot(6621)}))
    assert moved.values("haproxy_backend_bytes_in_total") == [101]
    assert moved.value("haproxy_backend_bytes_in_total", port="6621") == 101


def test_series_of_what_is_gone_are_dropped_after_a_while() -> None:
    """The last values can be scraped for some minutes; then the series ends, and does not fall before."""
    books = Books()
    last = books.take(reading(frontend(bin=5), backend(bin=5), of_server(bin=5)))
    books.now_s += KEEP_S - 5
    kept = books.take(reading())
    assert kept.fallen_since(last) == {}
    assert kept.values("haproxy_backend_current_sessions") == []
    books.now_s += 5
    assert [name for name, _ in books.take(reading()).samples if not name.startswith("haproxy_process")] == []


def test_an_old_worker_that_says_less() -> None:
    """Of an old worker only what still has sessions is read again; the rest is not counted twice when all of it is."""
    books = Books()
    books.take(reading(backend(bin=100), backend("be_tcp:ns:b", bin=10)))
    partial = replace(reading(backend(bin=110), is_old=True), is_whole=False)
    books.take(reading(worker=SECOND), partial)
    scraped = books.take(reading(worker=SECOND), reading(backend(bin=120), backend("be_tcp:ns:b", bin=10), is_old=True))
    assert (bytes_in(scraped), bytes_in(scraped, route="b")) == ([120], [10])


def test_servers_that_were_not_asked_for() -> None:
    """Above the limit of servers theirs are not read; below it again, they go on from where they were."""
    books = Books()
    books.take(reading(of_server(bin=100)))
    books.take(replace(reading(backend(bin=1)), has_servers=False))
    assert bytes_in(books.take(reading(of_server(bin=130))), "server") == [130]


@pytest.mark.parametrize(
    ("kind", "proxy", "server_name", "expected"),
    [
        pytest.param("0", "fe_tcp:8443", "", {"frontend": "fe_tcp:8443", "namespace": "", "route": "", "kind": "", "port": "8443"}, id="shared"),
        pytest.param("0", "stats", "", {"frontend": "stats", "namespace": "", "route": "", "kind": "", "port": ""}, id="template's frontend"),
        pytest.param("0", "fe_tcp:9999", "", None, id="idle port"),
        pytest.param("1", "mine", "", {"backend": "other/mine", "namespace": "", "route": "", "kind": "", "port": ""}, id="template's backend"),
        pytest.param("1", "pool:9999", "", None, id="idle backend"),
        pytest.param("2", "pool:9999", "tls", None, id="way to where TLS ends"),
        pytest.param("2", "pool:sni:3", "tls", None, id="way to where TLS ended, which somebody has a port of by now"),
        pytest.param("1", "tls:be_tcp:ns:a", "", None, id="before TLS has ended"),
        pytest.param("2", "tls:pool:sni:3", "fe_tcp:8443", None, id="server before TLS has ended"),
        pytest.param("0", "fe_tls:8443", "", None, id="where TLS ends for a shared port"),
        pytest.param("0", "fe_tls:8443:gates", "", None, id="way to sockets of single hosts"),
        pytest.param("1", "be_tls:8443:1", "", None, id="way to where TLS ends for a single host"),
        pytest.param("2", "be_tls:8443:1", "tls", None, id="its server"),
        pytest.param("0", "fe_tls_1", "", None, id="where TLS ends for a port of the pool"),
        pytest.param("1", "pool:sni:3", "", {"backend": "tcp", "namespace": "ns", "route": "b", "kind": "Route", "port": ""}, id="SNI pool"),
        pytest.param(
            "1", "be_tcp:ns:service_db_pg", "", {"backend": "tcp", "namespace": "ns", "route": "db:pg", "kind": "Service", "port": "15432"},
            id="port of a Service",
        ),
        pytest.param(
            "0", "fe_tcp:15432", "", {"frontend": "fe_tcp:15432", "namespace": "ns", "route": "db:pg", "kind": "Service", "port": "15432"},
            id="frontend of a Service's port",
        ),
        pytest.param(
            "2", "be_tcp:ns:a", "pod:db-0:db:pg:fd00::1:5432",
            {"server": "fd00::1:5432", "namespace": "ns", "route": "a", "kind": "Route", "pod": "db-0", "service": "db", "port": "6620"},
            id="IPv6",
        ),
        pytest.param(
            "2", "be_tcp:ns:a", "pod:10.0.0.1:db::10.0.0.1:5432",
            {"server": "10.0.0.1:5432", "namespace": "ns", "route": "a", "kind": "Route", "pod": "10.0.0.1", "service": "db", "port": "6620"},
            id="no pod's name, no port's name",
        ),
        pytest.param(
            "2", "be_tcp:ns:a", "odd", {"server": "odd", "namespace": "ns", "route": "a", "kind": "Route", "pod": "", "service": "", "port": "6620"},
            id="template's server",
        ),
        pytest.param(
            "2", "mine", "odd", {"server": "mine/odd", "namespace": "", "route": "", "kind": "", "pod": "", "service": "", "port": ""},
            id="template's backend's server",
        ),
    ],
)  # fmt: skip
def test_labels(kind: str, proxy: str, server_name: str, expected: Mapping[str, str] | None) -> None:
    """Each name of HAProxy's is read as what it stands for."""
    owners = Owners(
        MappingProxyType({"fe_tcp:6620": A, "fe_tcp:8443": None, "fe_tcp:15432": C}),
        {"pool:sni:3": B},
        {A: Spot(6620), C: Spot(15432)},
    )
    labels = owners.labels(kind, proxy, server_name)
    assert (labels and {**dict(labels.identity), "port": labels.port}) == expected


def test_owners_of_a_model() -> None:
    """Ports, servers and names are read off what HAProxy serves."""
    model = Model((section("db", 6620, server(1), server(2)),))
    owners = Owners.of(model, {"pool:1": B})
    key = model.routes[0].backend.name
    assert (owners.frontends, owners.ports, owners.servers) == ({"fe_tcp:6620": key}, {key: Spot(6620)}, 2)
    assert owners.backends == {"pool:1": B}


def test_nobody_is_asked_about_again_where_endpoints_moved_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose rows are is found out once, and again when a port or a backend came to be another's: thousands of rows are read at a time."""
    asked: list[str] = []
    found = Owners.labels

    def labels(self: Owners, kind: str, proxy: str, server: str) -> Labels | None:
        asked.append(proxy)
        return found(self, kind, proxy, server)

    monkeypatch.setattr(Owners, "labels", labels)
    books, rows = Books(), reading(frontend(), backend("be_tcp:team:db"))
    first = Owners.of(Model((section("db", 6620, server(1)),)), {})
    books.take(rows, owners=first)
    assert asked == ["fe_tcp:6620", "be_tcp:team:db"]
    asked.clear()
    moved = Owners.of(Model((section("db", 6620, server(2), server(3)),)), {}, first)
    scraped = books.take(reading(frontend(bin=5), backend("be_tcp:team:db", bin=5)), owners=moved)
    assert (asked, moved.servers, bytes_in(scraped, route="db")) == ([], 2, [5])
    books.take(rows, owners=Owners.of(Model((section("db", 6621, server(2)),)), {}, moved))
    assert asked == ["fe_tcp:6620", "be_tcp:team:db"]
    asked.clear()
    books.take(rows, owners=Owners.of(Model((section("db", 6621, server(2)),)), {"pool:1": B}, books.owners))
    assert asked == ["fe_tcp:6620", "be_tcp:team:db"]


@pytest.mark.parametrize(
    ("status", "up"),
    [("UP", "1"), ("UP 1/3", "1"), ("OPEN", "1"), ("no check", "1"), ("DOWN", "0"), ("DOWN 1/2", "0"), ("MAINT", "0"),
     ("NOLB", "0"), ("DRAIN", "0"), ("STOP", "0"), ("PAUSED", "0")],
)  # fmt: skip
def test_up(status: str, up: str) -> None:
    """Up is what OpenShift's router calls so."""
    assert is_up(status) == up


@pytest.mark.parametrize(("milliseconds", "expected"), [("0", "0"), ("7", "0.007"), ("1500", "1.5"), ("-1", "-0.001")])
def test_seconds(milliseconds: str, expected: str) -> None:
    """Times are given in seconds."""
    assert seconds(milliseconds) == expected


def test_table() -> None:
    """Quoted cells are one cell each, and columns after the last that is wanted are left away."""
    cells = of_server(last_chk='"refused, again ""twice"""', bin=9)
    table = parse_stat("\n".join((HEADER, ",".join([*cells, "77", ""]), "", "")))
    assert table.columns == tuple(COLUMNS)
    name, counted = table.picker("svname", "bin")(next(iter(table.rows)))
    assert (name, counted) == (POD, "9")
    assert table.picker("last_chk", "type")(next(iter(table.rows)))[0] == 'refused, again "twice"'


@pytest.mark.parametrize(
    "answer", ["", "Permission denied\n", f"{HEADER}\nfe_tcp:1,FRONTEND,\n"], ids=["empty", "refusal", "cut"]
)
def test_no_table(answer: str) -> None:
    """What is no whole table is refused."""
    with pytest.raises(UnexpectedReply):
        parse_stat(answer)


def test_a_missing_column_is_named() -> None:
    """An HAProxy that lacks a column is told by the column's name."""
    with pytest.raises(UnexpectedReply, match="nonsense"):
        Table(tuple(COLUMNS), ()).picker("type", "nonsense")


def test_info_must_be_one() -> None:
    """An answer that does not say whose it is is refused."""
    assert parse_info_fields("Pid: 7\nStart_time_sec: 1\nStopping: 0\nCurrConns: 2\nnode: a: b\n")["node"] == "a: b"
    with pytest.raises(UnexpectedReply):
        parse_info_fields("Pid: 7\n")


def test_values_are_escaped() -> None:
    """Whatever a template calls its proxies, the text stays one that can be read."""
    name = 'odd"name\\'
    scraped = Books(Owners({name: None})).take(reading(frontend(name)))
    assert scraped.value("haproxy_frontend_bytes_in_total", frontend=name) == 0


def test_promtool_accepts_everything() -> None:
    """Prometheus' own linter has nothing to say about any of the metrics."""
    info = {**INFO, **{family.column: "1" for family in FAMILIES["process"]}}
    scraped = Books().take(replace(reading(frontend(), backend(), of_server()), info=info))
    named = {family.name for families in FAMILIES.values() for family in families}
    assert {name for name, _ in scraped.samples} == named
    assert promtool_complaints(scraped.text) == ""


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has each metric of HAProxy by its name."""
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [each.name for of_kind in FAMILIES.values() for each in of_kind if f"`{each.name}`" not in text] == []


def test_rows_of_which_nothing_is_counted_cost_little() -> None:
    """A new worker of thousands of Routes has as many of them: Python's instructions for a Route's two rows when they are seen first, and all zero."""
    names = [f"be_tcp:ns:a{number:03}" for number in range(100)]
    ports = {name: Spot(6620 + place) for place, name in enumerate(names)}
    owners = Owners({f"fe_tcp:{spot.port}": name for name, spot in ports.items()}, {}, ports, len(names))
    rows = [row for name, spot in ports.items() for row in (frontend(f"fe_tcp:{spot.port}"), backend(name))]
    first = reading(*rows)
    ledger = Ledger()
    assert instructions(lambda: ledger.take((first,), owners, 1.0)) / len(names) < 1100
    later = reading(*rows[:-1], backend(names[-1], bin=7))
    ledger.take((later,), owners, 2.0)
    assert Exposition(exposition(ledger).encode()).values("haproxy_backend_bytes_in_total", route="a099") == [7]
