"""``--gateway-http accept``: the conformance suite's core tests of Gateways, which are of HTTP and HTTPS listeners, with its strictness."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.e2e.test_gateway_api import ACCEPTED, GOOD, PROGRAMMED, RESOLVED, backend, gateways, give, listener
from tests.support.certificates import make
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.ports import free_port
from tests.support.probing import is_refused

__all__ = ["gateways"]

HTTP = {"kinds": ["HTTPRoute"], "attached": 0, "conditions": GOOD}


def https(name: str, *refs: dict[str, Any], host: str = "secure.test.com") -> dict[str, Any]:
    """Make an HTTPS listener."""
    return listener(name, 443, "HTTPS", hostname=host, tls={"mode": "Terminate", "certificateRefs": list(refs)})


def create_secret(gateways: Gateways, name: str, certificate: str = "", namespace: str = "") -> None:
    """Create a Secret with a certificate, a whole one unless told otherwise."""
    made = make("secure.test.com")
    pair = {"tls.crt": certificate or made.pem, "tls.key": made.key}
    gateways.cluster.client.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace or gateways.cluster.namespace},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in pair.items()},
        }
    )


def refused(reason: str) -> dict[str, Any]:
    """Give what a listener is told whose certificates it has not got."""
    conditions = {"ResolvedRefs": ("False", reason), "Programmed": ("False", "Invalid"), "Accepted": ACCEPTED}
    return {"kinds": ["HTTPRoute"], "attached": 0, "conditions": conditions}


def grant(kind: str, of: str, to: str, name: str | None = None, group: str = GROUP) -> dict[str, Any]:
    """Make the spec of a ReferenceGrant."""
    target = {"group": "", "kind": to, **({"name": name} if name is not None else {})}
    return {"from": [{"group": group, "kind": kind, "namespace": of}], "to": [target]}


def test_http_listeners_are_refused_unless_that_is_asked_for(gateways: Gateways) -> None:
    """This is no HTTP router, and says so; nobody attaches."""
    gateways.create_gateway("gw", listener("http", 80, "HTTP"))
    gateways.create_http_route("r", [{"name": "gw"}])
    gateways.router().start()
    gateways.gateway_is_told("gw", Accepted=("False", "ListenersNotValid"))
    gateways.listeners_are_told(
        "gw", http={"kinds": [], "attached": 0, "conditions": {"Accepted": ("False", "UnsupportedProtocol")}}
    )


def test_a_second_http_listener_follows_the_generation(gateways: Gateways) -> None:
    """GatewayObservedGenerationBump; no port is opened, and the message says so."""
    port = free_port()
    gateways.create_gateway("gw", listener("one", port, "HTTP", hostname="bar.com"))
    gateways.router(accepts_http=True).start()
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    both = [listener("one", port, "HTTP", hostname="bar.com"), listener("two", port, "HTTP", hostname="foo.com")]
    gateways.patch("Gateway", "gw", {"listeners": both})
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    told = gateways.listeners_are_told("gw", one=HTTP, two=HTTP)
    (programmed,) = [c for c in told["status"]["listeners"][0]["conditions"] if c["type"] == "Programmed"]
    assert "no port" in programmed["message"]
    assert is_refused(port)


def test_an_unsupported_listener_beside_an_http_one(gateways: Gateways) -> None:
    """GatewayListenerUnsupportedProtocol (b)."""
    gateways.create_gateway("gw", listener("http", 80, "HTTP"), listener("invalid", 1111, "INVALID"))
    gateways.router(accepts_http=True).start()
    gateways.gateway_is_told("gw", Accepted=("True", "ListenersNotValid"), Programmed=PROGRAMMED)
    invalid = {"kinds": [], "attached": 0, "conditions": {"Accepted": ("False", "UnsupportedProtocol")}}
    gateways.listeners_are_told("gw", http=HTTP, invalid=invalid)


def test_invalid_kinds_of_an_http_listener(gateways: Gateways) -> None:
    """GatewayInvalidRouteKind."""
    kinds = [{"kind": "InvalidRoute"}, {"kind": "HTTPRoute"}]
    bad = {"ResolvedRefs": ("False", "InvalidRouteKinds")}
    for name, asked, left in (("none", kinds[:1], []), ("one", kinds, ["HTTPRoute"])):
        gateways.create_gateway(name, listener("http", 80, "HTTP", allowedRoutes={"kinds": asked}))
        if name == "none":
            gateways.router(accepts_http=True).start()
        gateways.listeners_are_told(name, http={"kinds": left, "attached": 0, "conditions": bad})


@pytest.mark.parametrize(
    "ref",
    [
        {"name": "missing"},
        {"name": "good", "group": "wrong.group.company.io", "kind": "Secret"},
        {"name": "good", "kind": "WrongKind"},
        {"name": "malformed"},
    ],
    ids=["missing", "group", "kind", "content"],
)
def test_invalid_certificates(gateways: Gateways, ref: dict[str, Any]) -> None:
    """GatewayInvalidTLSConfiguration: InvalidCertificateRef, and HTTPRoute supported; a Secret that comes later mends it."""
    create_secret(gateways, "good")
    create_secret(gateways, "malformed", "this is no certificate")
    gateways.create_gateway("gw", https("https", ref))
    gateways.router(accepts_http=True).start()
    gateways.listeners_are_told("gw", https=refused("InvalidCertificateRef"))
    if ref["name"] == "missing":
        create_secret(gateways, "missing")
        gateways.listeners_are_told("gw", https=HTTP)


def test_a_secret_of_another_namespace_needs_a_grant(gateways: Gateways) -> None:
    """GatewaySecretMissingReferenceGrant, Invalid-, -AllInNamespace and -Specific: seven grants that are each wrong in one thing; then two right ones."""
    cluster = gateways.cluster
    own, other = cluster.namespace, f"{cluster.namespace}-web"
    for name in (other, f"{own}-third"):
        cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    create_secret(gateways, "certificate", namespace=other)
    gateways.create_gateway("gw", https("https", {"name": "certificate", "namespace": other}))
    gateways.router("--namespace", other, "--namespace", f"{own}-third", accepts_http=True).start()
    gateways.listeners_are_told("gw", https=refused("RefNotPermitted"))
    wrong = [
        (other, grant("Gateway", own, "Secret", "certificate", group="not.the.group")),
        (other, grant("Service", own, "Secret", "certificate")),
        (other, grant("Gateway", other, "Secret", "certificate")),
        (other, {**grant("Gateway", own, "Secret", "certificate"), "to": [{"group": "x.io", "kind": "Secret"}]}),
        (other, grant("Gateway", own, "Service", "certificate")),
        (other, grant("Gateway", own, "Secret", "not-the-one")),
        (f"{own}-third", grant("Gateway", own, "Secret", "certificate")),
    ]
    for number, (namespace, spec) in enumerate(wrong):
        metadata = {"name": f"wrong-{number}", "namespace": namespace}
        cluster.client.create(
            {"apiVersion": f"{GROUP}/v1", "kind": "ReferenceGrant", "metadata": metadata, "spec": spec}
        )
    gateways.patch("Gateway", "gw", {"infrastructure": {"labels": {"a": "b"}}})
    gateways.listeners_are_told("gw", https=refused("RefNotPermitted"))
    metadata = {"name": "right", "namespace": other}
    for named in (None, "certificate"):
        spec = grant("Gateway", own, "Secret", named)
        cluster.client.create(
            {"apiVersion": f"{GROUP}/v1", "kind": "ReferenceGrant", "metadata": metadata, "spec": spec}
        )
        gateways.listeners_are_told("gw", https=HTTP)
        cluster.client.delete("ReferenceGrant", other, "right")
        gateways.listeners_are_told("gw", https=refused("RefNotPermitted"))


def test_http_routes_are_counted_where_their_hostnames_meet(gateways: Gateways) -> None:
    """GatewayModifyListeners: one route without hostnames at both listeners; one of another host at none; then a listener goes."""
    create_secret(gateways, "certificate")
    secure, plain = https("https", {"name": "certificate"}), listener("http", 80, "HTTP", hostname="data.test.com")
    gateways.create_gateway("gw", secure)
    gateways.create_http_route("any", [{"name": "gw"}])
    gateways.create_http_route("elsewhere", [{"name": "gw"}], ["*.example.com"])
    gateways.router(accepts_http=True).start()
    gateways.listeners_are_told("gw", https={**HTTP, "attached": 1})
    gateways.patch("Gateway", "gw", {"listeners": [secure, plain]})
    gateways.listeners_are_told("gw", https={**HTTP, "attached": 1}, http={**HTTP, "attached": 1})
    gateways.create_http_route("wild", [{"name": "gw"}], ["*.com"])
    gateways.listeners_are_told("gw", https={**HTTP, "attached": 2}, http={**HTTP, "attached": 2})
    gateways.patch("Gateway", "gw", {"listeners": [plain]})
    gateways.listeners_are_told("gw", http={**HTTP, "attached": 2})


def test_a_tcp_route_is_not_allowed_at_an_http_listener(gateways: Gateways) -> None:
    """TCPRouteInvalidNonTCPListener: Gateway accepted and programmed, the route not, nobody attached."""
    give(gateways.cluster, "a")
    gateways.create_gateway("gw", listener("http", 5300, "HTTP", allowedRoutes={"kinds": [{"kind": "HTTPRoute"}]}))
    gateways.create_route("r", [{"name": "gw", "sectionName": "http"}], [backend("a")])
    gateways.router(accepts_http=True).start()
    gateways.route_is_told("r", {"Accepted": ("False", "NotAllowedByListeners"), "ResolvedRefs": RESOLVED})
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    gateways.listeners_are_told("gw", http=HTTP)
