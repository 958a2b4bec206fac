"""Objects for admission's tests, in the structs that admission reads, and the outcome of a full rebuild."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import structs

from router.admission import Admission, Outcome, Verdict
from router.admission.options import PREFIX
from router.model import Asker, Backend, RouteSection, SharedFrontend
from router.objects.core import CLASS_PREFIX, Service, ServicePort, ServiceSpec
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.portclaim import ClaimHolder, Origin, PortClaim, PortClaimSpec
from router.objects.resolved import ResolvedName
from router.objects.route import (
    Route,
    RouteCondition,
    RouteIngress,
    RoutePort,
    RouteSpec,
    RouteStatus,
    RouteTarget,
    RouteTLS,
)
from router.objects.store import Objects, Store
from router.settings import AdmissionSettings

SETTINGS = AdmissionSettings()
NAMESPACE = "shop"

State = Literal["ready", "draining", "gone", "unknown"]
_CONDITIONS = {
    "ready": EndpointConditions(ready=True, serving=True, terminating=False),
    "draining": EndpointConditions(ready=False, serving=True, terminating=True),
    "gone": EndpointConditions(ready=False, serving=False, terminating=True),
    "unknown": EndpointConditions(),
}


def key(name: str, namespace: str = NAMESPACE) -> ObjectKey:
    """Make a key in the namespace of these tests."""
    return ObjectKey(namespace, name)


def asker(name: str, namespace: str = NAMESPACE) -> Asker:
    """Make a Route's name as an asker, in the namespace of these tests."""
    return Asker.route(namespace, name)


def route(
    name: str = "db",
    port: int | str | None = 6620,
    *,
    namespace: str = NAMESPACE,
    host: str = "",
    termination: str | None = None,
    wildcard: str = "None",
    to: RouteTarget | str = "db",
    alternates: tuple[RouteTarget, ...] | None = None,
    target_port: int | str | None = 5432,
    created: str | None = "2024-01-01T00:00:00Z",
    annotations: Mapping[str, str] | None = None,
    status: RouteStatus | None = None,
    tls: RouteTLS | None = None,
    **short: str,
) -> Route:
    """Make a Route of ours; ``short`` annotations get our prefix, and dashes for their underscores."""
    own = {f"{PREFIX}router-name": SETTINGS.router_name}
    if port is not None:
        own[f"{PREFIX}external-tcp-port"] = str(port)
    own |= {PREFIX + name.replace("_", "-"): value for name, value in short.items()}
    return Route(
        metadata=ObjectMeta(
            name=name, namespace=namespace, creation_timestamp=created, annotations=own | dict(annotations or {})
        ),
        spec=RouteSpec(
            to=to if isinstance(to, RouteTarget) else RouteTarget(name=to),
            host=host,
            alternate_backends=alternates,
            port=RoutePort(target_port=target_port) if target_port is not None else None,
            tls=RouteTLS(termination=termination) if termination is not None else tls,
            wildcard_policy=wildcard,
        ),
        status=status or RouteStatus(),
    )


def sni_route(name: str, host: str, port: int | None = None, **more: object) -> Route:
    """Make a passthrough Route with a host, which shares its external port if it has one."""
    shares = {"external_tcp_port_sni": "true"} if port is not None else {}
    return route(name, port, host=host, termination="passthrough", **shares, **more)  # type: ignore[arg-type]  # passed on


def holding(port: int | None = None, host: str = "", router_name: str = SETTINGS.router_name) -> RouteStatus:
    """Make the status of a Route that is served on this port, with this host."""
    conditions = [RouteCondition(type="Admitted", status="True")]
    if port is not None:
        conditions.append(RouteCondition(type="PortClaimed", status="True", message=str(port)))
    return RouteStatus(ingress=(RouteIngress(router_name=router_name, host=host, conditions=tuple(conditions)),))


def port_claim(
    name: str,
    port: int,
    held_by: ClaimHolder | Asker | None = None,
    *,
    origin: Origin = "Won",
    host: str = "",
    end: int | None = None,
    created: str | None = "2024-01-01T00:00:00Z",
    generation: int = 1,
    address: str = "",
) -> PortClaim:
    """Make a PortClaim of the ledger of these tests."""
    return PortClaim(
        ObjectMeta(name=name, namespace="openshift-ingress", creation_timestamp=created, generation=generation),
        PortClaimSpec(
            ledger=SETTINGS.ledger,
            port=port,
            origin=origin,
            address=address,
            port_end=end,
            host=host,
            holder=ClaimHolder(*held_by) if isinstance(held_by, Asker) else held_by,
        ),
    )


def service(
    name: str = "db",
    *ports: ServicePort,
    namespace: str = NAMESPACE,
    kind: str = "ClusterIP",
    affinity: str = "None",
    cluster_ip: str = "172.30.0.10",
    annotations: dict[str, str] | None = None,
    selects: bool = True,
    created: str | None = None,
    external_name: str = "",
) -> Service:
    """Make a Service with a selector, with the one port ``pg`` 5432 unless told otherwise."""
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace, annotations=annotations, creation_timestamp=created),
        spec=ServiceSpec(
            type=kind,
            cluster_ip=cluster_ip,
            session_affinity=affinity,
            external_name=external_name,
            selector={"app": name} if selects else None,
            ports=ports or (ServicePort(port=5432, name="pg", target_port=5432),),
        ),
    )


def asking(name: str = "db", asks: str | None = "6620", *ports: ServicePort, **more: Any) -> Service:
    """Make a Service that asks for these ports; what ``service`` does not know are annotations, as of ``route``."""
    own = {f"{PREFIX}router-name": SETTINGS.router_name}
    if asks is not None:
        own[f"{PREFIX}external-tcp-port"] = asks
    known = {"namespace", "kind", "affinity", "cluster_ip", "selects", "created", "external_name"}
    own |= {PREFIX + key.replace("_", "-"): value for key, value in more.items() if key not in known}
    of_service = {"created": "2024-01-01T00:00:00Z", **{key: value for key, value in more.items() if key in known}}
    return service(name, *ports, annotations=own, **of_service)


def balanced(
    name: str, ports: Sequence[ServicePort], router: str = SETTINGS.router_name, ranges: tuple[str, ...] | None = None
) -> Service:
    """Make a Service of type LoadBalancer of a router's class."""
    made = service(name, created="2024-01-01T00:00:00Z")
    spec = structs.replace(
        made.spec,
        type="LoadBalancer",
        ports=tuple(ports),
        load_balancer_class=f"{CLASS_PREFIX}{router}",
        load_balancer_source_ranges=ranges,
    )
    return structs.replace(made, spec=spec)


def port_of_service(name: str, section: str = "", namespace: str = NAMESPACE) -> Asker:
    """Give a Service, or a port of it, as an asker."""
    return Asker("", "Service", namespace, name, section)


def endpoint(address: str, state: State = "ready", pod: str | None = None) -> Endpoint:
    """Make an endpoint with one address."""
    target = TargetRef(kind="Pod", name=pod) if pod is not None else None
    return Endpoint(addresses=(address,), conditions=_CONDITIONS[state], target_ref=target)


def endpoint_slice(
    *endpoints: Endpoint | str,
    service: str = "db",
    name: str = "",
    namespace: str = NAMESPACE,
    ports: tuple[EndpointPort, ...] = (EndpointPort(name="pg", port=5432, protocol="TCP"),),
    address_type: str = "IPv4",
) -> EndpointSlice:
    """Make a slice of a Service; plain texts are addresses of ready endpoints."""
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name or f"{service}-1", namespace=namespace, labels={"kubernetes.io/service-name": service}
        ),
        address_type=address_type,
        endpoints=tuple(endpoint(each) if isinstance(each, str) else each for each in endpoints),
        ports=ports,
    )


def resolved(service: str, name: str, addresses: tuple[str, ...], problem: str = "") -> ResolvedName:
    """Make what the DNS says of the name of a Service."""
    return ResolvedName(ObjectMeta(name=service, namespace=NAMESPACE), name, addresses, problem)


DB = (service(), endpoint_slice(endpoint("10.1.0.1", pod="db-0")))
"""The Service and slice that the Routes of these tests lead to by default."""


def objects_of(*objects: KubernetesObject) -> Objects:
    """Put objects into a store and take them out again."""
    store = Store()
    store.put(*objects)
    store.take()
    return store.objects


def admit(*objects: KubernetesObject, settings: AdmissionSettings = SETTINGS) -> Outcome:
    """Decide by a full rebuild, which defines what is right."""
    there = objects_of(*objects)
    return Admission(settings).update(there, there.everything())


def verdict_of(*objects: KubernetesObject, name: str = "db", settings: AdmissionSettings = SETTINGS) -> Verdict:
    """Decide, and give the verdict of one Route."""
    return admit(*objects, settings=settings).verdicts[asker(name)]


def section_of(outcome: Outcome, name: str = "db") -> RouteSection:
    """Give the section of one Route of the model."""
    return next(section for section in outcome.model.routes if section.route == name)


def backend_of(*objects: KubernetesObject, name: str = "db", settings: AdmissionSettings = SETTINGS) -> Backend:
    """Decide, and give the backend of one Route."""
    return section_of(admit(*objects, settings=settings), name).backend


def shared_of(outcome: Outcome, port: int) -> SharedFrontend | None:
    """Give a shared frontend of the model."""
    return next((frontend for frontend in outcome.model.shared if frontend.port == port), None)
