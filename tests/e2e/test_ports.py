"""``tcp-router ports`` of a router that runs."""

from __future__ import annotations

import json

from tests.support.clients import connect, echoes
from tests.support.commands import run_process
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for


def test_ports_of_a_running_router(router: RouterProcess, echo: TcpServer) -> None:
    """Each Route has its line, with the connections that are open now."""
    port = free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port)))
    router.write("late.yaml", *app("late", port, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/db")
    address = f"127.0.0.1:{router.http_port}"
    with connect(port) as first, connect(port) as second:
        assert echoes(first)
        assert echoes(second)
        router.wait_for_row("team/db", lambda row: row["sessions"] == 2, "two sessions")
        table = run_process("ports", "--address", address)
    assert (table.exit_code, table.stderr) == (0, "")
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["PORT", "HOST", "ROUTE", "VERDICT", "REASON", "SERVERS", "SESSIONS"],
        [str(port), "-", "team/db", "admitted", "-", "1/1", "2"],
        [str(port), "-", "team/late", "rejected", "PortAlreadyClaimed", "0", "-"],
        [],
        *[line.split() for line in [f"team/late: port {port} is held by Route team/db"]],
    ]

    def no_sessions() -> bool:
        rows = json.loads(run_process("ports", "--address", address, "--output", "json").stdout)
        return [row["sessions"] for row in rows] == [0, None]

    wait_for(no_sessions, "the sessions to be gone")
    router.stop()
    assert run_process("ports", "--address", address).exit_code == 1


def test_a_route_whose_pods_are_all_dead(router: RouterProcess, echo: TcpServer) -> None:
    """Its verdict is as it was, for the objects are; that nobody is reached is told beside it, and ends with the first that lives."""
    port, dead = free_port(), free_port()
    check = {"router.openshift.io/haproxy.health.check.interval": "100ms"}
    router.write("db.yaml", *app("db", port, ("127.0.0.1", dead), annotations=check))
    router.start()
    router.wait_admitted("team/db")
    row = router.wait_for_row("team/db", lambda row: row["servers_up"] == 0, "down")
    assert "none of its servers is up (1 in all)" in row["warnings"][0]
    table = run_process("ports", "--address", f"127.0.0.1:{router.http_port}").stdout
    assert "0/1" in table
    assert "team/db: warning: none of its servers is up" in table
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations=check))
    assert router.wait_for_row("team/db", lambda row: row["servers_up"] == 1, "up")["warnings"] == []
