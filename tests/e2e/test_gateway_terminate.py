"""TLS listeners of Gateways that end TLS, by the conformance suite's extended tests of them: statuses, certificates and what the pods get."""

from __future__ import annotations

import ssl
from typing import Any

from tests.e2e.test_gateway_api import ACCEPTED, GOOD, PROGRAMMED, RESOLVED, backend, gateways, give
from tests.e2e.test_gateway_http import grant
from tests.e2e.test_gateway_tls import client_hello, is_dropped, pods, tls, to
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, make
from tests.support.clients import asked, connect, reached
from tests.support.clients import tls as speaking
from tests.support.gateway_checks import GROUP, Gateways
from tests.support.level import metric
from tests.support.objects import tls_secret
from tests.support.ports import free_port
from tests.support.waiting import wait_for

__all__ = ["gateways", "pods"]

TLS = {"kinds": ["TLSRoute"], "attached": 1, "conditions": GOOD}
HOST = "tls.example.com"


def ends(name: str, port: int, hostname: str | None, *refs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a listener that ends TLS."""
    made = tls(name, port, hostname, "Terminate", **more)
    return {**made, "tls": {"mode": "Terminate", "certificateRefs": list(refs)}}


def keep(gateways: Gateways, name: str, made: Made, namespace: str = "") -> None:
    """Create a Secret with a certificate."""
    where = namespace or gateways.cluster.namespace
    gateways.cluster.client.create(tls_secret(name, made.pem, made.key, namespace=where))


def replace(gateways: Gateways, name: str, made: Made) -> None:
    """Put another certificate into a Secret."""
    where = gateways.cluster.namespace
    data = tls_secret(name, made.pem, made.key, namespace=where)["data"]
    gateways.cluster.client.patch("Secret", where, name, {"data": data})


def shows(port: int, host: str, made: Made) -> bool:
    """Say whether clients that ask for a host are shown a certificate."""
    try:
        with speaking(port, host) as connection:
            return connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(made.pem)
    except OSError:
        return False


def lacks(reason: str, attached: int = 1) -> dict[str, Any]:
    """Give what a listener is told whose certificates it has not got."""
    conditions = {"Accepted": ACCEPTED, "ResolvedRefs": ("False", reason), "Programmed": ("False", "Invalid")}
    return {"kinds": ["TLSRoute"], "attached": attached, "conditions": conditions}


def test_a_listener_ends_tls(gateways: Gateways) -> None:
    """TLSRouteTerminateSimpleSameNamespace: its certificate is shown, the pod sees what is in the TLS; another one is, without a reload and open connections go on."""
    port, first, second = free_port(), make(HOST), make(HOST)
    give(gateways.cluster, "plain")
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "certificate"}))
    gateways.create_tls_route("r", [{"name": "gw"}], [HOST], [backend("plain")])
    router = gateways.router(ends_tls=True).start()
    gateways.listeners_are_told("gw", tls=lacks("InvalidCertificateRef"))
    serves = "tcp-router.openshift.io/Serves"
    gateways.route_is_told("r", {"Accepted": ACCEPTED, serves: ("False", "ListenerNotServed")}, kind="TLSRoute")
    assert is_dropped(port, HOST)
    keep(gateways, "certificate", first)
    gateways.accepted("gw", "r", kind="TLSRoute")
    gateways.listeners_are_told("gw", tls=TLS)
    gateways.route_is_told("r", {"ResolvedRefs": RESOLVED, serves: ("True", "Served")}, kind="TLSRoute")
    assert shows(port, HOST, first)
    assert is_dropped(port, "other.example.com")
    before = reloads(router)
    with speaking(port, HOST) as open_one:
        assert asked(open_one) == b"plain who?"
        replace(gateways, "certificate", second)
        wait_for(lambda: shows(port, HOST, second), "the other certificate")
        assert asked(open_one).endswith(b"who?")
    assert reloads(router) == before
    # What cannot be served any more is not shown any more, and comes back.
    replace(gateways, "certificate", Made(second.certificate, first.private_key))
    gateways.listeners_are_told("gw", tls=lacks("InvalidCertificateRef"))
    assert is_dropped(port, HOST)
    replace(gateways, "certificate", first)
    gateways.listeners_are_told("gw", tls=TLS)
    assert shows(port, HOST, first)
    features = [
        each["name"] for each in gateways.get("GatewayClass", gateways.class_name, "")["status"]["supportedFeatures"]
    ]
    assert features == sorted(features)
    assert {"TLSRouteModeTerminate", "TLSRouteModeMixed"} <= set(features)


def test_kinds_of_a_listener_that_ends_tls(gateways: Gateways) -> None:
    """TLSRouteListenerTerminateSupportedKinds: TLSRoutes, whatever else it wants; and TLSRouteListenerMixedTerminationNotSupported is not so here."""
    port = free_port()
    keep(gateways, "certificate", make(HOST))
    ref, both = {"name": "certificate"}, [{"kind": "TLSRoute"}, {"kind": "TCPRoute"}]
    gateways.create_gateway(
        "gw",
        ends("ends", port, HOST, ref),
        ends("asks", port, "asks.example.com", ref, allowedRoutes={"kinds": both}),
        tls("passes", port, "passes.example.com"),
    )
    gateways.router(ends_tls=True).start()
    bad = {"Accepted": ACCEPTED, "ResolvedRefs": ("False", "InvalidRouteKinds")}
    gateways.listeners_are_told(
        "gw",
        ends={**TLS, "attached": 0},
        asks={**TLS, "attached": 0, "conditions": bad},
        passes={**TLS, "attached": 0},
    )


def test_both_modes_on_one_port(pods: Gateways) -> None:
    """TLSRouteMixedTerminationSameNamespace: by server name, though both routes name the whole Gateway; one route can be at both."""
    port, other, made = free_port(), free_port(), make(HOST)
    give(pods.cluster, "plain")
    keep(pods, "certificate", made)
    listeners = [ends("ends", port, HOST, {"name": "certificate"}), tls("passes", port, "abc.example.com")]
    pods.create_gateway("gw", *listeners, tls("through", other, HOST))
    pods.create_tls_route("ended", [{"name": "gw"}], [HOST], [backend("plain")])
    pods.create_tls_route("passed", [{"name": "gw"}], ["abc.example.com"], to("tls-backend"))
    pods.router(ends_tls=True).start()
    pods.accepted("gw", "ended", "passed", kind="TLSRoute")
    pods.listeners_are_told("gw", ends=TLS, passes=TLS, through=TLS)
    assert shows(port, HOST, made)
    assert reached(port, HOST) == b"plain who?"
    assert reached(port, "abc.example.com") == b"tls-backend"
    assert not shows(port, "abc.example.com", made)
    with connect(other) as plain:
        plain.sendall(client_hello(HOST))
        # The first byte of TLS, as the pod got it.
        assert plain.recv(100).startswith(b"plain \x16")


def test_names_are_isolated_and_have_the_certificate_that_is_for_them(pods: Gateways) -> None:
    """Wildcards, a listener without a hostname, and several certificates; TLS of a more specific listener goes on as it comes."""
    port, wild, exact, deep = free_port(), make("*.example.com"), make("own.example.com"), make("*.sub.example.org")
    give(pods.cluster, "plain")
    for name, made in (("wild", wild), ("exact", exact), ("deep", deep)):
        keep(pods, name, made)
    refs = [{"name": "wild"}, {"name": "exact", "group": "", "kind": "Secret"}, {"name": "deep"}]
    pods.create_gateway("any", ends("any", port, None, *refs))
    pods.create_gateway("narrow", tls("narrow", port, "abc.example.com"))
    names = ["*.example.com", "own.example.com", "*.sub.example.org"]
    pods.create_tls_route("r", [{"name": "any"}], names, [backend("plain")])
    pods.create_tls_route("s", [{"name": "narrow"}], ["abc.example.com"], to("tls-backend"))
    pods.router("--sni-pool", "2", ends_tls=True).start()
    pods.accepted("any", kind="TLSRoute")
    pods.accepted("narrow", "s", kind="TLSRoute")
    for host, made in (("x.example.com", wild), ("OWN.example.com", exact), ("y.sub.example.org", deep)):
        wait_for(lambda h=host, m=made: shows(port, h, m), f"the certificate of {host}")  # type: ignore[misc]
        assert reached(port, host) == b"plain who?"
    assert reached(port, "abc.example.com") == b"tls-backend"
    for other in ("example.com", "sub.example.org", "a.example.net"):
        assert is_dropped(port, other), other


def test_new_names_and_routes_need_no_reload(gateways: Gateways) -> None:
    """A route's further hostname, and another route on a place of --sni-pool."""
    port, made = free_port(), make("*.example.com")
    for name in ("plain", "other"):
        give(gateways.cluster, name)
    keep(gateways, "certificate", made)
    gateways.create_gateway("gw", ends("tls", port, "*.example.com", {"name": "certificate"}))
    gateways.create_tls_route("r", [{"name": "gw"}], ["one.example.com"], [backend("plain")])
    router = gateways.router("--sni-pool", "2", ends_tls=True).start()
    gateways.accepted("gw", "r", kind="TLSRoute")
    before = reloads(router)
    gateways.patch("TLSRoute", "r", {"hostnames": ["one.example.com", "two.example.com"]})
    wait_for(lambda: shows(port, "two.example.com", made), "the new name")
    assert reached(port, "two.example.com") == b"plain who?"
    gateways.create_tls_route("s", [{"name": "gw"}], ["three.example.com"], [backend("other")])
    gateways.route_is_told("s", {"Accepted": ACCEPTED, "ResolvedRefs": RESOLVED}, kind="TLSRoute")
    assert reached(port, "three.example.com") == b"other who?"
    gateways.cluster.client.delete("TLSRoute", gateways.cluster.namespace, "r")
    wait_for(lambda: is_dropped(port, "one.example.com"), "the deleted route not to be served")
    assert reached(port, "three.example.com") == b"other who?"
    assert reloads(router) == before


def test_a_secret_of_another_namespace_needs_a_grant(gateways: Gateways) -> None:
    """It is served while there is one, and no longer; without it nobody learns whether the Secret is there."""
    cluster, port, made = gateways.cluster, free_port(), make(HOST)
    own, other = cluster.namespace, f"{cluster.namespace}-web"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    give(cluster, "plain")
    keep(gateways, "certificate", made, other)
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "certificate", "namespace": other}))
    gateways.create_tls_route("r", [{"name": "gw"}], [HOST], [backend("plain")])
    gateways.router("--namespace", other, ends_tls=True).start()
    gateways.listeners_are_told("gw", tls=lacks("RefNotPermitted"))
    gateways.gateway_is_told("gw", Accepted=ACCEPTED, Programmed=PROGRAMMED)
    assert is_dropped(port, HOST)
    metadata = {"name": "right", "namespace": other}
    spec = grant("Gateway", own, "Secret", "certificate")
    cluster.client.create({"apiVersion": f"{GROUP}/v1", "kind": "ReferenceGrant", "metadata": metadata, "spec": spec})
    gateways.listeners_are_told("gw", tls=TLS)
    assert shows(port, HOST, made)
    cluster.client.delete("ReferenceGrant", other, "right")
    gateways.listeners_are_told("gw", tls=lacks("RefNotPermitted"))
    assert is_dropped(port, HOST)


def test_secrets_of_other_types_stay_where_they_are(gateways: Gateways) -> None:
    """The API server is asked for those of TLS alone: of others nothing comes here, also where a listener names one; one that is made anew as TLS is taken."""
    port, made, client = free_port(), make(HOST), gateways.cluster.client
    keep(gateways, "whole", made)
    for name in ("named", "other"):
        client.create(tls_secret(name, made.pem, made.key, namespace=gateways.cluster.namespace, kind="Opaque"))
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "named"}))
    router = gateways.router(ends_tls=True).start()
    found = gateways.listeners_are_told("gw", tls=lacks("InvalidCertificateRef", 0))
    (resolved,) = [c for c in found["status"]["listeners"][0]["conditions"] if c["type"] == "ResolvedRefs"]
    assert "there is none of type kubernetes.io/tls" in resolved["message"]
    assert metric(router, 'tcp_router_objects{kind="secrets"}') == 1
    client.delete("Secret", gateways.cluster.namespace, "named")
    keep(gateways, "named", made)
    gateways.listeners_are_told("gw", tls={**TLS, "attached": 0})
    assert metric(router, 'tcp_router_objects{kind="secrets"}') == 2


def test_no_key_is_shown(gateways: Gateways) -> None:
    """Nothing of the Secret is in the log of the router, nor in what it serves by HTTP, nor may others read the files."""
    port, made = free_port(), make(HOST)
    give(gateways.cluster, "plain")
    keep(gateways, "certificate", made)
    gateways.create_gateway("gw", ends("tls", port, HOST, {"name": "certificate"}))
    gateways.create_tls_route("r", [{"name": "gw"}], [HOST], [backend("plain")])
    router = gateways.router(ends_tls=True).start()
    gateways.accepted("gw", "r", kind="TLSRoute")
    lines = made.key.splitlines()[2:-1]
    with_key = [
        path
        for path in router.directory.rglob("*")
        if path.is_file() and any(line.encode() in path.read_bytes() for line in lines)
    ]
    assert with_key
    assert all(path.stat().st_mode & 0o077 == 0 for path in with_key), with_key
