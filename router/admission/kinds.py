"""The kinds of objects that ask to be served, a line for each (docs/architecture.md, "Adding a kind")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from router.admission import route, service, transport_server, transport_server_claim
from router.admission.gateway import backends
from router.admission.gateway.resolving import read_alone, read_set_alone
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.admission.known import Known
from router.admission.request import Request
from router.admission.termination import credentials_of
from router.admission.verdicts import Verdict
from router.model import ROUTE_GROUP, ROUTE_KIND, SERVICE_KIND
from router.objects import cis, porter
from router.objects.cis import TransportServer
from router.objects.core import Service
from router.objects.gateway import GROUP, Gateway, ListenerSet, TlsRoute
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.objects.route import Route
from router.settings import AdmissionSettings


@dataclass(frozen=True, slots=True)
class AskerKind:
    """One kind, and what admission needs to know of it. The functions get objects of ``struct`` alone, and are pure."""

    group: str
    version: str
    kind: str
    plural: str
    struct: type[KubernetesObject]
    is_ours: Callable[[Any, AdmissionSettings], bool]
    """Whether an object asks for this router."""
    read: Callable[[Any, AdmissionSettings, Known], tuple[Request | Verdict, ...]]
    """What an object of ours asks for, one for each section, at least one; a Verdict for one that is not acceptable by itself."""
    credentials_of: Callable[[Any], tuple[ObjectKey, ...]]
    """What it refers to of what ``read`` is given, whether that is there or not."""
    services_of: Callable[[Any], frozenset[ObjectKey]]
    """The Services that an object leads to; none where what it says of them is not acceptable."""
    is_on: Callable[[AdmissionSettings], bool] = lambda _settings: True
    """Whether the router serves the kind at all."""
    granting_of: Callable[[Any], frozenset[str]] = lambda _: frozenset()
    """The namespaces by whose ReferenceGrants ``read`` decides."""


_ROUTES = AskerKind(
    ROUTE_GROUP,
    "v1",
    ROUTE_KIND,
    "routes",
    Route,
    is_ours=lambda obj, settings: route.is_ours(obj, settings.router_name),
    read=lambda obj, settings, known: (route.read_route(obj, settings, known.credentials),),
    credentials_of=credentials_of,
    services_of=route.services_of,
)

_SERVICES = AskerKind(
    "",
    "v1",
    SERVICE_KIND,
    "services",
    Service,
    is_ours=lambda obj, settings: service.is_ours(obj, settings.router_name),
    read=lambda obj, settings, _: service.read_service(obj, settings),
    credentials_of=lambda _: (),
    services_of=service.services_of,
)

_SERVER_CLAIMS = AskerKind(
    porter.GROUP,
    porter.VERSION,
    porter.CLAIM_KIND,
    "transportserverclaims",
    TransportServerClaim,
    is_ours=lambda obj, settings: transport_server_claim.is_ours(obj, settings.router_name, settings.server_claims),
    read=lambda obj, settings, _: transport_server_claim.read_claim(obj, settings),
    credentials_of=lambda _: (),
    services_of=transport_server_claim.services_of,
    is_on=lambda settings: settings.server_claims != "off",
)

_TRANSPORT_SERVERS = AskerKind(
    cis.GROUP,
    cis.VERSION,
    cis.KIND,
    "transportservers",
    TransportServer,
    is_ours=transport_server.is_ours,
    read=lambda obj, settings, known: transport_server.read_server(obj, settings, known.grants),
    credentials_of=lambda _: (),
    services_of=transport_server.services_of,
    is_on=lambda settings: settings.transport_servers,
    granting_of=transport_server.granting_of,
)

_GATEWAYS = AskerKind(
    GROUP,
    "v1",
    GATEWAY_KIND,
    "gateways",
    Gateway,
    # By their classes, and with routes, they are read by ``gateway.book``; alone they say which ports they want.
    is_ours=lambda _, settings: bool(settings.gateway_controller),
    read=lambda obj, settings, _: read_alone(obj, settings),
    credentials_of=lambda _: (),
    services_of=lambda _: frozenset(),
)

_LISTENER_SETS = AskerKind(
    GROUP,
    "v1",
    LISTENER_SET_KIND,
    "listenersets",
    ListenerSet,
    is_ours=lambda _, settings: bool(settings.gateway_controller),
    read=lambda obj, settings, _: read_set_alone(obj, settings),
    credentials_of=lambda _: (),
    services_of=lambda _: frozenset(),
)

_TLS_ROUTES = AskerKind(
    GROUP,
    "v1",
    "TLSRoute",
    "tlsroutes",
    TlsRoute,
    is_ours=lambda _, settings: bool(settings.gateway_controller),
    # Alone they ask for nothing: ports and hosts are their listeners'.
    read=lambda _obj, _settings, _known: (),
    credentials_of=lambda _: (),
    services_of=lambda obj: backends.services_of(obj.spec.rules, obj.metadata.namespace),
)

KINDS: Mapping[type[KubernetesObject], AskerKind] = MappingProxyType(
    {
        each.struct: each
        for each in (
            _ROUTES,
            _SERVICES,
            _SERVER_CLAIMS,
            _TRANSPORT_SERVERS,
            _GATEWAYS,
            _LISTENER_SETS,
            _TLS_ROUTES,
        )
    }
)
"""By the type of their objects."""
