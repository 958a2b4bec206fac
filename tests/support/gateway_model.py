"""What objects of the Gateway API shall be told, decided in a slow and obvious way: every question looks at everything, again."""

from __future__ import annotations

from router.objects.gateway import GROUP, BackendRef, Gateway, Listener, ParentRef, TcpRoute
from router.objects.meta import ObjectKey
from router.objects.networking import LabelSelector
from router.objects.store import Objects


def is_ours(gateway: Gateway, objects: Objects, controller: str) -> bool:
    """Whether its class says our name, and nothing that we do not know."""
    return any(
        each.metadata.name == gateway.spec.gateway_class_name
        and each.spec.controller_name == controller
        and each.spec.parameters_ref is None
        for each in objects.gateway_api.classes.values()
    )


def takes_kind(listener: Listener) -> bool:
    """Whether TCPRoutes can be attached."""
    kinds = listener.allowed_routes.kinds
    if listener.protocol != "TCP":
        return False
    return not kinds or ("TCPRoute", GROUP) in {(each.kind, each.group) for each in kinds}


def has_odd_kinds(listener: Listener) -> bool:
    """Whether it wants a kind that it cannot have."""
    kinds = listener.allowed_routes.kinds or ()
    return listener.protocol == "TCP" and any((each.kind, each.group) != ("TCPRoute", GROUP) for each in kinds)


def takes_namespace(listener: Listener, gateway: Gateway, namespace: str, objects: Objects) -> bool:
    """Whether routes of a namespace can be attached."""
    allowed = listener.allowed_routes.namespaces
    if allowed.from_ == "All":
        return True
    if allowed.from_ == "Same":
        return namespace == gateway.metadata.namespace
    found = objects.namespaces.get(ObjectKey("", namespace))
    if found is None or allowed.selector is None:
        return False
    labels = dict(found.metadata.labels or {})
    return all(_one(allowed.selector, labels))


def _one(selector: LabelSelector, labels: dict[str, str]) -> list[bool]:
    answers = [labels.get(key) == value for key, value in (selector.match_labels or {}).items()]
    for each in selector.match_expressions or ():
        value = labels.get(each.key)
        among = value in (each.values or ())
        answers.append(
            {
                "In": value is not None and among,
                "NotIn": value is None or not among,
                "Exists": value is not None,
                "DoesNotExist": value is None,
            }.get(each.operator, False)
        )
    return answers


def acceptance(route: TcpRoute, ref: ParentRef, gateway: Gateway, objects: Objects) -> tuple[str, frozenset[str]]:
    """Give the reason of a parent's Accepted condition, and the listeners that take the route by this parentRef."""
    meant = [
        each
        for each in gateway.spec.listeners or ()
        if (ref.section_name is None or each.name == ref.section_name) and (ref.port is None or each.port == ref.port)
    ]
    if not meant:
        return "NoMatchingParent", frozenset()
    taking = [
        each for each in meant if takes_kind(each) and takes_namespace(each, gateway, route.metadata.namespace, objects)
    ]
    return ("Accepted", frozenset(each.name for each in taking)) if taking else ("NotAllowedByListeners", frozenset())


def parents(route: TcpRoute, objects: Objects, controller: str) -> list[tuple[ParentRef, Gateway]]:
    """Give those of a route's parentRefs that mean Gateways of ours, each once."""
    found: list[tuple[ParentRef, Gateway]] = []
    for ref in route.spec.parent_refs or ():
        key = ObjectKey(ref.namespace or route.metadata.namespace, ref.name)
        gateway = objects.gateway_api.gateways.get(key)
        if (ref.group, ref.kind) != (GROUP, "Gateway") or gateway is None or not is_ours(gateway, objects, controller):
            continue
        if all(known != ref for known, _ in found):
            found.append((ref, gateway))
    return found


def attached(gateway: Gateway, listener: str, objects: Objects, controller: str) -> list[TcpRoute]:
    """Give the routes of a listener, the oldest first."""
    routes = [
        route
        for route in objects.gateway_api.tcp_routes.values()
        if any(
            parent.key == gateway.key and listener in acceptance(route, ref, parent, objects)[1]
            for ref, parent in parents(route, objects, controller)
        )
    ]

    def age(route: TcpRoute) -> tuple[str, str, str]:
        metadata = route.metadata
        return metadata.creation_timestamp or "9", metadata.namespace, metadata.name

    return sorted(routes, key=age)


def permits(route: TcpRoute, service: ObjectKey, objects: Objects) -> bool:
    """Whether a route may refer to a Service."""
    if service.namespace == route.metadata.namespace:
        return True
    for grant in objects.gateway_api.grants.values():
        if grant.metadata.namespace != service.namespace:
            continue
        who = any(
            (each.group, each.kind, each.namespace) == (GROUP, "TCPRoute", route.metadata.namespace)
            for each in grant.spec.from_
        )
        what = any(
            (each.group, each.kind) == ("", "Service") and (not each.name or each.name == service.name)
            for each in grant.spec.to
        )
        if who and what:
            return True
    return False


def backend_reason(route: TcpRoute, ref: BackendRef, objects: Objects) -> str:
    """Give why a backendRef cannot be had; empty where it can."""
    if (ref.group, ref.kind) != ("", "Service"):
        return "InvalidKind"
    key = ObjectKey(ref.namespace or route.metadata.namespace, ref.name)
    if not permits(route, key, objects):
        return "RefNotPermitted"
    service = objects.services.get(key)
    if service is None or ref.port not in {port.port for port in service.spec.ports or ()}:
        return "BackendNotFound"
    protocols = {port.protocol for port in service.spec.ports or () if port.port == ref.port}
    return "" if "TCP" in protocols else "UnsupportedProtocol"


def refs_reason(route: TcpRoute, objects: Objects) -> str:
    """Give the reason of the ResolvedRefs condition."""
    refs = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or ()]
    return next(filter(None, (backend_reason(route, ref, objects) for ref in refs)), "ResolvedRefs")


def listener_reason(gateway: Gateway, listener: Listener) -> str:
    """Give the reason of a listener's Accepted condition, before its port is claimed."""
    if listener.protocol != "TCP":
        return "UnsupportedProtocol"
    others = [each for each in gateway.spec.listeners or () if each is not listener and each.port == listener.port]
    if any(each.protocol in {"HTTP", "HTTPS", "TLS"} for each in others) and not any(
        each.protocol == "TCP" for each in others
    ):
        return "ProtocolConflict"
    known = [each for each in others if each.protocol in {"TCP", "HTTP", "HTTPS", "TLS"}]
    if not known:
        return "Accepted"
    return "HostnameConflict" if known[0].protocol == "TCP" else "ProtocolConflict"
