"""``tcp-router explain`` of a router that runs, and of manifests."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from router.demo.gateway import gateway_text
from tests.support.commands import run_process
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_QUICK = {"router.openshift.io/haproxy.health.check.interval": "100ms"}


def test_the_way_of_one_that_is_served(router: RouterProcess, echo: TcpServer) -> None:
    """What the router and its HAProxy know of it, down to the answer of the last check; exit status 0, as JSON too."""
    port, loser, dead = free_port(), free_port(), free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations=_QUICK))
    router.write("late.yaml", *app("late", port, ("127.0.0.1", echo.port)))
    router.write("dead.yaml", *app("dead", loser, ("127.0.0.1", dead), annotations=_QUICK))
    router.start()
    router.wait_admitted("team/db", "team/dead")
    router.wait_for_row("team/dead", lambda row: row["servers_up"] == 0, "down")
    at = ("--router", f"127.0.0.1:{router.http_port}")

    served = run_process("explain", *at, "team/db")
    assert (served.exit_code, served.stderr) == (0, "")
    assert served.stdout.startswith("Route team/db: served\n")
    assert f"127.0.0.1:{echo.port}: is UP" in served.stdout
    assert "last check L4OK" in served.stdout
    assert "team/late would have it next" in served.stdout

    down = run_process("explain", *at, "--probe", "route/team/dead")
    assert down.exit_code == 1
    assert "last check L4CON: Connection refused" in down.stdout
    assert "connecting from the router: Connection refused" in down.stdout
    assert f"ok connecting   to port {loser}, from the router: ok" in down.stdout

    lost = run_process("explain", *at, "--output", "json", "team/late")
    assert lost.exit_code == 1
    (way,) = json.loads(lost.stdout)
    assert (way["served"], way["verdict"]) == (False, "rejected: PortAlreadyClaimed")
    assert [step["name"] for step in way["steps"] if step["state"] == "no"] == ["claim"]

    assert "there is no Route team/nobody here" in run_process("explain", *at, "team/nobody").stdout
    assert http_get(router.http_port, "/explain/pod/team/db")[0] == 400
    assert http_get(router.http_port, "/explain/")[0] == 400
    # What is asked for is text in every answer: no part of it can end a line of HTTP.
    assert http_get(router.http_port, "/explain/team/%0d%0aSet-Cookie:%20a")[0] in {200, 400}

    router.stop()
    assert run_process("explain", *at, "team/db").exit_code == 1


def test_a_route_on_a_pool_port_has_its_servers(make_router: object, echo: TcpServer) -> None:
    """They are those of the pool's backend until the next reload."""
    port = free_port()
    router: RouterProcess = make_router("--port-pool", str(port), "--ports", "1024-65535")  # type: ignore[operator]
    router.start()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations=_QUICK))
    router.wait_admitted("team/db")

    def is_up() -> bool:
        way = run_process("explain", "--router", f"127.0.0.1:{router.http_port}", "team/db")
        return way.exit_code == 0 and f"127.0.0.1:{echo.port}: is UP" in way.stdout

    wait_for(is_up, "its server by the pool's backend")


def test_manifests_are_judged_without_a_router(folder: Path) -> None:
    """In a pull request: the same words, and what would be."""
    told = run_process("explain", "--manifests", str(folder), "team/db")
    assert told.exit_code == 0, told.stdout
    assert "Route team/db: would be served" in told.stdout
    refused = run_process("explain", "--manifests", str(folder), "--ports", "7000-7999", "team/db")
    assert refused.exit_code == 1
    assert "NO policy" in refused.stdout
    assert "Ask for a port of those that the message names." in refused.stdout
    assert run_process("explain", "--manifests", str(folder), "--probe", "team/db").exit_code == 2
    assert run_process("explain", "--manifests", str(folder), "db").exit_code == 2


def test_listeners_that_lead_on_by_names(make_router: object, echo: TcpServer) -> None:
    """A TLS listener has no pods of its own, and is served where a TLSRoute leads on from it; that one has the pods."""
    router: RouterProcess = make_router("--gateway-api", "on")  # type: ignore[operator]
    router.write("vault.yaml", *app("vault-service", None, ("127.0.0.1", echo.port))[1:])
    manifest = gateway_text(free_port(), free_port()).replace("namespace: default", "namespace: team")
    made = [
        each
        for each in yaml.safe_load_all(manifest.replace("port: 8200", "port: 5432"))
        if each["kind"] != "TCPRoutePolicy"
    ]
    router.write("gateway.yaml", *made)
    router.start()
    router.wait_for_row("team/keys", lambda row: row["servers_up"] == 1, "up")
    at = ("--router", f"127.0.0.1:{router.http_port}")

    listener = run_process("explain", *at, "gateway/team/demo:keys")
    assert listener.exit_code == 0, listener.stdout
    words = " ".join(listener.stdout.split())
    assert "ok routes by the name that clients ask for it leads on to TLSRoute team/keys" in words
    route = run_process("explain", *at, "tlsroute/team/keys")
    assert route.exit_code == 0, route.stdout
    assert "TLSRoute team/keys: served" in route.stdout
    assert f"127.0.0.1:{echo.port}: is UP" in route.stdout

    router.write("gateway.yaml", *(each for each in made if each["kind"] != "TLSRoute"))
    router.wait_for_row("team/demo", lambda row: row["verdict"] == "admitted", "admitted")
    wait_for(
        lambda: "there is no TLSRoute" in run_process("explain", *at, "tlsroute/team/keys").stdout,
        "the route to be gone",
    )
    alone = run_process("explain", *at, "gateway/team/demo:keys")
    assert alone.exit_code == 1
    assert "no TLSRoute leads on from it" in alone.stdout
    elsewhere = [
        {**each, "spec": {**each["spec"], "parentRefs": [{"name": "another"}]}} if each["kind"] == "TLSRoute" else each
        for each in made
    ]
    router.write("gateway.yaml", *elsewhere)
    wait_for(
        lambda: "it asks for team/another" in run_process("explain", *at, "tlsroute/team/keys").stdout,
        "whom it asks for to be told",
    )
