"""Where a route leads to: its backendRefs, judged; those that may not be had refuse their share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from router.admission.external_names import EXTERNAL_NAME
from router.admission.gateway.grants import Grants, Referrer
from router.admission.gateway.states import RESOLVED, RESOLVED_REFS, Said, StateKey, not_so
from router.admission.request import Target
from router.admission.target_port import OfService, is_tcp, shown_name
from router.admission.text import shown
from router.objects.core import Service
from router.objects.gateway import GROUP, BackendRef, RouteRule
from router.objects.meta import ObjectKey

ServiceOf = Callable[[ObjectKey], Service | None]
_MAX_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True)
class Backends:
    """What the rules of one route come to."""

    targets: tuple[Target, ...] = ()
    refused: int = 0
    """The weight of those that cannot be had: their share of the connections is refused."""
    refs: Said = RESOLVED
    services: frozenset[ObjectKey] = frozenset()
    """All that it refers to, there or not, permitted or not."""


def service_of(ref: BackendRef, namespace: str) -> ObjectKey | None:
    """Give the Service that a backendRef refers to; None where it is no Service."""
    if (ref.group, ref.kind) not in {("", "Service"), ("core", "Service")}:
        return None
    return ObjectKey(ref.namespace or namespace, ref.name)


def services_of(rules: Iterable[RouteRule] | None, namespace: str) -> frozenset[ObjectKey]:
    """Give all Services that a route refers to."""
    found = (service_of(ref, namespace) for rule in rules or () for ref in rule.backend_refs or ())
    return frozenset(key for key in found if key is not None)


def judge(  # noqa: PLR0913 - whose they are, and what they are judged by
    rules: Iterable[RouteRule] | None,
    kind: str,
    namespace: str,
    grants: Grants,
    service: ServiceOf,
    *,
    external_names: bool,
) -> Backends:
    """Judge the backendRefs of a route.

    Args:
        rules: of the route.
        kind: of the route.
        namespace: of the route.
        grants: who may refer to what of other namespaces.
        service: gives a Service, None if it is not there.
        external_names: whether Services of type ExternalName may be led to.
    """
    weights: dict[tuple[ObjectKey, int], int] = {}
    refused, problem = 0, None
    referrer = Referrer(GROUP, kind, namespace)
    for rule in rules or ():
        for ref in rule.backend_refs or ():
            weight = min(max(ref.weight, 0), _MAX_WEIGHT)
            said = _problem(ref, referrer, grants, service, external_names=external_names)
            key = service_of(ref, namespace)
            if said is not None or key is None or ref.port is None:
                refused += weight
                problem = problem or said
            else:
                weights[key, ref.port] = weights.get((key, ref.port), 0) + weight
    targets = tuple(Target(key, weight, OfService(port)) for (key, port), weight in weights.items())
    return Backends(targets, refused, problem or RESOLVED, services_of(rules, namespace))


class Judged:
    """Where routes lead to, as last judged: again only where that may be otherwise.

    Args:
        grants: who may refer to what of other namespaces; kept level by others.
        external_names: whether Services of type ExternalName may be led to.
    """

    def __init__(self, grants: Grants, *, external_names: bool) -> None:
        self._grants = grants
        self._external_names = external_names
        self._known: dict[StateKey, Backends] = {}
        """Of routes."""
        self._looked_at: dict[ObjectKey, Service | None] = {}
        """Services, as they were when a route was judged by them."""

    def of(self, route: StateKey, rules: Iterable[RouteRule] | None, services: Mapping[ObjectKey, Service]) -> Backends:
        """Give where a route leads to, of the Services that there are."""

        def service(key: ObjectKey) -> Service | None:
            found = self._looked_at[key] = services.get(key)
            return found

        known = self._known.get(route)
        if known is None:
            known = self._known[route] = judge(
                rules, route.kind, route.namespace, self._grants, service, external_names=self._external_names
            )
        return known

    def forget(self, route: StateKey) -> None:
        """Judge a route again when it is next asked for, or let go of one that is gone."""
        self._known.pop(route, None)

    def otherwise(self, keys: Iterable[ObjectKey], services: Mapping[ObjectKey, Service]) -> list[ObjectKey]:
        """Give those of these Services that are other objects than when a route was judged by them: endpoints that move change none."""
        return [key for key in keys if key in self._looked_at and services.get(key) is not self._looked_at[key]]

    def look_again(self, service: ObjectKey) -> None:
        """Take it that whoever leads to a Service is judged again."""
        self._looked_at.pop(service, None)


def _problem(
    ref: BackendRef, referrer: Referrer, grants: Grants, service: ServiceOf, *, external_names: bool
) -> Said | None:
    """Say why a backendRef cannot be had. Permission comes first: who may not ask is not told whether there is anything."""
    key = service_of(ref, referrer.namespace)
    if key is None:
        named = shown(f"{ref.kind}.{ref.group}" if ref.group else ref.kind)
        return _said("InvalidKind", f"backendRef {shown(ref.name)} is a {named}; a route leads to Services")
    if not grants.permit(referrer, "", "Service", key):
        return _said(
            "RefNotPermitted",
            f"no ReferenceGrant of namespace {shown(key.namespace)} lets a {referrer.kind} of namespace "
            f"{shown(referrer.namespace)} refer to Service {shown(key.name)}",
        )
    found = service(key)
    if found is None:
        return _said("BackendNotFound", f"Service {shown_name(*key)} does not exist")
    if found.spec.type == EXTERNAL_NAME and not external_names:
        return _said("ExternalNameNotAllowed", f"Service {shown_name(*key)} is of type ExternalName; lead to pods")
    return _port_problem(ref, key, found)


def _port_problem(ref: BackendRef, key: ObjectKey, service: Service) -> Said | None:
    if ref.port is None:
        return _said("BackendNotFound", f"backendRef {shown(ref.name)} says no port of Service {shown_name(*key)}")
    numbered = [port for port in service.spec.ports or () if port.port == ref.port]
    if not numbered:
        return _said("BackendNotFound", f"Service {shown_name(*key)} has no port {ref.port}")
    if not any(is_tcp(port.protocol) for port in numbered):
        return _said(
            "UnsupportedProtocol",
            f"port {ref.port} of Service {shown_name(*key)} is {shown(numbered[0].protocol)}; only TCP is served",
        )
    return None


def _said(reason: str, message: str) -> Said:
    return not_so(RESOLVED_REFS, reason, message)
