"""Gateway API installations that have a kind in an older version alone: it is read, and its status written, in that version."""

from __future__ import annotations

import pytest

from tests.e2e.test_gateway_api import ACCEPTED, RESOLVED, answer, backend, gateways, give, listener
from tests.e2e.test_gateway_policies import SERVES
from tests.support.gateway_checks import GROUP, Gateways, Object
from tests.support.kube.resources import (
    OLDER_GRANTS,
    OLDER_TCP_ROUTES,
    OLDER_TLS_ROUTES,
    REFERENCE_GRANTS,
    TCP_ROUTES,
    TLS_ROUTES,
    Resource,
)
from tests.support.ports import free_port
from tests.support.probing import exchange
from tests.support.waiting import wait_for

__all__ = ["gateways"]

PAIRS = ((TCP_ROUTES, OLDER_TCP_ROUTES), (TLS_ROUTES, OLDER_TLS_ROUTES), (REFERENCE_GRANTS, OLDER_GRANTS))


def put(gateways: Gateways, resource: Resource, name: str, namespace: str, spec: Object) -> None:
    """Create an object in its older version."""
    assert gateways.cluster.server is not None
    metadata = {"name": name, "namespace": namespace}
    gateways.cluster.server.storage.create(resource, {"metadata": metadata, "spec": spec}, as_given=True)


def reasons(gateways: Gateways, resource: Resource, name: str) -> dict[str, tuple[str, str]]:
    """Give status and reason of what a route is told, by type."""
    assert gateways.cluster.server is not None
    found = gateways.cluster.server.storage.get(resource, gateways.cluster.namespace, name).obj
    parents = found.get("status", {}).get("parents") or [{"conditions": []}]
    return {each["type"]: (each["status"], each["reason"]) for each in parents[0]["conditions"]}


@pytest.mark.timeout(240)
def test_routes_and_grants_of_older_versions_are_served_until_newer_ones_are_there(gateways: Gateways) -> None:
    """As of Gateway API 1.3 and 1.4; when the CRD has v1 instead, as after an update, that is read."""
    cluster, port = gateways.cluster, free_port()
    server, own, other = cluster.server, cluster.namespace, f"{cluster.namespace}-other"
    assert server is not None
    for newer, older in PAIRS:
        server.set_custom(newer, there=False)
        server.set_custom(older, there=True)
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    give(cluster, "a")
    gateways.create_gateway("gw", listener("tcp", port))
    rules = [{"backendRefs": [backend("a"), {**backend("far"), "namespace": other, "weight": 0}]}]
    put(gateways, OLDER_TCP_ROUTES, "r", own, {"parentRefs": [{"name": "gw"}], "rules": rules})
    put(gateways, OLDER_TLS_ROUTES, "t", own, {"parentRefs": [{"name": "gw"}], "hostnames": ["a.x"], "rules": rules})
    router = gateways.router("--namespace", other)
    router.start()
    wanted = {"Accepted": ACCEPTED, "ResolvedRefs": ("False", "RefNotPermitted"), SERVES: ("True", "Served")}
    wait_for(lambda: reasons(gateways, OLDER_TCP_ROUTES, "r") == wanted, "the status of the TCPRoute")
    assert exchange(port) == b"a ping"
    told = ("False", "NotAllowedByListeners")
    wait_for(lambda: reasons(gateways, OLDER_TLS_ROUTES, "t").get("Accepted") == told, "the status of the TLSRoute")
    to = {"from": [{"group": GROUP, "kind": "TCPRoute", "namespace": own}], "to": [{"group": "", "kind": "Service"}]}
    put(gateways, OLDER_GRANTS, "grant", other, to)
    granted = ("False", "BackendNotFound")
    wait_for(lambda: reasons(gateways, OLDER_TCP_ROUTES, "r").get("ResolvedRefs") == granted, "the grant to count")
    assert not [each for each in router.events("watch failed") if each["cause"] != "absent"]
    # As after an update of the CRD: the same objects, in the newer version.
    server.set_custom(TCP_ROUTES, there=True)
    server.set_custom(OLDER_TCP_ROUTES, there=False)
    spec = {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": [backend("a")]}]}
    server.storage.update(
        TCP_ROUTES, own, "r", lambda found: {**found, "apiVersion": f"{GROUP}/v1", "spec": spec}, as_given=True
    )
    gateways.route_is_told("r", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED, SERVES: ("True", "Served")})
    assert answer(port) == b"a ping"
