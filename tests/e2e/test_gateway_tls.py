"""Gateways with TLS listeners and TLSRoutes, by the conformance suite's core tests of them and with its strictness: statuses, and real TLS."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_gateway_api import ACCEPTED, GOOD, PROGRAMMED, RESOLVED, backend, gateways, listener
from tests.e2e.test_gateway_http import grant
from tests.e2e.test_runtime import reloads
from tests.support.certificates import server_context
from tests.support.clients import reached
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.kube.pods import Wanted
from tests.support.objects import endpoint_slice, route, service
from tests.support.ports import free_port
from tests.support.waiting import wait_for

__all__ = ["gateways"]

TLS = {"kinds": ["TLSRoute"], "attached": 1, "conditions": GOOD}


@pytest.fixture
def pods(gateways: Gateways, tmp_path: Path) -> Gateways:
    """Two Services that answer by TLS, each with its name."""
    cluster = gateways.cluster
    for name in ("tls-backend", "tls-backend-2"):
        server_context(tmp_path, f"{name}.example.com")
        pod = cluster.start(Wanted(name.encode(), certificate=tmp_path / f"{name}.example.com.pem"))
        cluster.create(service(name, 443), *endpoint_slice(name, (pod.address, pod.port)))
    return gateways


def tls(name: str, port: int, hostname: str | None = None, mode: str = "Passthrough", **more: Any) -> dict[str, Any]:
    """Make a TLS listener."""
    made = listener(name, port, "TLS", tls={"mode": mode}, **more)
    return {**made, "hostname": hostname} if hostname is not None else made


def to(name: str) -> list[dict[str, Any]]:
    """Make backendRefs to one Service."""
    return [backend(name, 443)]


def as_grant(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Make a ReferenceGrant."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1", "kind": "ReferenceGrant", "metadata": metadata, "spec": spec}


def told(gateways: Gateways, name: str, **wanted: tuple[str, str]) -> None:
    """Wait until a TLSRoute with one parent is told this."""
    gateways.route_is_told(name, wanted, kind="TLSRoute")


def is_dropped(port: int, host: str) -> bool:
    """Say whether a connection is accepted and ends in the handshake, without an alert: what the suite takes for rejected."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(client_hello(host))
        try:
            return client.recv(100) == b""
        except ConnectionResetError:
            return True


def client_hello(host: str) -> bytes:
    """Give what a client begins with that asks for a host."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    session = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def test_a_route_is_reached_by_its_name_alone(pods: Gateways) -> None:
    """TLSRouteSimpleSameNamespace: the pod's own certificate; another name under the listener's is accepted and dropped, without an alert."""
    port = free_port()
    pods.create_gateway("gw", tls("tls", port, "*.example.com"))
    pods.create_tls_route("r", [{"name": "gw"}], ["abc.example.com"], to("tls-backend"))
    pods.router().start()
    pods.accepted("gw", "r", kind="TLSRoute")
    assert reached(port, "abc.example.com") == b"tls-backend"
    assert reached(port, "ABC.Example.com") == b"tls-backend"
    for other in ("other.example.com", "example.com", "abc.example.org", "x.abc.example.com"):
        assert is_dropped(port, other), other


@pytest.mark.parametrize(
    ("hostname", "first", "second", "reach"),
    [
        ("abc.example.com", "*.example.com", None, {"abc.example.com": 1, "other.example.com": 0, "non.matching.com": 0}),
        ("*.example.com", "abc.example.com", "*.com", {"abc.example.com": 1, "other.example.com": 2, "non.matching.com": 0}),
        ("*.com", "abc.example.com", "*.example.com", {"abc.example.com": 1, "other.example.com": 2, "non.matching.com": 0}),
        (None, "abc.example.com", "*.com", {"abc.example.com": 1, "other.example.com": 2, "non.matching.org": 0, "a.b.c.d.com": 2}),
    ],
    ids=["exact listener", "wildcard listener", "wildcard of a domain", "no hostname"],
)  # fmt: skip
def test_names_count_where_they_meet_the_listeners(
    pods: Gateways, hostname: str | None, first: str, second: str | None, reach: dict[str, int]
) -> None:
    """TLSRouteHostnameIntersection, its four Gateways one by one: exact before wildcard, and wildcards of several labels."""
    port = free_port()
    pods.create_gateway("gw", tls("tls", port, hostname))
    pods.create_tls_route("first", [{"name": "gw"}], [first], to("tls-backend"))
    if second is not None:
        pods.create_tls_route("second", [{"name": "gw"}], [second], to("tls-backend-2"))
    pods.router().start()
    for name in ("first", "second")[: 1 + (second is not None)]:
        told(pods, name, Accepted=ACCEPTED, ResolvedRefs=RESOLVED)
    pods.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    answers = {0: None, 1: b"tls-backend", 2: b"tls-backend-2"}
    assert {host: reached(port, host) for host in reach} == {host: answers[which] for host, which in reach.items()}


def test_a_more_specific_listener_has_its_names_alone(pods: Gateways) -> None:
    """Listener isolation, in one Gateway and between two: what a route has at the other listener does not count."""
    port = free_port()
    pods.create_gateway("wide", tls("wide", port, "*.example.com"))
    pods.create_gateway("narrow", tls("narrow", port, "abc.example.com"), tls("deep", port, "*.sub.example.com"))
    pods.create_tls_route(
        "wide", [{"name": "wide"}], ["*.example.com", "abc.example.com", "x.sub.example.com"], to("tls-backend")
    )
    pods.create_tls_route(
        "deep", [{"name": "narrow", "sectionName": "deep"}], ["y.sub.example.com"], to("tls-backend-2")
    )
    pods.router().start()
    pods.accepted("wide", "wide", kind="TLSRoute")
    told(pods, "deep", Accepted=ACCEPTED)
    pods.listeners_are_told("narrow", narrow={**TLS, "attached": 0}, deep=TLS)
    assert reached(port, "other.example.com") == b"tls-backend"
    assert reached(port, "y.sub.example.com") == b"tls-backend-2"
    assert is_dropped(port, "abc.example.com")
    assert is_dropped(port, "x.sub.example.com")


def test_no_listener_of_the_name(pods: Gateways) -> None:
    """TLSRouteInvalidNoMatchingListenerHostname, and TLSRouteInvalidNoMatchingListener's TLS part."""
    port = free_port()
    pods.create_gateway("gw", tls("exact", port, "www.example.com"), tls("wild", port, "*.other.com"))
    pods.create_tls_route("elsewhere", [{"name": "gw"}], ["example.com", "*.example.org"], to("tls-backend"))
    pods.create_tls_route("section", [{"name": "gw", "sectionName": "gone"}], ["www.example.com"], to("tls-backend"))
    pods.router().start()
    told(pods, "elsewhere", Accepted=("False", "NoMatchingListenerHostname"), ResolvedRefs=RESOLVED)
    told(pods, "section", Accepted=("False", "NoMatchingParent"))
    pods.listeners_are_told("gw", exact={**TLS, "attached": 0}, wild={**TLS, "attached": 0})
    pods.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)


def test_http_listeners_take_no_tls_routes(pods: Gateways) -> None:
    """TLSRouteInvalidNoMatchingListener, with --gateway-http accept."""
    pods.create_gateway("gw", listener("http", 80, "HTTP"))
    pods.create_tls_route("r", [{"name": "gw"}], ["www.example.com"], to("tls-backend"))
    pods.router(accepts_http=True).start()
    told(pods, "r", Accepted=("False", "NotAllowedByListeners"))
    pods.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (backend("gone", 443), "BackendNotFound"),
        ({"group": "x.io", "kind": "Thing", "name": "tls-backend", "port": 443}, "InvalidKind"),
        (backend("tls-backend", 443, namespace="other"), "RefNotPermitted"),
    ],
    ids=["nonexistent", "unknown kind", "no grant"],
)
def test_a_backend_that_cannot_be_had_drops_connections(pods: Gateways, ref: dict[str, Any], reason: str) -> None:
    """TLSRouteInvalidBackendRefNonexistent and -UnknownKind, and a Service without any grant: accepted, and dropped."""
    port = free_port()
    pods.create_gateway("gw", tls("tls", port))
    pods.create_tls_route("r", [{"name": "gw"}], ["abc.example.com"], [ref])
    pods.router().start()
    told(pods, "r", Accepted=ACCEPTED, ResolvedRefs=("False", reason))
    assert is_dropped(port, "abc.example.com")


def test_a_grant_that_is_wrong_in_one_thing_is_none(pods: Gateways) -> None:
    """TLSRouteInvalidReferenceGrant: seven, each wrong in one field, and none lets the route; one that is right in all does."""
    cluster, port = pods.cluster, free_port()
    own, there, third = cluster.namespace, f"{cluster.namespace}-web", f"{cluster.namespace}-third"
    for name in (there, third):
        cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    pod = cluster.pod(b"there ")
    for obj in (service("web", 443), *endpoint_slice("web", pod)):
        cluster.client.create({**obj, "metadata": {**obj["metadata"], "namespace": there}})
    right = grant("TLSRoute", own, "Service", "web")
    wrong = [
        (there, grant("TLSRoute", own, "Service", "web", group="not.the.group")),
        (there, grant("Gateway", own, "Service", "web")),
        (there, grant("TLSRoute", there, "Service", "web")),
        (there, {**right, "to": [{"group": "x.io", "kind": "Service"}]}),
        (there, grant("TLSRoute", own, "Secret", "web")),
        (there, grant("TLSRoute", own, "Service", "not-the-one")),
        (third, right),
    ]
    for number, (namespace, spec) in enumerate(wrong):
        cluster.client.create(as_grant(f"wrong-{number}", namespace, spec))
    pods.create_gateway("gw", tls("tls", port))
    pods.create_tls_route("r", [{"name": "gw"}], ["abc.example.com"], [backend("web", 443, namespace=there)])
    pods.router("--namespace", there, "--namespace", third).start()
    told(pods, "r", Accepted=ACCEPTED, ResolvedRefs=("False", "RefNotPermitted"))
    assert is_dropped(port, "abc.example.com")
    cluster.client.create(as_grant("right", there, right))
    told(pods, "r", Accepted=ACCEPTED, ResolvedRefs=RESOLVED)


def test_kinds_and_modes_that_are_not_supported(pods: Gateways) -> None:
    """TLSRouteListenerPassthroughSupportedKinds and TLSRouteListenerTerminateNotSupported."""
    port = free_port()
    kinds = {"kinds": [{"kind": "TCPRoute"}, {"kind": "TLSRoute"}]}
    pods.create_gateway("kinds", tls("tls", port, allowedRoutes=kinds))
    pods.create_gateway("ends", tls("tls", port, "ends.example.com", "Terminate"))
    pods.router().start()
    pods.listeners_are_told(
        "kinds", tls={**TLS, "attached": 0, "conditions": {"ResolvedRefs": ("False", "InvalidRouteKinds")}}
    )
    unsupported = {"Accepted": ("False", "UnsupportedValue"), "Programmed": ("False", "Invalid")}
    pods.listeners_are_told("ends", tls={"kinds": [], "attached": 0, "conditions": unsupported})


def test_new_names_and_routes_need_no_reload(pods: Gateways) -> None:
    """A TLSRoute's new hostname, another's backend, and a route that comes and goes on a place of --sni-pool."""
    port = free_port()
    pods.create_gateway("gw", tls("tls", port, "*.example.com"))
    pods.create_tls_route("r", [{"name": "gw"}], ["one.example.com"], to("tls-backend"))
    router = pods.router("--sni-pool", "2").start()
    pods.accepted("gw", "r", kind="TLSRoute")
    before = reloads(router)
    pods.patch("TLSRoute", "r", {"hostnames": ["one.example.com", "*.two.example.com"]})
    wait_for(lambda: reached(port, "a.b.two.example.com") == b"tls-backend", "the new name")
    pods.create_tls_route("s", [{"name": "gw"}], ["three.example.com"], to("tls-backend-2"))
    told(pods, "s", Accepted=ACCEPTED)
    assert reached(port, "three.example.com") == b"tls-backend-2"
    pods.cluster.client.delete("TLSRoute", pods.cluster.namespace, "r")
    wait_for(lambda: is_dropped(port, "one.example.com"), "the deleted route not to be served")
    assert reached(port, "three.example.com") == b"tls-backend-2"
    assert reloads(router) == before


def test_the_oldest_has_a_name_and_hostnames_of_gateways_are_claimed(pods: Gateways) -> None:
    """Of two routes with one name the older serves; of two Gateways with one hostname the younger's listener is refused, until the other goes."""
    cluster, port = pods.cluster, free_port()
    pods.create_gateway("first", tls("tls", port, "*.example.com"))
    pods.create_tls_route("a", [{"name": "first"}], ["x.example.com"], to("tls-backend"))
    pods.create_tls_route("b", [{"name": "first"}], ["x.example.com"], to("tls-backend-2"))
    pods.router().start()
    serves = "tcp-router.openshift.io/Serves"
    told(pods, "a", **{"Accepted": ACCEPTED, serves: ("True", "Served")})
    told(pods, "b", **{"Accepted": ACCEPTED, serves: ("False", "OlderRouteIsServed")})
    pods.create_gateway("second", tls("tls", port, "*.example.com"))
    pods.create_tls_route("c", [{"name": "second"}], ["y.example.com"], to("tls-backend-2"))
    lost = {"Accepted": ("False", "PortUnavailable"), "Conflicted": ("True", "HostAlreadyClaimed")}
    pods.listeners_are_told("second", tls={**TLS, "conditions": lost})
    assert reached(port, "x.example.com") == b"tls-backend"
    assert is_dropped(port, "y.example.com")
    cluster.client.delete("Gateway", cluster.namespace, "first")
    pods.listeners_are_told("second", tls=TLS)
    assert reached(port, "y.example.com") == b"tls-backend-2"


def test_routes_of_openshift_share_a_port_with_a_listener(pods: Gateways) -> None:
    """A passthrough Route with external-tcp-port-sni has its host beside a TLS listener of the same port; a TCP listener cannot have it."""
    port, annotation = free_port(), "haproxy.router.openshift.io/external-tcp-port-sni"
    pods.create_gateway("gw", tls("tls", port, "*.example.com"))
    pods.create_tls_route("r", [{"name": "gw"}], ["*.example.com"], to("tls-backend"))
    shared = route(
        "old", port, host="old.example.com", service="tls-backend-2", passthrough=True, annotations={annotation: "true"}
    )
    pods.cluster.create(shared)
    pods.router().start()
    pods.cluster.wait_for_conditions("old", Admitted="True", PortClaimed="True")
    pods.accepted("gw", "r", kind="TLSRoute")
    assert reached(port, "old.example.com") == b"tls-backend-2"
    assert reached(port, "new.example.com") == b"tls-backend"
    pods.create_gateway("tcp", listener("tcp", port))
    pods.listeners_are_told(
        "tcp", tcp={"kinds": ["TCPRoute"], "attached": 0, "conditions": {"Accepted": ("False", "PortUnavailable")}}
    )
