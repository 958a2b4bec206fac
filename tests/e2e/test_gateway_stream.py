"""Connections to a Gateway under a stream of changes of what is beside them: none fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from tests.e2e.test_gateway_api import ACCEPTED, answer, backend, gateways, give, listener
from tests.e2e.test_runtime import reloads
from tests.support.clients import connect
from tests.support.gateway_checks import Gateways
from tests.support.ports import free_ports
from tests.support.probing import exchange
from tests.support.waiting import wait_for

__all__ = ["gateways"]

CONNECTIONS, CLIENTS = 10_000, 4
SERVES = "tcp-router.openshift.io/Serves"


def test_ten_thousand_connections_while_routes_attach_and_go(gateways: Gateways) -> None:
    """Younger routes come to the listener and go, weights change, Gateways with ports of their own come and go, some of which is a reload; those open since the start go on."""
    cluster = gateways.cluster
    port, *others = free_ports(4)
    for name in ("old", "new"):
        give(cluster, name)
    gateways.create_gateway("gw", listener("tcp", port))
    gateways.create_route("a-old", [{"name": "gw"}], [backend("old")])
    router = gateways.router("--reload-interval", "200ms").start()
    gateways.accepted("gw", "a-old")
    held = connect(port)
    before = reloads(router)
    is_over, changes = threading.Event(), count()

    def change() -> None:
        while not is_over.is_set():
            number = next(changes)
            name, far = f"b-new-{number}", f"far-{number}"
            gateways.create_route(name, [{"name": "gw"}], [backend("new")])
            gateways.route_is_told(name, {"Accepted": ACCEPTED, SERVES: ("False", "OlderRouteIsServed")})
            weights = [backend("old", weight=number % 3 + 1), backend("new", weight=0)]
            gateways.patch("TCPRoute", "a-old", {"rules": [{"backendRefs": weights}]})
            gateways.create_gateway(far, listener("tcp", others[number % len(others)]))
            gateways.gateway_is_told(far, Programmed=("True", "Programmed"))
            cluster.client.delete("TCPRoute", cluster.namespace, name)
            cluster.client.delete("Gateway", cluster.namespace, far)

    def connected(_client: int) -> list[bytes]:
        return [answer(port) for _ in range(CONNECTIONS // CLIENTS)]

    with ThreadPoolExecutor(CLIENTS + 1) as executor:
        changing = executor.submit(change)
        try:
            answers = [each for got in executor.map(connected, range(CLIENTS)) for each in got]
        finally:
            is_over.set()
        changing.result()
    assert len(answers) == CONNECTIONS
    assert set(answers) == {b"old ping"}
    assert next(changes) > 1
    assert reloads(router) > before
    held.sendall(b"ping")
    assert held.recv(100) == b"old ping"
    held.close()
    wait_for(lambda: exchange(port) == b"old ping", "the port after all of it")
