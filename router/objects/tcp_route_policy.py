"""tcp-router.openshift.io/v1alpha1 TCPRoutePolicy: how Gateways, their listeners and their routes are served, attached to them as GEP-713 has it."""

from __future__ import annotations

from router.objects.gateway import GROUP, Condition
from router.objects.meta import Fields, ObjectKey, ObjectMeta, WholeObject

POLICY_GROUP, POLICY_VERSION, POLICY_KIND = "tcp-router.openshift.io", "v1alpha1", "TCPRoutePolicy"


class PolicyTarget(Fields, frozen=True):
    """One of ``spec.targetRefs``, of the policy's own namespace."""

    kind: str
    name: str
    group: str = GROUP
    section_name: str | None = None


class _Part(Fields, frozen=True, forbid_unknown_fields=True):
    """What is said here and not known would be passed over: no allowlist may be."""


class PolicyLimits(_Part, frozen=True):
    """``spec.limits``."""

    max_connections: int | None = None
    pod_concurrent_connections: int | None = None
    concurrent_per_source: int | None = None
    rate_per_source: int | None = None


class PolicyBalance(_Part, frozen=True):
    """``spec.balance``."""

    algorithm: str | None = None
    hash_factor: int | None = None


class PolicyTimeouts(_Part, frozen=True):
    """``spec.timeouts``, as HAProxy writes times."""

    tunnel: str | None = None
    connect: str | None = None
    client: str | None = None
    server: str | None = None


class PolicyProxyProtocol(_Part, frozen=True):
    """``spec.proxyProtocol``."""

    accept: bool | None = None
    send: str | None = None


class PolicyHealthChecks(_Part, frozen=True):
    """``spec.healthChecks``."""

    interval: str | None = None
    on_marked_down: str | None = None


class PolicyTls(_Part, frozen=True):
    """``spec.tls``: of TLS that ends at a listener."""

    min_version: str | None = None
    alpn: tuple[str, ...] | None = None


class PolicyClientCertificates(_Part, frozen=True):
    """``spec.clientCertificates``: ConfigMaps of the policy's namespace."""

    ca: str | None = None
    crl: str | None = None
    mode: str | None = None


class PolicySpec(_Part, frozen=True, omit_defaults=True):
    """``spec``. What of it means what, ``admission.gateway.wishes`` says."""

    target_refs: tuple[PolicyTarget, ...] = ()
    allowlist: tuple[str, ...] | None = None
    limits: PolicyLimits | None = None
    balance: PolicyBalance | None = None
    timeouts: PolicyTimeouts | None = None
    proxy_protocol: PolicyProxyProtocol | None = None
    health_checks: PolicyHealthChecks | None = None
    on_removed: str | None = None
    tcp_keepalive: bool | None = None
    tls: PolicyTls | None = None
    client_certificates: PolicyClientCertificates | None = None


class AncestorRef(Fields, frozen=True):
    """What an entry of a policy's status is about."""

    kind: str
    name: str
    group: str = GROUP
    namespace: str | None = None
    section_name: str | None = None


class AncestorStatus(Fields, frozen=True):
    """One of ``status.ancestors``."""

    ancestor_ref: AncestorRef
    controller_name: str = ""
    conditions: tuple[Condition, ...] | None = None


class PolicyStatus(Fields, frozen=True):
    """``status``."""

    ancestors: tuple[AncestorStatus, ...] | None = None


class TcpRoutePolicy(WholeObject, frozen=True):
    """Says of what it targets what annotations say of Routes."""

    spec: PolicySpec = PolicySpec()
    status: PolicyStatus = PolicyStatus()
    problem: str = ""
    """Why ``spec`` cannot be read beyond its targets; nothing that an object can say."""


class _TargetsAlone(Fields, frozen=True):
    target_refs: tuple[PolicyTarget, ...] = ()


class UnreadPolicy(Fields, frozen=True):
    """One of which no more can be read than what it is for."""

    metadata: ObjectMeta
    spec: _TargetsAlone = _TargetsAlone()
    status: PolicyStatus = PolicyStatus()

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    def refused(self, problem: str) -> TcpRoutePolicy:
        """Give a policy that is there, and by which nothing is served that it is for."""
        return TcpRoutePolicy(self.metadata, PolicySpec(self.spec.target_refs), self.status, problem)
