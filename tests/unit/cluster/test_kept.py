"""What is kept of Services and slices is all that admission reads of them."""

from __future__ import annotations

from copy import copy

import msgspec
import pytest

from router.admission import Admission
from router.cluster.decoding import decode_object
from router.cluster.kept import kept_claim, kept_route, kept_service, kept_slice
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef
from router.objects.meta import ObjectMeta
from router.objects.portclaim import PortClaim
from router.objects.route import Route, RoutePort, RouteSpec, RouteTarget
from router.objects.store import Store
from router.settings import AdmissionSettings
from tests.support.objects import port_claim

PREFIX = "haproxy.router.openshift.io/"
LABELS = {"kubernetes.io/service-name": "db", "app": "unread"}
ROUTE = Route(
    ObjectMeta(
        name="db",
        namespace="team",
        annotations={f"{PREFIX}router-name": "tcp-router", f"{PREFIX}external-tcp-port": "6620"},
    ),
    RouteSpec(to=RouteTarget(name="db"), port=RoutePort("tcp")),
)
SERVICES = {
    "plain": Service(
        ObjectMeta(name="db", namespace="team", uid="unread", resource_version="1", labels={"unread": "x"}),
        ServiceSpec(cluster_ip="172.30.0.1", ports=(ServicePort(5432, "tcp"),), session_affinity="ClientIP"),
    ),
    "idled": Service(
        ObjectMeta(
            name="db", namespace="team", annotations={"idling.alpha.openshift.io/idled-at": "2026-01-01T00:00:00Z"}
        ),
        ServiceSpec(cluster_ip="172.30.0.1", cluster_ips=("172.30.0.1",), ports=(ServicePort(5432, "tcp"),)),
    ),
    "dual-stack": Service(
        ObjectMeta(name="db", namespace="team"),
        ServiceSpec(ports=(ServicePort(5432, "tcp"),), ip_families=("IPv6", "IPv4")),
    ),
    "external": Service(ObjectMeta(name="db", namespace="team"), ServiceSpec(type="ExternalName")),
}
SLICES = {
    "serving and draining": EndpointSlice(
        ObjectMeta(name="db-1", namespace="team", labels=LABELS, resource_version="2"),
        endpoints=(
            Endpoint(("10.0.0.1",), target_ref=TargetRef("Pod", "db-0", "team"), hostname="unread"),
            Endpoint(("10.0.0.2",), EndpointConditions(ready=False, serving=True, terminating=True)),
        ),
        ports=(EndpointPort("tcp", 5432, "TCP"),),
    ),
    "both families of a pod": EndpointSlice(
        ObjectMeta(name="db-1", namespace="team", labels=LABELS),
        endpoints=tuple(
            Endpoint((address,), target_ref=TargetRef("Pod", "db-0", "team")) for address in ("10.0.0.1", "fd00::1")
        ),
        ports=(EndpointPort("tcp", 5432, "TCP"),),
    ),
    "nothing": EndpointSlice(ObjectMeta(name="db-1", namespace="team", labels=LABELS)),
}


@pytest.mark.parametrize("endpoint_slice", SLICES.values(), ids=SLICES)
@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_admission_decides_the_same(service: Service, endpoint_slice: EndpointSlice) -> None:
    """From what is kept the same model and verdicts follow as from the whole objects."""
    outcomes = []
    for objects in ((service, endpoint_slice), (kept_service(service), kept_slice(endpoint_slice))):
        store = Store()
        store.put(ROUTE, *objects)
        changes, _ = store.take()
        outcomes.append(Admission(AdmissionSettings()).update(store.objects, changes))
    whole, kept = outcomes
    assert kept.model == whole.model
    assert dict(kept.verdicts) == dict(whole.verdicts)


def test_what_nobody_reads_goes() -> None:
    """An object that changed in nothing that is read is the one that is there already, its resourceVersion included."""
    service, endpoint_slice = kept_service(SERVICES["plain"]), kept_slice(SLICES["serving and draining"])
    assert (service.metadata.resource_version, endpoint_slice.metadata.resource_version) == ("", "")
    assert (service.metadata.uid, service.metadata.labels) == ("", None)
    assert endpoint_slice.metadata.labels == {"kubernetes.io/service-name": "db"}


@pytest.mark.parametrize("path", ["", "/x"], ids=["without a path", "with a path"])
def test_a_route_is_kept_whole(path: str) -> None:
    """Nothing is lost of a Route, for its status is decided of all of it; parts that others have alike are shared."""

    def decoded(name: str) -> Route:
        value = {
            "metadata": {
                "name": name,
                "namespace": "team",
                "uid": "u",
                "resourceVersion": "3",
                "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {f"{PREFIX}router-name": "tcp-router"},
                "labels": {"app": "db"},
            },
            "spec": {
                "to": {"kind": "Service", "name": "db", "weight": 7},
                "alternateBackends": [{"kind": "Service", "name": "other", "weight": 1}],
                "subdomain": "db",
                "host": "db.example.com",
                "path": path,
                "port": {"targetPort": "tcp"},
                "tls": {"termination": "passthrough", "insecureEdgeTerminationPolicy": "None"},
                "wildcardPolicy": "Subdomain",
            },
            "status": {
                "ingress": [
                    {
                        "routerName": "default",
                        "host": "db.example.com",
                        "routerCanonicalHostname": "router.example.com",
                        "wildcardPolicy": "None",
                        "conditions": [
                            {"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                            {"type": "Other", "status": "False", "reason": "R", "message": "m"},
                        ],
                    },
                    {"routerName": "bare"},
                ]
            },
        }
        route = decode_object(Route, msgspec.json.encode(value))
        assert isinstance(route, Route)
        return route

    first, second = kept_route(decoded("db")), kept_route(decoded("db-2"))
    assert (first, second) == (decoded("db"), decoded("db-2"))
    assert first.spec.tls is second.spec.tls
    assert kept_route(ROUTE) == ROUTE


def test_what_is_large_is_not_remembered() -> None:
    """Of parts that many objects have alike the first is kept for all, thousands of them: none may be as large as a tenant likes."""
    for ports in (
        tuple(ServicePort(number, f"p{number}") for number in range(9)),
        (ServicePort(1, "p" * 65),),
    ):
        first, second = (
            kept_service(Service(ObjectMeta(name="db"), ServiceSpec(ports=tuple(map(copy, ports))))) for _ in range(2)
        )
        assert first.spec.ports == second.spec.ports
        assert first.spec.ports is not second.spec.ports


def test_claims_that_say_alike_share_what_they_say() -> None:
    """A claim is kept equal in all that is read of it; ledger, namespace and conditions are there once for all."""

    def decoded(port: int) -> PortClaim:
        condition = {
            "type": "InForce",
            "status": "True",
            "reason": "InForce",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        obj = port_claim(f"tcp-router-{port}", port, holder=("Route", "shop", f"db-{port}"), uid=f"uid-{port}")
        made = decode_object(
            PortClaim, msgspec.json.encode({**obj, "status": {"holder": "x", "conditions": [condition]}})
        )
        assert isinstance(made, PortClaim)
        return made

    one, other = kept_claim(decoded(1)), kept_claim(decoded(2))
    assert one == decoded(1)
    assert one.spec.ledger is other.spec.ledger
    assert one.spec.holder is not None
    assert other.spec.holder is not None
    assert one.spec.holder.namespace is other.spec.holder.namespace
    assert one.status.conditions is other.status.conditions
