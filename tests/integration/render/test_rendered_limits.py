"""Allowlists and limits per source address, shown with a real HAProxy and real sockets."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from router.model import ConnectionLimit, Model
from router.settings import IpMode, RenderSettings
from tests.support.certificates import server_context
from tests.support.clients import asked, connect, echoes, reached, served, tls
from tests.support.haproxy import RunningHaproxy, one_route, running
from tests.support.models import section, server, shared
from tests.support.ports import free_port
from tests.support.servers import echo_server, tls_server
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    ("allowlist", "allowed"),
    [
        pytest.param(("127.0.0.1",), {"127.0.0.1"}, id="one-v4"),
        pytest.param(("127.0.0.2/31",), {"127.0.0.2", "127.0.0.3"}, id="v4-network"),
        pytest.param(("::1",), {"::1"}, id="v6"),
        pytest.param(("127.0.0.0/8", "::/0"), {"127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"}, id="all"),
        pytest.param(("192.0.2.0/24", "2001:db8::/32"), set(), id="others"),
        pytest.param((), set(), id="empty-fails-closed"),
    ],
)
@pytest.mark.parametrize("ip_mode", ["v4", "v6", "v4v6"])
def test_allowlist(state_dir: Path, ip_mode: IpMode, allowlist: tuple[str, ...], allowed: set[str]) -> None:
    """Who is not on the allowlist is ended before a server is chosen, whatever socket the connection came in by."""
    sources = {"127.0.0.1": "v4", "127.0.0.2": "v4", "127.0.0.3": "v4", "::1": "v6"}
    usable = [source for source, family in sources.items() if family in ip_mode]
    settings = RenderSettings(state_dir=state_dir, ip_mode=ip_mode)
    with echo_server() as pod, one_route(settings, pod, allowlist=allowlist) as (port, _):
        got_through = {
            source
            for source in usable
            if served(port, to="::1" if sources[source] == "v6" else "127.0.0.1", source=source)
        }
        assert got_through == allowed & set(usable)
        assert pod.accepted == len(got_through)


@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_concurrent_connections_per_source(settings: RenderSettings, client: str) -> None:
    """With N=2 the first two connections of an address work, the third is ended, and one that ends makes room."""
    limit = ConnectionLimit(2, None)
    with echo_server() as pod, one_route(settings, pod, connection_limit=limit) as (port, haproxy):
        with connect(port, to=client) as first, connect(port, to=client) as second:
            assert echoes(first)
            assert echoes(second)
            for _ in range(5):
                assert not served(port, to=client)
            assert echoes(first)
            assert echoes(second)
            assert pod.accepted == 2
            # The refused ones are not counted.
            assert tracked(haproxy)["conn_cur"] == [2]
            if client == "127.0.0.1":
                assert served(port, source="127.0.0.2")
        wait_for(lambda: tracked(haproxy)["conn_cur"][0] == 0, "the closed connections to be uncounted")
        assert served(port, to=client)


@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_connection_rate_per_source(settings: RenderSettings, client: str) -> None:
    """Beyond N in 3 s an address is ended; one that never stops trying still gets its share."""
    limit = ConnectionLimit(None, 3)
    with echo_server() as pod, one_route(settings, pod, connection_limit=limit) as (port, _):
        outcomes = [served(port, to=client) for _ in range(10)]
        assert outcomes == [True] * 3 + [False] * 7
        assert pod.accepted == 3
        if client == "127.0.0.1":
            assert served(port, source="127.0.0.2")
        began_s = time.monotonic()
        wait_for(lambda: served(port, to=client), "a connection to be served again, without a pause between the tries")
        assert 0.5 < time.monotonic() - began_s < 7


def test_who_is_not_allowed_is_not_counted(settings: RenderSettings) -> None:
    """The allowlist comes before the limits: strangers cannot fill the table."""
    with (
        echo_server() as pod,
        one_route(settings, pod, allowlist=("127.0.0.2",), connection_limit=ConnectionLimit(2, 5)) as (port, haproxy),
    ):
        assert not served(port)
        assert tracked(haproxy)["conn_cur"] == []
        assert served(port, source="127.0.0.2")
        assert len(tracked(haproxy)["conn_cur"]) == 1


def tracked(haproxy: RunningHaproxy) -> dict[str, list[int]]:
    """Give the counters of the sources that HAProxy has in the Route's table."""
    table = haproxy.ask("show table be_tcp:team:db")
    return {"conn_cur": [int(count) for count in re.findall(r"conn_cur=(\d+)", table)]}


def test_limits_hold_on_shared_ports(settings: RenderSettings, tmp_path: Path) -> None:
    """Allowlist and limits belong to the Route: they hold where it is reached by server name, too."""
    port = free_port()
    with tls_server(server_context(tmp_path, "a.example.com"), b"a") as pod:
        limited = section("a", None, server(pod.port), check_interval_ms=0, connection_limit=ConnectionLimit(1, None))
        closed = section("b", None, server(pod.port), check_interval_ms=0, allowlist=("192.0.2.1",))
        hosts = {"a.example.com": limited, "b.example.com": closed}
        with running(Model((limited, closed), (shared(port, hosts),)), settings):
            with tls(port, "a.example.com") as connection:
                assert asked(connection) == b"a"
                assert reached(port, "a.example.com") is None
            assert reached(port, "b.example.com") is None
