"""What was won outlives a restart where the input is a folder; and an admin's word stands there, too."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.e2e.conftest import Make
from tests.support.objects import app, port_claim
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for


def made(obj: dict[str, object], created: str) -> dict[str, object]:
    """Give an object with an age."""
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return {**obj, "metadata": {**metadata, "creationTimestamp": created}}


def told(router: RouterProcess, name: str) -> Callable[[], str]:
    """Give what tells the message of a Route's verdict."""
    return lambda: router.ports().get(f"team/{name}", {}).get("message", "")


def test_a_port_is_kept_over_a_restart(make_router: Make, echo: TcpServer) -> None:
    """An older Route that came later does not get it, before and after; a reservation takes it from its holder."""
    port = free_port()
    router = make_router("--allow-loopback-endpoints")
    young = [made(each, "2025-01-01T00:00:00Z") for each in app("young", port, (echo.address, echo.port))]
    router.write("young.yaml", *young)
    router.start()
    router.wait_admitted("team/young")
    router.write("old.yaml", *(made(each, "2020-01-01T00:00:00Z") for each in app("old", port)))
    wait_for(lambda: "held by Route team/young" in told(router, "old")(), "the older one to be refused")
    router.stop()
    won = json.loads((router.state / "claims.json").read_text())
    assert [(each["port"], each["holder"][3]) for each in won] == [(port, "young")]

    router.start()
    router.wait_admitted("team/young")
    assert exchange(port) == b"ping"
    assert "held by Route team/young" in told(router, "old")()
    router.write("keep.yaml", port_claim("keep", port, origin="Reserved", holder=("Route", "team", "old")))
    router.wait_admitted("team/old")
    assert "reserved for Route team/old by PortClaim keep" in told(router, "young")()
    router.write("won.yaml", port_claim("won", port, holder=("Route", "team", "young")))
    wait_for(lambda: "write Reserved" in router.log(), "what only routers write to be refused")
