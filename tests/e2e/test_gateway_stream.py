"""Connections to a Gateway under a stream of changes of what is beside them: none fails; and changes that need no reload."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from tests.e2e.test_gateway_api import ACCEPTED, answer, backend, gateways, give, listener
from tests.e2e.test_runtime import reloads
from tests.support.clients import connect
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.objects import endpoint_slice, service
from tests.support.ports import free_port, free_ports
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


def test_routes_weights_and_grants_need_no_reload(gateways: Gateways) -> None:
    """At a listener that is no port of the pool: a route comes, its weights change, what it leads to elsewhere is granted and revoked, it goes, and another comes."""
    cluster, port = gateways.cluster, free_port()
    client, other = cluster.client, f"{cluster.namespace}-other"
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    for name in ("a", "b"):
        give(cluster, name)
    for obj in (service("c"), *endpoint_slice("c", cluster.pod(b"c "))):
        client.create({**obj, "metadata": {**obj["metadata"], "namespace": other}})
    gateways.create_gateway("gw", listener("tcp", port))
    router = gateways.router("--balance", "roundrobin", "--namespace", other).start()
    gateways.gateway_is_told("gw", Programmed=("True", "Programmed"))
    assert answer(port) == b""
    before = reloads(router)

    def lead(*weights: int) -> None:
        refs = [backend("a", weight=weights[0]), backend("b", weight=weights[1])]
        refs += [backend("c", namespace=other, weight=weights[2])]
        gateways.patch("TCPRoute", "r", {"rules": [{"backendRefs": refs}]})

    def are_led(*shares: int) -> bool:
        """Say whether of so many connections as the weights are each backend, and nobody, has its share."""
        got = Counter(answer(port) for _ in range(sum(shares)))
        return [got[each] for each in (b"a ping", b"b ping", b"c ping", b"")] == list(shares)

    gateways.create_route("r", [{"name": "gw"}], [backend("a"), backend("b")])
    gateways.accepted("gw", "r")
    assert are_led(2, 2, 0, 0)
    lead(3, 1, 0)
    wait_for(lambda: are_led(6, 2, 0, 0), "three of four for one")
    lead(1, 1, 2)
    wait_for(lambda: are_led(2, 2, 0, 4), "half of them refused, which nobody permits")
    grant = {"from": [{"group": GROUP, "kind": "TCPRoute", "namespace": cluster.namespace}], "to": [{"group": "", "kind": "Service"}]}  # fmt: skip
    client.create({"apiVersion": f"{GROUP}/v1", "kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": other}, "spec": grant})  # fmt: skip
    wait_for(lambda: are_led(2, 2, 4, 0), "what is granted")
    client.delete("ReferenceGrant", other, "g")
    wait_for(lambda: are_led(2, 2, 0, 4), "what is revoked to be refused")
    client.delete("TCPRoute", cluster.namespace, "r")
    wait_for(lambda: answer(port) == b"", "the route to be gone")
    gateways.create_route("s", [{"name": "gw"}], [backend("b")])
    wait_for(lambda: answer(port) == b"b ping", "the next one")
    assert reloads(router) == before
