"""The values of options, each of its type, and the settings that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from router.admission.reserved_ports import HOST_NETWORK_PORTS, ON_PREMISES_PORTS
from router.cli.gateway_options import GatewayOptions
from router.cli.mutual_tls import check_mutual_tls
from router.cli.named_addresses import Named, addresses_of, check_known, for_admission
from router.cli.useful_ports import useful
from router.cluster.tls_files import TlsFiles
from router.errors import SettingsError
from router.model import Balance
from router.model.tls import CIPHERSUITES, PROFILES, TlsOptions
from router.objects.meta import ObjectKey
from router.settings import (
    AdmissionSettings,
    IpMode,
    PortRanges,
    RenderSettings,
    RouteDefaults,
    ServerClaims,
)
from router.status.balanced import Balancing

SERVICE_CA = Path("/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt")
"""Where OpenShift puts the CA that signs for Services, and where our manifests do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings(GatewayOptions):
    """What decides what is served, and how: the options of ADMISSION, RENDER and HTTP, by their names; times in milliseconds."""

    router_name: str
    ledger: str | None
    ports: PortRanges
    reserved_ports: PortRanges | None
    auto_ports: PortRanges
    claim_ports: PortRanges
    transport_server_claims: ServerClaims
    claims_wait_for_pair: str
    transport_servers: bool
    transport_server_class: str | None
    transport_server_cross_namespace: bool
    addresses: tuple[Named, ...]
    address_default_allowed: tuple[str, ...]
    address_reserved_ports: PortRanges | None
    host_network: bool
    on_premises: bool
    sni_port: int
    domain: str | None
    allow_wildcard_routes: bool
    disable_namespace_ownership_check: bool
    external_names: tuple[str, ...]
    external_names_private: bool
    allow_loopback_endpoints: bool
    default_tunnel_timeout: int
    default_connect_timeout: int
    default_client_timeout: int
    default_server_timeout: int
    balance: Balance
    check_interval: int
    default_certificate: Path | None
    default_destination_ca: Path | None
    tls_min_version: str | None
    tls_ciphers: str
    tls_ciphersuites: str
    tls_curves: str
    mutual_tls_auth: Literal["none", "required", "optional"]
    mutual_tls_auth_ca: Path | None
    mutual_tls_auth_crl: Path | None
    mutual_tls_auth_filter: str
    namespace_policy: bool
    namespace_ports: PortRanges | None
    namespace_max_ports: int | None
    port_policy: Path | None
    enforce_policy_on_holders: bool

    state_dir: Path
    template_dir: Path | None
    ip_mode: IpMode
    bind_addresses: tuple[str, ...]
    log_address: str
    tcp_user_timeout: int
    hard_stop_after: int | None
    mworker_max_reloads: int | None
    max_connections: int | None
    max_connections_per_route: int | None
    max_connections_per_namespace: int | None
    threads: int | None

    listen: tuple[str, int] | None
    stats_port: int
    tcp_health_port: int

    @property
    def server_claims(self) -> ServerClaims:
        """Which TransportServerClaims are served.

        Raises:
            SettingsError: there are no ports to give to them.
        """
        if self.transport_server_claims != "off" and not self.claim_ports.ranges:
            raise SettingsError(
                "--transport-server-claims needs --claim-ports: the ports that claims are given, as in 36000-36999"
            )
        return self.transport_server_claims

    @property
    def ledger_name(self) -> str:
        """The name of the PortClaims that count."""
        return self.ledger or self.router_name

    @property
    def http_address(self) -> tuple[str, int]:
        """Address and port of the router's HTTP; port 0 is one that the system chooses."""
        return self.listen or ("127.0.0.1", self.stats_port)

    def tls_options(self) -> TlsOptions:
        """Give what holds for all ports that end TLS."""
        of_profile, ciphers = PROFILES.get(self.tls_ciphers, (TlsOptions().min_version, self.tls_ciphers))
        ciphersuites = self.tls_ciphersuites or CIPHERSUITES
        return TlsOptions(self.tls_min_version or of_profile, ciphers, ciphersuites, self.tls_curves)

    def tls_files(self) -> TlsFiles:
        """Give what reads the certificate and the authorities of Routes that have none of their own."""
        authorities = self.default_destination_ca
        if authorities is None and SERVICE_CA.exists():
            authorities = SERVICE_CA
        files = self.mutual_tls_auth_ca, self.mutual_tls_auth_crl
        check_mutual_tls(self.mutual_tls_auth, *files, self.mutual_tls_auth_filter)
        return TlsFiles(self.default_certificate, authorities, *files)

    @property
    def listens_everywhere(self) -> bool:
        """Whether the router listens on all addresses of its machine."""
        return not self.bind_addresses or any(ip_address(each).is_unspecified for each in self.bind_addresses)

    @property
    def has_policy(self) -> bool:
        """Whether what is said of namespaces counts, by themselves or by a file."""
        return self.namespace_policy or self.port_policy is not None

    @property
    def reads_namespaces(self) -> bool:
        """Whether every Namespace that there is can be in the store: of manifests it is up to whoever writes them."""
        return False

    def admission(self) -> AdmissionSettings:
        """Give what admission goes by; the router's own ports are reserved, whatever the options say."""
        _, http_port = self.http_address
        own_ports = tuple(filter(None, (http_port, self.tcp_health_port)))
        reserved = self.reserved_ports
        if reserved is None:
            on_nodes = HOST_NETWORK_PORTS | ON_PREMISES_PORTS if self.on_premises else HOST_NETWORK_PORTS
            reserved = on_nodes if self.host_network else PortRanges(())
        addresses = addresses_of(self.addresses, self.ip_mode)
        check_known("--address-default-allowed", self.address_default_allowed, addresses)
        of_addresses = self.address_reserved_ports if self.address_reserved_ports is not None else reserved
        own_places = [self.http_address, *((each, self.tcp_health_port) for each in self.bind_addresses or ("::",))]
        made = AdmissionSettings(
            router_name=self.router_name,
            ledger=self.ledger_name,
            ports=self.ports,
            reserved_ports=reserved | PortRanges.of(*own_ports),
            auto_ports=self.allowed("--auto-ports", self.auto_ports),
            claim_ports=self.allowed("--claim-ports", self.claim_ports),
            server_claims=self.server_claims,
            transport_servers=self.transport_servers,
            transport_server_class=self.transport_server_class or "",
            transport_server_cross_namespace=self.transport_server_cross_namespace,
            pair_selector=self.claims_wait_for_pair if self.server_claims != "off" else "",
            auto_at_once=self.gives_ports_at_once,
            sni_port=self.sni_port,
            external_names=tuple(sorted(set(self.external_names))),
            external_names_private=self.external_names_private,
            allow_loopback_endpoints=self.allow_loopback_endpoints,
            allow_wildcard_routes=self.allow_wildcard_routes,
            domain=self.domain or "",
            tls_min_version=self.tls_options().min_version,
            client_auth=self.mutual_tls_auth if self.mutual_tls_auth != "none" else None,
            client_subjects=self.mutual_tls_auth_filter,
            disable_namespace_ownership_check=self.disable_namespace_ownership_check,
            own_addresses=frozenset(self.bind_addresses),
            listens_everywhere=self.listens_everywhere,
            own_ports=frozenset(own_ports),
            addresses=for_admission(addresses, self.bind_addresses, of_addresses, own_places),
            default_addresses=frozenset(self.address_default_allowed),
            namespace_ports=self.namespace_ports,
            namespace_max_ports=self.namespace_max_ports,
            counts_namespace_annotations=self.namespace_policy,
            must_know_namespaces=self.reads_namespaces and self.has_policy,
            enforces_policy_on_holders=self.enforce_policy_on_holders,
            defaults=RouteDefaults(
                balance=self.balance,
                timeout_tunnel_ms=self.default_tunnel_timeout,
                timeout_connect_ms=self.default_connect_timeout,
                timeout_client_ms=self.default_client_timeout,
                timeout_server_ms=self.default_server_timeout,
                check_interval_ms=self.check_interval,
            ),
        )
        return self.with_gateways(made)

    @property
    def gives_ports_at_once(self) -> bool:
        """Whether no other replica could give another port to who asks for any: then nothing has to be written before."""
        return True

    def allowed(self, option: str, ports: PortRanges) -> PortRanges:
        """Give ports as they are.

        Raises:
            SettingsError: some of them nobody can have, so that they would not be what their admin thinks they are.
        """
        return useful(option, ports, self.ports)

    def render(self, *, log_json: bool = False) -> RenderSettings:
        """Give what rendering goes by.

        Raises:
            SettingsError: a bind address is of a family that the IP mode excludes.
        """
        mode = self.ip_mode
        for address in self.bind_addresses:
            if (":" in address and mode == "v4") or (":" not in address and mode == "v6"):
                raise SettingsError(f"--bind-address {address} does not go with --ip-mode {mode}")
        return RenderSettings(
            state_dir=self.state_dir.absolute(),
            ip_mode=mode,
            bind_addresses=tuple(dict.fromkeys(self.bind_addresses)),
            addresses=addresses_of(self.addresses, mode),
            log_address=self.log_address,
            log_json=log_json,
            tcp_user_timeout_ms=self.tcp_user_timeout,
            hard_stop_after_ms=self.hard_stop_after,
            mworker_max_reloads=self.mworker_max_reloads,
            maxconn=self.max_connections,
            nbthread=self.threads,
            tls=self.tls_options(),
            client_subjects=self.mutual_tls_auth_filter,
            max_connections_per_route=self.max_connections_per_route,
            max_connections_per_namespace=self.max_connections_per_namespace,
            namespace_limits=self.has_policy,
            serves_gateways=self.serves_gateways,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings(ServingSettings):
    """The options of ``tcp-router run``, by their names; times in milliseconds."""

    haproxy: str | None
    haproxy_mode: Literal["standalone", "attached"]
    manifests: Path | None
    reload_interval: int
    port_pool: PortRanges | Literal["auto"]
    address_port_pool: tuple[tuple[str, PortRanges], ...]
    sni_pool: int
    tls_pool: int
    mtls_pool: int
    check_network_policies: bool
    pair_wait: int
    resolvers: tuple[tuple[str, int], ...]
    shutdown_delay: int
    drain_timeout: int
    canonical_hostname: str | None
    address_hostnames: tuple[tuple[str, str], ...]
    load_balancer_ips: bool
    publish_service: ObjectKey | None
    publish_service_max_ports: int | None
    node_port_range: PortRanges
    log_format: Literal["auto", "json", "text"]
    trace_changes: bool

    kubeconfig: Path | None
    context: str | None
    namespaces: tuple[str, ...]
    namespace_selector: str
    route_selector: str
    endpoints: Literal["endpointslices", "endpoints"]
    external_certificate_account: str
    lease_namespace: str
    lease_name: str | None
    claims: Literal["required", "auto", "off"]
    auto_ports_cooldown: int
    claims_rate: float
    router_pod_selector: str
    pod_name: str | None
    node_name: str | None

    pod_ips: tuple[str, ...]
    host_ips: tuple[str, ...]

    metrics_server_limit: int
    page: bool
    share_figures: bool
    metrics_tls_cert: Path | None
    metrics_tls_key: Path | None
    metrics_auth: Literal["none", "kubernetes"]

    def admission(self) -> AdmissionSettings:
        """Give what admission goes by, with what is had in advance."""
        # Not by super(), which does not find the class that dataclass made anew.
        return replace(ServingSettings.admission(self), mtls_pool=self.mtls_pool)

    @property
    def gives_ports_at_once(self) -> bool:
        """Whether no other replica could give another port to who asks for any."""
        return self.manifests is not None

    def balancing(self, node_ips: Callable[[], frozenset[str] | None]) -> Balancing:
        """Give what is told of addresses, to Services of type LoadBalancer.

        Args:
            node_ips: gives the addresses of nodes, None while they are not known.

        Raises:
            SettingsError: a name is given of an address that there is not.
        """
        addresses = addresses_of(self.addresses, self.ip_mode)
        hostnames = dict(self.address_hostnames)
        check_known("--address-hostname", hostnames, addresses)
        own = frozenset((*self.pod_ips, *self.host_ips))

        def of_nodes() -> frozenset[str] | None:
            told = node_ips()
            return told | own if told is not None else None

        return Balancing(hostnames, addresses, addresses if self.load_balancer_ips else {}, of_nodes)

    @property
    def reads_namespaces(self) -> bool:
        """Whether the API server is asked for Namespaces, of which it has one for whatever else it has."""
        return self.manifests is None and (self.has_policy or bool(self.claims_wait_for_pair) or self.serves_gateways)

    @property
    def lease(self) -> str:
        """The name of the Lease by which replicas agree on who writes."""
        return self.lease_name or self.router_name

    @property
    def ledger_name(self) -> str:
        """The name of the PortClaims that count: the Lease's, as those are written by one replica of those that have it."""
        return self.ledger or self.lease
