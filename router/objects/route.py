"""route.openshift.io/v1: Routes (openshift/api, route/v1/types.go)."""

from __future__ import annotations

import msgspec

from router.objects.meta import Fields, WholeObject


class RouteTarget(Fields, frozen=True):
    """``spec.to`` and the members of ``spec.alternateBackends``."""

    name: str = ""
    kind: str = "Service"
    weight: int | None = None


class RoutePort(Fields, frozen=True):
    """``spec.port``."""

    target_port: int | str


class SecretReference(Fields, frozen=True):
    """``spec.tls.externalCertificate``."""

    name: str = ""


class RouteTLS(Fields, frozen=True):
    """``spec.tls``."""

    termination: str = ""
    insecure_edge_termination_policy: str = ""
    certificate: str = ""
    key: str = ""
    ca_certificate: str = msgspec.field(default="", name="caCertificate")
    destination_ca_certificate: str = msgspec.field(default="", name="destinationCACertificate")
    external_certificate: SecretReference | None = None

    def __repr__(self) -> str:
        # Not what is in it: that is somebody's private key.
        return f"RouteTLS({self.termination!r})"


class RouteSpec(Fields, frozen=True):
    """``spec`` of a Route."""

    to: RouteTarget = RouteTarget()
    host: str = ""
    subdomain: str = ""
    path: str = ""
    alternate_backends: tuple[RouteTarget, ...] | None = None
    port: RoutePort | None = None
    tls: RouteTLS | None = None
    wildcard_policy: str = "None"


class RouteCondition(Fields, frozen=True):
    """One condition of one router's entry."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class RouteIngress(Fields, frozen=True):
    """One router's entry in the status."""

    router_name: str = ""
    host: str = ""
    router_canonical_hostname: str = ""
    wildcard_policy: str = ""
    conditions: tuple[RouteCondition, ...] | None = None


class RouteStatus(Fields, frozen=True):
    """``status`` of a Route: an entry per router."""

    ingress: tuple[RouteIngress, ...] | None = None


class Route(WholeObject, frozen=True):
    """route.openshift.io/v1 Route (openshift/api, route/v1/types.go)."""

    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()
