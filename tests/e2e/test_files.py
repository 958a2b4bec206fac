"""A router whose HAProxy may not open enough files: everything is served less, and nothing not at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from router.haproxy.process.binary import find_binary
from router.haproxy.process.descriptors import LEAST_CONNECTIONS, Haproxy, needed
from tests.e2e.conftest import Make
from tests.support.objects import app
from tests.support.ports import free_ports
from tests.support.probing import exchange, is_refused
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_FEW_FILES = Path(__file__).parents[1] / "support" / "few_files.py"
_PODS = 3


def _limited(make_router: Make, ports: int, checked_servers: int) -> RouterProcess:
    """Make a router whose HAProxy has files for so much and the least connections."""
    haproxy = Haproxy(
        version=find_binary().version, threads=2, binds_per_port=1, max_connections=LEAST_CONNECTIONS, limit=0
    )
    limit = needed(haproxy, ports, checked_servers, LEAST_CONNECTIONS)
    launcher = (sys.executable, str(_FEW_FILES), str(limit))
    return make_router("--threads", "2", "--max-connections", str(LEAST_CONNECTIONS), launcher=launcher)


def _done_without(router: RouterProcess) -> set[str]:
    """Give what the metrics say that HAProxy does without."""
    lines = http_get(router.http_port, "/metrics")[1].splitlines()
    return {
        line.split('"')[1] for line in lines if line.startswith("tcp_router_done_without{") and line.endswith(" 1.0")
    }


def _write(router: RouterProcess, echo: TcpServer, ports: Sequence[int]) -> None:
    for number, port in enumerate(ports):
        pods = [(f"127.0.0.{pod}", echo.port) for pod in range(1, _PODS + 1)]
        router.write(f"app-{number}.yaml", *app(f"app-{number}", port, *pods))


def test_checks_end_before_a_route_does(make_router: Make, echo: TcpServer) -> None:
    """HAProxy would not start with all checks; it starts without, and has them again when there is room to spare."""
    ports = free_ports(30)
    router = _limited(make_router, len(ports), _PODS * len(ports) - 1)
    _write(router, echo, ports)
    router.start()
    router.wait_admitted(*(f"team/app-{number}" for number in range(len(ports))))
    assert [exchange(port) for port in ports] == [b"ping"] * len(ports)
    assert " check inter" not in (router.state / "haproxy.cfg").read_text()
    assert _done_without(router) == {"checks"}
    [told] = router.events("too few files for haproxy")
    assert told["done_without"] == ["health checks of endpoints"]
    assert told["needed"] == told["limit"] + 1
    for number in range(20):
        (router.manifests / f"app-{number}.yaml").unlink()
    wait_for(lambda: _done_without(router) == set(), "the checks to come back")
    wait_for(lambda: " check inter" in (router.state / "haproxy.cfg").read_text(), "the configuration to say so")
    assert exchange(ports[-1]) == b"ping"


def test_a_route_too_many_is_set_aside_and_no_other(make_router: Make, echo: TcpServer) -> None:
    """Those that are served stay so; the next has the place of one that goes."""
    ports = free_ports(13)
    router = _limited(make_router, 10, 0)
    _write(router, echo, ports[:10])
    router.start()
    router.wait_admitted(*(f"team/app-{number}" for number in range(10)))
    _write(router, echo, ports)
    for number in range(10, 13):
        row = router.wait_for_row(f"team/app-{number}", lambda row: row["verdict"] == "rejected", "rejected")
        assert row["reason"] == "OutOfFiles", row
    assert [exchange(port) for port in ports[:10]] == [b"ping"] * 10
    assert all(is_refused(port) for port in ports[10:])
    assert _done_without(router) == {"checks", "connections", "pool", "claims"}
    (router.manifests / "app-3.yaml").unlink()
    router.wait_admitted("team/app-10")
    assert exchange(ports[10]) == b"ping"
    assert is_refused(ports[3])
    assert router.events("port set aside") == []
