"""gateway.networking.k8s.io/v1, and older versions of the same form: what is read of the Gateway API (https://gateway-api.sigs.k8s.io/reference/spec/).

Defaults are those of the CRDs, which a folder of manifests does not fill in.
"""

from __future__ import annotations

import msgspec

from router.objects.credential import Credential
from router.objects.meta import Fields, ObjectKey, WholeObject
from router.objects.networking import LabelSelector

GROUP = "gateway.networking.k8s.io"


class Condition(Fields, frozen=True, omit_defaults=True):
    """meta/v1 Condition, whole: what others say is written back as it was read."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class ParametersRef(Fields, frozen=True):
    """A resource that says more of a GatewayClass, or of a Gateway."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str | None = None


class GatewayClassSpec(Fields, frozen=True):
    """``spec`` of a GatewayClass."""

    controller_name: str
    parameters_ref: ParametersRef | None = None


class Feature(Fields, frozen=True):
    """One of ``status.supportedFeatures``."""

    name: str


class GatewayClassStatus(Fields, frozen=True):
    """``status`` of a GatewayClass."""

    conditions: tuple[Condition, ...] | None = None
    supported_features: tuple[Feature, ...] | None = None


class GatewayClass(WholeObject, frozen=True):
    """A kind of Gateways, and who serves them. It is in no namespace, which its key says whatever a manifest does."""

    spec: GatewayClassSpec
    status: GatewayClassStatus = GatewayClassStatus()

    @property
    def key(self) -> ObjectKey:
        """Its name."""
        return ObjectKey("", self.metadata.name)


class RouteNamespaces(Fields, frozen=True):
    """From which namespaces routes are taken."""

    from_: str = msgspec.field(name="from", default="Same")
    selector: LabelSelector | None = None


class RouteGroupKind(Fields, frozen=True):
    """A kind of routes."""

    kind: str
    group: str = GROUP


class AllowedRoutes(Fields, frozen=True):
    """Which routes a listener takes."""

    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: tuple[RouteGroupKind, ...] | None = None


class SecretRef(Fields, frozen=True):
    """One of ``certificateRefs``."""

    name: str
    group: str = ""
    kind: str = "Secret"
    namespace: str | None = None


class ListenerTls(Fields, frozen=True):
    """``tls`` of a listener."""

    mode: str = "Terminate"
    certificate_refs: tuple[SecretRef, ...] | None = None
    options: dict[str, str] | None = None


class Listener(Fields, frozen=True):
    """One of ``spec.listeners``."""

    name: str
    port: int
    protocol: str
    hostname: str | None = None
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()


class GatewayAddress(Fields, frozen=True, omit_defaults=True):
    """One of ``spec.addresses``, or of ``status.addresses``."""

    type: str | None = None
    """IPAddress where it does not say."""
    value: str = ""


class Infrastructure(Fields, frozen=True):
    """``spec.infrastructure``."""

    parameters_ref: ParametersRef | None = None


class ListenerNamespaces(Fields, frozen=True):
    """From which namespaces ListenerSets are taken."""

    from_: str = msgspec.field(name="from", default="None")
    selector: LabelSelector | None = None


class AllowedListeners(Fields, frozen=True):
    """``spec.allowedListeners`` of a Gateway."""

    namespaces: ListenerNamespaces = ListenerNamespaces()


class GatewaySpec(Fields, frozen=True):
    """``spec`` of a Gateway."""

    gateway_class_name: str
    listeners: tuple[Listener, ...] | None = None
    addresses: tuple[GatewayAddress, ...] | None = None
    infrastructure: Infrastructure | None = None
    allowed_listeners: AllowedListeners = AllowedListeners()


class ListenerStatus(Fields, frozen=True):
    """One of ``status.listeners``."""

    name: str
    attached_routes: int = 0
    supported_kinds: tuple[RouteGroupKind, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class GatewayStatus(Fields, frozen=True):
    """``status`` of a Gateway."""

    addresses: tuple[GatewayAddress, ...] | None = None
    conditions: tuple[Condition, ...] | None = None
    listeners: tuple[ListenerStatus, ...] | None = None
    attached_listener_sets: int | None = None


class Gateway(WholeObject, frozen=True):
    """Ports, and which routes may be reached there."""

    spec: GatewaySpec
    status: GatewayStatus = GatewayStatus()


class ParentGatewayRef(Fields, frozen=True):
    """``spec.parentRef`` of a ListenerSet."""

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str | None = None


class ListenerSetSpec(Fields, frozen=True):
    """``spec`` of a ListenerSet."""

    parent_ref: ParentGatewayRef
    listeners: tuple[Listener, ...] | None = None


class ListenerSetStatus(Fields, frozen=True):
    """``status`` of a ListenerSet."""

    conditions: tuple[Condition, ...] | None = None
    listeners: tuple[ListenerStatus, ...] | None = None


class ListenerSet(WholeObject, frozen=True):
    """Further listeners of a Gateway, whose owner lets others bring them."""

    spec: ListenerSetSpec
    status: ListenerSetStatus = ListenerSetStatus()


class ParentRef(Fields, frozen=True):
    """One of ``spec.parentRefs``: what a route wants to be reached by."""

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None


class BackendRef(Fields, frozen=True):
    """One of ``backendRefs``: where a rule leads to."""

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: int | None = None
    weight: int = 1


class RouteRule(Fields, frozen=True):
    """One of ``spec.rules``; TCPRoutes and TLSRoutes have one."""

    backend_refs: tuple[BackendRef, ...] | None = None


class ParentStatus(Fields, frozen=True):
    """One of ``status.parents``."""

    parent_ref: ParentRef
    controller_name: str = ""
    conditions: tuple[Condition, ...] | None = None


class GatewayRouteStatus(Fields, frozen=True):
    """``status`` of a route."""

    parents: tuple[ParentStatus, ...] | None = None


class TcpRouteSpec(Fields, frozen=True):
    """``spec`` of a TCPRoute."""

    rules: tuple[RouteRule, ...] | None = None
    parent_refs: tuple[ParentRef, ...] | None = None


class TcpRoute(WholeObject, frozen=True):
    """Leads the connections of listeners to Services."""

    spec: TcpRouteSpec = TcpRouteSpec()
    status: GatewayRouteStatus = GatewayRouteStatus()
    api_version: str = ""
    """In which it was read, and its status is written; empty is v1."""


class TlsRouteSpec(Fields, frozen=True):
    """``spec`` of a TLSRoute."""

    hostnames: tuple[str, ...] | None = None
    rules: tuple[RouteRule, ...] | None = None
    parent_refs: tuple[ParentRef, ...] | None = None


class TlsRoute(WholeObject, frozen=True):
    """Leads the connections of listeners to Services, by the TLS server name that clients ask for."""

    spec: TlsRouteSpec = TlsRouteSpec()
    status: GatewayRouteStatus = GatewayRouteStatus()
    api_version: str = ""
    """In which it was read, and its status is written; empty is v1."""


class HttpRouteSpec(Fields, frozen=True):
    """``spec`` of an HTTPRoute, as far as it says where it wants to be reached."""

    hostnames: tuple[str, ...] | None = None
    parent_refs: tuple[ParentRef, ...] | None = None


class HttpRoute(WholeObject, frozen=True):
    """Of these it is counted how many there are at a listener."""

    spec: HttpRouteSpec = HttpRouteSpec()


class GatewaySecret(WholeObject, frozen=True, kw_only=True):
    """What is kept of a Secret that a listener may refer to: whether it is of use, and what is in it only where TLS of Gateways may end."""

    problem: str = ""
    """Why it is none."""
    credential: Credential | None = None
    """Its certificate and key; None where they are not kept."""


class GrantFrom(Fields, frozen=True):
    """One of ``spec.from``: whose objects may refer."""

    group: str
    kind: str
    namespace: str


class GrantTo(Fields, frozen=True):
    """One of ``spec.to``: what may be referred to; without a name all of its kind."""

    group: str
    kind: str
    name: str | None = None


class ReferenceGrantSpec(Fields, frozen=True):
    """``spec`` of a ReferenceGrant."""

    from_: tuple[GrantFrom, ...] = msgspec.field(name="from", default=())
    to: tuple[GrantTo, ...] = ()


class ReferenceGrant(WholeObject, frozen=True):
    """Lets objects of other namespaces refer to objects of its own."""

    spec: ReferenceGrantSpec = ReferenceGrantSpec()


GatewayObject = GatewayClass | Gateway | ListenerSet | TcpRoute | TlsRoute | HttpRoute | ReferenceGrant | GatewaySecret
"""Of the Gateway API, and what it refers to."""
GATEWAY_KINDS: tuple[type[GatewayObject], ...] = (
    GatewayClass,
    Gateway,
    ListenerSet,
    TcpRoute,
    TlsRoute,
    HttpRoute,
    ReferenceGrant,
    GatewaySecret,
)
