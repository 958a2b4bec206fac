"""What objects of the Gateway API shall be told, decided in a slow and obvious way: every question looks at everything, again."""

from __future__ import annotations

from router.objects.gateway import GROUP, BackendRef, Gateway, Listener, ListenerSet, ParentRef, TcpRoute, TlsRoute
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


Served = TcpRoute | TlsRoute
Owner = Gateway | ListenerSet
"""Whose listeners are."""
_KINDS = {"TCP": "TCPRoute", "TLS": "TLSRoute"}


def kind_of(route: Served) -> str:
    """Give the name of a route's kind."""
    return "TCPRoute" if isinstance(route, TcpRoute) else "TLSRoute"


def has_bad_value(listener: Listener) -> bool:
    """Whether it is a TLS listener of a mode that is not served."""
    return listener.protocol == "TLS" and (listener.tls is None or listener.tls.mode != "Passthrough")


def kinds(listener: Listener) -> list[str]:
    """Give the kinds of routes that can be attached."""
    own = _KINDS.get(listener.protocol)
    wanted = listener.allowed_routes.kinds
    if own is None or has_bad_value(listener):
        return []
    return [own] if not wanted or (own, GROUP) in {(each.kind, each.group) for each in wanted} else []


def has_odd_kinds(listener: Listener) -> bool:
    """Whether it wants a kind that it cannot have."""
    own = _KINDS.get(listener.protocol)
    wanted = listener.allowed_routes.kinds or ()
    return (
        own is not None
        and not has_bad_value(listener)
        and any((each.kind, each.group) != (own, GROUP) for each in wanted)
    )


def go_by(name: str, host: str) -> bool:
    """Say whether a host goes by a name of a listener or route."""
    labels, wanted = host.split("."), name.split(".")
    if name == "*":
        return True
    if wanted[0] != "*":
        return labels == wanted
    return len(labels) >= len(wanted) and labels[len(labels) - len(wanted) + 1 :] == wanted[1:]


HOSTS = ("a.x", "b.x", "c.x", "a.b.x", "c.b.x", "y", "a.y", "x")
"""Enough to tell all names of tests from each other."""


def meets(listener: Listener, route: Served) -> bool:
    """Whether any host goes by a name of both."""
    if isinstance(route, TcpRoute):
        return True
    own, names = listener.hostname or "*", route.spec.hostnames or ("*",)
    return any(go_by(own, host) and go_by(name, host) for host in HOSTS for name in names)


def takes_namespace(listener: Listener, owner: Owner, namespace: str, objects: Objects) -> bool:
    """Whether routes of a namespace can be attached."""
    allowed = listener.allowed_routes.namespaces
    return _selects(allowed.from_, allowed.selector, owner.metadata.namespace, namespace, objects)


def _selects(wanted: str, selector: LabelSelector | None, own: str, namespace: str, objects: Objects) -> bool:
    if wanted in {"All", "Same"}:
        return wanted == "All" or namespace == own
    found = objects.namespaces.get(ObjectKey("", namespace))
    if wanted != "Selector" or found is None or selector is None:
        return False
    return all(_one(selector, dict(found.metadata.labels or {})))


def gateway_of(owner: Owner, objects: Objects) -> Gateway | None:
    """Give the Gateway whose listeners these are, or are to be; None where it is not there."""
    if isinstance(owner, Gateway):
        return owner
    ref = owner.spec.parent_ref
    key = ObjectKey(ref.namespace or owner.metadata.namespace, ref.name)
    return objects.gateway_api.gateways.get(key) if (ref.group, ref.kind) == (GROUP, "Gateway") else None


def is_taken(owner: Owner, objects: Objects) -> bool:
    """Whether it is a Gateway, or a ListenerSet that its Gateway takes."""
    gateway = gateway_of(owner, objects)
    if isinstance(owner, Gateway) or gateway is None:
        return isinstance(owner, Gateway)
    allowed = gateway.spec.allowed_listeners.namespaces
    own = gateway.metadata.namespace
    return _selects(allowed.from_, allowed.selector, own, owner.metadata.namespace, objects)


def sets_of(gateway: Gateway, objects: Objects) -> list[ListenerSet]:
    """Give the ListenerSets that a Gateway takes, in their order."""

    def age(each: ListenerSet) -> tuple[str, str, str]:
        return each.metadata.creation_timestamp or "9", each.metadata.namespace, each.metadata.name

    there = objects.gateway_api.listener_sets.values()
    return sorted((each for each in there if gateway_of(each, objects) is gateway and is_taken(each, objects)), key=age)


def is_served(owner: Owner, objects: Objects) -> bool:
    """Whether anything of it may be: a ListenerSet is not where its Gateway is not."""
    gateway = gateway_of(owner, objects)
    return (
        gateway is not None
        and is_taken(owner, objects)
        and any(listener_reason(gateway, each, objects) == "Accepted" for each in gateway.spec.listeners or ())
        and any(listener_reason(owner, each, objects) == "Accepted" for each in owner.spec.listeners or ())
    )


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


def acceptance(route: Served, ref: ParentRef, owner: Owner, objects: Objects) -> tuple[str, frozenset[str]]:
    """Give the reason of a parent's Accepted condition, and the listeners that take the route by this parentRef."""
    meant = [
        each
        for each in owner.spec.listeners or ()
        if is_taken(owner, objects)
        and (ref.section_name is None or each.name == ref.section_name)
        and (ref.port is None or each.port == ref.port)
    ]
    if not meant:
        return "NoMatchingParent", frozenset()
    taking = [
        each
        for each in meant
        if kind_of(route) in kinds(each) and takes_namespace(each, owner, route.metadata.namespace, objects)
    ]
    if not taking:
        return "NotAllowedByListeners", frozenset()
    meeting = frozenset(each.name for each in taking if meets(each, route))
    return ("Accepted", meeting) if meeting else ("NoMatchingListenerHostname", frozenset())


def parents(route: Served, objects: Objects, controller: str) -> list[tuple[ParentRef, Owner]]:
    """Give those of a route's parentRefs that mean Gateways of ours, or ListenerSets of these, each once."""
    found: list[tuple[ParentRef, Owner]] = []
    for ref in route.spec.parent_refs or ():
        key = ObjectKey(ref.namespace or route.metadata.namespace, ref.name)
        api = objects.gateway_api
        kinds: dict[str, Owner | None] = {"Gateway": api.gateways.get(key), "ListenerSet": api.listener_sets.get(key)}
        owner = kinds.get(ref.kind) if ref.group == GROUP else None
        gateway = gateway_of(owner, objects) if owner is not None else None
        if owner is None or gateway is None or not is_ours(gateway, objects, controller):
            continue
        if all(known != ref for known, _ in found):
            found.append((ref, owner))
    return found


def routes_of(objects: Objects) -> list[Served]:
    """Give all routes."""
    return [*objects.gateway_api.tcp_routes.values(), *objects.gateway_api.tls_routes.values()]


def having(owner: Owner, listener: Listener, objects: Objects, controller: str) -> list[Served]:
    """Give the routes that have connections of a listener: the oldest, or for each host the oldest of those with the most specific name."""
    there = attached(owner, listener.name, objects, controller)
    if listener.protocol != "TLS":
        return there[:1]
    return [each for each in there if any(each is leads(host, listener, there) for host in HOSTS)]


def leads(host: str, listener: Listener, there: list[Served]) -> Served | None:
    """Give the route that has a host at a listener, of those that are there, the oldest first: by the most specific of its names, each no wider than the listener's."""
    own = listener.hostname or "*"
    if not go_by(own, host):
        return None
    best: tuple[tuple[bool, int], Served] | None = None
    for each in there:
        for name in (each.spec.hostnames or ("*",)) if isinstance(each, TlsRoute) else ():
            specific = max(("*" not in one, len(one)) for one in (own, name))
            if go_by(name, host) and (best is None or specific > best[0]):
                best = specific, each
    return best[1] if best is not None else None


def attached(owner: Owner, listener: str, objects: Objects, controller: str) -> list[Served]:
    """Give the routes of a listener, the oldest first."""
    routes = [
        route
        for route in routes_of(objects)
        if any(
            parent is owner and listener in acceptance(route, ref, parent, objects)[1]
            for ref, parent in parents(route, objects, controller)
        )
    ]

    def age(route: Served) -> tuple[str, str, str]:
        metadata = route.metadata
        return metadata.creation_timestamp or "9", metadata.namespace, metadata.name

    return sorted(routes, key=age)


def permits(route: Served, service: ObjectKey, objects: Objects) -> bool:
    """Whether a route may refer to a Service."""
    if service.namespace == route.metadata.namespace:
        return True
    for grant in objects.gateway_api.grants.values():
        if grant.metadata.namespace != service.namespace:
            continue
        who = any(
            (each.group, each.kind, each.namespace) == (GROUP, kind_of(route), route.metadata.namespace)
            for each in grant.spec.from_
        )
        what = any(
            (each.group, each.kind) == ("", "Service") and (not each.name or each.name == service.name)
            for each in grant.spec.to
        )
        if who and what:
            return True
    return False


def backend_reason(route: Served, ref: BackendRef, objects: Objects) -> str:
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


def refs_reason(route: Served, objects: Objects) -> str:
    """Give the reason of the ResolvedRefs condition."""
    refs = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or ()]
    return next(filter(None, (backend_reason(route, ref, objects) for ref in refs)), "ResolvedRefs")


_GROUPS = {"TLS": 1, "HTTPS": 1, "TCP": 2, "HTTP": 3}


def listener_reason(owner: Owner, listener: Listener, objects: Objects) -> str:
    """Give the reason of a listener's Accepted condition, before its port is claimed."""
    if listener.protocol not in _KINDS:
        return "UnsupportedProtocol"
    if has_bad_value(listener):
        return "UnsupportedValue"
    before = before_of(owner, objects)
    reasons = {clash(listener, each) for each in before} - {""}
    if reasons:
        return "ProtocolConflict" if "ProtocolConflict" in reasons else "HostnameConflict"
    others = (clash(listener, each) for each in owner.spec.listeners or () if each is not listener)
    return next(filter(None, others), "Accepted")


def before_of(owner: Owner, objects: Objects) -> list[Listener]:
    """Give the listeners that come before those of a ListenerSet: all of its Gateway, and those of older sets that are accepted."""
    gateway = gateway_of(owner, objects)
    if gateway is None or isinstance(owner, Gateway):
        return []
    before = list(gateway.spec.listeners or ())
    for each in sets_of(gateway, objects):
        if each is owner:
            break
        before += [one for one in each.spec.listeners or () if listener_reason(each, one, objects) == "Accepted"]
    return before


def clash(listener: Listener, other: Listener) -> str:
    """Give the reason for which two cannot be had together; empty where they can."""
    groups = [_GROUPS.get(each.protocol) for each in (listener, other)]
    if other.port != listener.port or None in groups:
        return ""
    if groups[0] != groups[1]:
        return "ProtocolConflict"
    return "HostnameConflict" if (other.hostname or "") == (listener.hostname or "") else ""
