"""One Route, one namespace, one shared port leave connections to others; real HAProxy, real clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from router.haproxy.talk.limits import ConnectionLimiter
from router.model import Model, SharedFrontend, SniHost, Spot
from router.model.stages import stages
from router.settings import ConnectionLimits, RenderSettings
from tests.support.certificates import make, server_context, shown_by
from tests.support.client_certificates import authority, verified_by
from tests.support.clients import connect, echoes, reached, served, tls
from tests.support.haproxy import RunningHaproxy, running
from tests.support.models import port_options, section, server, shared
from tests.support.ports import free_port, free_ports
from tests.support.servers import TcpServer, echo_server, tls_server
from tests.support.waiting import wait_for


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """What all Routes lead to."""
    with echo_server() as server:
        yield server


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Connections that are held until the test ends."""
    with ExitStack() as stack:
        yield stack


def taken(held: ExitStack, port: int, tries: int) -> int:
    """Open so many connections and hold them; give how many of them are served."""
    return sum(echoes(held.enter_context(connect(port))) for _ in range(tries))


def flood(held: ExitStack, port: int) -> None:
    """Open 40 connections and say nothing on them; those that are refused are."""
    for _ in range(40):
        with contextlib.suppress(ConnectionError):
            held.enter_context(connect(port))


def variable(haproxy: RunningHaproxy, name: str) -> int:
    """Give what a variable of the process is now."""
    return int(haproxy.ask(f"get var proc.{name}").partition("<")[2].partition(">")[0])


def test_one_route_leaves_connections_to_others(settings: RenderSettings, pod: TcpServer) -> None:
    """A client that takes all it can get of one Route gets half of all; another Route is served, and one that ends makes room."""
    greedy, other = free_ports(2)
    routes = (
        section("greedy", greedy, server(pod.port), namespace="a", check_interval_ms=0),
        section("other", other, server(pod.port), namespace="b", check_interval_ms=0),
    )
    with running(Model(routes), replace(settings, maxconn=20)) as haproxy:
        with ExitStack() as taking:
            assert taken(taking, greedy, 30) == 10
            assert served(other)
        wait_for(lambda: served(greedy), "room again")
        assert not [line for line in haproxy.log_lines() if "route=greedy" in line and "<NOSRV>" in line]


def test_what_the_admin_says_counts(settings: RenderSettings, pod: TcpServer, held: ExitStack) -> None:
    """The option in place of the share, the annotation below it, and never the annotation above it."""
    few, many = free_ports(2)
    routes = (
        section("few", few, server(pod.port), options=port_options(maxconn=2), check_interval_ms=0),
        section("many", many, server(pod.port), options=port_options(maxconn=50), check_interval_ms=0),
    )
    chosen = replace(settings, maxconn=100, max_connections_per_route=4)
    with running(Model(routes), chosen) as haproxy:
        assert taken(held, many, 8) == 4
        waiting = [held.enter_context(connect(few)) for _ in range(3)]
        assert echoes(waiting[0])
        assert echoes(waiting[1])
        # The third waits, as the annotation has it, and is not turned away.
        waiting[2].settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoes(waiting[2])
        assert variable(haproxy, "route_connections") == 4


def test_one_namespace_leaves_connections_to_others(settings: RenderSettings, pod: TcpServer, held: ExitStack) -> None:
    """However many Routes a namespace has, together they get no more than it may; another namespace is served."""
    first, second, other = free_ports(3)
    routes = (
        section("first", first, server(pod.port), namespace="a", check_interval_ms=0),
        section("second", second, server(pod.port), namespace="a", check_interval_ms=0),
        section("other", other, server(pod.port), namespace="b", check_interval_ms=0),
    )
    with running(Model(routes), replace(settings, maxconn=40, max_connections_per_namespace=12)):
        assert taken(held, first, 10) == 10
        assert taken(held, second, 10) == 2
        assert taken(held, other, 10) == 10


def test_routes_on_a_shared_port(settings: RenderSettings, tmp_path: Path, held: ExitStack) -> None:
    """On a port that Routes share each has its own limit, and connections that say nothing leave room to other ports."""
    port, own = free_ports(2)
    with tls_server(server_context(tmp_path, "a.example.com"), b"a") as a, echo_server() as pod:
        routes = (
            section("a", None, server(a.port), namespace="a", check_interval_ms=0),
            section("b", None, server(a.port), namespace="b", check_interval_ms=0),
            section("own", own, server(pod.port), namespace="c", check_interval_ms=0),
        )
        names = {"a.example.com": routes[0], "b.example.com": routes[1]}
        chosen = replace(settings, maxconn=30, max_connections_per_route=3)
        with running(Model(routes, (shared(port, names),)), chosen):
            for _ in range(3):
                held.enter_context(tls(port, "a.example.com"))
            assert reached(port, "a.example.com") is None
            assert reached(port, "b.example.com") is not None
            flood(held, port)
            assert served(own)


def test_connections_without_their_proxy_header(settings: RenderSettings, pod: TcpServer, held: ExitStack) -> None:
    """On a port where clients begin with a PROXY header, those that do not send it are no way around the limit."""
    silent, other = free_ports(2)
    routes = (
        section("silent", silent, server(pod.port), options=port_options(accept_proxy=True), check_interval_ms=0),
        section("other", other, server(pod.port), namespace="b", check_interval_ms=0),
    )
    with running(Model(routes), replace(settings, maxconn=20)):
        flood(held, silent)
        assert served(other)


@pytest.mark.parametrize(
    ("maxconn", "chosen", "expected"),
    [
        pytest.param(200, {}, ConnectionLimits(100, 150, 180), id="shares"),
        pytest.param(1, {}, ConnectionLimits(1, 1, 1), id="one connection"),
        pytest.param(200, {"route": 7}, ConnectionLimits(7, 150, 180), id="chosen for a Route"),
        pytest.param(200, {"namespace": 500}, ConnectionLimits(100, 500, 180), id="chosen for a namespace"),
    ],
)
def test_shares(maxconn: int, chosen: dict[str, int], expected: ConnectionLimits) -> None:
    """What nobody chose is a share of all, and never nothing."""
    assert ConnectionLimits.of(maxconn, **chosen) == expected


def test_haproxy_that_chooses_by_itself_gets_shares_of_that(
    settings: RenderSettings, pod: TcpServer, held: ExitStack
) -> None:
    """Where maxconn is HAProxy's own, its configuration cannot have the shares: they are set when it says how many it takes."""
    port = free_port()
    # Half of what it takes with this many files is less than what is reckoned with before it has said so.
    written = replace(settings, maxconn=None)
    model = Model((section("db", port, server(pod.port), check_interval_ms=0),))
    with running(model, written) as haproxy:
        assert variable(haproxy, "route_connections") == 10_000
        limiter = ConnectionLimiter(written)
        limiter.loaded()
        takes = int(haproxy.ask("show info").partition("\nMaxconn: ")[2].split()[0])
        assert limiter.in_force == ConnectionLimits.of(takes)
        assert variable(haproxy, "route_connections") == takes // 2
        assert variable(haproxy, "namespace_connections") == takes * 3 // 4
        haproxy.ask("experimental-mode on; set var proc.route_connections int(3)")
        assert taken(held, port, 6) == 3


@pytest.mark.parametrize("maxconn", [None, 200])
@pytest.mark.parametrize("of_a_client", [2, 3])
def test_limits_are_of_clients(settings: RenderSettings, pod: TcpServer, maxconn: int | None, of_a_client: int) -> None:
    """Where one may be two connections of HAProxy, or three, that has as many times as many, and no later stage fewer than the first."""
    port = free_port()
    asks = of_a_client == 3
    route = section("a", None, server(pod.port), check_interval_ms=0, stages=(Spot(port),), is_gated=asks)
    shown = replace(shown_by(make("a.example.com")), clients=verified_by(authority("clients")) if asks else None)
    lead = SniHost("a.example.com", route.backend.name, route.asker, shown)
    chosen = replace(settings, maxconn=maxconn)
    model = Model((route,), (SharedFrontend(port, port_options(), (lead,)),))
    with running(model, chosen) as haproxy:
        limiter = ConnectionLimiter(chosen)
        limiter.loaded(stages(model))
        takes = int(haproxy.ask("show info").partition("\nMaxconn: ")[2].split()[0])
        clients = takes // of_a_client
        assert maxconn in {None, clients}
        assert limiter.in_force == ConnectionLimits.of(clients)
        assert variable(haproxy, "route_connections") == clients // 2
        assert variable(haproxy, "shared_port_connections") == clients * 9 // 10
        limits = {row[0]: int(row[6]) for row in map(_row, haproxy.ask("show stat -1 1 -1").splitlines()[1:]) if row[0]}
        behind = [limit for name, limit in limits.items() if name.startswith(f"fe_tls:{port}")]
        assert limits[f"fe_tcp:{port}"] == takes
        assert behind == [takes] * (of_a_client - 1)


def _row(line: str) -> list[str]:
    return line.split(",")


def test_as_many_clients_as_there_may_be(settings: RenderSettings, pod: TcpServer, held: ExitStack) -> None:
    """All of them by two stages, and none waits for another's second one."""
    port = free_port()
    route = section("a", None, server(pod.port), check_interval_ms=0, stages=(Spot(port),))
    lead = SniHost("a.example.com", route.backend.name, route.asker, shown_by(make("a.example.com")))
    chosen = replace(settings, maxconn=20, max_connections_per_route=20, max_connections_per_namespace=20)
    with running(Model((route,), (SharedFrontend(port, port_options(), (lead,)),)), chosen):
        # Nine tenths of all may be one shared port's.
        assert [echoes(held.enter_context(tls(port, "a.example.com"))) for _ in range(18)] == [True] * 18
        assert reached(port, "a.example.com") is None


def test_haproxy_that_does_not_answer_is_left_as_it_is(settings: RenderSettings) -> None:
    """Without an answer the limits of the configuration hold, and it is said once."""
    limiter = ConnectionLimiter(settings, timeout_s=0.5)
    limiter.loaded()
    limiter.loaded()
    assert limiter.in_force == settings.connection_limits


def test_a_namespace_has_no_more_than_its_admin_lets_it(
    settings: RenderSettings, pod: TcpServer, held: ExitStack
) -> None:
    """All its Routes together, on ports of their own and of the pool; by its own number where that is lower, and nobody else's."""
    first, second, other, high = free_ports(4)
    routes = (
        section("first", first, server(pod.port), namespace="a", check_interval_ms=0),
        section("second", second, server(pod.port), namespace="a", check_interval_ms=0),
        section("other", other, server(pod.port), namespace="b", check_interval_ms=0),
        section("high", high, server(pod.port), namespace="c", check_interval_ms=0),
    )
    limited = replace(settings, maxconn=40, max_connections_per_namespace=6, namespace_limits=True)
    with running(Model(routes, namespace_limits=(("a", 3), ("c", 20))), limited) as haproxy:
        assert taken(held, first, 2) == 2
        assert taken(held, second, 4) == 1
        assert taken(held, other, 8) == 6
        assert taken(held, high, 8) == 6
        assert not [line for line in haproxy.log_lines() if "route=second" in line and "<NOSRV>" in line]
