"""The router's settings: frozen values that ``router.cli`` fills from argv and the environment, and nothing else reads.

Units: every ``*_ms`` is milliseconds, every ``*_s`` seconds. What an option means to a user stands in docs/settings.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from router.model import Balance
from router.model.bases import Base
from router.model.port_ranges import MAX_PORT, PortRanges
from router.model.tls import NOTHING_PRIVATE, PrivateBytes, TlsOptions

__all__ = ["MAX_PORT", "PortRanges"]

IpMode = Literal["v4", "v6", "v4v6"]

ServerClaims = Literal["off", "named", "default"]
"""Which TransportServerClaims are served: none, those that name the router, or also those that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefaults:
    """What a Route gets that does not say otherwise by an annotation."""

    balance: Balance = "leastconn"
    timeout_tunnel_ms: int = 3_600_000
    timeout_connect_ms: int = 5_000
    timeout_client_ms: int = 30_000
    timeout_server_ms: int = 30_000
    check_interval_ms: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAddress:
    """An address that ports can be of, by the name that ``--address`` gave it."""

    ips: tuple[str, ...]
    overlaps: bool = True
    """``--bind-address`` has one of them, too: a port of the one and the same port of the other are one."""
    reserved_ports: PortRanges = PortRanges(())


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """What admission needs to know of the router; everything else it takes from the objects."""

    router_name: str = "tcp-router"
    ledger: str = "tcp-router"
    """Of which PortClaims go by."""
    ports: PortRanges = PortRanges(((1024, 65535),))
    reserved_ports: PortRanges = PortRanges(())
    auto_ports: PortRanges = PortRanges(())
    """What those get who ask for any port; none is nobody."""
    claim_ports: PortRanges = PortRanges(())
    """What those get who make TransportServerClaims; none is nobody."""
    server_claims: ServerClaims = "off"
    transport_servers: bool = False
    """Whether F5's TransportServers are served."""
    transport_server_class: str = ""
    """Those alone that say so by their label or ``spec.ipamLabel``; empty is all."""
    transport_server_cross_namespace: bool = False
    """Whether they may lead to Services of other namespaces."""
    pair_selector: str = ""
    """Label selector: claims of these namespaces wait for a port that two clusters agree on; ``all`` is every one, empty is none."""
    auto_at_once: bool = False
    """Nobody else could choose otherwise: no PortClaim has to be written before."""
    sni_port: int = 8443
    """The port shared by passthrough Routes with a host; 0 is none."""
    allow_loopback_endpoints: bool = False
    external_names: tuple[str, ...] = ()
    """The names that Services of type ExternalName may lead to (``router.admission.external_names``)."""
    external_names_private: bool = False
    """To private addresses too."""
    allow_wildcard_routes: bool = False
    disable_namespace_ownership_check: bool = False
    """Let hosts of one namespace stand beside a wildcard of another that covers them."""
    own_addresses: frozenset[str] = frozenset()
    """Addresses that the routers listen on, beside those of the store's ``routers``."""
    listens_everywhere: bool = True
    """The routers listen on all addresses, those of loopback too."""
    own_ports: frozenset[int] = frozenset()
    """Ports that the router listens on for itself, beside ``sni_port``."""
    namespace_ports: PortRanges | None = None
    """What a namespace may claim of which nothing else is said; None is all of ``ports``."""
    namespace_max_ports: int | None = None
    """How many ports a namespace may hold of which nothing else is said; None is any number."""
    counts_namespace_annotations: bool = True
    """Whether annotations of Namespaces say what these may have."""
    must_know_namespaces: bool = False
    """Whether a Namespace that is not in the store gets nothing new: an API server has one for each object, a folder need not."""
    enforces_policy_on_holders: bool = False
    """Take from holders, too, what their namespaces may not have."""
    addresses: Mapping[str, NamedAddress] = field(default_factory=lambda: MappingProxyType({}))
    """By name, in a fixed order."""
    default_addresses: frozenset[str] = frozenset()
    """The names of those that a namespace may use of which nothing else is said."""
    domain: str = ""
    """Of which ``spec.subdomain`` of a Route without a host is one; empty is none."""
    tls_min_version: str = "TLSv1.2"
    """The oldest version that any port takes which ends TLS."""
    client_auth: Literal["required", "optional"] | None = None
    """Whether clients have to show certificates, or may, wherever TLS ends here; None is as Routes say."""
    client_subjects: str = ""
    """The subjects that are let in by that, as a regular expression; empty is any."""
    mtls_pool: int = 0
    """How many hosts of each shared port can come to ask clients for certificates without a reload."""
    defaults: RouteDefaults = field(default_factory=RouteDefaults)
    gateway_controller: str = ""
    """GatewayClasses with this ``controllerName`` are ours; empty is to serve no Gateways."""
    gateway_http: bool = False
    """Whether HTTP and HTTPS listeners are judged as if they were served."""
    gateway_certificates: bool = False
    """Whether TLS listeners may end TLS."""

    @property
    def gives_ports(self) -> bool:
        """Whether anybody can ask for any port."""
        return bool(self.auto_ports.ranges or self.claim_ports.ranges)

    @property
    def overlapping(self) -> tuple[str, ...]:
        """The names of addresses that ``--bind-address`` has, too."""
        return tuple(name for name, address in self.addresses.items() if address.overlaps)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections at a time may be one Route's, one namespace's, and those of one port that Routes share."""

    route: int
    namespace: int
    shared_port: int

    @classmethod
    def of(cls, maxconn: int, route: int | None = None, namespace: int | None = None) -> ConnectionLimits:
        """Give the limits in a process of so many connections; what an admin chose, else a share that leaves others room.

        Args:
            maxconn: all connections that the process takes.
            route: chosen for a Route; None is half of all.
            namespace: chosen for a namespace; None is three quarters of all.
        """
        return cls(
            route if route is not None else max(1, maxconn // 2),
            namespace if namespace is not None else max(1, maxconn * 3 // 4),
            # On a shared port connections are nobody's until their ClientHello is there.
            max(1, maxconn * 9 // 10),
        )


UNKNOWN_MAXCONN = 20_000
"""What is reckoned with where HAProxy chooses the number of connections itself, until it has said which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """What the templates get as ``settings``, beside the model."""

    state_dir: Path = Path("/var/lib/tcp-router")
    """Where the sockets and the map files are, as HAProxy sees it."""
    ip_mode: IpMode = "v4v6"
    bind_addresses: tuple[str, ...] = ()
    """Addresses to listen on; none is all of those that ``ip_mode`` allows."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Of ``--address``, by name."""
    log_address: str = "stdout"
    """``stdout``, ``stderr``, a path of a syslog socket, or ``address:port`` of a syslog server."""
    log_json: bool = False
    tcp_user_timeout_ms: int = 120_000
    """How long a client may leave what was sent to it unconfirmed; 0 is as long as the kernel tries."""
    hard_stop_after_ms: int | None = None
    mworker_max_reloads: int | None = None
    maxconn: int | None = None
    nbthread: int | None = None
    max_connections_per_route: int | None = None
    """None is a share of all, as for namespaces."""
    max_connections_per_namespace: int | None = None
    namespace_limits: bool = False
    """Whether some namespaces may come to have limits of their own."""
    stand_in: PrivateBytes = NOTHING_PRIVATE
    """What sockets show that are nobody's yet, and no client ever sees: HAProxy would warn of each that shows nothing. Empty is nothing."""
    client_subjects: str = ""
    """Of whose certificates clients are let in that show one as the router asks for it, as a regular expression; empty is anybody."""
    tls: TlsOptions = field(default_factory=TlsOptions)
    bases: tuple[Base, ...] = ()
    """What backends commonly take up that are added while HAProxy runs; none where it adds none."""
    serves_gateways: bool = False
    """Whether Gateways are: then a part of connections may be refused, and wildcards stand for several labels."""

    def limits_at(self, maxconn: int) -> ConnectionLimits:
        """Give the limits in a process of so many connections."""
        return ConnectionLimits.of(maxconn, self.max_connections_per_route, self.max_connections_per_namespace)

    @property
    def connection_limits(self) -> ConnectionLimits:
        """The limits that stand in the configuration."""
        return self.limits_at(self.maxconn if self.maxconn is not None else UNKNOWN_MAXCONN)

    def stage_socket(self, spot: tuple[int, str]) -> Path:
        """Where the frontend listens that ends TLS for hosts of a shared port (a ``Spot``); only HAProxy itself connects."""
        port, address = spot
        # However long the address's name is: the path of a socket is not.
        digest = f"-{hashlib.sha256(address.encode()).hexdigest()[:6]}" if address else ""
        return self.state_dir / "run" / f"t{port}{digest}.sock"

    def switch_socket(self, spot: tuple[int, str]) -> Path:
        """Where the frontend listens that leads to those of ``gate_socket``."""
        return self.gate_socket(spot, "gates")

    def slot_socket(self, number: int) -> Path:
        """Where TLS ends for a port of the pool."""
        return self.state_dir / "run" / f"s{number}.sock"

    def gate_socket(self, spot: tuple[int, str], number: int | str) -> Path:
        """Where a frontend listens that ends TLS for a single host of a shared port."""
        stage = self.stage_socket(spot)
        return stage.with_name(f"{stage.stem}-{number}.sock")

    @property
    def peers_socket(self) -> Path:
        """Where a worker takes what its former one counted of clients; only HAProxy itself connects."""
        return self.state_dir / "run" / "peers.sock"

    @property
    def stats_socket(self) -> Path:
        """The worker's stats socket."""
        return self.state_dir / "run" / "haproxy.sock"

    @property
    def master_socket(self) -> Path:
        """The master's command socket."""
        return self.state_dir / "run" / "master.sock"

    @property
    def alive_socket(self) -> Path:
        """Where the router says whether it is alive."""
        return self.state_dir / "run" / "alive.sock"

    @property
    def ready_socket(self) -> Path:
        """Where the router says whether it is ready."""
        return self.state_dir / "run" / "ready.sock"

    @property
    def generations_file(self) -> Path:
        """Where is kept which other generations of this router were proven."""
        return self.state_dir / "generations.json"

    @property
    def server_state_file(self) -> Path:
        """Where a new worker reads which servers the former one knew to be down."""
        return self.state_dir / "servers.state"

    @property
    def files_limit_file(self) -> Path:
        """Where a HAProxy that was started by itself says how many files its processes may have open."""
        return self.state_dir / "haproxy.files"

    @property
    def maps_dir(self) -> Path:
        """Where map and ACL files are."""
        return _maps_in(self.state_dir)


@lru_cache
def _maps_in(state_dir: Path) -> Path:
    # Asked for by each section that is rendered, and a path takes as long to be made as a verdict.
    return state_dir / "maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPodSettings:
    """Which pods are the routers'."""

    namespace: str
    selector: str
    """Label selector."""
    own_name: str
    """Of the pod that this process is in, if it is in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSettings:
    """Which PortClaims to go by."""

    namespace: str
    """The router's own, in which no team may write."""
    required: bool = True
    """Whether nothing is served before they were read once; else the router does without where the API has no such kind."""


DEFAULT_SERVER_LIMIT = 500
"""Of --metrics-server-limit: that of OpenShift's router (ServerThreshold)."""
ROUTER_ACCOUNT = "system:serviceaccount:openshift-ingress:router"
"""That of OpenShift's own router, whom OpenShift's API server asks about as well (openshift/library-go, pkg/route/validation)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeSettings:
    """Which API server to follow, and which part of it."""

    kubeconfig: Path | None = None
    """None: in a pod its service account, else the usual kubeconfig (KUBECONFIG, ~/.kube/config)."""
    context: str | None = None
    """Of the kubeconfig; None is its current one."""
    namespaces: tuple[str, ...] = ()
    """Routes of these namespaces only; none is all."""
    namespace_selector: str = ""
    """Label selector: Routes of namespaces that match it only."""
    route_selector: str = ""
    """Label selector: Routes that match it only."""
    endpoints: Literal["endpointslices", "endpoints"] = "endpointslices"
    router_pods: RouterPodSettings | None = None
    """Whose addresses Routes must not lead to; None is not to look for them."""
    claims: ClaimSettings | None = None
    """Where PortClaims are; None is not to look for them."""
    reads_transport_servers: bool = False
    reads_grants: bool = False
    """Whether ReferenceGrants are followed for what is not of the Gateway API."""
    reads_server_claims: bool = False
    """Whether TransportServerClaims are followed."""
    reads_namespaces: bool = False
    """Whether it is asked what admins say of namespaces."""
    external_certificate_account: str = ROUTER_ACCOUNT
    """The user who has to be allowed to get a Secret, for a Route to have its certificate from there."""
    gateway_api: Literal["off", "auto", "on"] = "off"
    """Whether the Gateway API is followed; ``auto`` says nothing where there is none."""
    gateway_http: bool = False
    """Whether HTTPRoutes are counted and certificates judged."""
    gateway_certificates: bool = False
    """Whether Secrets are read for listeners that end TLS."""
