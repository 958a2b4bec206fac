"""How the status of each kind of asker is read, decided and written; a line for each (docs/architecture.md, "Adding a kind")."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from router.admission import Verdict
from router.admission import route as routes
from router.admission import service as services
from router.kube.api import Api
from router.model import ROUTE_KIND, SERVICE_KIND
from router.objects.core import Service
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.route import Route, RouteIngress
from router.status import route, route_api, service
from router.status.route import Identity, Patch, StatusChange


@dataclass(frozen=True, slots=True)
class StatusKind:
    """One kind. The functions get objects of ``struct`` alone; those that get no ``Api`` are pure."""

    kind: str
    struct: type[AskingObject]
    is_ours: Callable[[Any, str], bool]
    has_entry: Callable[[Any, str], bool]
    """Whether its status has something of the router of this name."""
    summed: Callable[[Any, Iterable[Verdict], Identity], Verdict | None]
    """One verdict of those of its sections."""
    decide: Callable[[Any, Verdict | None, Identity, float, frozenset[str] | None], StatusChange | None]
    own_entry: Callable[[Any, Identity], RouteIngress | None]
    named_node: Callable[[Any, Identity], str | None]
    may_be_anothers: Callable[[Any, Identity, bool], bool]
    """Whether what a status has of our name may be of another router of that name, where the object is out of sight and asks for it."""
    same_request: Callable[[Any, Any], bool]
    warnings: Callable[[Any, Verdict, Identity], tuple[str, ...]]
    """What there is to warn of beside the verdict, by who we are."""
    read: Callable[[Api, ObjectKey], Any]
    patch: Callable[[Api, ObjectKey, Patch, Identity], None]


ROUTES = StatusKind(
    ROUTE_KIND,
    Route,
    is_ours=routes.is_ours,
    has_entry=route.has_entry,
    summed=lambda _route, verdicts, _identity: next(iter(verdicts), None),
    decide=route.decide_status,
    own_entry=route.own_entry,
    named_node=route.named_node,
    may_be_anothers=lambda obj, identity, was_seen: route.may_be_anothers(obj, identity, was_ours=was_seen),
    same_request=route_api.same_request,
    warnings=lambda _route, _verdict, _identity: (),
    read=route_api.read_route,
    patch=lambda api, key, patch, _identity: route_api.patch_status(api, key, patch),
)
SERVICES = StatusKind(
    SERVICE_KIND,
    Service,
    is_ours=services.is_ours,
    has_entry=lambda obj, router_name: services.said_by(obj, router_name) is not None,
    summed=service.summed,
    decide=service.decide_status,
    own_entry=service.own_entry,
    named_node=service.named_node,
    # Whoever of that name has it in its sight now writes it.
    may_be_anothers=lambda _service, _identity, _was_seen: True,
    same_request=service.same_request,
    warnings=service.warnings,
    read=service.read_service,
    patch=service.patch_status,
)
KINDS = (ROUTES, SERVICES)
"""Those of every router."""
