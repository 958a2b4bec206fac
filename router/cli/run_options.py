"""The options of ``tcp-router run`` that no other command has. Nothing of what they are for is imported here: clients wait (``cli.kept``)."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.named_addresses import NamedHostnameType, NamedRangesType
from router.cli.options import LOG_FORMAT, option
from router.cli.pool_type import PortPoolType
from router.cli.types import AddressListType, HostnameType, ObjectKeyType, PortRangesType, ResolverType, TimeType
from router.settings import DEFAULT_SERVER_LIMIT, MAX_PORT

RUN = (
    option("--haproxy-mode", type=click.Choice(["standalone", "attached"]), default="standalone",
           help="standalone: HAProxy is a child of the router; attached: it runs already (tcp-router haproxy), on the same --state-dir."),
    option("--manifests", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None,
           show_default="none: an API server is followed",
           help="Folder with Routes, Services and EndpointSlices as YAML or JSON; followed live, in the place of an API server."),
    option("--reload-interval", env="RELOAD_INTERVAL", type=TimeType(zero=True), default="1s",
           help="Least time between two reloads; the first runs at once."),
    option("--port-pool", type=PortPoolType(), default="", show_default="none",
           help="Ports that HAProxy has in advance and keeps closed, so that a Route is served on one without a reload; auto: as many of --auto-ports as the busiest hour took."),
    option("--address-port-pool", type=NamedRangesType(), multiple=True, show_default="none",
           help="The same for ports of an address of --address: NAME=RANGES; repeatable."),
    option("--pair-wait", type=TimeType(zero=True), default="60s",
           help="How long a claim waits for --claims-wait-for-pair, until it is given a port in this cluster alone."),
    option("--sni-pool", type=click.IntRange(0, 10_000), default=0,
           help="Backends that HAProxy has in advance, so that so many more Routes on shared ports are served without a reload."),
    option("--tls-pool", type=click.IntRange(0, 1_000), default=0,
           help="Places that HAProxy has in advance, so that TLS ends for so many more Routes on ports of --port-pool without a reload."),
    option("--mtls-pool", type=click.IntRange(0, 1_000), default=0,
           help="Sockets that each shared port has in advance, so that so many more Routes there that ask clients for certificates are served without a reload."),
    option("--resolver", "resolvers", type=ResolverType(), multiple=True, show_default="those of /etc/resolv.conf",
           help="With --external-names, a DNS server to ask, as address or address:port; repeatable, asked in turn."),
    option("--check-network-policies", is_flag=True,
           help="Where none of the endpoints passes its health check, look whether NetworkPolicies keep the router out, and say so."),
    option("--shutdown-delay", type=TimeType(zero=True), default="0",
           help="How long to go on routing, not ready, after the signal to stop: for load balancers to notice."),
    option("--drain-timeout", type=TimeType(zero=True), default="30s",
           help="How long connections may go on after that; a second signal ends them at once."),
    option("--canonical-hostname", env="ROUTER_CANONICAL_HOSTNAME", type=HostnameType(), default=None, show_default="none",
           help="The name by which clients reach this router; /ports gives it with each port."),
    option("--address-hostname", "address_hostnames", env="TCP_ROUTER_ADDRESS_HOSTNAMES", type=NamedHostnameType(), multiple=True, show_default="none",
           help="NAME=HOST: the DNS name by which clients reach an address of --address, for the status of Services of type LoadBalancer; repeatable."),
    option("--load-balancer-ips/--no-load-balancer-ips", default=False,
           help="Tell such Services the IPs of their address, with ipMode Proxy: not with OVN-Kubernetes, which leads past the router then."),
    option("--publish-service", type=ObjectKeyType(), default=None, show_default="none",
           help="The Service in front of the router, NAMESPACE/NAME: the leading replica keeps its ports level with what is served (docs/services.md)."),
    option("--publish-service-max-ports", type=click.IntRange(1, MAX_PORT), default=None, show_default="any number",
           help="How many ports that Service may have, those of others too; clouds' load balancers have a limit, 50 as a rule."),
    option("--node-port-range", type=PortRangesType(), default="30000-32767",
           help="The node ports of the cluster: a port within them is asked for as its own node port."),
    LOG_FORMAT,
    option("--trace-changes", is_flag=True, default=False,
           help="Log for each change where its time went, from the API server to HAProxy's reply; /metrics shows it too."),
)  # fmt: skip

METRICS_OPTIONS = (
    option("--metrics-server-limit", env="ROUTER_METRICS_HAPROXY_SERVER_THRESHOLD", type=click.IntRange(min=0),
           default=DEFAULT_SERVER_LIMIT,
           help="While all Routes together have more servers than this, /metrics counts by Route only, not by server."),
    option("--page/--no-page", default=True, help="Whether there is a page for people, at / on the port of --listen, for whoever may read /ports."),
    option("--share-figures/--no-share-figures", default=False,
           help="Whether each replica says on its own pod how it is, so that the pages of the others show it; needs the right to patch pods/status."),
    option("--metrics-tls-cert", env="ROUTER_METRICS_TLS_CERT_FILE", type=click.Path(path_type=Path, dir_okay=False), default=None,
           show_default="none: plain HTTP",
           help="Certificate (PEM) with which /metrics and /ports are given, by https only, on the port of --listen; read again when it changes."),
    option("--metrics-tls-key", env="ROUTER_METRICS_TLS_KEY_FILE", type=click.Path(path_type=Path, dir_okay=False), default=None,
           show_default="none", help="The certificate's key (PEM)."),
    option("--metrics-auth", type=click.Choice(["none", "kubernetes"]), default="none",
           help="Who may read /metrics and /ports: everybody, or bearers of a token that may get routers/metrics (group route.openshift.io)."),
)  # fmt: skip

OWN_ADDRESSES = (
    option("--pod-ips", env="POD_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the pod that this process is in, with commas between."),
    option("--host-ips", env="HOST_IPS", type=AddressListType(), default="", show_default="none",
           help="Addresses of the node that this process is on, with commas between."),
)  # fmt: skip
