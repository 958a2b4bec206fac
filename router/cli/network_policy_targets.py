"""Who can be named to ``tcp-router network-policy``, and where each leads to: all kinds that ask, and claims of which a router is yet to serve any."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from router.admission.kinds import KINDS
from router.admission.known import NOTHING_KNOWN
from router.admission.options import EXTERNAL_TCP_PORT, ROUTER_NAME, WZH_ROUTER_NAME
from router.admission.request import Request, annotations_of
from router.admission.verdicts import Verdict
from router.model import Asker
from router.objects.cis import TransportServer
from router.objects.core import Service
from router.objects.gateway import GROUP as GATEWAY_GROUP
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.objects.route import Route, RouteSpec
from router.objects.store import Objects
from router.settings import AdmissionSettings, PortRanges

ROUTER = "tcp-router"
_ANY_PORT = "1024"
_LEADS = ("service", "serviceNamespace", "servicePort", "alternateBackends")
_ALL_PORTS = PortRanges(((1, 65535),))
_TAKES_ALL = AdmissionSettings(
    router_name=ROUTER,
    ports=_ALL_PORTS,
    claim_ports=_ALL_PORTS,
    server_claims="default",
    transport_servers=True,
    transport_server_class=ROUTER,
    transport_server_cross_namespace=True,
    sni_port=0,
)


@dataclass(frozen=True, slots=True)
class NamedKind:
    """A kind, and how the API has it."""

    group: str
    version: str
    kind: str
    plural: str
    struct: type[Any]


NAMED_KINDS = tuple(
    NamedKind(each.group, each.version, each.kind, each.plural, each.struct)
    for each in KINDS.values()
    if each.group != GATEWAY_GROUP
)
"""In the order in which a name without a kind is looked for."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where an object leads to."""

    asker: Asker
    services: tuple[tuple[Request, ObjectKey], ...] = ()
    """What is asked for, by each section of the object, and the Service that it leads to."""
    problems: tuple[str, ...] = ()


def there(objects: Objects, kind: NamedKind, key: ObjectKey) -> AskingObject | None:
    """Give an object of manifests."""
    return objects.asking((kind.struct, key))


def all_of(objects: Objects) -> Iterator[tuple[NamedKind, ObjectKey]]:
    """Give all in manifests that ask for a router of this kind, and all claims."""
    for kind in NAMED_KINDS:
        for key in sorted(objects.everything().of(kind.struct)):
            obj = there(objects, kind, key)
            if obj is not None and _asks(obj):
                yield kind, key


def _asks(obj: AskingObject) -> bool:
    if isinstance(obj, TransportServerClaim | TransportServer):
        return True
    is_of_class = isinstance(obj, Service) and bool(obj.router_of_class)
    return is_of_class or bool({ROUTER_NAME, WZH_ROUTER_NAME} & annotations_of(obj.metadata).keys())


def targets_of(obj: AskingObject) -> Targets:
    """Say where an object leads to."""
    router_name = obj.router_of_class if isinstance(obj, Service) and obj.router_of_class else ROUTER
    settings = dataclasses.replace(_TAKES_ALL, router_name=router_name)
    asked = KINDS[type(obj)].read(_bare(obj, router_name), settings, NOTHING_KNOWN)
    return Targets(
        asked[0].asker,
        tuple(
            (request, target.service) for request in asked if isinstance(request, Request) for target in request.targets
        ),
        tuple(f"{each.asker}: {problem}" for each in asked if (problem := _problem(each))),
    )


def _problem(asked: Request | Verdict) -> str:
    if isinstance(asked, Verdict):
        return asked.message
    return asked.refused.message if asked.refused is not None else ""


def _bare(obj: AskingObject, router_name: str) -> AskingObject:
    """Give the object with no more than says where it leads: whether its router takes the rest is for that to say."""
    kept = {ROUTER_NAME: router_name}
    if isinstance(obj, TransportServerClaim):
        said = obj.spec if isinstance(obj.spec, Mapping) else {}
        leads = {field: said[field] for field in ("service", "servicePort") if field in said}
        return replace(obj, metadata=replace(obj.metadata, annotations=kept, finalizers=None), spec=leads)
    if isinstance(obj, TransportServer):
        pool = obj.asked.get("pool")
        led = {field: pool[field] for field in _LEADS if field in pool} if isinstance(pool, Mapping) else pool
        asked = {"virtualServerPort": int(_ANY_PORT), "ipamLabel": ROUTER, "mode": "standard", "pool": led}
        return replace(obj, metadata=replace(obj.metadata, annotations=kept), spec=asked)
    if isinstance(obj, Route):
        kept[EXTERNAL_TCP_PORT] = _ANY_PORT
        spec = RouteSpec(to=obj.spec.to, alternate_backends=obj.spec.alternate_backends, port=obj.spec.port)
        return Route(replace(obj.metadata, annotations=kept), spec)
    port = annotations_of(obj.metadata).get(EXTERNAL_TCP_PORT)
    if port is not None and router_name == ROUTER:
        kept[EXTERNAL_TCP_PORT] = port
    return replace(obj, metadata=replace(obj.metadata, annotations=kept))
